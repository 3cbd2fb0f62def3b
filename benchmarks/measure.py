"""Measuring: interleaved rounds, medians with their spread, rows that hold ours beside a reference and a target."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from utils.system_info import machine_facts


@dataclass(frozen=True, slots=True)
class Reading:
    """The median of some rounds and how far they lie apart (half the range between the quartiles), in `unit`."""

    median: float
    spread: float
    unit: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `ratio` is what `target` is about (`>= 300`, `<= 150 MB`); no target: for information.

    The medians say the same as `ours` and `reference` as numbers in `unit`, for plots and for sums over rows.
    """

    what: str
    ours: str
    reference: str
    ratio: float
    target: str
    met: bool | None
    ours_median: float | None = None
    reference_median: float | None = None
    unit: str = ""


def interleaved(works: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Each work once per round, in turn, so that a noisy moment hits all of them alike."""
    seen: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds):
        names = list(works) if number % 2 == 0 else list(works)[::-1]
        for name in names:
            seen[name].append(works[name]())
    return seen


def reading(values: Sequence[float], unit: str) -> Reading:
    quartiles = statistics.quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3
    return Reading(statistics.median(values), (quartiles[2] - quartiles[0]) / 2, unit)


def readings(works: Mapping[str, Callable[[], float]], rounds: int, unit: str) -> dict[str, Reading]:
    """Interleaved rounds of works that all answer in one unit."""
    return {name: reading(values, unit) for name, values in interleaved(works, rounds).items()}


def seconds_per_call(work: Callable[[], object], calls: int) -> float:
    started_s = time.perf_counter()
    for _ in range(calls):
        work()
    return (time.perf_counter() - started_s) / calls


def shown(value: Reading) -> str:
    return f"{value.median:.4g} ± {value.spread:.2g} {value.unit}"


def at_least(what: str, ours: Reading, reference: Reading, ratio: float, limit: float | None) -> Row:
    target = "" if limit is None else f">= {limit:g}×"
    met = None if limit is None else ratio >= limit
    medians = (ours.median, reference.median, ours.unit)
    return Row(what, shown(ours), shown(reference), ratio, target, met, *medians)


def told(what: str, value: Reading) -> Row:
    """Measured, and held against nothing."""
    return at_least(what, value, value, 1.0, None)


def faster(what: str, ours: Reading, reference: Reading, limit: float | None) -> Row:
    """How many times less time (or bytes, or memory) ours takes than the reference."""
    return at_least(what, ours, reference, reference.median / ours.median, limit)


def saves(what: str, ours: Reading, reference: Reading, fraction: float) -> Row:
    """Which fraction of the reference ours does without; `ratio` is that fraction (0 … 1)."""
    saved = 1 - ours.median / reference.median
    medians = (ours.median, reference.median, ours.unit)
    return Row(what, shown(ours), shown(reference), saved, f"saves >= {fraction:.1%}", saved >= fraction, *medians)


def at_most(what: str, ours: Reading, limit: float) -> Row:
    met = ours.median <= limit
    target = f"<= {limit:g} {ours.unit}"
    return Row(
        what, shown(ours), "", ours.median / limit if limit else ours.median, target, met, ours.median, None, ours.unit
    )


def result(name: str, rows: Sequence[Row], **more: Any) -> dict[str, Any]:
    """What `run()` answers and what is kept as JSON."""
    return {"name": name, "machine": machine_facts(), "rows": [asdict(row) for row in rows], **more}


def print_rows(title: str, rows: Sequence[Row]) -> None:
    print(f"\n{title}")
    for row in rows:
        mark = {True: "met", False: "MISSED", None: ""}[row.met]
        against = f" against {row.reference}" if row.reference else ""
        print(f"  {row.what}: {row.ours}{against} → {row.ratio:.3g} {row.target} {mark}")


def own_memory_mb(process: psutil.Process) -> float:
    """Megabytes of resident memory without pages of library files, which the machine lends and takes back; elsewhere
    than on Linux, all of it."""
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) / 1e6
    except (OSError, StopIteration):
        return float(process.memory_info().rss) / 1e6
