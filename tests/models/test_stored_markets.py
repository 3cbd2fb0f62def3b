"""Training without files: the candles of the dashboard's own store."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.candle_store import CandleStore
from data.database import connect
from data.interval import Interval
from data.symbol import Symbol
from models.stored_markets import stored_markets
from tests.support import tiny_model
from utils.errors import NotFound


@pytest.fixture(autouse=True)
def store_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", url)
    return url


def test_the_stores_candles_are_found(store_url: str) -> None:
    candles = tiny_model.candles(50)
    database = connect(store_url)
    CandleStore(database).write(candles)
    database.close()
    found = stored_markets(Interval.H1)
    assert [(one.symbol, len(one), one.last_close) for one in found] == [("BTCUSDT", 50, candles.last_close)]
    assert len(stored_markets(Interval.H1, [Symbol("BTCUSDT")])) == 1


def test_an_empty_store_says_what_to_do() -> None:
    with pytest.raises(
        NotFound, match=r"no 1d candles of XUSDT; follow .* load some by python -m data\.import_klines, or .*--data"
    ):
        stored_markets(Interval.D1, [Symbol("XUSDT")])
