"""Catching up: a series that gains nothing is asked ever more rarely, and at once when it lives again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from data import feed_catch_up
from data.feed_catch_up import CatchUp
from data.feed_status import FeedPaces
from data.interval import Interval
from data.symbol import Symbol
from utils.clock import ManualClock

BTC, H1 = Symbol("BTCUSDT"), Interval.H1
NOON = 1_772_452_800_000


class Halted:
    """A market of one series, whose newest candle is told by the test, and that counts what it is asked."""

    symbols, intervals = (BTC,), (H1,)

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.newest_ms = NOON - 10 * H1.ms
        self.asked = 0
        self.clock = ManualClock(NOON)
        gateway: Any = SimpleNamespace()
        market: Any = self
        self.catch_up = CatchUp(gateway=gateway, market=market, clock=self.clock, paces=FeedPaces())
        monkeypatch.setattr(feed_catch_up, "fill_missing", self._fill)

    def newest_known_ms(self, *_: object) -> int:
        return self.newest_ms

    def turns(self, seconds: int) -> int:
        """A turn each second; how often the exchange was asked."""
        before = self.asked
        for _ in range(seconds):
            self.clock.tick(1)
            self.catch_up.turn(streams_down=False)
        return self.asked - before

    def _fill(self, *_: object) -> int:
        self.asked += 1
        return 0


@pytest.fixture
def halted(monkeypatch: pytest.MonkeyPatch) -> Halted:
    return Halted(monkeypatch)


def test_a_series_that_gains_nothing_is_asked_ever_more_rarely(halted: Halted) -> None:
    assert halted.turns(600) == 9
    halted.catch_up.want((BTC, H1))
    assert halted.turns(100) == 0


def test_what_was_missed_is_asked_for_at_once_when_the_streams_tell_of_the_series_again(halted: Halted) -> None:
    halted.turns(600)
    halted.newest_ms = NOON + H1.ms  # told by the stream, beyond one that was not
    halted.catch_up.want((BTC, H1))
    assert halted.turns(1) == 1
    assert halted.turns(60) == 0


def test_the_pauses_are_short_again_once_a_series_has_lived(halted: Halted) -> None:
    halted.turns(600)
    halted.newest_ms += H1.ms
    assert halted.turns(7) == 3
