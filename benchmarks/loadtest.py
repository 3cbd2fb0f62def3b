"""Load: Locust's readers against the real application on a simulated exchange, for a bounded time.

`python -m benchmarks.loadtest [--users 60] [--seconds 60] [--soak MINUTES]`; the result becomes part of
docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks import report
from benchmarks.alone import facts, keep
from benchmarks.measure import Reading, Row, at_most, print_rows, result
from benchmarks.served import ROOT, Served, market, market_words, served
from utils.plain import plain

_READERS = "benchmarks/locustfile.py"
_SAMPLE_S = 2.0
_P99_MS = 100.0
_GROWTH_PERCENT = 2.0
_SHOWN = 40
_MB = 1024 * 1024


def run(*, users: int, seconds: int, soak: bool) -> dict[str, Any]:
    """One run; raises CalledProcessError with Locust's words if it could not do its work."""
    began_s = time.monotonic()
    played = market(20)
    with served(played) as server, sampled(server) as samples:
        requests = _asked(server.port, users, seconds)
    rows = [*_rows(requests), *(_memory_rows(samples) if soak else [])]
    name, words = ("soak_load", "soak") if soak else ("load", "load")
    about = (
        f"{seconds} s of {words} by {users} readers at once (six of ten watch the overview, three open markets, one is "
        f"a program at the API) on {market_words(played)}; Locust, application and exchange on the same machine."
    )
    print_rows(about, rows)
    more = {"requests": requests, "samples": samples, "plots": _plots(name, requests, samples if soak else [])}
    return {**plain(result(name, rows, **more)), **facts(name, about, began_s), "short": False}


def _asked(port: int, users: int, seconds: int) -> list[dict[str, Any]]:
    """What Locust saw, by the kind of request; `all` is the last."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "stats"
        command = [sys.executable, "-m", "locust", "-f", _READERS, "--headless", "--only-summary", "--skip-log"]
        command += ["--users", str(users), "--spawn-rate", str(max(8, users // 5)), "--run-time", f"{seconds}s"]
        command += ["--host", f"http://127.0.0.1:{port}", "--stop-timeout", "10", "--exit-code-on-error", "0"]
        command += ["--json-file", str(found)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds + 120, check=False)
        files = list(Path(folder).glob("stats*"))
        if done.returncode or not files:
            raise RuntimeError(f"Locust ended with {done.returncode}: {(done.stderr or done.stdout)[-1500:]}")
        entries = json.loads(files[0].read_text("utf-8"))
    requests = [_request(entry["name"], [entry], seconds) for entry in entries if entry["num_requests"]]
    return [*sorted(requests, key=lambda one: str(one["name"])), _request("all", entries, seconds)]


def _request(name: str, entries: Sequence[Mapping[str, Any]], seconds: int) -> dict[str, Any]:
    count = sum(entry["num_requests"] for entry in entries)
    times: dict[float, int] = {}
    for entry in entries:
        for milliseconds, seen in entry["response_times"].items():
            times[float(milliseconds)] = times.get(float(milliseconds), 0) + seen
    return {
        "name": name,
        "count": count,
        "errors": sum(entry["num_failures"] for entry in entries),
        "per_second": count / seconds,
        "p50_ms": _percentile(times, 0.50),
        "p95_ms": _percentile(times, 0.95),
        "p99_ms": _percentile(times, 0.99),
        "mean_bytes": sum(entry["total_content_length"] for entry in entries) / max(1, count),
    }


def _percentile(times: Mapping[float, int], fraction: float) -> float:
    """Of a histogram of milliseconds, as Locust rounds them."""
    wanted, seen = fraction * sum(times.values()), 0
    for milliseconds in sorted(times):
        seen += times[milliseconds]
        if seen >= wanted:
            return milliseconds
    return 0.0


@contextmanager
def sampled(server: Served) -> Iterator[list[dict[str, float]]]:
    """Memory and CPU of the application every two seconds while the block runs."""
    samples: list[dict[str, float]] = []
    over = threading.Event()
    began_s = time.monotonic()

    def watch() -> None:
        server.process.cpu_percent()
        while not over.wait(_SAMPLE_S):
            try:
                rss, cpu = server.process.memory_info().rss / _MB, server.process.cpu_percent()
            except psutil.NoSuchProcess:
                return
            samples.append({"at_s": round(time.monotonic() - began_s, 1), "rss_mb": round(rss, 2), "cpu_percent": cpu})

    watcher = threading.Thread(target=watch, name="load-samples")
    watcher.start()
    try:
        yield samples
    finally:
        over.set()
        watcher.join()


def _rows(requests: Sequence[Mapping[str, Any]]) -> list[Row]:
    everything = requests[-1]
    return [
        at_most("error answers", Reading(float(everything["errors"]), 0.0, "of all answers"), 0),
        at_most("p99 of all requests", Reading(float(everything["p99_ms"]), 0.0, "ms"), _P99_MS),
    ]


def _memory_rows(samples: Sequence[Mapping[str, float]]) -> list[Row]:
    """From the end of the first fifth, when every page has been asked for, to the last fifth."""
    part = max(1, len(samples) // 5)
    before = _mean([one["rss_mb"] for one in samples[part : 2 * part]])
    after = _mean([one["rss_mb"] for one in samples[-part:]])
    growth = Reading(round(100 * (after / before - 1), 2), 0.0, "% of its memory")
    return [at_most(f"growth of the process, from {before:.0f} to {after:.0f} MB", growth, _GROWTH_PERCENT)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _plots(
    name: str, requests: Sequence[Mapping[str, Any]], samples: Sequence[Mapping[str, float]]
) -> dict[str, dict[str, Any]]:
    lines = [
        {
            "name": one["name"],
            "value": one["p50_ms"],
            "second": one["p99_ms"],
            "text": f"{one['p50_ms']:g} / {one['p99_ms']:g} ms",
        }
        for one in requests
    ]
    plots: dict[str, dict[str, Any]] = {
        name: {
            "title": "Under load: p50 (narrow bar) and p99 (wide bar) by kind of request",
            "unit": "ms",
            "lines": lines,
        }
    }
    if samples:
        shown = samples[:: max(1, len(samples) // _SHOWN)]
        memory = [
            {"name": f"{one['at_s'] / 60:.1f} min", "value": one["rss_mb"], "text": f"{one['rss_mb']:.1f} MB"}
            for one in shown
        ]
        plots[f"{name}_memory"] = {"title": "Memory of the process while it is asked", "unit": "MB", "lines": memory}
    return plots


def table(requests: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each kind of request below what the columns are."""
    head = f"  {'':<22}{'requests':>10}{'errors':>8}{'a second':>10}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}"
    return [head] + [
        f"  {one['name']:<22}{one['count']:>10}{one['errors']:>8}{one['per_second']:>10.1f}"
        f"{one['p50_ms']:>9g}{one['p95_ms']:>9g}{one['p99_ms']:>9g}"
        for one in requests
    ]


def busy_words(load: float, cores: int) -> str:
    """That others use this machine already, so that times will say little; nothing where it is idle enough."""
    if load < cores:
        return ""
    return f"This machine is busy with something else (load {load:.1f} on {cores} cores): times will say little of us."


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when no answer was an error and the limits are kept."""
    parser = argparse.ArgumentParser(description="Readers against the application, for a bounded time.")
    parser.add_argument("--users", type=int, default=60, help="readers at once")
    parser.add_argument("--seconds", type=int, default=60, help="how long")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="this long instead, and memory must not grow")
    parser.add_argument("--into", type=Path, default=report.RESULTS, help="folder of the result")
    options = parser.parse_args(arguments)
    if busy := busy_words(psutil.getloadavg()[0], psutil.cpu_count() or 1):
        print(busy, file=sys.stderr)
    seconds = round(60 * options.soak) if options.soak else options.seconds
    if not (1 <= options.users <= 2000 and 5 <= seconds <= 7 * 86_400):
        parser.error("from 1 to 2000 users, from 5 seconds to a week")
    found = run(users=options.users, seconds=seconds, soak=bool(options.soak))
    options.into.mkdir(parents=True, exist_ok=True)
    keep(options.into / f"{found['name']}.json", found)
    print("\n".join(table(found["requests"])))
    print(f"kept in {options.into / found['name']}.json")
    if options.into == report.RESULTS:
        report.write(report.read())
        print("docs/performance.md tells of it")
    return 0 if all(row["met"] is not False for row in found["rows"]) else 1


if __name__ == "__main__":
    sys.exit(main())
