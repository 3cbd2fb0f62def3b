"""CacheClearing: what empties each cache, by name, here and in the processes beside us; how often somebody did."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from utils.errors import NotFound


class CacheClearing:
    """`times` counts what was cleared, so that a page which shows the caches knows that it has changed.

    Several processes: `tell` says to the one that leads what was cleared here, and each of the others empties what that
    one counts (`follow`).
    """

    def __init__(self, empty: Mapping[str, Callable[[], object]] | None = None) -> None:
        self._empty = dict(empty or {})
        self.times = 0
        self.counts = dict.fromkeys(self._empty, 0)
        """How often each was cleared here."""
        self.tell: Callable[[str], object] = lambda _name: None
        self._followed: Mapping[str, int] | None = None

    def __iter__(self) -> Iterator[str]:
        return iter(self._empty)

    def __contains__(self, name: object) -> bool:
        return name in self._empty

    def __len__(self) -> int:
        return len(self._empty)

    def clear(self, name: str) -> None:
        """Empties it; NotFound where there is no such cache."""
        if name not in self._empty:
            raise NotFound(f"there is no cache {name[:40]!r} to clear; there are {', '.join(self._empty)}")
        self._clear(name)
        self.tell(name)

    def follow(self, counts: Mapping[str, int]) -> None:
        """Empties what was cleared once more than when this was called last, in the process whose counts these are."""
        known, self._followed = self._followed, dict(counts)
        for name in self._empty:
            if known is not None and counts.get(name, 0) > known.get(name, 0):
                self._clear(name)

    def _clear(self, name: str) -> None:
        self._empty[name]()
        self.times += 1
        self.counts[name] += 1
