"""Observed: every request timed under its route's name, with an id, from its arrival until its headers leave."""

from __future__ import annotations

import itertools
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from flask import Flask
from werkzeug.wsgi import ClosingIterator

from utils.access_log import AccessLog, AccessRecord
from utils.content_encoding import IDENTITY, choose_encoding
from utils.performance_monitor import PerformanceMonitor, RequestTrace, tracing

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

UNROUTED = {404: "(not found)", 405: "(method not allowed)", 400: "(refused)"}
"""Requests that reached no route are counted together: addresses that strangers invent are not names."""

RULE = "dashboard.rule"
"""The key in a WSGI environment under which an answer that never reached Flask names its route."""

OURS = "dashboard.ours"
"""The key in a WSGI environment of what the program asks itself: no reader waits for it, so it is neither counted nor
logged. Nobody can set it from outside: header names begin with `HTTP_`."""

_Headers = list[tuple[str, str]]
_NOT_A_TOKEN = re.compile(r"[^A-Za-z0-9_-]+")


def always() -> bool:
    """Of a program that has nothing to wait for."""
    return True


def observe_requests(
    app: Flask,
    monitor: PerformanceMonitor,
    access_log: AccessLog | None = None,
    *,
    ready: Callable[[], bool] = always,
) -> None:
    """Wraps the application: `X-Request-ID` on every answer; counts and `Server-Timing` while the monitor is on.

    Until it is `ready`, 503 is what the program has to answer, and no error.
    """
    app.wsgi_app = ObservedApp(app.wsgi_app, monitor, access_log, ready)  # type: ignore[method-assign]  # Flask's own door


class ObservedApp:
    """The application between two readings of the clock. Inbound request ids are not trusted: each gets one of ours."""

    def __init__(
        self,
        app: WSGIApplication,
        monitor: PerformanceMonitor,
        access_log: AccessLog | None,
        ready: Callable[[], bool] = always,
    ) -> None:
        self._app = app
        self._ready = ready
        self._monitor = monitor
        self._access_log = access_log
        self._prefix = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if OURS in environ:
            return self._app(environ, start_response)
        trace = RequestTrace(f"{self._prefix}-{next(self._numbers):06x}", time.perf_counter())
        answer = _Answer(self._monitor, trace, environ, start_response)
        with tracing(trace):
            try:
                body = self._app(environ, answer.start)
            except BaseException:
                answer.status = 500
                self._finish(environ, answer, 0)
                raise
        if answer.size_bytes is None:  # a stream: what it sends is known when it has been sent
            return ClosingIterator(self._counted(environ, answer, body), getattr(body, "close", None))
        self._finish(environ, answer, 0 if environ["REQUEST_METHOD"] == "HEAD" else answer.size_bytes)
        return body

    def _counted(self, environ: WSGIEnvironment, answer: _Answer, body: Iterable[bytes]) -> Iterator[bytes]:
        size_bytes = 0
        try:
            for chunk in body:
                size_bytes += len(chunk)
                yield chunk
        finally:
            self._finish(environ, answer, size_bytes)

    def _finish(self, environ: WSGIEnvironment, answer: _Answer, size_bytes: int) -> None:
        seconds = time.perf_counter() - answer.trace.started_s
        self._monitor.answered(
            _route_name(answer.rule, answer.status, environ["REQUEST_METHOD"]),
            answer.trace,
            seconds,
            status=answer.status,
            size_bytes=size_bytes,
            packed=choose_encoding(environ.get("HTTP_ACCEPT_ENCODING", "")) != IDENTITY,
            path=environ.get("PATH_INFO", ""),
            failed=answer.status >= 500 and (answer.status != 503 or self._ready()),
        )
        if self._access_log is not None:
            self._access_log.record(_access_record(environ, answer, seconds, size_bytes))


class _Answer:
    """One answer on its way out."""

    __slots__ = ("_environ", "_monitor", "_start_response", "rule", "size_bytes", "status", "trace")

    def __init__(
        self,
        monitor: PerformanceMonitor,
        trace: RequestTrace,
        environ: WSGIEnvironment,
        start_response: StartResponse,
    ) -> None:
        self._monitor = monitor
        self._environ = environ
        self.rule: str | None = None
        self._start_response = start_response
        self.trace = trace
        self.status = 0
        self.size_bytes: int | None = None

    def start(self, status: str, headers: _Headers, exc_info: Any = None) -> Callable[[bytes], object]:
        self.status = int(status[:3])
        self.rule = self._environ.get(RULE) or _matched_rule(self._environ)
        self.size_bytes = _content_length(self.status, headers)
        headers.append(("X-Request-ID", self.trace.request_id))
        if self._monitor.enabled:
            headers.append(("Server-Timing", _server_timing(self.trace)))
        return self._start_response(status, headers, exc_info)


def _matched_rule(environ: WSGIEnvironment) -> str | None:
    """Of the request that Flask is answering; gone once Flask is done."""
    matched = getattr(environ.get("werkzeug.request"), "url_rule", None)
    return None if matched is None else str(matched.rule)


def _content_length(status: int, headers: _Headers) -> int | None:
    """What the headers promise; 0 where the status has no body; None for a stream."""
    if status in (204, 304):
        return 0
    for name, value in headers:
        if name == "Content-Length" or name.lower() == "content-length":
            return int(value)
    return None


def _server_timing(trace: RequestTrace) -> str:
    total_ms = (time.perf_counter() - trace.started_s) * 1e3
    if not trace.spans:
        return f"total;dur={total_ms:.3f}"
    spans = [f"{_token(name)};dur={seconds * 1e3:.3f}" for name, seconds in trace.spans.items()]
    return ", ".join([f"total;dur={total_ms:.3f}", *spans])


@lru_cache(maxsize=512)
def _token(name: str) -> str:
    return _NOT_A_TOKEN.sub("_", name)


def _route_name(rule: str | None, status: int, method: str) -> str:
    """`/symbol/<symbol>`; with the method before it where that is not GET or HEAD."""
    if rule is None:
        return UNROUTED.get(status, "(unrouted)")
    return rule if method in ("GET", "HEAD") else f"{method} {rule}"


def _access_record(environ: WSGIEnvironment, answer: _Answer, seconds: float, size_bytes: int) -> AccessRecord:
    query = environ.get("QUERY_STRING", "")
    path = environ.get("PATH_INFO", "")
    return AccessRecord(
        request_id=answer.trace.request_id,
        remote=environ.get("REMOTE_ADDR", ""),
        method=environ.get("REQUEST_METHOD", ""),
        path=f"{path}?{query}" if query else path,
        status=answer.status,
        duration_s=seconds,
        size_bytes=size_bytes,
    )
