"""Kept answers: what their cache tells of itself: reads, loads and their time, what went and why, and ages."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from data.symbol import Symbol
from models import kept_answers
from models.forecast import NoForecast
from models.kept_answers import AnswerKey, KeptAnswers
from tests.support.tiny_model import candles
from utils.clock import ManualClock


def keep(kept: KeptAnswers, *keys: AnswerKey, rows: int) -> None:
    shown = candles(rows)
    kept.keep({key: NoForecast(Symbol("BTCUSDT"), "made up") for key in keys}, dict.fromkeys(keys, shown))


def keys(names: Iterable[str]) -> list[AnswerKey]:
    return [AnswerKey("model", name) for name in names]


def test_it_tells_of_reads_loads_and_ages() -> None:
    clock = ManualClock()
    kept = KeptAnswers(clock)
    first = kept.stats()
    assert (first.hits, first.misses, first.loads, first.age_median_s, first.age_oldest_s) == (0, 0, 0, None, None)
    old, new = keys("ab")
    kept.find([old])
    kept.note(1, 0.25)
    keep(kept, old, rows=100)
    clock.tick(30)
    kept.note(2, 0.5)
    keep(kept, new, rows=100)
    clock.tick(10)
    kept.find([old, new])
    told = kept.stats()
    assert (told.hits, told.misses, told.loads, told.load_time_s) == (2, 1, 3, 0.75)
    assert (told.entries, told.age_median_s, told.age_oldest_s) == (2, 10.0, 40.0)
    kept.clear()
    assert (kept.stats().entries, kept.stats().age_oldest_s) == (0, None)


def test_what_newer_candles_replace_is_not_evicted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_answers, "_MOST_EACH", 2)
    kept = KeptAnswers(ManualClock())
    keep(kept, *keys("abc"), rows=100)
    assert (kept.stats().evictions, kept.stats().expired, kept.stats().entries) == (1, 0, 2)
    keep(kept, *keys("d"), rows=101)
    assert (kept.stats().evictions, kept.stats().expired, kept.stats().entries) == (1, 2, 1)
