"""Chart choices: the curves a reader may lay over the candles or open a pane for, made from the indicator catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile

from data.indicator_catalogue import CATALOGUE, Indicator

OVERLAY_PANE = "price"
DEFAULT_SHOWN = ("ema_50", "bollinger", "rsi")
_FAMILIES = ("bollinger", "keltner", "donchian", "ichimoku")
"""Overlays of several columns that belong in one choice, by the start of their names."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One checkbox: what it draws, and where."""

    id: str
    title: str
    overlay: bool
    columns: tuple[str, ...]


@cache
def choices() -> tuple[Choice, ...]:
    """Every column of the catalogue is in exactly one choice; overlays first, each in the order of the catalogue."""
    grouped: dict[str, list[Indicator]] = {}
    for indicator in CATALOGUE:
        grouped.setdefault(_choice_id(indicator), []).append(indicator)
    made = [
        Choice(name, _title(members), members[0].pane == OVERLAY_PANE, tuple(member.name for member in members))
        for name, members in grouped.items()
    ]
    return tuple(sorted(made, key=lambda choice: not choice.overlay))


def choice_ids() -> tuple[str, ...]:
    return tuple(choice.id for choice in choices())


def chosen(ids: Sequence[str]) -> tuple[Choice, ...]:
    return tuple(choice for choice in choices() if choice.id in ids)


def _choice_id(indicator: Indicator) -> str:
    """The pane for what has one; over the candles, the family or the column itself."""
    if indicator.pane != OVERLAY_PANE:
        return indicator.pane
    return next((family for family in _FAMILIES if indicator.name.startswith(family)), indicator.name)


def _title(members: Sequence[Indicator]) -> str:
    """The only title, or what all titles begin with, or all of them: `Bollinger`, `ADX 14, +DI 14, −DI 14`."""
    titles = [member.title for member in members]
    shared = _shared_beginning(titles).strip(" %")
    return titles[0] if len(titles) == 1 else shared if len(shared) > 2 else ", ".join(titles)


def _shared_beginning(texts: Sequence[str]) -> str:
    letters = zip(*texts, strict=False)
    return "".join(column[0] for column in takewhile(lambda column: len(set(column)) == 1, letters))
