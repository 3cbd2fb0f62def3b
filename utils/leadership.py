"""Leadership: of several processes one does what must be done once; when it ends, however, another takes over."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Protocol

from utils import file_lock
from utils.errors import ConfigError

log = logging.getLogger(__name__)


class Part(Protocol):
    """Something with a thread of its own."""

    def start(self) -> None: ...
    def close(self) -> None: ...


class Leadership:
    """Follows until the lock file is free, then leads until it is closed.

    The lock is the kernel's (`flock`): it ends with the process that holds it, also when that is killed. `period_s` is
    how long nobody may lead after that.
    """

    def __init__(self, path: Path, *, follow: Part, lead: Sequence[Part], period_s: float = 0.2) -> None:
        self._path = path
        self._follow = follow
        self._lead = tuple(lead)
        self._period_s = period_s
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock_file: IO[bytes] | None = None
        self._running: list[Part] = []

    @property
    def leads(self) -> bool:
        return self._lock_file is not None

    def start(self) -> None:
        """Begins to lead at once where nobody does, so that a single process never follows. Raises ConfigError."""
        if not file_lock.AVAILABLE:
            raise ConfigError("several workers need file locks, which this platform has not; set WORKERS=1")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._try():
            return
        self._begin(self._follow)
        self._thread = threading.Thread(target=self._wait, name="leadership", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends what runs, the latest first; the lock is given up last."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._end_all()
        if self._lock_file is not None:
            self._lock_file.close()
            self._lock_file = None

    def _wait(self) -> None:
        while not self._closing.wait(self._period_s):
            if self._try():
                return

    def _try(self) -> bool:
        self._lock_file = file_lock.taken(self._path)
        if self._lock_file is None:
            return False
        log.info("this process leads")
        self._end_all()
        for part in self._lead:
            self._begin(part)
        return True

    def _begin(self, part: Part) -> None:
        part.start()
        self._running.append(part)

    def _end_all(self) -> None:
        while self._running:
            self._running.pop().close()
