"""Ranges: half-open spans [start, end) of integers, merged and subtracted."""

from __future__ import annotations

from collections.abc import Iterable

Range = tuple[int, int]


def merged(ranges: Iterable[Range]) -> list[Range]:
    """The same integers as disjoint ranges in order, neighbours joined."""
    result: list[Range] = []
    for start, end in sorted(ranges):
        if result and start <= result[-1][1]:
            result[-1] = result[-1][0], max(result[-1][1], end)
        elif start < end:
            result.append((start, end))
    return result


def subtracted(ranges: Iterable[Range], taken: Iterable[Range]) -> list[Range]:
    """What is in `ranges` and not in `taken`; both disjoint and in order."""
    gone = list(taken)
    result: list[Range] = []
    first = 0
    for start, end in ranges:
        while first < len(gone) and gone[first][1] <= start:
            first += 1
        at = start
        for index in range(first, len(gone)):
            cut_start, cut_end = gone[index]
            if cut_start >= end:
                break
            if cut_start > at:
                result.append((at, cut_start))
            at = max(at, cut_end)
        if at < end:
            result.append((at, end))
    return result
