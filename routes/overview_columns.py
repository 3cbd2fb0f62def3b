"""Overview columns: what each is called, how rows are sorted by it, and the address that does so."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from routes.overview_rows import Row
from routes.overview_settled import SPARK_CANDLES
from utils.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Column:
    """A sortable column: its title, its unit or meaning, the address that sorts by it, and how it sorts now."""

    key: str
    title: str
    help: str
    sort: str
    sorted: str
    numeric: bool


_SORTS: dict[str, tuple[str, str, Callable[[Row], Any]]] = {
    "symbol": ("Market", "", lambda row: row.symbol),
    "price": ("Last price", "in the quote asset", lambda row: row.quote.price if row.quote else None),
    "change": ("24 h", "change", lambda row: row.quote.change_fraction if row.quote else None),
    "trend": (f"Last {SPARK_CANDLES} candles", "closing prices", lambda row: None),
    "volatility": ("Volatility", "per day, EWMA", lambda row: row.settled.volatility if row.settled else None),
    "forecast": ("Forecast", "median and 90 % band", lambda row: row.settled.median if row.settled else None),
    "skill": ("Skill", "against no change, scored live", lambda row: row.settled.skill if row.settled else None),
    "age": ("Data", "newest news", lambda row: -(row.age.at_ms or 0)),
}
"""(title, unit or meaning, what rows are sorted by) by the name in the address."""
_UNSORTABLE = "trend"


def sorted_rows(rows: Sequence[Row], sort: str) -> list[Row]:
    """By one column, descending with a leading minus; rows without a value come last either way."""
    key = sort.removeprefix("-")
    if key not in _SORTS or key == _UNSORTABLE:
        return list(rows)
    value = _SORTS[key][2]
    known = [row for row in rows if _present(value(row))]
    return sorted(known, key=value, reverse=sort.startswith("-")) + [row for row in rows if not _present(value(row))]


def _present(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def columns_of(sort: str) -> tuple[Column, ...]:
    """All of them, as they look while the rows are sorted so."""
    current = sort.removeprefix("-")
    columns = []
    for key, (title, help_text, _) in _SORTS.items():
        direction = ("descending" if sort.startswith("-") else "ascending") if key == current else "none"
        first = key if key in ("symbol", "age") else f"-{key}"
        turned = {"none": first, "ascending": f"-{key}", "descending": key}[direction]
        columns.append(Column(key, title, help_text, "" if key == _UNSORTABLE else turned, direction, key != "symbol"))
    return tuple(columns)


def parse_sort(text: str | None) -> str:
    """A column to sort by, with a leading minus for descending (nothing: the configured order), or InvalidInput."""
    fits = [key for key in _SORTS if key != _UNSORTABLE]
    if text and text.removeprefix("-") not in fits:
        known = ", ".join(fits)
        raise InvalidInput(f"sort is {text[:20]!r}; use one of {known}, with a minus before it for the other direction")
    return text or ""
