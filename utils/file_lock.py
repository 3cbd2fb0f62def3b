"""File lock: one at a time of all threads and processes that change the same files; it ends with who holds it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HERE = threading.Lock()
"""For threads of this process where the system has no `flock`."""


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Waits until nobody else holds the lock of that file, which is made where it is absent. OSError where it cannot
    be."""
    if os.name != "posix":
        with _HERE:
            yield
        return
    import fcntl

    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
