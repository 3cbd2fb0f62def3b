"""Phrases: a number with its noun, and a list of names cut short, as sentences everywhere put them."""

from __future__ import annotations

from collections.abc import Sequence


def counted(number: int, noun: str) -> str:
    """`1 market`, `2,300 markets`: of nouns whose plural has an s."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def some(names: Sequence[str], most: int) -> str:
    """The first `most` with commas, and how many more there are: `BTCUSDT, ETHUSDT and 18 more`."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"
