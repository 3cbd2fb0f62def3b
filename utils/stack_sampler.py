"""StackSampler: what every thread of this process is doing, looked at a few hundred times a second.

Our own, since no library does it from inside and without privileges: pyinstrument sees one thread, the one it began in;
py-spy and austin are other processes that need the right to trace this one (root on macOS, in containers, and under
Ubuntu's default). The price of looking from inside: this thread needs the interpreter's lock like any other, so it sees
a busy thread where that gives the lock up. One request is profiled by pyinstrument, which has no such bias.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterator
from functools import lru_cache
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
    """Looks until `seconds` are over or `stop` is set. Threads that wait are counted, not drawn."""
    sums, me = StackSum(), threading.get_ident()
    samples = idle = rounds = 0
    started_s = last_s = time.perf_counter()
    while time.perf_counter() - started_s < seconds and not stop.wait(interval_s):
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        now_s = time.perf_counter()
        for ident, frame in sys._current_frames().items():
            if ident == me:
                continue
            samples += 1
            if is_waiting(frame.f_code):
                idle += 1
            else:
                sums.add((group_of(names.get(ident, "unknown")), *stack_of(frame)), now_s - last_s)
        last_s = now_s
        rounds += 1
    took_s = time.perf_counter() - started_s
    title = f"the whole process for {took_s:.1f} s"
    return Profile("process", title, at_ms, took_s, rounds, idle / samples if samples else 0.0, sums.stacks)


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
