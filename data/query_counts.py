"""Query counts: the statements run on a database, counted and timed by their text, never with their values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from utils.request_trace import count_query

_SHOWN_CHARS = 120
_SHOWN_STATEMENTS = 10
_MOST_STATEMENTS = 200


@dataclass(frozen=True, slots=True)
class StatementStats:
    """One statement by its text, cut, without values."""

    sql: str
    count: int
    total_s: float
    slowest_s: float


@dataclass(frozen=True, slots=True)
class QueryStats:
    """Statements run since the database was opened; an executemany is one. `slowest_sql` is its text, cut, without
    values."""

    count: int
    errors: int
    total_s: float
    slowest_s: float
    slowest_sql: str
    statements: tuple[StatementStats, ...] = ()
    """Those that took longest in sum, the dearest first; ten at most."""
    failing: bool = False
    """Whether nothing went well since the newest failure."""
    since_error_s: float | None = None
    """How long ago that was; None without one."""


class QueryCounts:
    """Listens to an engine from its first statement on."""

    def __init__(self, engine: sa.Engine, timer: Callable[[], float]) -> None:
        self.errors = 0
        self._reason = ""
        self._failed_s: float | None = None
        self._failing_since_s: float | None = None
        self._answered_s: float | None = None
        self._timer = timer
        self._count = 0
        self._total_s = self._slowest_s = 0.0
        self._slowest_sql = ""
        self._statements: dict[str, tuple[int, float, float]] = {}
        sa.event.listen(engine, "before_cursor_execute", self._before)
        sa.event.listen(engine, "after_cursor_execute", self._after)

    def failed(self, reason: str) -> None:
        """A transaction, or the way to one, came to nothing."""
        self.errors += 1
        self._reason = reason
        self._failed_s = self._timer()
        if self._failing_since_s is None:
            self._failing_since_s = self._failed_s

    def failing(self) -> tuple[float, str] | None:
        """For how many seconds nothing has gone well, and what is wrong; None where the newest statement went well."""
        since_s = self._failing_since_s
        return None if since_s is None else (self._timer() - since_s, self._reason)

    def answered_s(self) -> float | None:
        """How long ago a statement went well; None before the first."""
        return None if self._answered_s is None else self._timer() - self._answered_s

    def stats(self) -> QueryStats:
        since_s = None if self._failed_s is None else self._timer() - self._failed_s
        known = [StatementStats(sql, *counts) for sql, counts in self._statements.copy().items()]
        dearest = tuple(sorted(known, key=lambda one: -one.total_s)[:_SHOWN_STATEMENTS])
        return QueryStats(
            self._count,
            self.errors,
            self._total_s,
            self._slowest_s,
            self._slowest_sql,
            dearest,
            self._failing_since_s is not None,
            since_s,
        )

    def _before(self, *args: Any) -> None:
        args[4]._started = self._timer()

    def _after(self, *args: Any) -> None:
        _, _, statement, _, context, _ = args
        now_s = self._answered_s = self._timer()
        seconds = now_s - context._started
        count_query()
        self._failing_since_s = None
        self._count += 1
        self._total_s += seconds
        sql = _shown(statement)
        if seconds > self._slowest_s:
            self._slowest_s, self._slowest_sql = seconds, sql
        if sql in self._statements or len(self._statements) < _MOST_STATEMENTS:
            count, total_s, slowest_s = self._statements.get(sql, (0, 0.0, 0.0))
            self._statements[sql] = (count + 1, total_s + seconds, max(slowest_s, seconds))


@lru_cache(maxsize=512)
def _shown(statement: str) -> str:
    return " ".join(statement.split())[:_SHOWN_CHARS]
