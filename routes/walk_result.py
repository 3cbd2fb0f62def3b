"""Walk result: everything that a walk forward found of a model, as tables for its card: skills, scores, groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.interval import Interval
from models.significance import SURE_P
from routes import wording
from routes.forecast_score import shown_horizons
from routes.score_charts import Chart, calibration_chart

Scored = Mapping[str, Any]
"""A verdict, or a group of it, at one horizon."""


@dataclass(frozen=True, slots=True)
class TableRow:
    head: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """One that is folded away under its title."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart under its title."""

    title: str
    chart: Chart


def walk_result(result: Mapping[str, Any], interval: Interval) -> dict[str, Any]:
    """What the card shows of it: folds, pooled and by regime at once, the rest folded away."""
    pooled = result["pooled"]
    horizons = [one["horizon"] for one in pooled]
    columns = ("", *(wording.candles_ahead(interval, one) for one in horizons))
    rows = [skill_row(_fold_name(fold), fold["verdicts"], horizons) for fold in result["folds"]]
    rows.append(skill_row("All folds", pooled, horizons))
    rows += [skill_row(f"{name.capitalize()} market", found, horizons) for name, found in _named(result["by_regime"])]
    better = sum(_surely_better(_compared(one)) for one in pooled)
    words = (
        f"Better than no change beyond doubt at {better} of {len(pooled)} horizons, over {len(result['folds'])} folds."
    )
    lost = [f"{one['feature']} {wording.percent(one['skill_lost'])}" for one in result["importance"][:8]]
    notes = ["Skill against no change with its 95 % interval; a calm, usual or wild market by recent volatility."]
    notes += [f"Rests on (skill lost where dealt out at random): {', '.join(lost)}."] if lost else []
    return {
        "ok": better > 0,
        "verdict": "better" if better else "not better",
        "words": words,
        "columns": columns,
        "rows": tuple(rows),
        "notes": tuple(notes),
        "tables": (_baselines(pooled, columns), _scores(pooled, columns), *_groups(result, columns, horizons)),
        "charts": _pits(pooled, horizons, columns[1:]),
    }


def skill_row(head: str, scored: Sequence[Scored], horizons: Sequence[int]) -> TableRow:
    by_horizon = {one["horizon"]: one for one in scored}
    return TableRow(
        head, tuple(skill_text(_compared(by_horizon[one])) if one in by_horizon else "–" for one in horizons)
    )


def skill_text(compared: Mapping[str, Any]) -> str:
    skill, bounds = compared["skill_fraction"], compared["skill_bounds"]
    if skill is None:
        return wording.NOTHING
    told = wording.percent(skill, signed=True)
    if not bounds:
        return told
    low, high = (wording.percent(bounds[name], 1, signed=True).removesuffix(" %") for name in ("low", "high"))
    return f"{told} ({low} … {high})"


def _pits(pooled: Sequence[Scored], horizons: Sequence[int], titles: Sequence[str]) -> tuple[Figure, ...]:
    """Where outcomes fell between the quantiles, drawn as on the page of forecasts."""
    found = []
    for one, title in zip(pooled, titles, strict=True):
        if one["horizon"] in shown_horizons(horizons):
            counts = np.array([cell["share"] for cell in one["pit"]]) * one["count"]
            drawn = calibration_chart(counts, [cell["high"] for cell in one["pit"][:-1]], wording.MIN_SCORED)
            found += [Figure(title, drawn)] if drawn else []
    return tuple(found)


def _baselines(pooled: Sequence[Scored], columns: tuple[str, ...]) -> Table:
    """Skill over each baseline, and how likely as much is by luck where there is none."""
    rows = []
    for place, first in enumerate(pooled[0]["comparisons"]):
        against = [one["comparisons"][place] for one in pooled]
        rows.append(TableRow(f"Skill over {first['baseline']}", tuple(map(skill_text, against))))
        rows.append(TableRow("its p (Diebold–Mariano)", tuple(_p(one["p_value"]) for one in against)))
    return Table("Against each baseline", columns, tuple(rows), "p: how likely a difference as large is by luck alone.")


def _scores(pooled: Sequence[Scored], columns: tuple[str, ...]) -> Table:
    told: list[tuple[str, Callable[[Scored], str]]] = [
        ("Skill with calm and wild markets alike", lambda one: _percent(one["scaled_skill_fraction"], signed=True)),
        ("CRPS skill over no change", lambda one: _percent(one["crps_skill_fraction"], signed=True)),
        *(
            (f"{wording.percent(one['nominal'], 0)} band held", _cover(place))
            for place, one in enumerate(pooled[0]["coverage"])
        ),
        *((f"Outcomes {_between(one)}", _share(place)) for place, one in enumerate(pooled[0]["pit"])),
        ("Direction right", lambda one: _mean(one["directional_accuracy"])),
        ("Brier score of P(up), and of no change", lambda one: f"{one['brier']:.4f}, {one['baseline_brier']:.4f}"),
        ("Rank IC over markets of a moment", lambda one: _rank(one["rank_ic_by_time"])),
        ("Rank IC over time, mean of markets", lambda one: _rank_of_markets(one["rank_ic_by_market"])),
        ("Forecasts, and days they count as", lambda one: f"{one['count']:,}, {one['blocks']:,}"),
    ]
    rows = tuple(TableRow(title, tuple(read(one) for one in pooled)) for title, read in told)
    return Table(
        "All scores, all folds", columns, rows, "In brackets 95 % intervals; formulas and sources: docs/judging.md."
    )


def _groups(result: Mapping[str, Any], columns: tuple[str, ...], horizons: Sequence[int]) -> tuple[Table, ...]:
    note = "Skill against no change with its 95 % interval. Of many groups some look good or bad by luck."
    return tuple(
        Table(
            title, columns, tuple(skill_row(f"{name}{unit}", found, horizons) for name, found in _named(groups)), note
        )
        for title, unit, groups in (
            ("By market", "", result["by_symbol"]),
            ("By hour of the day, UTC", ":00", result["by_hour"]),
        )
        if groups
    )


def _cover(place: int) -> Callable[[Scored], str]:
    def read(one: Scored) -> str:
        found = one["coverage"][place]
        bounds = found["bounds"]
        told = wording.percent(found["realised"], 1)
        return f"{told} ({100 * bounds['low']:.1f} … {100 * bounds['high']:.1f})" if bounds else told

    return read


def _share(place: int) -> Callable[[Scored], str]:
    def read(one: Scored) -> str:
        cell = one["pit"][place]
        return f"{wording.percent(cell['share'], 1)} (should be {wording.percent(cell['expected'], 0)})"

    return read


def _between(cell: Mapping[str, Any]) -> str:
    """Which part of the forecast it is, by its quantiles."""
    low, high = (wording.percent(cell[name], 0) for name in ("low", "high"))
    if cell["low"] <= 0:
        return f"below the {high} quantile"
    return f"above the {low} quantile" if cell["high"] >= 1 else f"between {low} and {high}"


def _mean(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return wording.NOTHING
    return f"{wording.percent(found['mean'], 1)} ± {wording.percent(found['standard_error'], 1)}"


def _rank(found: Mapping[str, Any] | None) -> str:
    return f"{_signed(found['mean'])} ± {found['standard_error']:.3f}" if found else "needs 5 markets"


def _rank_of_markets(found: Mapping[str, float | None]) -> str:
    known = [one for one in found.values() if one is not None]
    return _signed(sum(known) / len(known)) if known else wording.NOTHING


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _p(value: float | None) -> str:
    if value is None:
        return wording.NOTHING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _percent(value: float | None, *, signed: bool = False) -> str:
    return wording.percent(value, signed=signed)


def _fold_name(fold: Mapping[str, Any]) -> str:
    test = fold["fold"]["test"]
    return f"{wording.utc(test['from_ms'])[:10]} … {wording.utc(test['until_ms'] - 1)[:10]}"


def _named(groups: Sequence[Scored]) -> list[tuple[str, list[Scored]]]:
    found: dict[str, list[Scored]] = {}
    for one in groups:
        found.setdefault(str(one["name"]), []).append(one)
    return list(found.items())


def _compared(scored: Scored) -> Mapping[str, Any]:
    """Against no change: of a verdict the first comparison, of a group its only one."""
    found: Mapping[str, Any] = scored["comparison"] if "comparison" in scored else scored["comparisons"][0]
    return found


def _surely_better(compared: Mapping[str, Any]) -> bool:
    """Both by the interval of its skill and by its p, as they stand on the card: one of them alone is no proof."""
    bounds, luck = compared["skill_bounds"], compared["p_value"]
    return bool(bounds) and bounds["low"] > 0 and luck is not None and luck < SURE_P
