"""Worker processes: several of the same program on one listening socket, each started anew when it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

_LOOK_S = 0.25
_STEADY_S = 10.0
"""A process that lasted longer is replaced at once, an earlier end waits twice as long each time."""
_LONGEST_PAUSE_S = 30.0
_PATIENCE_S = 25.0
"""Longer than a worker takes to say why it does not end (`utils/end_signals.py`)."""


class WorkerProcesses:
    """Owns `count` processes. Each inherits `handles` and a lifeline whose end it hears when this process is gone."""

    def __init__(
        self,
        command: Callable[[int, int], Sequence[str]],
        *,
        count: int,
        handles: Sequence[int],
        timer: Callable[[], float],
        say: Callable[[str], None],
    ) -> None:
        """`command(number, lifeline)` is what to run; `say` is told of every process that ended by itself."""
        self._command = command
        self._handles = tuple(handles)
        self._timer = timer
        self._say = say
        self._lifeline, self._held = os.pipe()
        self._workers = [_Worker(number) for number in range(1, count + 1)]
        self._stop = threading.Event()

    def run(self) -> int:
        """Until this thread is interrupted, or `stop` is called (0), or none of them can start, for a reason of its own
        (its exit code): another try would end the same, and whoever asks would wait for nobody. Then all have ended."""
        try:
            while not self._stop.is_set():
                for worker in self._workers:
                    self._look_after(worker)
                if all(worker.refused for worker in self._workers):
                    self._say("no worker could start; what each said above is why")
                    return max(worker.refused for worker in self._workers)
                self._stop.wait(_LOOK_S)
        finally:
            self._end()
        return 0

    def stop(self) -> None:
        self._stop.set()

    def _look_after(self, worker: _Worker) -> None:
        now_s = self._timer()
        if worker.process is not None:
            code = worker.process.poll()
            if code is None:
                worker.lasts(now_s)
                return
            worker.ended(now_s, code)
            self._say(f"worker {worker.number} ended ({_reason(code)}); another takes its place")
        if now_s >= worker.not_before_s:
            worker.process = subprocess.Popen(  # noqa: S603 - our own program, no shell
                self._command(worker.number, self._lifeline), pass_fds=(*self._handles, self._lifeline)
            )
            worker.started_s = now_s

    def _end(self) -> None:
        running = [worker.process for worker in self._workers if worker.process is not None]
        for process in running:
            with suppress(ProcessLookupError):
                process.terminate()
        for process in running:
            try:
                process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for handle in (self._held, self._lifeline):
            os.close(handle)


class _Worker:
    __slots__ = ("not_before_s", "number", "pause_s", "process", "refused", "started_s")

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: subprocess.Popen[bytes] | None = None
        self.started_s = 0.0
        self.not_before_s = float("-inf")
        self.pause_s = 0.0
        self.refused = 0
        """The exit code by which it last ended before it was steady; 0 where it was steady since, or was killed."""

    def lasts(self, now_s: float) -> None:
        if now_s - self.started_s > _STEADY_S:
            self.refused = 0

    def ended(self, now_s: float, code: int) -> None:
        steady = now_s - self.started_s > _STEADY_S
        self.refused = 0 if steady else max(0, code)
        self.pause_s = 0.0 if steady else min(max(0.5, 2 * self.pause_s), _LONGEST_PAUSE_S)
        self.process, self.not_before_s = None, now_s + self.pause_s


def end_with_parent(lifeline: int) -> None:
    """Asks this process to end as soon as the one that holds the other side of the pipe is gone, however it went."""

    def wait() -> None:
        os.read(lifeline, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


def _reason(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"
