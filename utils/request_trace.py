"""RequestTrace: what one request spends its time on, and what it costs the database and the exchange."""

from __future__ import annotations

import time
from contextvars import ContextVar
from types import TracebackType

STAGES = ("data", "indicators", "model", "render", "compress")
"""What a route's time is split into, in the order of a page's making; the rest is the web server's own."""

DATABASE = "database"
"""The span of whatever is done with an open connection: waiting for it, asking, and reading the rows."""

_STAGE_OF = {
    DATABASE: "data",
    "candles": "data",
    "score": "data",
    "indicators": "indicators",
    "forecast": "model",
    "forecasts": "model",
    "rows": "render",
    "render": "render",
    "compress": "compress",
}


class RequestTrace:
    """The request that this thread is answering: its id, its start (`perf_counter` seconds), its spans in seconds.

    A span holds the time of its block without that of the spans inside it, so that the spans add up. `queries` counts
    statements sent to the database, `weight` what was asked of the exchange.
    """

    __slots__ = ("inner_s", "open_s", "queries", "request_id", "spans", "started_s", "weight")

    def __init__(self, request_id: str, started_s: float) -> None:
        self.request_id = request_id
        self.started_s = started_s
        self.spans: dict[str, float] = {}
        self.inner_s = 0.0
        self.open_s = started_s
        self.queries = 0
        self.weight = 0

    def split_s(self) -> dict[str, float]:
        """Seconds by stage; a span that belongs to none of them is left out."""
        return stage_seconds(self.spans)

    def open_own_s(self) -> float:
        """Seconds that the innermost running span has taken so far by itself; of the request, outside of any."""
        return max(0.0, time.perf_counter() - self.open_s - self.inner_s)

    def absorb(self, part: RequestTrace) -> None:
        """Takes over what another thread did for this request while this one waited for it."""
        for name, seconds in part.spans.items():
            self.spans[name] = self.spans.get(name, 0.0) + seconds
        self.inner_s += sum(part.spans.values())
        self.queries += part.queries
        self.weight += part.weight


def stage_seconds(spans: dict[str, float]) -> dict[str, float]:
    """The same by stage."""
    split: dict[str, float] = {}
    for name, seconds in spans.items():
        if (stage := _STAGE_OF.get(name)) is not None:
            split[stage] = split.get(stage, 0.0) + seconds
    return split


_TRACE: ContextVar[RequestTrace | None] = ContextVar("request_trace", default=None)


def current_trace() -> RequestTrace | None:
    """The trace of the request in whose context this is called; None outside of one."""
    return _TRACE.get()


def count_query() -> None:
    """One more statement was sent to the database, for the current request if there is one."""
    trace = _TRACE.get()
    if trace is not None:
        trace.queries += 1


def count_weight(weight: int) -> None:
    """The exchange was asked something of that weight, for the current request if there is one."""
    trace = _TRACE.get()
    if trace is not None:
        trace.weight += weight


class tracing:
    """`with tracing(trace):` inside, spans are also added to this trace."""

    __slots__ = ("_token", "_trace")

    def __init__(self, trace: RequestTrace) -> None:
        self._trace = trace

    def __enter__(self) -> RequestTrace:
        self._token = _TRACE.set(self._trace)
        return self._trace

    def __exit__(self, *_: object) -> None:
        _TRACE.reset(self._token)


class traced:
    """`with traced("render"):` times a block as a part of the current request; nothing outside of one."""

    __slots__ = ("_name", "_outer_open_s", "_outer_s", "_started_s", "_trace", "seconds")

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> traced:
        self._trace = trace = _TRACE.get()
        self._started_s = started_s = time.perf_counter()
        if trace is not None:
            self._outer_s, trace.inner_s = trace.inner_s, 0.0
            self._outer_open_s, trace.open_s = trace.open_s, started_s
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.seconds = seconds = time.perf_counter() - self._started_s
        trace = self._trace
        if trace is not None:
            own_s = max(0.0, seconds - trace.inner_s)
            trace.spans[self._name] = trace.spans.get(self._name, 0.0) + own_s
            trace.inner_s = self._outer_s + seconds
            trace.open_s = self._outer_open_s
