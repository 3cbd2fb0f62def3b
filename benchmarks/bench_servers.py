"""Servers: the real application on granian (two ways), waitress and gunicorn, and what each holds of memory."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import psutil

from benchmarks.load import Load, load
from benchmarks.measure import Row, at_least, at_most, interleaved, print_rows, reading, result
from benchmarks.served import CONSTANT, Served, add_compared, all_served, served

PATHS = {
    "constant route": CONSTANT,
    "overview": "/",
    "candles API, 500 rows": "/api/v1/candles/BTCUSDT?interval=1h&limit=500",
}
CONNECTIONS = (16, 64)
OURS = "granian in our process"
SERVERS = {OURS: "granian", "waitress": "waitress", "gunicorn": "gunicorn", "granian by itself": "granian"}
"""What is compared, and the package that it needs."""
NOTES = (
    "The application serves on **granian in its own process** (`utils/web_server.py`): HTTP is read and written in "
    "Rust, one thread takes requests and gives what is stored at once, and pages are made by other threads. waitress "
    "does HTTP in Python and hands every request from one thread to another and back; it stays for Windows, where our "
    "way of using granian has not been tried, and for `SERVER=waitress`. granian as it starts itself puts the "
    "application into a second process, has several threads contend for Python's lock, limits no body and shows the "
    "process's environment to every request. gunicorn brings a main process too and does not run on Windows. granian "
    "has wheels for Linux, macOS and Windows and for Python 3.11 to 3.14. Where one process is not enough, `WORKERS` "
    "adds more.",
)
THREADS = 4


def run(*, short: bool = False) -> dict[str, Any]:
    """One process of each serves the same application at the same time; they are asked in turns."""
    rounds, seconds = (2, 0.3) if short else (3, 0.5)
    names = [name for name, package in SERVERS.items() if importlib.util.find_spec(package) is not None]
    with ExitStack() as running:
        starts = {name: served(program=["-m", "benchmarks.bench_servers", name]) for name in names}
        servers = all_served(running, starts)
        loads = _measure(servers, rounds, seconds)
        held = {name: _rss_mb(server) for name, server in servers.items()}
    rows = [*_rows(loads, names), *_memory(held)]
    print_rows("Servers (requests a second)", rows)
    return result("servers", rows, latencies=_latencies(loads), rss_mb=held, notes=NOTES)


def _measure(servers: dict[str, Served], rounds: int, seconds: float) -> dict[tuple[str, str, int], list[Load]]:
    loads: dict[tuple[str, str, int], list[Load]] = {}

    def one(name: str, what: str, connections: int) -> float:
        seen = load(servers[name].port, PATHS[what], seconds=seconds, connections=connections)
        assert set(seen.statuses) == {200}, (name, what, seen.statuses)
        loads.setdefault((name, what, connections), []).append(seen)
        return seen.per_second

    for server in servers.values():
        for path in PATHS.values():
            load(server.port, path, seconds=0.3)
    works = {
        f"{name} {what} {connections}": (lambda n=name, w=what, c=connections: one(n, w, c))
        for what in PATHS
        for connections in CONNECTIONS
        for name in servers
    }
    interleaved(works, rounds)
    return loads


def _rows(loads: dict[tuple[str, str, int], list[Load]], names: Sequence[str]) -> list[Row]:
    rows = []
    for what in PATHS:
        for connections in CONNECTIONS:
            seen = {name: reading([one.per_second for one in loads[name, what, connections]], "/s") for name in names}
            rows += [
                at_least(
                    f"{OURS}, {what}, {connections} connections, against {name}",
                    seen[OURS],
                    seen[name],
                    seen[OURS].median / seen[name].median,
                    None,
                )
                for name in names
                if name != OURS
            ]
    return rows


def _memory(held: dict[str, list[float]]) -> list[Row]:
    """After the load: the process that serves, which has the limit, and beside it all processes of the server."""
    rows = []
    for name, each in held.items():
        largest, whole = reading([max(each)], "MB"), reading([sum(each)], "MB")
        rows.append(at_most(f"{name}, memory of the process that serves", largest, 150))
        if len(each) > 1:
            rows.append(
                at_least(f"{name}, memory of its {len(each)} processes", whole, largest, sum(each) / max(each), None)
            )
    return rows


def _latencies(loads: dict[tuple[str, str, int], list[Load]]) -> dict[str, dict[str, float]]:
    """Of each server, page and number of connections: the median over the rounds of their percentiles."""
    return {
        f"{name}, {what}, {connections}": {
            "per_second": reading([one.per_second for one in seen], "/s").median,
            "p50_ms": reading([one.latency_ms(0.5) for one in seen], "ms").median,
            "p99_ms": reading([one.latency_ms(0.99) for one in seen], "ms").median,
        }
        for (name, what, connections), seen in loads.items()
    }


def _rss_mb(server: Served) -> list[float]:
    processes = [server.process, *server.process.children(recursive=True)]
    return [one.memory_info().rss / 1024 / 1024 for one in processes if _is_ours(one)]


def _is_ours(process: psutil.Process) -> bool:
    """The simulated exchange is a process beside the server, and resource trackers hold nothing of it."""
    return not any("simulated_exchange" in word for word in process.cmdline())


def make() -> Any:
    """The application with everything that runs in it, for a server that makes it in its own process."""
    import app as application
    from config import load_settings
    from routes.wiring.parts import PARTS, background, leading

    settings = load_settings()
    app = application.create_app(settings)
    add_compared(app)
    parts = app.extensions[PARTS]
    for part in [*background(settings, parts), *leading(settings, parts)]:
        part.start()
    return app


def serve(name: str, port: int) -> None:
    if name in (OURS, "waitress"):
        from config import load_settings
        from routes.wiring.serving import run_server
        from utils.listener import listen

        with listen("127.0.0.1", port) as listener:
            settings = load_settings(server="waitress" if name == "waitress" else "granian", max_workers=str(THREADS))
            run_server(settings, make(), listener)
    elif name == "gunicorn":
        _gunicorn(port)
    else:
        from granian import Granian
        from granian.constants import Interfaces

        Granian(
            "benchmarks.bench_servers:make",
            address="127.0.0.1",
            port=port,
            interface=Interfaces.WSGI,
            workers=1,
            blocking_threads=THREADS,
            factory=True,
            log_access=False,
        ).serve()


def _gunicorn(port: int) -> None:
    from gunicorn.app.base import BaseApplication

    class Application(BaseApplication):  # type: ignore[misc]  # theirs is untyped
        def load_config(self) -> None:
            for key, value in {
                "bind": f"127.0.0.1:{port}",
                "workers": 1,
                "worker_class": "gthread",
                "threads": THREADS,
                "keepalive": 60,
                "worker_connections": 1000,
            }.items():
                self.cfg.set(key, value)

        def load(self) -> Any:
            return make()

    Application().run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("server", nargs="?", choices=SERVERS)
    chosen = parser.parse_args().server
    if chosen:
        serve(chosen, int(os.environ["PORT"]))
    else:
        run()
    sys.exit(0)
