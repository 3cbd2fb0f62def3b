"""Readings: the newest value of every indicator with its unit, and what such a value is usually taken to say."""

from __future__ import annotations

import math
from dataclasses import dataclass

from data.indicator_catalogue import CATALOGUE, Indicator
from routes import wording
from routes.services import IndicatorsFace

_UNITS = {"percent": "%", "sigmas": "σ"}

_GROUPS = ("trend", "volume", "volatility", "momentum")
"""In this order they fill two columns evenly."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One row of the indicator table; `word` is empty where no reading is customary."""

    name: str
    title: str
    help: str
    value_text: str
    unit: str
    word: str
    warming: bool


@dataclass(frozen=True, slots=True)
class ReadingGroup:
    title: str
    readings: tuple[Reading, ...]


def readings(indicators: IndicatorsFace, last_close: float, decimals: int) -> tuple[ReadingGroup, ...]:
    """Every indicator of the catalogue at the last closed candle, by group, in the catalogue's order within each."""
    groups: dict[str, list[Reading]] = {name: [] for name in _GROUPS}
    for indicator in CATALOGUE:
        column = indicators.column(indicator.name)
        value = float(column[-1]) if len(column) else math.nan
        groups.setdefault(indicator.group, []).append(_reading(indicator, value, last_close, decimals))
    return tuple(ReadingGroup(title.capitalize(), tuple(group)) for title, group in groups.items() if group)


def _reading(indicator: Indicator, value: float, last_close: float, decimals: int) -> Reading:
    known = math.isfinite(value)
    return Reading(
        name=indicator.name,
        title=indicator.title,
        help=indicator.help,
        value_text=value_text(value, indicator.unit, decimals),
        unit=_UNITS.get(indicator.unit, "") if known else "",
        word=indicator.reading(value, last_close) if known else "warming up",
        warming=not known,
    )


def value_text(value: float, unit: str, decimals: int) -> str:
    """As many figures as say something in that unit; fractions as percentages."""
    if not math.isfinite(value):
        return wording.NOTHING
    if unit == "price":
        return wording.price(value, decimals)
    if unit == "fraction":
        return wording.percent(value)
    if unit == "volume":
        return wording.compact(value).replace("-", "−")
    return f"{value:,.2f}".replace("-", "−")
