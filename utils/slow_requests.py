"""SlowRequests: the slowest requests of the last hour with what they were spent on, bounded."""

from __future__ import annotations

import heapq
import threading
from dataclasses import dataclass

from utils.request_trace import RequestTrace

MOST = 20
_HOUR_MS = 3_600_000
_LONGEST_PATH = 120


@dataclass(frozen=True, slots=True)
class SlowRequest:
    """One request. `spans_s` are seconds by name, each without what is inside it; `path` is without its query."""

    at_ms: int
    route: str
    path: str
    request_id: str
    status: int
    seconds: float
    spans_s: tuple[tuple[str, float], ...]
    queries: int
    weight: int

    @classmethod
    def of(cls, route: str, trace: RequestTrace, seconds: float, status: int, path: str, at_ms: int) -> SlowRequest:
        spans = tuple(trace.spans.items())
        shown = path[:_LONGEST_PATH]
        return cls(at_ms, route, shown, trace.request_id, status, seconds, spans, trace.queries, trace.weight)


class SlowRequests:
    """`floor_s` is what a request must take longer than to be among them: asked first, it spares everyone the lock."""

    def __init__(self, most: int = MOST) -> None:
        self.floor_s = 0.0
        self._most = most
        self._lock = threading.Lock()
        self._kept: list[SlowRequest] = []

    def add(self, request: SlowRequest) -> None:
        with self._lock:
            self._keep([*self._kept, request], request.at_ms)

    def newest(self, now_ms: int) -> tuple[SlowRequest, ...]:
        """Those of the last hour, slowest first."""
        with self._lock:
            self._keep(self._kept, now_ms)
            return tuple(self._kept)

    def _keep(self, requests: list[SlowRequest], now_ms: int) -> None:
        recent = [one for one in requests if one.at_ms > now_ms - _HOUR_MS]
        self._kept = heapq.nlargest(self._most, recent, key=lambda one: one.seconds)
        self.floor_s = self._kept[-1].seconds if len(self._kept) == self._most else 0.0
