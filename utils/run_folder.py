"""Run folder: a temporary folder shared by the processes of one start; the next removes what a killed one left."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from utils import file_lock
from utils.errors import ConfigError

_LOCK = "in-use.lock"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """`handle` is of its lock: it counts as used as long as any process lives that has inherited this."""

    path: Path
    handle: int


@contextmanager
def run_folder(prefix: str) -> Iterator[RunFolder]:
    """A new folder, removed when the block ends; first those of ours are removed that nobody uses any more."""
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        if _is_left(left):
            shutil.rmtree(left, ignore_errors=True)  # another start may be removing it too
    with tempfile.TemporaryDirectory(prefix=prefix) as made:
        path = Path(made)
        lock = file_lock.taken(path / "new")
        if lock is None:
            raise ConfigError("several processes need file locks, which this platform has not; set WORKERS=1")
        with lock:
            (path / "new").rename(path / _LOCK)  # nobody finds it by this name before it is held
            yield RunFolder(path, lock.fileno())


def _is_left(folder: Path) -> bool:
    """Whether it was made here by this user, and its lock is free: that of a folder without one is not known."""
    with suppress(OSError):
        found = folder.lstat()
        ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
        return ours and (folder / _LOCK).is_file() and not file_lock.is_held(folder / _LOCK)
    return False
