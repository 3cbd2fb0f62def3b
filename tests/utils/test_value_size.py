"""The size of values is estimated closely enough to bound memory by it."""

from __future__ import annotations

from dataclasses import dataclass, field

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
        ([np.zeros(100)] * 1000, 800_000, 1_100_000),
        ({"a": "x" * 1000}, 1000, 2000),
        ((), 0, 400),
        (None, 16, 400),
    ],
)
def test_sizes_are_estimated(value: object, least: int, most: int) -> None:
    assert least <= size_bytes_of(value) <= most
