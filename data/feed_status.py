"""FeedStatus: whether the streams live, since when, and what went wrong on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

FeedState = Literal["starting", "live", "polling", "down"]


@dataclass(frozen=True, slots=True)
class FeedPaces:
    """Seconds, all of them. A connection without news for `silence_s` is given up: three times the exchange's pace."""

    silence_s: float = 6.0
    longest_silence_s: float = 60.0
    first_pause_s: float = 0.5
    longest_pause_s: float = 60.0
    open_timeout_s: float = 10.0
    renew_after_s: float = 23 * 3600.0
    poll_s: float = 10.0
    check_s: float = 1.0
    close_grace_s: float = 3.0
    rest_deadline_s: float = 5.0


@dataclass(frozen=True, slots=True)
class ConnectionStatus:
    """One connection of the feed: how many streams, since when it is up (None: it is down), when it last told
    something. UTC ms."""

    streams: int
    up_since_ms: int | None
    last_news_ms: int | None


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """`state` live: by streams · polling: by REST while streams are down · down: by neither. Times are UTC ms.

    `catching_up`: series of which something is not known yet; `backfilled`: closed candles that came over REST.
    """

    state: FeedState
    text: str
    since_ms: int | None
    last_event_ms: int | None
    events: int
    streams: int
    connections: int
    connected: int
    reconnects: int
    renewals: int
    backfilled: int
    catching_up: int
    gaps: int
    duplicates_ignored: int
    bad_frames: int
    last_error: str
    each_connection: tuple[ConnectionStatus, ...] = ()

    @classmethod
    def of_words(cls, words: Mapping[str, Any]) -> FeedStatus:
        """Back from what JSON makes of it."""
        return cls(**{**words, "each_connection": tuple(ConnectionStatus(**one) for one in words["each_connection"])})


@dataclass(slots=True)
class FeedCounters:
    """Written by the feed's own threads, read by anyone."""

    events: int = 0
    reconnects: int = 0
    renewals: int = 0
    backfilled: int = 0
    gaps: int = 0
    duplicates_ignored: int = 0
    bad_frames: int = 0
    last_event_ms: int | None = None
    last_error: str = ""
