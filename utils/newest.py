"""Newest: of things that follow one another in lanes, which are still asked for: those of each lane's newest moment."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

L = TypeVar("L", bound=Hashable)
K = TypeVar("K", bound=Hashable)


class Newest(Generic[L, K]):
    """The keys of each lane's newest moment. Whoever keeps the values drops what `add` says; not safe for threads.

    A market's indicators are computed of its candles, which are other candles after each close: what was computed of
    the former ones is asked for by nobody, however short the time is that it has been there. At one moment a lane has
    at most `most_each` keys (of longer and shorter histories of the same market), and there are at most `most_lanes`
    lanes, least recently added to out first.
    """

    def __init__(self, *, most_each: int, most_lanes: int) -> None:
        self._most_each = most_each
        self._most_lanes = most_lanes
        self._lanes: OrderedDict[L, tuple[int, OrderedDict[K, None]]] = OrderedDict()
        self.crowded_out = 0
        """How many keys went for want of room, not because their lane had something newer."""

    def add(self, lane: L, moment: int, key: K) -> set[K]:
        """The keys that nobody will ask for from now on; `key` itself where the lane has newer ones."""
        newest_ms, keys = self._lanes.get(lane, (moment, OrderedDict[K, None]()))
        if moment < newest_ms:
            return {key}
        over = OrderedDict[K, None]() if moment == newest_ms else keys
        keys = keys if moment == newest_ms else OrderedDict[K, None]()
        keys[key] = None
        keys.move_to_end(key)
        outdated = {*over} - {key}
        self._lanes[lane] = moment, keys
        self._lanes.move_to_end(lane)
        return outdated | self._crowded_out(keys)

    def _crowded_out(self, keys: OrderedDict[K, None]) -> set[K]:
        gone = [keys.popitem(last=False)[0] for _ in range(len(keys) - self._most_each)]
        for _ in range(len(self._lanes) - self._most_lanes):
            gone += self._lanes.popitem(last=False)[1][1]
        self.crowded_out += len(gone)
        return {*gone}

    def forget(self, is_over: Callable[[L], bool]) -> set[K]:
        """Ends the lanes of which that is true: their keys."""
        return {key for lane in [*filter(is_over, self._lanes)] for key in self._lanes.pop(lane)[1]}

    def clear(self) -> None:
        self._lanes.clear()
