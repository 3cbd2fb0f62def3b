"""The size of values is estimated closely enough to bound memory by it."""

from __future__ import annotations

from dataclasses import dataclass, field
from sys import getsizeof

import numpy as np
import pytest

from utils.value_size import size_bytes_of


@dataclass(frozen=True)
class Pair:
    left: np.ndarray = field(default_factory=lambda: np.zeros(1000))
    right: bytes = b"x" * 500


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        (np.zeros(1000), 8000, 8400),
        (b"x" * 5000, 5000, 5400),
        (Pair(), 8500, 9500),
        ([np.zeros(100) for _ in range(1000)], 800_000, 1_100_000),
        ({"a": "x" * 1000}, 1000, 2000),
        ((), 0, 400),
        (None, 16, 400),
    ],
)
def test_sizes_are_estimated(value: object, least: int, most: int) -> None:
    assert least <= size_bytes_of(value) <= most


def test_what_is_held_twice_counts_once() -> None:
    column = np.zeros(10_000)
    assert size_bytes_of({"a": column, "b": column, "c": (column, column[:])}) < 81_500
    assert size_bytes_of([column] * 64) < 81_500


def test_small_things_cost_what_they_are() -> None:
    """Each number inside was once given the price of an entry of its own: seven times what it holds."""
    numbers = [number + 0.5 for number in range(20_000)]
    held = getsizeof(numbers) + sum(map(getsizeof, numbers))
    assert size_bytes_of(numbers) == pytest.approx(held, rel=0.01)
    assert size_bytes_of([None, True] * 1000) < 17_000
    rows = {f"key {number}": {"x": number + 0.1} for number in range(640)}
    held = sum(getsizeof(name) + getsizeof(row) + 24 for name, row in rows.items()) + getsizeof(rows)
    assert held * 0.95 < size_bytes_of(rows) < held * 1.05
