"""File lock: one at a time of all threads and processes, kept by the kernel: it ends with who holds it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

AVAILABLE = os.name == "posix"
"""Whether the system has `flock`."""
_HERE = threading.Lock()
"""For threads of this process where the system has no `flock`."""


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Waits until nobody else holds the lock of that file, which is made where it is absent. OSError where it cannot
    be."""
    if not AVAILABLE:
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


def taken(path: Path) -> IO[bytes] | None:
    """The file, locked until it is closed or this process ends; None where another process or object holds it, or
    where the system has no such locks. Waits for nobody."""
    if not AVAILABLE:
        return None
    import fcntl

    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock of that file now; those who ask at the same time do not see each other."""
    if not AVAILABLE or not path.exists():
        return False
    import fcntl

    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
