"""Last known: what was read from the database last, for pages that are asked for while it does not answer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from utils.aside import Aside
from utils.clock import Clock, SystemClock
from utils.errors import StoreError

T = TypeVar("T")

log = logging.getLogger(__name__)

PAUSE_S = 1.0
"""How long nobody asks again after a failure."""

PATIENCE_S = 0.5
"""How long a reader waits where there is something to show instead."""
_OF_LAST = 3.0
_MOST_S = 3.0
"""Or so many times as long as the same question took last, within bounds: one that takes its time is no silence,
but one that was asked in a silence took as long as that."""
_LATE = "the database server does not answer; look whether it runs and can be reached"

MOST_KEPT = 200
"""Answers that are kept, of up to a hundred markets each; the one that was read longest ago goes first."""


@dataclass(frozen=True, slots=True)
class Silence:
    """The database does not answer since `since_ms`; `read_ms` is when what is shown instead was read, None where
    nothing was. Both are UTC ms."""

    since_ms: int
    read_ms: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Known(Generic[T]):
    """`value` is None where the database does not answer and never did before; `silence` None where it does."""

    value: T | None
    silence: Silence | None = None


class LastKnown:
    """Keeps the newest value of each name, of two hundred of them at most.

    A server that drops packets says neither yes nor no, and its connection fails only after seconds. Given
    `patience_s`, who asks for what is known waits no longer than that while the database answers nobody: the question
    goes on in a thread of its own, one for all, and its answer is there for the next reader.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        failing: Callable[[], tuple[float, str] | None] = lambda: None,
        answered_s: Callable[[], float | None] = lambda: None,
        patience_s: float | None = None,
    ) -> None:
        """`failing`: for how many seconds the database has not answered, as far as it knows, and why; `answered_s`: how
        long ago it answered anybody; None for not at all. Without `patience_s` every question is waited for."""
        self._clock = clock or SystemClock()
        self._failing = failing
        self._answered_s = answered_s
        self._patience_s = patience_s
        self._late = 0
        self._lock = threading.Lock()
        self._kept: dict[Hashable, tuple[Any, int]] = {}
        self._took_s: dict[Hashable, float] = {}
        self._failed: tuple[float, str] | None = None
        self._since_ms: int | None = None
        self._noticed: Silence | None = None
        self._follows = False

    @property
    def silence(self) -> Silence | None:
        """That the database does not answer, as far as anybody noticed who asked it; pages that live on memory ask
        nothing themselves. One failure is none yet: not before a second has passed without an answer."""
        if not self._follows:
            self._notice()
        return self._noticed

    def follow(self, words: Mapping[str, Any] | None) -> None:
        """Another process asks the database all the time: from now on what it noticed holds here."""
        self._follows = True
        self._noticed = None if words is None else Silence(**words)

    def told(self) -> Mapping[str, Any] | None:
        """What was noticed here, as JSON can say it, for processes that seldom ask."""
        self._follows = False
        silence = self.silence
        return None if silence is None else asdict(silence)

    def _notice(self) -> None:
        failing = self._failing()
        with self._lock:
            if failing is None or failing[0] < PAUSE_S:
                self._noticed = None
            elif self._noticed is None:
                since_ms = self._clock.now_ms() - round(1000 * failing[0])
                self._noticed = Silence(since_ms, None, failing[1])

    def read(self, name: Hashable, load: Callable[[], T]) -> Known[T]:
        """What `load` answers; while it raises StoreError, what it answered last."""
        failed = self._failed
        if failed is not None and self._clock.monotonic() - failed[0] < PAUSE_S:
            return self._instead(name, failed[1])
        if self._late and self._is_silent(self._patience_s or 0.0):
            return self._instead(name, _LATE)
        if self._patience_s is None or (name not in self._kept and failed is None):
            return self._ask(name, load)
        return self._ask_aside(name, load, self._patience_s)

    def _ask_aside(self, name: Hashable, load: Callable[[], T], patience_s: float) -> Known[T]:
        began_ms = self._clock.now_ms()
        patience_s = max(patience_s, min(_OF_LAST * self._took_s.get(name, 0.0), _MOST_S))
        asked = Aside(partial(self._ask, name, load), ended=self._came_back)
        over = asked.within(patience_s, goes_on=lambda: not self._is_silent(patience_s))
        with self._lock:
            if not (over or asked.over):
                asked.left = True
                self._late += 1
                if self._since_ms is None:
                    self._since_ms = began_ms
        return self._instead(name, _LATE) if asked.left else asked.result()

    def _ask(self, name: Hashable, load: Callable[[], T]) -> Known[T]:
        began_s = self._clock.monotonic()
        try:
            value = load()
        except StoreError as error:
            with self._lock:
                self._failed = (self._clock.monotonic(), str(error))
                if self._since_ms is None:
                    failing_s, _ = self._failing() or (0.0, "")
                    self._since_ms = self._clock.now_ms() - round(1000 * failing_s)
            return self._instead(name, str(error))
        with self._lock:
            self._kept.pop(name, None)
            self._kept[name] = (value, self._clock.now_ms())
            self._took_s[name] = self._clock.monotonic() - began_s
            if len(self._kept) > MOST_KEPT:
                oldest = next(iter(self._kept))
                del self._kept[oldest], self._took_s[oldest]
            self._failed = self._since_ms = None
        return Known(value)

    def _came_back(self, asked: Aside[Known[Any]]) -> None:
        with self._lock:
            self._late -= asked.left
        if asked.left and asked.error is not None:
            log.error("a question to the database that nobody waited for any more failed", exc_info=asked.error)

    def _is_silent(self, patience_s: float) -> bool:
        """Whether it has answered nobody for as long as one waits: a slow statement among others is no silence."""
        answered_s = self._answered_s()
        return answered_s is None or answered_s >= patience_s

    def _instead(self, name: Hashable, reason: str) -> Known[T]:
        value, read_ms = self._kept.get(name, (None, None))
        return Known(value, Silence(self._since_ms or self._clock.now_ms(), read_ms, reason))
