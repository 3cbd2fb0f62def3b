"""The 24 h change has one function; it is a fraction, and absent where there is nothing to compare with."""

from __future__ import annotations

import dataclasses

import pytest

from data.symbol import Symbol
from data.ticker import Ticker

TICKER = Ticker(
    symbol=Symbol("BTCUSDT"),
    last_price=101.0,
    open_24h=100.0,
    high_24h=103.0,
    low_24h=99.0,
    volume_24h=12.5,
    quote_volume_24h=1250.0,
    at_ms=1_700_000_000_000,
)


def test_the_change_is_a_fraction_of_the_price_a_day_ago() -> None:
    assert TICKER.change_24h_fraction == pytest.approx(0.01)


def test_a_fall_is_negative() -> None:
    assert dataclasses.replace(TICKER, last_price=75.0).change_24h_fraction == pytest.approx(-0.25)


@pytest.mark.parametrize("opened", [0.0, float("nan")])
def test_no_price_a_day_ago_means_no_change_rather_than_infinity(opened: float) -> None:
    assert dataclasses.replace(TICKER, open_24h=opened).change_24h_fraction is None
