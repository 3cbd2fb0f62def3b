"""Who is logged in: ids as digests, in memory or in files for several processes. A restart asks everybody again."""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from utils.clock import Clock

_MAX_SESSIONS = 1_000
_SEEN_EVERY_MS = 30_000
"""A session's file is not written with every request."""


class Sessions(Protocol):
    """Who is logged in, wherever it is kept."""

    def open(self) -> str: ...
    def touch(self, session_id: str | None) -> bool: ...
    def end(self, session_id: str | None) -> None: ...


class SessionStore:
    """Sessions end after `idle_s` seconds without a request."""

    def __init__(self, clock: Clock, *, idle_s: float) -> None:
        self._clock = clock
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._last_seen: OrderedDict[bytes, float] = OrderedDict()

    def open(self) -> str:
        """A new session's id: 256 random bits, told once."""
        session_id = secrets.token_urlsafe(32)
        with self._lock:
            self._last_seen[_digest(session_id)] = self._clock.monotonic()
            while len(self._last_seen) > _MAX_SESSIONS:
                self._last_seen.popitem(last=False)
        return session_id

    def touch(self, session_id: str | None) -> bool:
        """Whether the session is open; if so, its idle time starts again."""
        if not session_id:
            return False
        digest = _digest(session_id)
        with self._lock:
            last_seen = self._last_seen.pop(digest, None)
            now = self._clock.monotonic()
            if last_seen is None or now - last_seen > self._idle_s:
                return False
            self._last_seen[digest] = now
            return True

    def end(self, session_id: str | None) -> None:
        if session_id:
            with self._lock:
                self._last_seen.pop(_digest(session_id), None)


class SharedSessionStore:
    """The same for several processes: an empty file per session, named by its digest, as old as its last request.

    A logout in one process is known to all with their next request. Files of ended sessions go when others are opened.
    """

    def __init__(self, folder: Path, clock: Clock, *, idle_s: float) -> None:
        self._folder = folder
        self._clock = clock
        self._idle_ms = round(idle_s * 1000)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def open(self) -> str:
        session_id = secrets.token_urlsafe(32)
        for old in sorted(self._folder.iterdir(), key=_last_seen_ms)[: -_MAX_SESSIONS + 1]:
            old.unlink(missing_ok=True)
        for old in self._folder.iterdir():
            if self._is_over(_last_seen_ms(old)):
                old.unlink(missing_ok=True)
        path = self._path(session_id)
        path.touch(mode=0o600)
        self._see(path)
        return session_id

    def touch(self, session_id: str | None) -> bool:
        if not session_id:
            return False
        path = self._path(session_id)
        last_seen_ms = _last_seen_ms(path)
        if last_seen_ms == 0 or self._is_over(last_seen_ms):
            return False
        if self._clock.now_ms() - last_seen_ms > _SEEN_EVERY_MS:
            self._see(path)
        return True

    def end(self, session_id: str | None) -> None:
        if session_id:
            self._path(session_id).unlink(missing_ok=True)

    def clear(self) -> None:
        """Everybody is asked again."""
        for path in self._folder.iterdir():
            path.unlink(missing_ok=True)

    def _path(self, session_id: str) -> Path:
        return self._folder / _digest(session_id).hex()

    def _is_over(self, last_seen_ms: int) -> bool:
        return self._clock.now_ms() - last_seen_ms > self._idle_ms

    def _see(self, path: Path) -> None:
        now_ns = self._clock.now_ms() * 1_000_000
        with suppress(FileNotFoundError):  # ended elsewhere this moment
            os.utime(path, ns=(now_ns, now_ns))


def _last_seen_ms(path: Path) -> int:
    """0 where there is no such session."""
    try:
        return path.stat().st_mtime_ns // 1_000_000
    except FileNotFoundError:
        return 0


def _digest(session_id: str) -> bytes:
    return hashlib.sha256(session_id.encode()).digest()
