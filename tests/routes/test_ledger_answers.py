"""Ledger answers: gathered once for each state of the ledger, and kept of its newest state alone."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from models.ledger_chain import Verification
from routes.forecast_table import chain
from routes.ledger_answers import of_ledger
from utils.clock import ManualClock
from utils.data_cache import DataCache
from utils.last_known import LastKnown


def test_a_thousand_states_of_the_ledger_leave_the_answers_of_the_last() -> None:
    clock, cache = ManualClock(), DataCache("test")
    cache.configure(timer=clock.monotonic)
    asked: list[str] = []
    services: Any = SimpleNamespace(
        ledger=SimpleNamespace(version=""), clock=clock, data_cache=cache, known=LastKnown(clock)
    )

    def answer(of: str) -> Callable[[], str]:
        def load() -> str:
            asked.append(of)
            return f"{of} at {services.ledger.version}"

        return load

    for state in range(1000):
        services.ledger.version = f"venue {state % 700}"  # another process leads: its count begins anew
        clock.tick(0.01)
        for of in ("one", "other", "one"):
            told = of_ledger(services, ("scores", of), answer(of), ttl_s=3600)
            assert told == f"{of} at {services.ledger.version}"
    assert len(asked) == 2000
    assert cache.sizes()["scores"][0] == 2


def test_a_long_chain_is_walked_once_a_minute_and_a_short_one_for_each_state() -> None:
    clock, cache = ManualClock(), DataCache("test")
    cache.configure(timer=clock.monotonic)
    walks: list[int] = []

    def check() -> Verification:
        walks.append(rows)
        return Verification(rows, rows, 0, True, "ab", None)

    services: Any = SimpleNamespace(
        ledger=SimpleNamespace(version="venue 0", venue="venue", check=check),
        clock=clock,
        data_cache=cache,
        known=LastKnown(clock),
    )
    for rows, wanted in ((1_999, 60), (2_000, 2)):
        walks.clear()
        cache.clear()
        for second in range(120):
            services.ledger.version = f"venue {second // 2}"  # a score is written every two seconds
            assert chain(services).rows == rows
            clock.tick(1)
        assert len(walks) == wanted
    services.ledger.venue, services.ledger.version, rows = "other", "other 1", 7
    assert chain(services).rows == 7
