"""What a frame says, and whether it is news: the rules by themselves, without a socket."""

from __future__ import annotations

from typing import Any

import pytest

from data.candles import Candle
from data.feed_events import KlineEvent, KlineSequence, News, ShutdownEvent, parse_frame
from data.interval import Interval
from data.symbol import Symbol
from data.ticker import Ticker
from utils.errors import BadData

BTC = Symbol("BTCUSDT")
T0 = 1_700_000_040_000 // 60_000 * 60_000
MINUTE = 60_000


def event(index: int, at_ms: int, *, close: float = 1.0, closed: bool = False) -> KlineEvent:
    candle = Candle(T0 + index * MINUTE, 1.0, 9.0, 1.0, close, 1.0, 1.0, 1.0, 1.0, 1.0, closed=closed)
    return KlineEvent(BTC, Interval.M1, candle, T0 + at_ms)


def judged(newest_index: int | None, *events: KlineEvent) -> list[tuple[News, bool]]:
    sequence = KlineSequence(Interval.M1)
    newest_ms = None if newest_index is None else T0 + newest_index * MINUTE
    return [sequence.judge(one, newest_ms) for one in events]


def test_a_newer_word_about_the_forming_candle_is_news() -> None:
    assert judged(0, event(1, 61_000), event(1, 63_000, close=2.0)) == [(News.FORMING, False), (News.FORMING, False)]


def test_the_same_word_twice_and_an_older_word_are_not() -> None:
    told = judged(0, event(1, 63_000), event(1, 63_000), event(1, 61_000, close=2.0))
    assert [news for news, _ in told] == [News.FORMING, News.OLD, News.OLD]


def test_a_closed_candle_never_changes_again() -> None:
    told = judged(1, event(1, 120_100, closed=True), event(1, 120_200, close=3.0), event(0, 120_300, closed=True))
    assert [news for news, _ in told] == [News.OLD] * 3


def test_close_and_next_candle_may_be_told_in_the_same_millisecond() -> None:
    told = judged(0, event(1, 120_000, closed=True), event(2, 120_000))
    assert [news for news, _ in told] == [News.CLOSED, News.FORMING]


@pytest.mark.parametrize("closed", [False, True])
def test_a_candle_after_one_that_was_never_told_closed_is_a_gap(closed: bool) -> None:
    ((news, gap),) = judged(0, event(2, 130_000, closed=closed))
    assert (news, gap) == (News.CLOSED if closed else News.FORMING, True)


def test_the_first_word_of_all_is_no_gap() -> None:
    assert judged(None, event(5, 301_000)) == [(News.FORMING, False)]


def test_frames_raw_and_combined_carry_the_same() -> None:
    data = {"e": "24hrMiniTicker", "E": 7, "s": "BTCUSDT", "c": "2", "o": "1", "h": "3", "l": "1", "v": "4", "q": "5"}
    assert isinstance(parse_frame(data), Ticker)
    assert parse_frame({"stream": "btcusdt@miniTicker", "data": data}) == parse_frame(data)
    assert isinstance(parse_frame({"e": "serverShutdown", "E": 1}), ShutdownEvent)
    assert isinstance(parse_frame({"stream": "!serverShutdown", "data": {"e": "serverShutdown"}}), ShutdownEvent)


def test_answers_and_kinds_that_are_not_ours_are_passed_over() -> None:
    assert parse_frame({"result": None, "id": 1}) is None
    assert parse_frame({"stream": "btcusdt@aggTrade", "data": {"e": "aggTrade"}}) is None


@pytest.mark.parametrize(
    "frame", [{"stream": "x", "data": [1]}, {"hello": 1}, {"e": "badFrame"}, {"e": "kline"}, {"e": "24hrMiniTicker"}]
)
def test_frames_without_sense_are_bad_data(frame: dict[str, Any]) -> None:
    with pytest.raises(BadData):
        parse_frame(frame)
