"""Aside: a call in a thread of its own, which its caller waits for as long as it likes and may then leave behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from typing import Generic, TypeVar

from utils.request_trace import DATABASE, RequestTrace, current_trace, traced, tracing

T = TypeVar("T")


class Aside(Generic[T]):
    """What the call spends counts for the caller's request, unless it is left behind.

    `ended` is called with it, in its thread, when the call is over, in time or not.
    """

    def __init__(self, call: Callable[[], T], *, ended: Callable[[Aside[T]], object]) -> None:
        self.left = False
        """For the caller to set when it goes."""
        self.error: BaseException | None = None
        self._call = call
        self._ended = ended
        self._done = threading.Event()
        self._trace = RequestTrace("", time.perf_counter())
        self._value: T | None = None
        context = copy_context()
        threading.Thread(target=context.run, args=(self._run,), name="aside", daemon=True).start()

    @property
    def over(self) -> bool:
        return self._done.is_set()

    def within(self, seconds: float, goes_on: Callable[[], bool]) -> bool:
        """Whether the call is over; waits for so long, and again as long as `goes_on` says that there is hope."""
        with traced(DATABASE):
            while not (over := self._done.wait(seconds)) and goes_on():
                pass
            if over and (trace := current_trace()) is not None:
                trace.absorb(self._trace)
        return over

    def result(self) -> T:
        """Of a call that is over: what it answered; raises what it raised."""
        if self.error is not None:
            raise self.error
        return self._value  # type: ignore[return-value]  # set where there is no error

    def _run(self) -> None:
        try:
            with tracing(self._trace):
                self._value = self._call()
        except BaseException as error:  # noqa: BLE001 - whatever it was, it is the caller's, who raises it
            self.error = error
        finally:
            self._done.set()
            self._ended(self)
