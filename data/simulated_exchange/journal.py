"""Journal: every request the exchange has seen, for tests that ask what was asked."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock


@dataclass(frozen=True, slots=True)
class Entry:
    """One request; `at_ms` is the exchange's time. Status 0: a fault of transport."""

    method: str
    path: str
    params: tuple[tuple[str, str], ...]
    weight: int
    status: int
    at_ms: int

    def param(self, name: str) -> str | None:
        return dict(self.params).get(name)


class Journal:
    """The newest requests, oldest first; safe to read from any thread."""

    def __init__(self, size: int = 100_000) -> None:
        self._entries: deque[Entry] = deque(maxlen=size)
        self._lock = Lock()

    def write(self, entry: Entry) -> None:
        with self._lock:
            self._entries.append(entry)

    def entries(self, path: str | None = None) -> list[Entry]:
        """All, or those whose path ends with `path`."""
        with self._lock:
            return [entry for entry in self._entries if path is None or entry.path.endswith(path)]

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries())

    def __len__(self) -> int:
        return len(self._entries)
