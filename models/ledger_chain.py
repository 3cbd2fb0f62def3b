"""Chain: each forecast's hash covers the one before it, so that no row can be changed, added or taken out unnoticed.

Two versions, told apart by their first byte and length, may follow each other in one chain: the older is a bare SHA-256
of what was shown; the newer begins with VERSION and covers what the model itself answered, before calibration, too.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

CONTENT = ("symbol", "last_open_time_ms", "made_at_ms", "last_close", "sigma", "log_returns")
"""The columns of a forecast that its hash covers; the model's follow from `model_hash`."""
VERSION = b"\x02"
_SHA256_BYTES = 32
_NUMBERS = struct.Struct("<qqdd")


@dataclass(frozen=True, slots=True)
class Broken:
    """The first row that does not follow from the one before it. `row` counts from 1, oldest first."""

    row: int
    model_id: str
    symbol: str
    last_open_time_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What a walk along a venue's chain found. `head` is the newest hash, in hex.

    `checked` of `rows` were looked at; `unchained` of them are older than the chain and have no hash.
    """

    rows: int
    checked: int
    unchained: int
    complete: bool
    head: str
    broken: Broken | None

    @property
    def intact(self) -> bool:
        return self.broken is None


def beginning(venue: str) -> bytes:
    """What a venue's first row is chained to."""
    return hashlib.sha256(f"ledger of {venue}".encode()).digest()


def model_hash(
    model_id: str,
    digest: str,
    venue: str,
    interval: str,
    horizons: Sequence[int],
    quantiles: Sequence[float],
    baseline: Sequence[Sequence[float]],
) -> bytes:
    """Of everything a row's model says about it; `baseline` (h, q) in sigma."""
    content = [model_id, digest, venue, interval, list(horizons), list(quantiles), [list(row) for row in baseline]]
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).digest()


def link(
    before: bytes,
    model: bytes,
    symbol: str,
    last_open_time_ms: int,
    made_at_ms: int,
    last_close: float,
    sigma: float,
    log_returns: bytes,
    *,
    answer: bytes | None,
) -> bytes:
    """VERSION and the SHA-256 over the previous row's hash and everything this row was written with. `answer`: what the
    model itself said, in sigma; None where nothing was calibrated."""
    shown = _shown(before, model, symbol, last_open_time_ms, made_at_ms, last_close, sigma, log_returns)
    own = b"\0" if answer is None else b"\1" + answer
    return VERSION + hashlib.sha256(VERSION + shown + own).digest()


def newest_hash(chain: bytes) -> str:
    """In hex, of either version."""
    return chain[-_SHA256_BYTES:].hex()


def _shown(
    before: bytes,
    model: bytes,
    symbol: str,
    last_open_time_ms: int,
    made_at_ms: int,
    last_close: float,
    sigma: float,
    log_returns: bytes,
) -> bytes:
    numbers = _NUMBERS.pack(last_open_time_ms, made_at_ms, last_close, sigma)
    return b"".join((before, model, symbol.encode(), b"\0", numbers, log_returns))


def _expected(found: bytes | None, before: bytes, model: bytes, content: Sequence[Any]) -> bytes:
    """By the version that the row was written in; `content` is the columns CONTENT and the model's own answer."""
    *shown, answer = content
    if found is not None and len(found) == _SHA256_BYTES:
        return hashlib.sha256(_shown(before, model, *shown)).digest()
    return link(before, model, *shown, answer=answer)


class Walk:
    """Along a chain, oldest row first, as far as it was led; stops at the first row that does not fit."""

    def __init__(self, venue: str) -> None:
        self.key = 0
        self.checked = 0
        self.unchained = 0
        self.broken: Broken | None = None
        self._last = beginning(venue)

    def step(self, key: int, model_id: str, model: bytes, found: bytes | None, content: Sequence[Any]) -> bool:
        """False where the row does not follow; `found` is its hash, `content` its columns CONTENT and the answer."""
        self.checked += 1
        self.key = key
        if found is None and self.unchained == self.checked - 1:
            self.unchained += 1
            return True
        expected = _expected(found, self._last, model, content)
        if found != expected:
            reason = "it has no hash" if found is None else "it was changed, or a row before it was taken out or put in"
            symbol, last_open_time_ms, *_ = content
            self.broken = Broken(self.checked, model_id, symbol, last_open_time_ms, reason)
            return False
        self._last = expected
        return True

    def finish(self, rows: int, head: bytes | None) -> None:
        """At the end: the newest row must be the one the venue's head names, and as many as it counts."""
        if self.broken is None and self.checked - self.unchained < rows:
            lost = rows - (self.checked - self.unchained)
            self.broken = Broken(self.checked + 1, "", "", 0, f"{lost} of the newest rows were taken out")
        elif self.broken is None and head is not None and head != self._last:
            self.broken = Broken(self.checked, "", "", 0, "the newest row is not the one that was written last")
