"""Watching: what the monitor, the access log and a stored page cost, in one process, without a network between."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from flask import Flask, render_template_string, request
from werkzeug.test import EnvironBuilder

from benchmarks.measure import Row, at_least, at_most, interleaved, print_rows, reading, result, seconds_per_call
from routes.observed import observe_requests
from utils.access_log import AccessLog
from utils.performance_monitor import PerformanceMonitor
from utils.response_cache import ResponseCache

_ROWS = [{"symbol": f"COIN{number}USDT", "price": 100.0 + number, "change": number / 7} for number in range(200)]
_TEMPLATE = """<table>{% for row in rows %}<tr>
<th scope="row"><a href="/symbol/{{ row.symbol }}">{{ row.symbol }}</a></th>
<td>{{ '%.2f' | format(row.price) }}</td><td class="{{ 'up' if row.change > 0 else 'down' }}">{{ row.change }}</td></tr>
{% endfor %}</table>"""


def run(*, short: bool = False) -> dict[str, Any]:
    rounds, calls = (5, 300) if short else (11, 2000)
    with tempfile.TemporaryDirectory() as folder:
        log = AccessLog(Path(folder))
        log.start()
        try:
            rows = [*_requests(log, rounds, calls), *_observations(rounds, calls * 20)]
        finally:
            log.close()
    print_rows("Watching and keeping", rows)
    return result("watching", rows)


def _requests(log: AccessLog, rounds: int, calls: int) -> list[Row]:
    unwatched, watched = _app(None, log), _app(_monitor(), log)
    works = {
        "constant": lambda: 1e6 * seconds_per_call(lambda: _get(unwatched, "/constant"), calls),
        "constant, watched": lambda: 1e6 * seconds_per_call(lambda: _get(watched, "/constant"), calls),
        "stored page": lambda: 1e6 * seconds_per_call(lambda: _get(unwatched, "/stored"), calls),
        "rendered page": lambda: 1e6 * seconds_per_call(lambda: _get(unwatched, "/rendered"), max(20, calls // 50)),
    }
    seen = {name: reading(values, "µs") for name, values in interleaved(works, rounds).items()}
    plain, stored = seen["constant"], seen["stored page"]
    return [
        at_least(
            "a request without a server: monitoring and access log on, against off",
            seen["constant, watched"],
            plain,
            plain.median / seen["constant, watched"].median,
            None,
        ),
        at_least("stored page, against a constant", stored, plain, plain.median / stored.median, 0.5),
        at_least(
            "stored page, against rendering and compressing it",
            stored,
            seen["rendered page"],
            seen["rendered page"].median / stored.median,
            8,
        ),
    ]


def _observations(rounds: int, calls: int) -> list[Row]:
    monitor = _monitor()

    def span() -> None:
        with monitor.span("data"):
            pass

    works = {
        "observation": lambda: 1e6 * seconds_per_call(lambda: monitor.observe("function", 0.001), calls),
        "span": lambda: 1e6 * seconds_per_call(span, calls),
    }
    seen = {name: reading(values, "µs") for name, values in interleaved(works, rounds).items()}
    return [at_most(f"one {name}", value, 5) for name, value in seen.items()]


def _monitor() -> PerformanceMonitor:
    monitor = PerformanceMonitor()
    monitor.configure(enabled=True)
    return monitor


def _app(monitor: PerformanceMonitor | None, log: AccessLog) -> Flask:
    app, stored, unstored = Flask("benchmark"), ResponseCache(), ResponseCache(enabled=False)

    def render() -> str:
        return render_template_string(_TEMPLATE, rows=_ROWS)

    app.add_url_rule("/constant", "constant", view_func=lambda: "constant")
    app.add_url_rule("/stored", "stored", lambda: stored.respond(request, key=("page",), version="1", render=render))
    app.add_url_rule(
        "/rendered", "rendered", lambda: unstored.respond(request, key=("page",), version="1", render=render)
    )
    if monitor is not None:
        observe_requests(app, monitor, log)
    return app


_ENVIRONS = {
    path: EnvironBuilder(path, headers=[("Accept-Encoding", "gzip, deflate, br")]).get_environ()
    for path in ("/constant", "/stored", "/rendered")
}


def _get(app: Flask, path: str) -> None:
    body = app.wsgi_app(_ENVIRONS[path].copy(), lambda *_: lambda _: None)
    b"".join(body)
    close = getattr(body, "close", None)
    if close is not None:
        close()


if __name__ == "__main__":
    run()
