"""SessionStore: who is logged in. Ids live in memory, as digests: a restart asks everybody again, a logout is final."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import OrderedDict

from utils.clock import Clock

_MAX_SESSIONS = 1_000


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


def _digest(session_id: str) -> bytes:
    return hashlib.sha256(session_id.encode()).digest()
