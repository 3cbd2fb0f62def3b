"""Performance history: the last hour and the last day as small charts, and this version beside the one before."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from routes import wording
from routes.performance_parts import percent
from utils.minute_history import MINUTES, Floats
from utils.minute_recorder import VersionSum
from utils.minutes import RouteMinute

Show = Callable[[float], str]

CHART_WIDTH, CHART_HEIGHT = 360, 44
_HOUR = 60
_DAY_STEP = 15
_LEAST_TO_COMPARE = 20
_MOST_COMPARED = 12
_WORTH_SAYING = 0.1
_ALONE = 2.0
"""How wide a value is drawn that has no neighbours."""


@dataclass(frozen=True, slots=True)
class Area:
    """A line and the area below it, in a box of CHART_WIDTH × CHART_HEIGHT, with a gap where nothing ran."""

    line: str
    area: str


@dataclass(frozen=True, slots=True)
class Course:
    """One figure over time: its newest value, the last hour and the last day, with their highest values."""

    name: str
    now: str
    hour: Area | None
    hour_text: str
    day: Area | None
    day_text: str


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure of this version beside that of the one before; `trend` rise, fall or flat: better, worse, the same."""

    name: str
    what: str
    before: str
    now: str
    change: str
    trend: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """`before` is empty where no other version has run here."""

    version: str
    before: str
    rows: tuple[Compared, ...]


_FIGURES: tuple[tuple[str, str, Show], ...] = (
    ("requests_per_s", "Requests per second", lambda value: f"{value:,.1f}"),
    ("p95_ms", "p95 of all routes", wording.milliseconds),
    ("pages_p95_ms", "p95 of pages", wording.milliseconds),
    ("live_p95_ms", "p95 of live parts", wording.milliseconds),
    ("api_p95_ms", "p95 of the API", wording.milliseconds),
    ("error_percent", "Errors", lambda value: percent(value, 2)),
    ("page_hit_percent", "Pages from memory", percent),
    ("rss_bytes", "Memory (RSS)", wording.size),
    ("cpu_percent", "CPU of one core", percent),
    ("weight_percent", "Exchange weight", percent),
    ("loop_lag_ms", "Event loop late", wording.milliseconds),
)


def courses(history: Mapping[str, Floats]) -> tuple[Course, ...]:
    """`history`: a day of minutes by figure (1440,), NaN where nothing was measured."""
    return tuple(_course(name, history[field], show) for field, name, show in _FIGURES)


def compare(versions: Sequence[VersionSum], version: str) -> Comparison:
    """The newest other version against this one, route by route, where both answered often enough."""
    ours = next((one for one in versions if one.version == version), None)
    before = next((one for one in versions if one.version != version), None)
    if before is None or ours is None:
        return Comparison(version, before.version if before else "", ())
    rows = [
        _lower("Process", "memory", before.summed.gauges["rss_bytes"], ours.summed.gauges["rss_bytes"], wording.size)
    ]
    for name in _comparable(before.summed.routes, ours.summed.routes):
        rows += _route(name, before.summed.routes[name], ours.summed.routes[name])
    return Comparison(version, before.version, tuple(rows))


def area(values: Floats) -> Area | None:
    """None where nothing was measured; the box begins at zero."""
    known = np.isfinite(values)
    if not known.any():
        return None
    top = max(float(values[known].max()), 1e-9)
    xs = (np.arange(len(values)) + 0.5) * CHART_WIDTH / len(values)
    ys = CHART_HEIGHT - 1 - np.where(known, values, 0.0) / top * (CHART_HEIGHT - 3)
    line, below = [], []
    for start, end in _stretches(known):
        points = "L".join(f"{x:.1f} {y:.1f}" for x, y in zip(xs[start:end], ys[start:end], strict=True))
        right = f"H{xs[end - 1] + _ALONE:.1f}" if end - start == 1 else ""
        line.append(f"M{points}{right}")
        below.append(f"M{xs[start]:.1f} {CHART_HEIGHT}L{points}{right}V{CHART_HEIGHT}Z")
    return Area("".join(line), "".join(below))


def _course(name: str, values: Floats, show: Show) -> Course:
    hour = values[-_HOUR:]
    day = _highest(values.reshape(MINUTES // _DAY_STEP, _DAY_STEP))
    known = hour[np.isfinite(hour)]
    now = show(float(known[-1])) if len(known) else wording.NOTHING
    return Course(name, now, area(hour), _range(hour, show), area(day), _range(day, show))


def _range(values: Floats, show: Show) -> str:
    known = values[np.isfinite(values)]
    return f"at most {show(float(known.max()))}" if len(known) else ""


def _highest(rows: Floats) -> Floats:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a stretch without any value stays NaN
        return np.asarray(np.nanmax(rows, axis=1))


def _stretches(known: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[tuple[int, int]]:
    """(start, end) of each unbroken run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], known, [False])).astype(np.int8)))
    return [(int(edges[i]), int(edges[i + 1])) for i in range(0, len(edges), 2)]


def _comparable(before: Mapping[str, RouteMinute], ours: Mapping[str, RouteMinute]) -> list[str]:
    both = [
        name
        for name in ours
        if name in before and min(ours[name].count, before[name].count) >= _LEAST_TO_COMPARE and name[0] != "("
    ]
    return sorted(both, key=lambda name: -ours[name].count)[:_MOST_COMPARED]


def _route(name: str, before: RouteMinute, ours: RouteMinute) -> list[Compared]:
    p95_before, p95_now = ((one.percentile_s(0.95) or 0.0) * 1000 for one in (before, ours))
    size_before, size_now = (one.size_bytes / one.count for one in (before, ours))
    return [
        _lower(name, "p95", p95_before, p95_now, wording.milliseconds),
        _lower(name, "bytes per answer", size_before, size_now, wording.size),
    ]


def _lower(name: str, what: str, before: float, now: float, show: Show) -> Compared:
    """Lower is better; a tenth more or less is the same."""
    change = now / before - 1 if before else 0.0
    trend = "flat" if abs(change) < _WORTH_SAYING else "rise" if change < 0 else "fall"
    told = f"{change * 100:+.0f} %".replace("-", "−")
    return Compared(name, what, show(before), show(now), told, trend)
