"""Logs: one line per event, `key=value`, secrets masked, written by a thread of their own, rotated, private."""

from __future__ import annotations

import copy
import json
import logging
import os
import queue
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from io import TextIOWrapper
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from pathlib import Path
from typing import TextIO

from utils.deploy_checks import unusable
from utils.errors import ConfigError
from utils.performance_monitor import current_trace
from utils.redaction import Redaction

LOG_FILE = "dashboard.log"

MAX_BYTES = 5 * 1024 * 1024
BACKUPS = 5
_CHATTY = ("asyncio", "websockets", "urllib3", "aiohttp", "binance")
"""Libraries whose DEBUG lines hold whole frames and signed addresses: never below INFO."""
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "request_id", "taskName"}


def utc(at_ms: int) -> str:
    """UTC milliseconds as `2026-01-02T03:04:05.678Z`."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def quoted(value: object) -> str:
    """A value on one line: bare where that is unambiguous, else as a JSON string, control characters escaped."""
    text = str(value)
    if text and text.isascii() and text.isprintable() and not set(text) & set(' "=\\'):
        return text
    return json.dumps(text)


class LineFormatter(logging.Formatter):
    """`at=… level=… logger=… event="…"`, then what the record's `extra` holds as keys, and a traceback as `trace`.

    `worker` names the process, where several write to one console.
    """

    def __init__(self, redaction: Redaction, worker: int | None = None) -> None:
        super().__init__()
        self._redaction = redaction
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        at = utc(round(record.created * 1000))
        pairs: list[tuple[str, object]] = [
            ("at", at),
            ("level", record.levelname),
            *([("worker", self._worker)] if self._worker is not None else []),
            ("logger", record.name),
            ("event", self._redaction(record.getMessage())),
        ]
        request_id = getattr(record, "request_id", None)
        if request_id:
            pairs.append(("request", request_id))
        pairs += [(key, value) for key, value in vars(record).items() if key not in _STANDARD]
        trace = record.exc_text or (self.formatException(record.exc_info) if record.exc_info else "")
        if trace:
            pairs.append(("trace", trace))
        return self._redaction(" ".join(f"{_key(key)}={quoted(value)}" for key, value in pairs))


class _Door(QueueHandler):
    """Takes a record in the caller's thread: its message rendered, its traceback as text, its request named."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        record = copy.copy(record)
        record.msg = record.getMessage()
        record.args = None
        if record.exc_info:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
            record.exc_info = None
        trace = current_trace()
        record.request_id = trace.request_id if trace else None
        return record


class _PrivateFile(RotatingFileHandler):
    """A rotated file that only its owner may read."""

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")


class Logs:
    """Running: root logger → queue → thread → file and console. `close()` writes what is queued and undoes it all."""

    def __init__(
        self, level: str, redaction: Redaction, folder: Path | None, console: TextIO | None, worker: int | None = None
    ) -> None:
        handlers: list[logging.Handler] = []
        if folder is not None:
            handlers.append(rotated(folder, LOG_FILE))
        if console is not None:
            handlers.append(logging.StreamHandler(console))
        for handler in handlers:
            handler.setFormatter(LineFormatter(redaction, worker))
        self._handlers = handlers
        self._closed = False
        self._door = _Door(queue.SimpleQueue())
        self._listener = QueueListener(self._door.queue, *handlers)
        self._listener.start()
        root = logging.getLogger()
        self._level_before = root.level
        root.setLevel(level)
        root.addHandler(self._door)
        for name in _CHATTY:
            logging.getLogger(name).setLevel(max(logging.INFO, logging.getLevelNamesMapping()[level]))

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        root = logging.getLogger()
        root.removeHandler(self._door)
        root.setLevel(self._level_before)
        for name in _CHATTY:
            logging.getLogger(name).setLevel(logging.NOTSET)
        self._listener.stop()
        for handler in self._handlers:
            handler.close()
        self._door.close()


def start_logging(
    *,
    level: str,
    secrets: Iterable[str] = (),
    folder: Path | None = None,
    console: TextIO | None = sys.stderr,
    worker: int | None = None,
) -> Logs:
    """Sends the root logger's records of `level` and above to `folder`/dashboard.log and to the console."""
    return Logs(level, Redaction(secrets), folder, console, worker)


def _key(key: str) -> str:
    return key if key.isidentifier() else "field"


def rotated(folder: Path, name: str, max_bytes: int = MAX_BYTES, backups: int = BACKUPS) -> RotatingFileHandler:
    """A rotated file in a private folder, made if it is missing. Raises ConfigError where that cannot be."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _PrivateFile(folder / name, maxBytes=max_bytes, backupCount=backups, encoding="utf-8")
    except OSError as error:
        raise ConfigError(unusable(folder, error)) from None
