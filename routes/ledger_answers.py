"""Ledger answers: what the ledger says to a question, gathered once for each of its states, kept of the last alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from routes.services import Services
from utils.errors import StoreError
from utils.last_known import Known

T = TypeVar("T")


def of_ledger(
    services: Services, question: tuple[object, ...], load: Callable[[], T], *, ttl_s: float, beside: str = ""
) -> T:
    """`beside`: what the answer depends on beside the question and the ledger.

    The ledger changes with every close of every market: what it said before is dropped at once, not after `ttl_s`.
    While the database does not answer it is given all the same; StoreError where there is nothing to give.
    """
    key = (*question, services.ledger.version, beside)

    def read() -> T:
        known: Known[T] = services.known.read((*question, beside), load)
        if known.silence is not None:
            raise _Silent(known)  # what was said before is not kept as if it were news
        return cast(T, known.value)

    try:
        return services.data_cache.get_or_load(key, read, ttl_s=ttl_s, lane=(question, services.clock.now_ms()))
    except _Silent as silent:
        return cast(T, silent.last())


def silence_mark(services: Services) -> str:
    """Part of the version of pages that show such answers: changes when the database falls silent or speaks again."""
    silence = services.known.silence
    return "" if silence is None else f"silent since {silence.since_ms}"


class _Silent(Exception):
    """The database does not answer."""

    def __init__(self, known: Known[Any]) -> None:
        super().__init__()
        self._known = known

    def last(self) -> Any:
        """What it said last; StoreError where it said nothing."""
        if self._known.value is None:
            raise StoreError(self._known.silence.reason if self._known.silence else "") from self
        return self._known.value
