"""Feed events: what a frame of the streams says, and whether it is news."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from data.candles import Candle
from data.gateway_parsing import parse_kline_event, parse_mini_ticker
from data.interval import Interval
from data.symbol import Symbol
from data.ticker import Ticker
from utils.errors import BadData


@dataclass(frozen=True, slots=True)
class KlineEvent:
    """One candle as told at `event_ms`; closed by the exchange's own word."""

    symbol: Symbol
    interval: Interval
    candle: Candle
    event_ms: int


@dataclass(frozen=True, slots=True)
class ShutdownEvent:
    """The exchange will close this connection soon; another one should be opened now."""


Event = KlineEvent | Ticker | ShutdownEvent


def parse_frame(frame: Mapping[str, Any]) -> Event | None:
    """The event in a frame of a raw or combined stream; None for a kind that is not ours. Raises BadData."""
    data = frame.get("data", frame)
    if not isinstance(data, Mapping):
        raise BadData("a stream frame carries no object")
    kind = data.get("e")
    if kind == "kline":
        return KlineEvent(*parse_kline_event(data))
    if kind == "24hrMiniTicker":
        return parse_mini_ticker(data)
    if kind == "serverShutdown":
        return ShutdownEvent()
    if kind is None and "stream" not in frame and "result" not in frame:
        raise BadData("a stream frame names no event")
    if kind == "badFrame":
        raise BadData("a stream frame is not a JSON object")
    return None


class News(Enum):
    """What a kline event means for what is known already."""

    OLD = "old"
    """told before, or older than what was told"""
    FORMING = "forming"
    CLOSED = "closed"


class KlineSequence:
    """Sorts the kline events of one series: an older event, or one about a closed candle, is not news."""

    __slots__ = ("_candle", "_event_ms", "_interval")

    def __init__(self, interval: Interval) -> None:
        self._interval = interval
        self._event_ms = -1
        self._candle: Candle | None = None

    def judge(self, event: KlineEvent, newest_closed_ms: int | None) -> tuple[News, bool]:
        """(what it is, whether a closed candle between `newest_closed_ms` and this one was never told)."""
        opened = event.candle.open_time_ms
        told_before = event.candle == self._candle
        if event.event_ms < self._event_ms or told_before or opened <= (newest_closed_ms or -1):
            return News.OLD, False
        self._event_ms, self._candle = event.event_ms, event.candle
        gap = newest_closed_ms is not None and opened > self._interval.next_open_ms(newest_closed_ms)
        return (News.CLOSED if event.candle.closed else News.FORMING), gap
