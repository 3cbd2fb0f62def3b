"""Value size: about how much memory a value holds, told without walking all of it."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from itertools import islice
from sys import getsizeof
from typing import Any

_SAMPLED_ITEMS = 64
_ENTRY_BYTES = 200
"""What keeping a value costs beside its own bytes: its key, its entry, its place in a dict."""


def size_bytes_of(value: object) -> int:
    """Exact for bytes and arrays, sampled for long containers, and always with what it costs to keep the value."""
    held = _payload_bytes(value)
    return _ENTRY_BYTES + (getsizeof(value) if held is None else held)


def _payload_bytes(value: object) -> int | None:
    """The bytes that `value` carries; None for a plain object, which is its own size."""
    if isinstance(value, bytes | bytearray | memoryview | str):
        return len(value)
    nbytes = getattr(value, "nbytes", None)
    if isinstance(nbytes, int):
        return nbytes
    if is_dataclass(value):
        return sum(size_bytes_of(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, dict):
        return _items_bytes([*islice(value.items(), _SAMPLED_ITEMS)], len(value))
    if isinstance(value, list | tuple | set | frozenset):
        return _items_bytes([*islice(value, _SAMPLED_ITEMS)], len(value))
    return None


def _items_bytes(sample: list[Any], count: int) -> int:
    return sum(map(size_bytes_of, sample)) * count // len(sample) if sample else 0
