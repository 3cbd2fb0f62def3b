"""RateBudget: how much may still be asked of the exchange this minute, and whether anything may be asked at all."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

from data.gateway_errors import TOO_MANY_REQUESTS, Answer, Hold
from utils.clock import Clock
from utils.errors import Banned, RateLimited

log = logging.getLogger(__name__)

DEFAULT_WEIGHT_LIMIT = 6000
STOP_FRACTION = 0.98
"""Of the weight limit: further nobody goes, since what other programs of this address use is known only afterwards."""
BULK_FRACTION = 0.95
"""How far those go who have much to ask and can wait: what is left is for readers."""
_MINUTE_MS = 60_000
_FIREWALL_FIRST_S = 60.0
_FIREWALL_LONGEST_S = 30 * 60.0
_BAN_WITHOUT_A_DATE_MS = 2 * _MINUTE_MS
_USED = "x-mbx-used-weight-1m"
_BANNED_UNTIL = re.compile(rb"until (\d{13})")


class RateBudget:
    """Weight used in the exchange's minute, as its headers tell, plus what is on its way.

    Nothing is sent beyond `STOP_FRACTION` of the limit until the minute turns, during a Retry-After, and during a ban;
    a ban is kept in `state_path` and obeyed after a restart. `clock` is exchange time. Used by the loop thread alone.
    """

    def __init__(self, clock: Clock, *, state_path: Path | None = None) -> None:
        self.weight_limit = DEFAULT_WEIGHT_LIMIT
        self._clock = clock
        self._state_path = state_path
        self._window = -1
        self._used = 0
        self._in_flight = 0
        self._closed_until_s = 0.0
        self._firewall_s = 0.0
        self._banned_until_ms: int | None = _read_ban(state_path)

    @property
    def used_weight(self) -> int:
        """Weight used in the current minute."""
        return self._used if self._window == self._now_window() else 0

    @property
    def banned_until_ms(self) -> int | None:
        until_ms = self._banned_until_ms
        return until_ms if until_ms is not None and until_ms > self._clock.now_ms() else None

    @property
    def backoff_until_ms(self) -> int | None:
        """When a Retry-After or a firewall's refusal ends, in exchange time."""
        wait_s = self._closed_until_s - self._clock.monotonic()
        return self._clock.now_ms() + round(wait_s * 1000) if wait_s > 0 else None

    def hold(self, weight: int, *, bulk: bool = False) -> Hold:
        """How long a request of `weight` has to wait; zero seconds when it may go now. `bulk`: one of many."""
        banned_until_ms = self.banned_until_ms
        if banned_until_ms is not None:
            return Hold((banned_until_ms - self._clock.now_ms()) / 1000, banned_until_ms)
        wait_s = max(0.0, self._closed_until_s - self._clock.monotonic())
        busy = self.used_weight + self._in_flight
        if busy > 0 and busy + weight > (BULK_FRACTION if bulk else STOP_FRACTION) * self.weight_limit:
            wait_s = max(wait_s, self._to_next_minute_s())
        return Hold(wait_s, None)

    def reserve(self, weight: int, *, bulk: bool = False) -> int:
        """Takes `weight` for a request about to be sent; its minute. Raises RateLimited or Banned instead."""
        hold = self.hold(weight, bulk=bulk)
        if hold.banned_until_ms is not None:
            raise Banned(
                "the exchange has banned this address; nothing is sent until then", until_ms=hold.banned_until_ms
            )
        if hold.retry_after_s > 0:
            raise RateLimited(
                f"waiting {hold.retry_after_s:.1f} s: {self.used_weight} of {self.weight_limit} request weight is used "
                "this minute or the exchange asked us to wait",
                retry_after_s=hold.retry_after_s,
            )
        self._in_flight += weight
        return self._now_window()

    def lost(self, weight: int) -> None:
        """A request ended without an answer: the exchange may have counted it all the same."""
        self._in_flight -= weight
        self._count(self.used_weight + weight)

    def answered(self, weight: int, window: int, answer: Answer) -> None:
        """Learns from the answer to a request sent in minute `window`."""
        self._in_flight -= weight
        told = answer.headers.get(_USED, "")
        if not told.isdecimal():
            self._count(self.used_weight + weight)
        elif window == self._now_window():
            self._count(max(self.used_weight, int(told)))
        self._obey(answer)

    def _obey(self, answer: Answer) -> None:
        if answer.status == 418:
            self._ban(answer)
        elif answer.status == 403:
            self._firewall_s = min(max(_FIREWALL_FIRST_S, 2 * self._firewall_s), _FIREWALL_LONGEST_S)
            self._close_for(max(self._firewall_s, _retry_after_s(answer) or 0.0))
        elif answer.status == 429 or f'"code":{TOO_MANY_REQUESTS}'.encode() in answer.body[:200]:
            self._close_for(_retry_after_s(answer) or self._to_next_minute_s())
        elif 200 <= answer.status < 300:
            self._firewall_s = 0.0

    def _ban(self, answer: Answer) -> None:
        now_ms = self._clock.now_ms()
        told = _BANNED_UNTIL.search(answer.body)
        wait_s = _retry_after_s(answer)
        from_header_ms = now_ms + round(wait_s * 1000) if wait_s else None
        dates = [date for date in (int(told[1]) if told else None, from_header_ms) if date is not None]
        until_ms = max(dates, default=now_ms + _BAN_WITHOUT_A_DATE_MS)
        self._banned_until_ms = max(until_ms, self._banned_until_ms or 0)
        log.error("the exchange has banned this address for %.0f s", (self._banned_until_ms - now_ms) / 1000)
        _write_ban(self._state_path, self._banned_until_ms)

    def _close_for(self, seconds: float) -> None:
        self._closed_until_s = max(self._closed_until_s, self._clock.monotonic() + seconds)

    def _count(self, used: int) -> None:
        self._window, self._used = self._now_window(), used

    def _now_window(self) -> int:
        return self._clock.now_ms() // _MINUTE_MS

    def _to_next_minute_s(self) -> float:
        return (_MINUTE_MS - self._clock.now_ms() % _MINUTE_MS) / 1000


def _retry_after_s(answer: Answer) -> float | None:
    told = answer.headers.get("retry-after", "").strip()
    return float(told) if told.isdecimal() else None


def _read_ban(path: Path | None) -> int | None:
    if path is None:
        return None
    try:
        until_ms = json.loads(path.read_text("utf-8")).get("banned_until_ms")
    except (OSError, ValueError, AttributeError):
        return None
    return until_ms if isinstance(until_ms, int) else None


def _write_ban(path: Path | None, until_ms: int) -> None:
    if path is None:
        return
    try:
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps({"banned_until_ms": until_ms}), "utf-8")
        fresh.replace(path)
    except OSError as error:
        log.warning("the ban could not be noted in %s, so a restart would not know of it: %s", path, error)
