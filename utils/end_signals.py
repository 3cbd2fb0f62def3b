"""End signals: SIGTERM and Ctrl+C end the process once, in order, and within a bounded time."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn


class EndSignals:
    """Turns the first of them into SystemExit(0) in the main thread, where it interrupts what is waited for.

    Later ones change nothing: Ctrl+C reaches every process of a terminal and a supervisor asks its workers as well, and
    a second exception would break off the closing of a part. Should closing take longer than `within_s`, the process
    says on standard error what each thread was doing and ends with exit code 1.
    """

    def __init__(self, *, within_s: float) -> None:
        self._within_s = within_s
        self._asked = False

    def listen(self) -> None:
        """From the main thread alone; the whole process has one such listener."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._end)

    def _end(self, _signal: int, _frame: FrameType | None) -> None:
        if self._asked:
            return
        self._asked = True
        faulthandler.dump_traceback_later(self._within_s, exit=True)  # a thread of C: it needs nothing of ours to go on
        raise SystemExit(0)


def leave_after(main: Callable[[], int]) -> NoReturn:
    """Calls `main`, which closes what it opened, and ends the process with the exit code that it answers or raises.

    Python's own end is left out: it waits without limit for threads of pools that are still at work, such as at an
    exchange that does not answer, and takes the interpreter away from those inside a C++ library, which then abort.
    """
    try:
        code = main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
