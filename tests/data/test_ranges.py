"""Ranges hold the same integers as sets do."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from data.ranges import Range, merged, subtracted

RANGES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8)


def numbers(ranges: list[Range]) -> set[int]:
    return {number for start, end in ranges for number in range(start, end)}


@given(RANGES)
def test_merged_is_disjoint_in_order_and_the_same(ranges: list[Range]) -> None:
    result = merged(ranges)
    assert numbers(result) == numbers(ranges)
    assert all(start < end for start, end in result)
    assert all(a[1] < b[0] for a, b in pairwise(result))


@given(RANGES, RANGES)
def test_subtracted_is_set_difference(ranges: list[Range], taken: list[Range]) -> None:
    result = subtracted(merged(ranges), merged(taken))
    assert numbers(result) == numbers(ranges) - numbers(taken)
    assert merged(result) == result
