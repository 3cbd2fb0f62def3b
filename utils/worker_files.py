"""Worker files: what each of several worker processes tells of itself, in a folder that all of them read.

Each process takes the number it is given, or the lowest free one, and keeps a file lock on it while it lives, so that
nobody believes what a dead one left behind, and a worker that is replaced goes on under its number.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from utils import file_lock
from utils.repeating import Repeating

log = logging.getLogger(__name__)

MOST_WORKERS = 64


class WorkerFiles:
    """Writes what each of `tell` gives under its name, every `period_s` seconds between `start()` and `close()`.

    Needs file locks (`fcntl`): elsewhere this process has no number, writes nothing and finds nobody.
    """

    def __init__(self, folder: Path, *, period_s: float = 5.0, wanted: int | None = None) -> None:
        """`wanted`: the number to take where it is free, so that this worker is called here as it is elsewhere."""
        self.tell: dict[str, Callable[[], bytes]] = {}
        self._folder = folder
        self._wanted = () if wanted is None else (wanted,)
        self._number: int | None = None
        self._lock_file: IO[bytes] | None = None
        self._writing = threading.Lock()
        self._publishing = Repeating(self._try_to_publish, name="worker-files", period_s=period_s, at_once=True)

    @property
    def number(self) -> int | None:
        """Of this worker; None while it does not publish."""
        return self._number

    def others(self, name: str) -> list[tuple[int, bytes]]:
        """(number, what it told last under that name) of every other living worker."""
        found = []
        for number in self._living(name):
            with suppress(OSError):  # it ended this moment
                found.append((number, self._path(number, name).read_bytes()))
        return found

    def publish(self) -> None:
        """Puts what this process tells where the others read it; each file whole or not at all."""
        if self._number is None:
            return
        for name, told in self.tell.items():
            content = told()
            with self._writing:
                draft = self._path(self._number, f"{name}.draft")
                draft.write_bytes(content)
                draft.replace(self._path(self._number, name))

    def start(self) -> None:
        if not self._publishing.running and self._take_number():
            self._publishing.start()

    def close(self) -> None:
        self._publishing.close()
        if self._number is not None and self._lock_file is not None:
            self._forget(self._number)
            self._lock_file.close()
        self._number = self._lock_file = None

    def _try_to_publish(self) -> None:
        try:
            self.publish()
        except OSError as error:
            log.warning("what this worker counts cannot be shared with the others: %s", error)

    def _take_number(self) -> bool:
        self._folder.mkdir(parents=True, exist_ok=True)
        for number in (*self._wanted, *range(MOST_WORKERS)):
            lock_file = file_lock.taken(self._lock_path(number))
            if lock_file is not None:
                self._number, self._lock_file = number, lock_file
                return True
        return False

    def _living(self, name: str) -> Iterator[int]:
        """The others that told something; what one left behind that was killed is cleared away."""
        for number in range(MOST_WORKERS):
            if number == self._number or not self._path(number, name).exists():
                continue
            free = file_lock.taken(self._lock_path(number))
            if free is None:
                yield number
            else:
                self._forget(number)
                free.close()

    def _forget(self, number: int) -> None:
        for name in self.tell:
            self._path(number, name).unlink(missing_ok=True)

    def _lock_path(self, number: int) -> Path:
        return self._folder / f"worker-{number}.lock"

    def _path(self, number: int, name: str) -> Path:
        return self._folder / f"worker-{number}.{name}"
