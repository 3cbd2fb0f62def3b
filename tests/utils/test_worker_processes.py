"""Worker processes: real ones; whoever ends is replaced, but where none can start nobody goes on as if one did."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from utils.clock import SystemClock
from utils.worker_processes import WorkerProcesses


def processes(programs: Sequence[str], say: Callable[[str], None]) -> WorkerProcesses:
    """Each program is Python, one per worker."""
    return WorkerProcesses(
        lambda number, _: [sys.executable, "-c", programs[number - 1]],
        count=len(programs),
        handles=[],
        timer=SystemClock().monotonic,
        say=say,
    )


def test_where_no_worker_can_start_it_ends_as_they_did() -> None:
    said: list[str] = []
    assert processes(["raise SystemExit(1)", "raise SystemExit(2)"], said.append).run() == 2
    assert said[-1] == "no worker could start; what each said above is why"
    assert "worker 1 ended (exit code 1); another takes its place" in said


def test_who_was_killed_is_replaced_as_often_as_it_takes() -> None:
    """Nothing is wrong with how it starts."""
    said: list[str] = []

    def heard(words: str) -> None:
        said.append(words)
        if len(said) == 2:
            team.stop()

    team = processes(["import os; os.kill(os.getpid(), 9)"], heard)
    assert team.run() == 0
    assert said == ["worker 1 ended (SIGKILL); another takes its place"] * 2
