"""Content encodings: which one a reader wants, and the bytes it gets."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import lru_cache

import brotli
from backports import zstd

from utils.request_trace import traced

IDENTITY = "identity"
ZSTD = "zstd"
PREFERENCE = ("br", ZSTD, "gzip")
"""Ours, best first, where the reader is indifferent: bytes are made once and sent often, so the smallest comes
first."""
MIN_SIZE_BYTES = 500
"""Shorter bodies fit one packet whatever is done to them (Flask-Compress draws the same line)."""

_UNPACK = {"br": brotli.decompress, ZSTD: zstd.decompress, "gzip": gzip.decompress, IDENTITY: bytes}
_BROTLI_QUALITY = 5
_BEST_BROTLI_QUALITY = 11
_ZSTD_LEVEL = 6
_NUMBERS_BROTLI_QUALITY = 2
_NUMBERS_ZSTD_LEVEL = 1
"""Digits do not repeat: looking longer for repetitions costs 3 to 6 times the time and saves 4 % of candles, nothing of
indicators."""
_NUMBERS_FRACTION = 0.7
_SAMPLE_BYTES = 4096
_OF_NUMBERS = b"0123456789.,-[]"
_GZIP_LEVEL = 6
_LONGEST_REMEMBERED = 120


def choose_encoding(accept_encoding: str) -> str:
    """The best of PREFERENCE that the `Accept-Encoding` header allows, else `identity` (RFC 9110 §12.5.3)."""
    if len(accept_encoding) > _LONGEST_REMEMBERED:  # nobody fills the memory with invented headers
        return _choose(accept_encoding)
    return _remembered(accept_encoding)


def accepts(accept_encoding: str, encoding: str) -> bool:
    """Whether the header names that encoding itself; `*` does not tell that it knows how to read it."""
    return encoding in accept_encoding and _weights(accept_encoding).get(encoding, 0.0) > 0


@dataclass(frozen=True, slots=True)
class EncodingStats:
    """Of one content encoding: bodies that were compressed, and what went in and came out."""

    count: int = 0
    in_bytes: int = 0
    out_bytes: int = 0


@dataclass(frozen=True, slots=True)
class CompressionStats:
    """Since the process began: of all encodings, the time it took, and of each encoding that was made."""

    count: int
    in_bytes: int
    out_bytes: int
    seconds: float
    encodings: dict[str, EncodingStats]


class Compression:
    """What was compressed. Threads add to it without a lock: a count may be lost, a page is not held up."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._encodings: dict[str, EncodingStats] = {}

    def add(self, encoding: str, in_bytes: int, out_bytes: int, seconds: float) -> None:
        old = self._encodings.get(encoding, EncodingStats())
        self._encodings[encoding] = EncodingStats(old.count + 1, old.in_bytes + in_bytes, old.out_bytes + out_bytes)
        self._seconds += seconds

    def stats(self) -> CompressionStats:
        encodings = dict(self._encodings)
        return CompressionStats(
            count=sum(one.count for one in encodings.values()),
            in_bytes=sum(one.in_bytes for one in encodings.values()),
            out_bytes=sum(one.out_bytes for one in encodings.values()),
            seconds=self._seconds,
            encodings=encodings,
        )


compression = Compression()
"""The one of this process."""


def compress(body: bytes, encoding: str) -> bytes:
    """The body in that encoding; equal bodies give equal bytes."""
    with traced("compress") as block:
        compressed = _compress(body, encoding)
    if encoding != IDENTITY:
        compression.add(encoding, len(body), len(compressed), block.seconds)
    return compressed


def _compress(body: bytes, encoding: str) -> bytes:
    if encoding == "br":
        quality = _NUMBERS_BROTLI_QUALITY if is_numbers(body) else _BROTLI_QUALITY
        compressed: bytes = brotli.compress(body, mode=brotli.MODE_TEXT, quality=quality)
        return compressed
    if encoding == ZSTD:
        return zstd.compress(body, _NUMBERS_ZSTD_LEVEL if is_numbers(body) else _ZSTD_LEVEL)
    if encoding == "gzip":
        return gzip.compress(body, _GZIP_LEVEL, mtime=0)
    return body


@lru_cache(maxsize=64)
def compress_for_good(body: bytes, encoding: str) -> bytes:
    """The same in a tenth fewer bytes and fifty times the time, once for a process: for files, sent again and again."""
    with traced("compress") as block:
        if encoding == "br":
            compressed: bytes = brotli.compress(body, mode=brotli.MODE_TEXT, quality=_BEST_BROTLI_QUALITY)
        else:
            compressed = _compress(body, encoding)
    compression.add(encoding, len(body), len(compressed), block.seconds)
    return compressed


def is_numbers(body: bytes) -> bool:
    """Whether the middle of it is a table of numbers, as of candles and indicators in JSON and CSV."""
    sample = body[len(body) // 2 :][:_SAMPLE_BYTES]
    return len(sample.translate(None, _OF_NUMBERS)) < (1 - _NUMBERS_FRACTION) * len(sample)


def decompress(body: bytes, encoding: str, length: int) -> bytes:
    """What `compress(…, encoding)` was given; `length` of the original in bytes."""
    plain: bytes = _UNPACK[encoding](body)
    if len(plain) != length:
        raise ValueError(f"a stored page of {length} bytes unpacks to {len(plain)}")
    return plain


def _choose(accept_encoding: str) -> str:
    weights = _weights(accept_encoding)
    other = weights.get("*", 0.0)
    best, best_weight = IDENTITY, weights.get(IDENTITY, 0.0)
    for encoding in reversed(PREFERENCE):
        weight = weights.get(encoding, other)
        if weight > 0 and weight >= best_weight:
            best, best_weight = encoding, weight
    return best


_remembered = lru_cache(maxsize=256)(_choose)


def _weights(accept_encoding: str) -> dict[str, float]:
    weights = {}
    for part in accept_encoding.lower().split(","):
        name, _, parameter = part.partition(";")
        weights[name.strip()] = _quality(parameter)
    return weights


def _quality(parameter: str) -> float:
    """`q=0.5` → 0.5; absent or unreadable → 1; kept within [0, 1]."""
    key, _, value = parameter.partition("=")
    if key.strip() != "q":
        return 1.0
    try:
        return min(max(float(value), 0.0), 1.0)
    except ValueError:
        return 1.0
