"""In time: whether a call keeps within its time, told apart from a machine that was busy with something else."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_TRIES = 5


def in_time(call: Callable[[], T], within_s: float) -> T:
    """What the call gives, which takes at most `within_s` in one of five tries: what waits for too long by itself does
    so every time, what a starved machine held up does not. The waits are the kernel's, at sockets, so there is no clock
    to inject; a call that is late only now and then is not found by this."""
    took = []
    for _ in range(_TRIES):
        began = time.monotonic()
        given = call()
        took.append(time.monotonic() - began)
        if took[-1] <= within_s:
            return given
    raise AssertionError(f"took {', '.join(f'{one:.2f}' for one in took)} s each, and may take {within_s:g}")
