"""Joining: what several threads ask for at the same time is done together, without anybody waiting for company."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping
from typing import Generic, TypeVar

from utils.errors import ModelError

K = TypeVar("K", bound=Hashable)
W = TypeVar("W")
V = TypeVar("V")


class _Answer(Generic[V]):
    """What will be known of one key; `ready` once `value` or `error` is."""

    __slots__ = ("error", "ready", "value")

    def __init__(self) -> None:
        self.ready = False
        self.value: V | None = None
        self.error: BaseException | None = None


class Joined(Generic[K, W, V]):
    """Calls `work` with everything that is waiting, at most `slots` times at once.

    Who comes while a slot is free starts at once with what it wants, so that nothing is slower while all is quiet. Who
    comes later waits, and is done by the next free slot together with everybody who waits too. A key that is being
    worked on is never begun a second time. An error of `work` reaches everybody whose key was among what it was given.
    """

    def __init__(self, work: Callable[[Mapping[K, W]], Mapping[K, V]], slots: int) -> None:
        self._work = work
        self._free = max(1, slots)
        self._turn = threading.Condition()
        self._waiting: dict[K, W] = {}
        self._answers: dict[K, _Answer[V]] = {}

    @property
    def waiting(self) -> int:
        """How many keys wait for a free slot just now."""
        with self._turn:
            return len(self._waiting)

    def get(self, wanted: Mapping[K, W]) -> dict[K, V]:
        """The value of each key."""
        with self._turn:
            new = {key: one for key, one in wanted.items() if key not in self._answers}
            self._waiting |= new
            self._answers |= {key: _Answer() for key in new}
            mine = {key: self._answers[key] for key in wanted}
        while (batch := self._turn_comes(mine)) is not None:
            self._do(batch)
        return {key: _value(answer) for key, answer in mine.items()}

    def _turn_comes(self, mine: Mapping[K, _Answer[V]]) -> dict[K, W] | None:
        """What to do now, or None once all of mine is known."""
        with self._turn:
            while not all(answer.ready for answer in mine.values()):
                if self._free and self._waiting:
                    self._free -= 1
                    batch, self._waiting = self._waiting, {}
                    return batch
                self._turn.wait()
            return None

    def _do(self, batch: Mapping[K, W]) -> None:
        found: Mapping[K, V] = {}
        error: BaseException | None = None
        try:
            found = self._work(batch)
        except BaseException as raised:  # noqa: BLE001 - raised again for each who asked
            error = raised
        with self._turn:
            for key in batch:
                answer = self._answers.pop(key)
                answer.ready, answer.error, answer.value = True, error, found.get(key)
            self._free += 1
            self._turn.notify_all()


def _value(answer: _Answer[V]) -> V:
    if answer.error is not None:
        raise answer.error
    if answer.value is None:
        raise ModelError("a forecast was worked on and not given; ask again")
    return answer.value
