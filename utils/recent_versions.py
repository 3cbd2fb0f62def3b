"""Recent versions: which version a page is of, asked once for a burst of readers where knowing it costs time."""

from __future__ import annotations

from collections.abc import Callable, Hashable

_MOST = 1_000


class RecentVersions:
    """Many threads may ask; two that find nothing at the same moment both find out, which costs less than a lock."""

    def __init__(self, timer: Callable[[], float]) -> None:
        self._timer = timer
        self._known: dict[Hashable, tuple[str, float]] = {}

    def of(self, key: Hashable, version: Callable[[], str], age_s: float) -> str:
        """What `version` answers, asked again only after `age_s` seconds, whatever the number of readers."""
        if age_s <= 0:
            return version()
        known = self._known.get(key)
        now_s = self._timer()
        if known is not None and now_s < known[1]:
            return known[0]
        made = version()
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[key] = (made, now_s + age_s)
        return made

    def clear(self) -> None:
        self._known.clear()
