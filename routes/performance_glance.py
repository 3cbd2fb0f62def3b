"""Performance glance: the one figure that stands beside each section's name where a narrow screen folds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from routes import wording
from routes.performance_history import Comparison, Course
from routes.performance_panels import StatementRow
from routes.performance_parts import count
from routes.performance_routes import SlowRow
from utils.part_metrics import is_cache


def routes_glance(routes: int, broken: int) -> str:
    """How many answered anything, and how many of those are over budget."""
    if not routes:
        return "nothing asked yet"
    return f"{broken} of {routes} over budget" if broken else f"{routes}, none over budget"


def caches_glance(sources: Mapping[str, Any]) -> str:
    """All reads of all caches together."""
    told = [source for source in sources.values() if is_cache(source)]
    hits, misses = (sum(int(source[name]) for source in told) for name in ("hits", "misses"))
    if not hits + misses:
        return "not read yet"
    return f"{wording.percent(hits / (hits + misses), 1)} of {count(hits + misses)} reads hit"


def history_glance(courses: Sequence[Course]) -> str:
    """The newest minute's p95 of all routes."""
    p95 = next((one.now for one in courses if one.name.startswith("p95")), wording.NOTHING)
    return "" if p95 == wording.NOTHING else f"p95 {p95}"


def slowest_glance(slowest: Sequence[SlowRow]) -> str:
    return slowest[0].took if slowest else "none"


def versions_glance(comparison: Comparison) -> str:
    worse = sum(1 for one in comparison.rows if one.trend == "fall")
    return f"{worse} of {len(comparison.rows)} figures worse" if comparison.rows else "nothing to compare"


def statements_glance(statements: Sequence[StatementRow]) -> str:
    """They come the dearest first."""
    return f"at most {statements[0].total} in sum" if statements else ""
