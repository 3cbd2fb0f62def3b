"""Performance of the routes: how fast each answers now, what its time goes into, and what it is allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from routes import wording
from routes.budgets import Breach, Budget
from routes.digits import significant_or_none
from routes.performance_parts import count, seconds_text
from routes.svg import Sparkline, sparkline
from utils.minutes import Minute, RouteMinute
from utils.request_trace import STAGES, current_trace, stage_seconds
from utils.slow_requests import SlowRequest

MOST_ROUTES = 40
_SLOW_SHOWN = 12
_BEFORE_RENDER = ("data", "indicators", "model")
_NOTHING_MS = 0.05
_WHOLE_FROM_MS = 10
_WHOLE_FROM_RATE = 100
_RATED_FROM_S = 10
"""What was watched for less has no rate worth telling: one request in a second is not sixty a minute."""
REST = "rest"
"""What belongs to no stage: the web server, Flask, and our own measuring."""
_UNITS = {"p95_ms": "p95", "size_bytes": "largest answer", "weight": "exchange weight", "queries": "statements"}


@dataclass(frozen=True, slots=True)
class Slice:
    """One stage of a bar that is 100 wide: where it begins and how wide it is; its time in words."""

    stage: str
    x: str
    width: str
    text: str


class Allowed(NamedTuple):
    """A figure and what it may be; `budget` is empty where nothing was declared."""

    seen: str
    budget: str


@dataclass(frozen=True, slots=True)
class RouteRow:
    """One route; texts of the last five minutes. `split` is that of the mean request that computed something."""

    name: str
    rate: str
    """Requests a minute, the same unit for every route, so that a column of them can be compared at a glance."""
    count: str
    errors: int
    p50: str
    p95: Allowed
    p99: str
    over: tuple[str, ...]
    """Which of its figures are over budget: p95_ms, size_bytes, weight, queries."""
    largest: Allowed
    queries: str
    weight: str
    split: tuple[Slice, ...]
    split_text: str
    spark: Sparkline | None


@dataclass(frozen=True, slots=True)
class SlowRow:
    """One of the slowest requests of the last hour."""

    at_ms: int
    route: str
    path: str
    request_id: str
    status: int
    took: str
    split: tuple[Slice, ...]
    split_text: str
    cost: str


def route_rows(
    now: Minute,
    since_start: Sequence[Mapping[str, Any]],
    budgets: Mapping[str, Budget],
    broken: Sequence[Breach],
) -> tuple[RouteRow, ...]:
    """The routes that were asked in the last minutes, those that cost most in sum first, then those asked before."""
    reports = {report["name"]: report for report in since_start}
    names = sorted(now.routes, key=lambda name: -now.routes[name].total_s)
    names += [name for name in reports if name not in now.routes]
    return tuple(_row(name, now, reports.get(name, {}), budgets.get(name), broken) for name in names[:MOST_ROUTES])


def breach_text(breach: Breach) -> str:
    """`/symbol/<symbol>: p95 61 ms of 50 ms`."""
    seen, allowed = (_amount(breach.what, value) for value in (breach.seen, breach.allowed))
    return f"{_UNITS[breach.what]} {seen}, budget {allowed}"


def slow_rows(requests: Sequence[SlowRequest]) -> tuple[SlowRow, ...]:
    """The slowest first, each with the bar of what its time went into."""
    return tuple(
        SlowRow(
            at_ms=one.at_ms,
            route=one.route,
            path=one.path,
            request_id=one.request_id,
            status=one.status,
            took=seconds_text(one.seconds),
            split=slices(stage_seconds(dict(one.spans_s)), one.seconds),
            split_text=split_text(stage_seconds(dict(one.spans_s)), one.seconds),
            cost=_cost(one.queries, one.weight),
        )
        for one in requests[:_SLOW_SHOWN]
    )


def slices(stages_s: Mapping[str, float], whole_s: float) -> tuple[Slice, ...]:
    """The parts of a bar 100 wide, in the order in which a page is made; the rest last."""
    parts = _parts(stages_s, whole_s)
    whole_s = sum(seconds for _, seconds in parts)
    found, x = [], 0.0
    for stage, seconds in parts:
        width = seconds / whole_s * 100 if whole_s > 0 else 0.0
        if width >= 0.05:
            found.append(Slice(stage, f"{x:.1f}", f"{width:.1f}", f"{stage} {seconds_text(seconds)}"))
        x += width
    return tuple(found)


def split_text(stages_s: Mapping[str, float], whole_s: float) -> str:
    """`data 1.2 ms · indicators 0.1 · model 0 · render 3.1 · compress 0.8 · rest 0.2`."""
    parts = [(stage, short_ms(seconds)) for stage, seconds in _parts(stages_s, whole_s)]
    return " · ".join(f"{stage} {text}{'' if place else ' ms'}" for place, (stage, text) in enumerate(parts))


def split_so_far() -> str:
    """What the page that is being rendered was made with until now, for its foot; compressing it comes after."""
    trace = current_trace()
    if trace is None:
        return ""
    split = trace.split_s()
    parts = [(stage, short_ms(split.get(stage, 0.0))) for stage in _BEFORE_RENDER]
    render_s = split.get("render", 0.0) + trace.open_own_s()
    return " · ".join([f"{stage} {text}" for stage, text in parts] + [f"render {short_ms(render_s)} ms"])


def short_ms(seconds: float) -> str:
    """Milliseconds as short as a row of six bears: `0`, `0.1`, `3.1`, `128`."""
    ms = seconds * 1000
    return "0" if ms < _NOTHING_MS else f"{ms:.1f}" if ms < _WHOLE_FROM_MS else f"{ms:,.0f}"


def recent_json(now: Minute) -> dict[str, Any]:
    """The same as the table of routes for programs: null where there was no request, or no time to speak of a rate."""
    return {
        "seconds": now.seconds,
        "routes": {
            name: {
                "count": seen.count,
                "requests_per_minute": significant_or_none(_per_minute(seen.count, now.seconds)),
                "errors": seen.errors,
                **{f"p{percent}_ms": _ms(seen.percentile_s(percent / 100)) for percent in (50, 95, 99)},
            }
            for name, seen in now.routes.items()
        },
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else significant_or_none(seconds * 1000)


def _per_minute(requests: int, seconds: float) -> float | None:
    return None if seconds < _RATED_FROM_S else requests * 60 / seconds


def rate_text(requests: int, seconds: float) -> str:
    """`0.4`, `31.2`, `1,240` requests a minute."""
    rate = _per_minute(requests, seconds)
    if rate is None:
        return wording.NOTHING
    return f"{rate:,.1f}" if rate < _WHOLE_FROM_RATE else f"{rate:,.0f}"


def _row(
    name: str, now: Minute, report: Mapping[str, Any], budget: Budget | None, broken: Sequence[Breach]
) -> RouteRow:
    seen = now.routes.get(name, RouteMinute())
    worked = max(seen.worked, 1)
    stages_s = {stage: seconds / worked for stage, seconds in seen.stages_s.items()}
    whole_s = seen.worked_s / worked
    return RouteRow(
        name=name,
        rate=rate_text(seen.count, now.seconds),
        count=count(seen.count),
        errors=seen.errors,
        p50=seconds_text(seen.percentile_s(0.5)),
        p95=_allowed(seconds_text(seen.percentile_s(0.95)), _amount("p95_ms", budget.p95_ms) if budget else ""),
        p99=seconds_text(seen.percentile_s(0.99)),
        over=tuple(one.what for one in broken if one.route == name),
        largest=_allowed(
            wording.size(seen.peak_bytes) if seen.peak_bytes else wording.NOTHING,
            wording.size(budget.size_bytes) if budget else "",
        ),
        queries=_of(seen.peak_queries, budget.queries if budget else None),
        weight=_of(seen.peak_weight, budget.weight if budget else None),
        split=slices(stages_s, whole_s) if seen.worked else (),
        split_text=split_text(stages_s, whole_s) if seen.worked else "",
        spark=sparkline(np.array(report.get("recent_ms", ()), dtype=np.float64)),
    )


def _parts(stages_s: Mapping[str, float], whole_s: float) -> list[tuple[str, float]]:
    known = [(stage, stages_s.get(stage, 0.0)) for stage in STAGES]
    return [*known, (REST, max(0.0, whole_s - sum(seconds for _, seconds in known)))]


def _allowed(seen: str, budget: str) -> Allowed:
    """In one unit said once, where both have the same: `18.4 of 50 ms`."""
    number, _, unit = seen.partition(" ")
    allowed, _, allowed_unit = budget.partition(" ")
    allowed = allowed.removesuffix("0").removesuffix("0").removesuffix(".") if "." in allowed else allowed
    if unit and unit == allowed_unit:
        return Allowed(number, f"{allowed} {allowed_unit}")
    return Allowed(seen, f"{allowed} {allowed_unit}".strip())


def _of(seen: int, allowed: int | None) -> str:
    return f"{seen}" if allowed is None else f"{seen} of {allowed}"


def _amount(what: str, value: float) -> str:
    if what == "p95_ms":
        return wording.milliseconds(value)
    return wording.size(value) if what == "size_bytes" else count(value)


def _cost(queries: int, weight: int) -> str:
    parts = [f"{queries} statement{'' if queries == 1 else 's'}"] if queries else []
    return ", ".join([*parts, *([f"weight {weight}"] if weight else [])])
