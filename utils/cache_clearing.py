"""CacheClearing: what empties each cache, by name, and how often somebody did."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from utils.errors import NotFound


class CacheClearing:
    """`times` counts what was cleared, so that a page which shows the caches knows that it has changed."""

    def __init__(self, empty: Mapping[str, Callable[[], object]] | None = None) -> None:
        self._empty = dict(empty or {})
        self.times = 0

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
        self._empty[name]()
        self.times += 1
