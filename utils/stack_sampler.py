"""StackSampler: what every thread of this process is doing, looked at a few hundred times a second.

Our own, since no library does it from inside and without privileges: pyinstrument sees one thread, the one it began in;
py-spy and austin are other processes that need the right to trace this one (root on macOS, in containers, and under
Ubuntu's default). The price of looking from inside: this thread needs the interpreter's lock like any other, so it sees
a busy thread where that gives the lock up. One request is profiled by pyinstrument, which has no such bias.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType

from utils.profile import DEEPEST, Profile, Stack, StackSum, frame_name

INTERVAL_S = 0.005

_WAITING = {
    ("threading.py", "wait"),
    ("threading.py", "_wait_for_tstate_lock"),
    ("threading.py", "join"),
    ("selectors.py", "select"),
    ("queue.py", "get"),
    ("_base.py", "result"),
    ("_base.py", "wait"),
    ("wasyncore.py", "poll"),
    ("wasyncore.py", "poll2"),
    ("socketserver.py", "serve_forever"),
    ("subprocess.py", "_try_wait"),
    ("subprocess.py", "wait"),
    ("socket.py", "readinto"),
    ("socket.py", "accept"),
}
"""(file, function) whose innermost frame means that the thread waits for something."""
_NUMBER = re.compile(r"[-_ ]*\d+( \(.*\))?$")


def sample_process(seconds: float, *, at_ms: int, stop: threading.Event, interval_s: float = INTERVAL_S) -> Profile:
    """Looks until `seconds` are over or `stop` is set. Threads that wait are counted, not drawn.

    Where the system tells each thread's processor time (Linux), a stack weighs what its thread has used of it since the
    look before; elsewhere the time that has passed, unless its innermost function is known to wait.
    """
    sums, me = StackSum(), threading.get_ident()
    samples = idle = rounds = 0
    started_s = last_s = time.perf_counter()
    with ThreadClocks() as clocks:
        while time.perf_counter() - started_s < seconds and not stop.wait(interval_s):
            threads = {thread.ident: thread for thread in threading.enumerate()}
            now_s = time.perf_counter()
            for ident, frame in sys._current_frames().items():
                thread = threads.get(ident)
                if ident == me or thread is None:
                    continue
                weight = clocks.used_s(thread.native_id or 0)
                if weight is None:
                    weight = 0.0 if is_waiting(frame.f_code) else now_s - last_s
                samples += 1
                idle += weight == 0.0
                if weight > 0.0:
                    sums.add((group_of(thread.name), *stack_of(frame)), weight)
            last_s = now_s
            rounds += 1
    took_s = time.perf_counter() - started_s
    title = f"the whole process for {took_s:.1f} s"
    return Profile("process", title, at_ms, took_s, rounds, idle / samples if samples else 0.0, sums.stacks)


class ThreadClocks:
    """The processor time of this process's threads, each file opened once: a reading costs 2 µs."""

    def __init__(self, folder: Path = Path("/proc/self/task")) -> None:
        self._folder = folder
        self._files: dict[int, int | None] = {}
        self._before: dict[int, int] = {}

    def __enter__(self) -> ThreadClocks:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            if file is not None:
                os.close(file)

    def used_s(self, native_id: int) -> float | None:
        """Seconds used since the reading before, 0 at the first; None where the system does not tell."""
        if native_id not in self._files:
            self._files[native_id] = self._open(native_id)
        file = self._files[native_id]
        if file is None:
            return None
        try:
            used_ns = int(os.pread(file, 64, 0).split()[0])
        except (OSError, IndexError, ValueError):  # the thread has ended
            return 0.0
        before_ns, self._before[native_id] = self._before.get(native_id, used_ns), used_ns
        return max(0, used_ns - before_ns) / 1e9

    def _open(self, native_id: int) -> int | None:
        try:
            return os.open(self._folder / str(native_id) / "schedstat", os.O_RDONLY)
        except OSError:
            return None


def stack_of(frame: FrameType) -> Stack:
    """Names from the outermost call to the one that runs."""
    names = [_name(each.f_code) for each in _outwards(frame)]
    return tuple(reversed(names))


def is_waiting(code: CodeType) -> bool:
    """Whether a thread whose innermost frame runs this waits for something."""
    return (code.co_filename.rpartition("/")[2], code.co_name) in _WAITING


def group_of(thread_name: str) -> str:
    """`waitress-3` → `thread waitress`: threads of one kind are drawn together."""
    return f"thread {_NUMBER.sub('', thread_name) or thread_name}"


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    for _ in range(DEEPEST):
        if frame is None:
            return
        yield frame
        frame = frame.f_back


@lru_cache(maxsize=4096)
def _name(code: CodeType) -> str:
    return frame_name(code.co_qualname, code.co_filename)
