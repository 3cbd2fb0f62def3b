"""Budgets: what a route may cost, declared beside it, and the routes that cost more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import Flask

from utils.minutes import RouteMinute

View = TypeVar("View", bound=Callable[..., Any])

LEAST_REQUESTS = 20
"""Fewer requests have no 95th percentile worth judging."""
_DECLARED = "budget"


@dataclass(frozen=True, slots=True)
class Budget:
    """What a route may cost: its p95; of a single request the bytes of a compressed answer, the weight asked of the
    exchange, the statements sent to the database."""

    p95_ms: float
    size_bytes: int
    weight: int
    queries: int


@dataclass(frozen=True, slots=True)
class Breach:
    """One figure of a route that is over its budget."""

    route: str
    what: str
    """p95_ms, size_bytes, weight or queries."""
    seen: float
    allowed: float


def budget(*, p95_ms: float, size_bytes: int, weight: int = 0, queries: int = 0) -> Callable[[View], View]:
    """Declares what a view may cost: `@bp.get(…)` above it, the view below."""

    def declare(view: View) -> View:
        setattr(view, _DECLARED, Budget(p95_ms, size_bytes, weight, queries))
        return view

    return declare


def declared(view: Callable[..., Any]) -> Budget | None:
    """The budget of a view function; None where nobody thought of one."""
    found: Budget | None = getattr(view, _DECLARED, None)
    return found


def budgets_of(app: Flask) -> dict[str, Budget]:
    """By the name under which the monitor counts the route: `/symbol/<symbol>`, `POST /theme`."""
    found: dict[str, Budget] = {}
    for rule in app.url_map.iter_rules():
        one = declared(app.view_functions[rule.endpoint])
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            if one is not None:
                found[rule.rule if method == "GET" else f"{method} {rule.rule}"] = one
    return found


def breaches(budgets: Mapping[str, Budget], routes: Mapping[str, RouteMinute]) -> tuple[Breach, ...]:
    """What was over its budget among these requests, the worst first."""
    found = [
        breach for name, seen in routes.items() if name in budgets for breach in _judged(name, budgets[name], seen)
    ]
    return tuple(sorted(found, key=lambda one: -one.seen / max(one.allowed, 0.5)))


def _judged(name: str, allowed: Budget, seen: RouteMinute) -> Iterator[Breach]:
    p95_s = seen.percentile_s(0.95) if seen.count >= LEAST_REQUESTS else None
    measured = (
        ("p95_ms", None if p95_s is None else p95_s * 1000, allowed.p95_ms),
        ("size_bytes", seen.peak_bytes, allowed.size_bytes),
        ("weight", seen.peak_weight, allowed.weight),
        ("queries", seen.peak_queries, allowed.queries),
    )
    for what, value, most in measured:
        if value is not None and value > most:
            yield Breach(name, what, value, most)
