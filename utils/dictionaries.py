"""Dictionaries: answers that readers keep, by their SHA-256; later ones are sent as what differs (RFC 9842)."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from base64 import b64decode, b64encode
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote

from backports import zstd

from utils.content_encoding import compression
from utils.entry_ages import entry_ages
from utils.request_trace import traced

DCZ = "dcz"
"""The content coding: Zstandard against a dictionary."""
KEPT_S = 3600
"""How long a reader may use an answer as a dictionary."""
_HEAD = bytes.fromhex("5e2a4d1820000000")
"""A skippable Zstandard frame of 32 bytes: the SHA-256 of the dictionary (RFC 9842 §5)."""
_LEVEL = 6
"""Each higher one up to 11 saves 2 % in the same time, from 12 on it takes 20 times as long."""
_LARGEST_PART = 8
_VARIABLE = re.compile(r"<[^>]*>")


@dataclass(frozen=True, slots=True)
class DictionaryStats:
    """What is held now, and since the start: how often the dictionary that a reader named was `found`, or `unknown`;
    how many were `taken` in, and dropped for want of room (`evictions`)."""

    entries: int
    size_bytes: int
    max_bytes: int
    found: int
    unknown: int
    taken: int
    evictions: int
    age_median_s: float | None
    age_oldest_s: float | None


class _Kept(NamedTuple):
    mimetype: str
    body: bytes
    made_at_s: float


class Dictionaries:
    """Bodies of answers by the name that readers know them under. Bounded by `max_bytes`; those nobody used for the
    longest time go first, and their readers are answered as if they had none."""

    def __init__(self, *, max_bytes: int = 8 * 1024 * 1024, timer: Callable[[], float] = time.monotonic) -> None:
        self.max_bytes = max_bytes
        self.largest_bytes = max_bytes // _LARGEST_PART
        self._timer = timer
        self._lock = threading.Lock()
        self._bodies: OrderedDict[str, _Kept] = OrderedDict()
        self._size_bytes = 0
        self._found = self._unknown = self._taken = self._evictions = 0

    def __contains__(self, name: str) -> bool:
        return name in self._bodies

    def keep(self, name: str, mimetype: str, body: bytes) -> None:
        """`name` must be `name_of(body)`."""
        with self._lock:
            known = self._bodies.get(name)
            if known is None:
                self._size_bytes += len(body)
                self._taken += 1
            self._bodies[name] = _Kept(mimetype, body, self._timer() if known is None else known.made_at_s)
            self._bodies.move_to_end(name)
            self._shrink(self.max_bytes)

    def find(self, name: str, mimetype: str) -> bytes | None:
        """None where it is not known, or is of another type: a page and a table of numbers have nothing in common."""
        if not name:
            return None
        with self._lock:
            kept = self._bodies.get(name)
            if kept is None:
                self._unknown += 1
                return None
            self._bodies.move_to_end(name)
            if kept.mimetype != mimetype:
                return None
            self._found += 1
            return kept.body

    def clear(self) -> None:
        with self._lock:
            self._bodies.clear()
            self._size_bytes = 0

    def trim(self, fraction: float) -> int:
        """Drops that part of the bytes (0 … 1), least recently used first; answers how many bytes went."""
        with self._lock:
            before = self._size_bytes
            self._shrink(before - int(before * min(max(fraction, 0.0), 1.0)))
            return before - self._size_bytes

    def stats(self) -> DictionaryStats:
        with self._lock:
            ages = entry_ages((kept.made_at_s for kept in self._bodies.values()), self._timer())
            return DictionaryStats(
                entries=len(self._bodies),
                size_bytes=self._size_bytes,
                max_bytes=self.max_bytes,
                found=self._found,
                unknown=self._unknown,
                taken=self._taken,
                evictions=self._evictions,
                age_median_s=ages.median_s,
                age_oldest_s=ages.oldest_s,
            )

    def _shrink(self, limit_bytes: int) -> None:
        while self._size_bytes > limit_bytes and self._bodies:
            _, kept = self._bodies.popitem(last=False)
            self._size_bytes -= len(kept.body)
            self._evictions += 1


def delta(body: bytes, name: str, dictionary: bytes) -> bytes:
    """The body in DCZ, against the dictionary of that name; the same of the same."""
    with traced("compress") as block:
        prefix = zstd.ZstdDict(dictionary, is_raw=True).as_prefix
        made = _HEAD + b64decode(name.strip(":")) + zstd.compress(body, _LEVEL, zstd_dict=prefix)
    compression.add(DCZ, len(body), len(made), block.seconds)
    return made


def name_of(body: bytes) -> str:
    """Its SHA-256 as `Available-Dictionary` says it."""
    return f":{b64encode(hashlib.sha256(body).digest()).decode()}:"


@lru_cache(maxsize=256)
def below_route(rule: str) -> str:
    """The pattern of a route's addresses and of those below: `/symbol/<symbol>` → `/symbol/*`, `/news` → `/news*`."""
    return _VARIABLE.sub("*", rule).rstrip("*") + "*"


def below_path(path: str) -> str:
    """The pattern of one address, whatever is asked of it; no character of it is a sign of the pattern's."""
    return f"{quote(path)}*"
