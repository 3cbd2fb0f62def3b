"""Limits: request weight by the minute, raw requests by five, and the ban of those who do not listen."""

from __future__ import annotations

from dataclasses import dataclass

from data.simulated_exchange import errors
from data.simulated_exchange.settings import ExchangeSettings
from utils.clock import Clock

_MINUTE_MS = 60_000


@dataclass(slots=True)
class _Address:
    minute: int = -1
    weight: int = 0
    refused: int = 0
    five_minutes: int = -1
    requests: int = 0
    connects: int = 0
    banned_until_ms: int = 0
    bans: int = 0


class Limits:
    """What each address has used. Windows begin at the full minute of the exchange's time and pass in real time."""

    def __init__(self, clock: Clock, settings: ExchangeSettings) -> None:
        self._clock = clock
        self._settings = settings
        self._zero_ms = clock.now_ms() - clock.monotonic() * 1000
        self._addresses: dict[str, _Address] = {}

    def charge(self, address: str, weight: int) -> int:
        """Counts a request and returns the weight used this minute; ApiError 429 or 418 when it is too much."""
        now = self._now_ms()
        known = self._addresses.setdefault(address, _Address())
        if now < known.banned_until_ms:
            raise errors.banned(known.banned_until_ms, _seconds(known.banned_until_ms - now))
        self._open_windows(known, now)
        known.weight += weight
        known.requests += 1
        if known.weight > self._settings.weight_limit:
            self._refuse(known, now)
            raise errors.too_much_weight(self._settings.weight_limit, _seconds(_MINUTE_MS - now % _MINUTE_MS))
        if known.requests > self._settings.raw_limit:
            self._refuse(known, now)
            rest = 5 * _MINUTE_MS - now % (5 * _MINUTE_MS)
            raise errors.too_many_requests(self._settings.raw_limit, _seconds(rest))
        return known.weight

    def used(self, address: str) -> int:
        """Weight used in the current minute."""
        known = self._addresses.get(address)
        return known.weight if known and known.minute == self._now_ms() // _MINUTE_MS else 0

    def connect(self, address: str) -> bool:
        """Counts a stream connection; False when it is one too many."""
        known = self._addresses.setdefault(address, _Address())
        self._open_windows(known, self._now_ms())
        known.connects += 1
        return known.connects <= self._settings.connect_limit

    def _open_windows(self, known: _Address, now: int) -> None:
        if known.minute != now // _MINUTE_MS:
            known.minute, known.weight, known.refused = now // _MINUTE_MS, 0, 0
        if known.five_minutes != now // (5 * _MINUTE_MS):
            known.five_minutes, known.requests, known.connects = now // (5 * _MINUTE_MS), 0, 0

    def _refuse(self, known: _Address, now: int) -> None:
        known.refused += 1
        if known.refused <= self._settings.patience:
            return
        seconds = min(self._settings.first_ban_s * 2**known.bans, self._settings.longest_ban_s)
        known.bans += 1
        known.banned_until_ms = now + seconds * 1000
        raise errors.banned(known.banned_until_ms, seconds)

    def _now_ms(self) -> int:
        return round(self._zero_ms + self._clock.monotonic() * 1000)


def _seconds(span_ms: int) -> int:
    return max(1, -(-span_ms // 1000))
