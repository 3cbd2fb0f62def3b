"""Value size: about how much memory a value holds, told without walking all of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from enum import Enum
from itertools import chain, islice
from sys import getsizeof
from typing import Any

_SAMPLED_ITEMS = 64
_ENTRY_BYTES = 200
"""What keeping a value costs beside its own bytes: its key, its entry, its place in a dict."""
_EVERYBODYS = (type(None), bool, Enum, type)
"""Of these there is one each, whoever holds it."""


def size_bytes_of(value: object) -> int:
    """Exact for bytes and arrays, sampled for long containers, and always with what it costs to keep the value.

    What a value holds twice is counted once. What it shares with another value is counted with each of them, for
    nobody knows which will be dropped first: the sum over many values is the most that they may hold together.
    """
    return _ENTRY_BYTES + _held_bytes(value, set())


def _held_bytes(value: object, seen: set[int]) -> int:
    """`seen`: the places of what was counted already."""
    place = _place(value)
    if place in seen or isinstance(value, _EVERYBODYS):
        return 0
    seen.add(place)
    nbytes = getattr(value, "nbytes", None)
    if isinstance(nbytes, int):
        return nbytes
    if isinstance(value, dict):
        sample = chain.from_iterable(islice(value.items(), _SAMPLED_ITEMS))
        return getsizeof(value) + _items_bytes(sample, len(value), seen)
    if isinstance(value, list | tuple | set | frozenset):
        return getsizeof(value) + _items_bytes(islice(value, _SAMPLED_ITEMS), len(value), seen)
    if is_dataclass(value):
        return getsizeof(value) + sum(_held_bytes(getattr(value, field.name), seen) for field in fields(value))
    return getsizeof(value)


def _place(value: object) -> int:
    """Where its bytes lie: two arrays over the same memory are one.

    Not by `__array_interface__`: each call makes names of its own for Python's table of names, which doubles (two
    megabytes) once so many have passed through it.
    """
    pointer: Any = getattr(getattr(value, "ctypes", None), "data", None)
    return id(value) if pointer is None else int(pointer)


def _items_bytes(sample: Iterable[object], count: int, seen: set[int]) -> int:
    """Of all `count` items, as many as were sampled at most being looked at."""
    found = sum(_held_bytes(item, seen) for item in sample)
    return found * count // min(count, _SAMPLED_ITEMS) if count else 0
