"""AccessLog: a line per answered request, for which the request pays no more than an append."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable
from itertools import starmap
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import NamedTuple

from utils.clock import Clock, SystemClock
from utils.logs import BACKUPS, MAX_BYTES, quoted, rotated, utc
from utils.redaction import Redaction
from utils.repeating import Repeating

ACCESS_FILE = "access.log"


class AccessRecord(NamedTuple):
    """One answered request; a tuple, because making one is part of every request."""

    request_id: str
    remote: str
    method: str
    path: str
    status: int
    duration_s: float
    size_bytes: int


_LINES_AT_ONCE = 200
"""Written together, where a file holds many more: the handler looks at its size and flushes it each time."""
_LINE_BYTES = 4_096


class AccessLog:
    """A line per request in `folder`/access.log. A request pays for an append; a thread writes, once a second.

    Silent until `start()`. More than `max_pending` requests within a second: the oldest are not written, but counted.
    """

    def __init__(
        self,
        folder: Path,
        *,
        secrets: Iterable[str] = (),
        clock: Clock | None = None,
        period_s: float = 1.0,
        max_bytes: int = MAX_BYTES,
        backups: int = BACKUPS,
        max_pending: int = 50_000,
    ) -> None:
        self._folder = folder
        self._redaction = Redaction(secrets)
        self._clock = clock or SystemClock()
        self._max_bytes = max_bytes
        self._backups = backups
        self._lines_at_once = max(1, min(_LINES_AT_ONCE, max_bytes // _LINE_BYTES))
        self._pending: deque[tuple[int, AccessRecord]] = deque(maxlen=max_pending)
        self._recorded = 0
        self._written = 0
        self._running = False
        self._write_lock = threading.Lock()
        self._writing = Repeating(self.flush, name="access-log", period_s=period_s)
        self._file: RotatingFileHandler | None = None

    @property
    def dropped(self) -> int:
        """Requests that came faster than they could be written."""
        return max(0, self._recorded - self._written - len(self._pending))

    def record(self, record: AccessRecord) -> None:
        if self._running:
            self._recorded += 1
            self._pending.append((self._clock.now_ms(), record))

    def start(self) -> None:
        if self._running:
            return
        self._file = rotated(self._folder, ACCESS_FILE, self._max_bytes, self._backups)
        self._running = True
        self._writing.start()

    def close(self) -> None:
        """Writes what is pending and ends the thread."""
        self._running = False
        self._writing.close()
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None

    def flush(self) -> None:
        """Writes what is pending now."""
        with self._write_lock:
            if self._file is None:
                return
            due = len(self._pending)
            while due > 0:
                some = [self._pending.popleft() for _ in range(min(due, self._lines_at_once))]
                self._file.emit(logging.makeLogRecord({"msg": "\n".join(starmap(self._line, some))}))
                self._written += len(some)
                due -= len(some)

    def _line(self, at_ms: int, record: AccessRecord) -> str:
        return self._redaction(
            f"at={utc(at_ms)} request={record.request_id} remote={quoted(record.remote)} "
            f"method={quoted(record.method)} path={quoted(record.path)} status={record.status} "
            f"ms={record.duration_s * 1e3:.3f} bytes={record.size_bytes}"
        )
