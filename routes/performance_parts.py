"""Performance parts: the values that the panels of the performance page are drawn from, and how numbers become text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data.freshness import LATE_AFTER_S
from routes import wording
from routes.svg import Sparkline

_MOMENTS_AFTER = 1_000_000_000_000
_MOST_LISTED = 8
_UNITS = ("_ms", "_s", "_bytes", "_fraction", "_percent")


@dataclass(frozen=True, slots=True)
class Fact:
    """A name and what it is now; `share` (0 … 100) draws a bar."""

    name: str
    text: str
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """Facts of one part, such as the feed; `note` says what they are; `glance` is what to know where it is folded."""

    name: str
    facts: tuple[Fact, ...]
    note: str = ""
    glance: str = ""

    @property
    def key(self) -> str:
        """Its name as an id within the page."""
        return "part-" + "".join(letter if letter.isalnum() else "-" for letter in self.name.lower())

    @property
    def figure(self) -> str:
        """The glance, or the first of its facts."""
        return self.glance or (f"{self.facts[0].name} {self.facts[0].text}" if self.facts else "")


@dataclass(frozen=True, slots=True)
class Headline:
    """One figure of the strip at the top of the page."""

    name: str
    text: str
    more: str = ""
    spark: Sparkline | None = None


def heading(name: str) -> str:
    """`last_event_ms` → `Last event`: the unit goes with the value."""
    words = name
    for suffix in _UNITS:
        words = words.removesuffix(suffix)
    return wording.sentence(words).replace("_", " ")


def facts_of(source: Mapping[str, Any], *leave_out: str) -> tuple[Fact, ...]:
    """Whatever a part reports, as it reports it; at most as many as a panel bears."""
    return tuple(
        Fact(heading(name), value_text(name, value)) for name, value in source.items() if name not in leave_out
    )


def value_text(name: str, value: Any) -> str:
    """The value with the unit that its name ends in."""
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {value_text(str(key), item)}" for key, item in value.items()) or "none"
    if isinstance(value, list):
        listed = len(value) > _MOST_LISTED or any(isinstance(item, Mapping) for item in value)
        return f"{len(value):,}" if listed else ", ".join(value_text("", item) for item in value) or "none"
    if isinstance(value, int | float):
        return _number(name, value)
    return str(value)


def percent(value: float | None, decimals: int = 0) -> str:
    """Of a number that is in percent already."""
    return wording.NOTHING if value is None else f"{value:.{decimals}f} %"


def count(value: int | float | None) -> str:
    return wording.NOTHING if value is None else f"{value:,.0f}"


def found_text(found: int, missed: int) -> str:
    """`97.2 % of 1,204`."""
    asked = found + missed
    return f"{wording.percent(found / asked, 1)} of {count(asked)}" if asked else wording.NOTHING


def seconds_text(seconds: float | None) -> str:
    """Milliseconds, whatever their size."""
    return wording.NOTHING if seconds is None else wording.milliseconds(seconds * 1000)


def _number(name: str, value: float) -> str:
    if name.endswith("_ms"):
        return f"{wording.utc(round(value))} UTC" if value > _MOMENTS_AFTER else f"{value:,.0f} ms"
    if name.endswith("_bytes"):
        return wording.size(value)
    if name.endswith("_s"):
        return wording.milliseconds(value * 1000) if value < LATE_AFTER_S else wording.duration(value)
    if name.endswith("_fraction"):
        return wording.percent(value, 1)
    if name.endswith("_percent"):
        return f"{value:.1f} %"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3g}"
