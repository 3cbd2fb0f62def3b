"""Performance of the workers: each process that answers beside the others, and what they are together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from routes import wording
from routes.performance_parts import count, percent, seconds_text
from utils.worker_reports import WorkerReport

_SUMMED = ("rss_bytes", "uss_bytes", "cpu_percent", "threads", "open_files")


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One process; `role` says what it does beside answering, `answers` whether this page comes from it."""

    number: int
    role: str
    answers: bool
    pid: int
    running: str
    requests: str
    p95: str
    errors: int
    rss: str
    uss: str
    cpu: str
    threads: str
    open_files: str


def worker_rows(own: WorkerReport | None, others: Sequence[WorkerReport]) -> tuple[WorkerRow, ...]:
    """By number; none where there is a single process."""
    if own is None:
        return ()
    return tuple(_row(one, answers=one is own) for one in sorted((own, *others), key=lambda one: one.number))


def process_of_all(process: Mapping[str, Any], others: Sequence[WorkerReport]) -> Mapping[str, Any]:
    """The sample with memory, processor, threads and descriptors of all processes in sum."""
    samples = [one.process for one in others if one.process]
    if not samples or not process:
        return process
    told = {name: [sample.get(name) for sample in (process, *samples)] for name in _SUMMED}
    return {**process, **{name: sum(many) for name, many in told.items() if None not in many}}


def exchange_of_all(exchange: Mapping[str, Any], others: Sequence[WorkerReport]) -> Mapping[str, Any]:
    """What the process that leads asked of the exchange: the others ask next to nothing."""
    return next((one.exchange for one in others if one.leads and one.exchange), exchange)


def _row(one: WorkerReport, *, answers: bool) -> WorkerRow:
    whole, failing = one.now.all_routes, one.now.judged_by_errors
    process = one.process
    return WorkerRow(
        number=one.number,
        role="leads" if one.leads else "follows",
        answers=answers,
        pid=one.pid,
        running=wording.duration(one.uptime_s),
        requests=count(whole.count),
        p95=seconds_text(whole.percentile_s(0.95)),
        errors=failing.errors,
        rss=wording.size(process.get("rss_bytes")),
        uss=wording.size(process.get("uss_bytes")),
        cpu=percent(process.get("cpu_percent")),
        threads=count(process.get("threads")),
        open_files=count(process.get("open_files")),
    )
