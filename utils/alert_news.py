"""Alert news: an alert, what there is to tell of it, and in which words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from utils.alert_rules import COMPARISONS, READINGS, Rule

Place = tuple[str, str]
"""A rule's key and a subject."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One time a rule was broken. Times are UTC ms; `recovered_at_ms` None while it lasts; `worst` of its values."""

    key: int
    rule: Rule
    subject: str
    value: float
    worst: float
    raised_at_ms: int
    recovered_at_ms: int | None = None
    note: str = ""

    @property
    def place(self) -> Place:
        return self.rule.key, self.subject


@dataclass(frozen=True, slots=True)
class News:
    """What there is to tell of an alert."""

    kind: Literal["raised", "recovered"]
    alert: Alert
    text: str


def message(news: Sequence[News]) -> tuple[str, str]:
    """Title and text about alerts of one rule that were raised, or are over, at once."""
    first = news[0]
    mark = "" if first.kind == "raised" else "Recovered: "
    more = f" and {len(news) - 1} more" if len(news) > 1 else ""
    lines = [f"{one.alert.subject}: {one.text}" if more else one.text for one in news]
    return f"{mark}{headline(first.alert)}{more}", "\n".join([condition(first.alert.rule), *lines])


def headline(alert: Alert) -> str:
    """`p95 over budget: /symbol/<symbol>`"""
    return f"{alert.rule.title}: {alert.subject}" if alert.subject else alert.rule.title


def amount(rule: Rule, value: float) -> str:
    """The value with its reading's unit."""
    reading = READINGS.get(rule.reading)
    text = f"{value:.3g}" if abs(value) < 1_000 else f"{value:,.0f}"
    return f"{text} {reading.unit}".strip().replace("-", "−") if reading else text


def condition(rule: Rule) -> str:
    """`Hit rate of a cache below 50 % for 15 min`"""
    reading = READINGS.get(rule.reading)
    name = reading.title if reading else rule.reading
    whose = f" ({rule.subject})" if rule.subject else ""
    lasting = f" for {duration(rule.for_s)}" if rule.for_s else ""
    return f"{name}{whose} {COMPARISONS[rule.comparison]} {amount(rule, rule.threshold)}{lasting}"


_WHOLE_FROM_S = 10
_DURATIONS: Sequence[tuple[int, str]] = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def duration(seconds: float) -> str:
    """`0.25 s`, `45 s`, `15 min`, `1 h 30 min`: the largest unit and what is left in the next, two digits of a few
    seconds."""
    whole = round(seconds)
    if whole < _WHOLE_FROM_S:
        return f"{float(f'{seconds:.2g}'):f}".rstrip("0").rstrip(".") + " s"
    place = next((place for place, (unit_s, _) in enumerate(_DURATIONS) if whole >= unit_s), len(_DURATIONS) - 1)
    parts, left = list[str](), whole
    for unit_s, name in _DURATIONS[place : place + 2]:
        number, left = divmod(left, unit_s)
        parts.append(f"{number} {name}" if number or not parts else "")
    return " ".join(filter(None, parts))
