"""Start steps: what was tried before a start, how it went in words, and how long it took; as a table and as JSON."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from utils.errors import ConfigError, DashboardError


class Result(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Step:
    """What was tried, how it went, in words, and how long it took in milliseconds."""

    name: str
    result: Result
    detail: str
    took_ms: float


Outcome = tuple[Result, str]
"""How it went and, in words, what was found."""


def timed(name: str, work: Callable[[], Outcome], timer: Callable[[], float] = time.perf_counter) -> Step:
    """One step; an error of ours is its result, not the end of the others."""
    started_s = timer()
    try:
        result, detail = work()
    except DashboardError as error:
        told = str(error) if isinstance(error, ConfigError) else f"{type(error).__name__}: {error}"
        result, detail = Result.FAILED, told
    return Step(name, result, detail, (timer() - started_s) * 1e3)


def table(steps: Iterable[Step]) -> str:
    """One line a step, for a terminal."""
    lines = [f"{step.took_ms:10.1f} ms  {step.result:<8} {step.name:<14} {step.detail}" for step in steps]
    return "\n".join(lines)


def report(steps: Sequence[Step]) -> dict[str, Any]:
    """The same for machines: strict JSON."""
    return {
        "ok": not any(step.result is Result.FAILED for step in steps),
        "took_ms": sum(step.took_ms for step in steps),
        "steps": [asdict(step) for step in steps],
    }
