"""Ledger answers: what the ledger says to a question, gathered once for each of its states, kept of the last alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from routes.services import Services

T = TypeVar("T")


def of_ledger(
    services: Services, question: tuple[object, ...], load: Callable[[], T], *, ttl_s: float, beside: str = ""
) -> T:
    """`beside`: what the answer depends on beside the question and the ledger.

    The ledger changes with every close of every market: what it said before is dropped at once, not after `ttl_s`.
    """
    key = (*question, services.ledger.version, beside)
    return services.data_cache.get_or_load(key, load, ttl_s=ttl_s, lane=(question, services.clock.now_ms()))
