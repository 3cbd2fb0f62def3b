"""The circuit breaker: open after repeated failures, one probe at a time, longer after each failed one."""

from __future__ import annotations

import pytest

from utils.circuit_breaker import BreakerState, CircuitBreaker
from utils.clock import ManualClock


@pytest.fixture
def breaker(clock: ManualClock) -> CircuitBreaker:
    return CircuitBreaker(failures=3, open_s=1, longest_open_s=3, timer=clock.monotonic)


def fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        assert breaker.allows()
        breaker.failed()


def test_it_opens_after_failures_in_a_row_only(breaker: CircuitBreaker) -> None:
    fail(breaker, 2)
    breaker.succeeded()
    fail(breaker, 2)
    assert (breaker.state, breaker.allows()) == (BreakerState.CLOSED, True)
    fail(breaker, 1)
    assert (breaker.state, breaker.allows(), breaker.opened) == (BreakerState.OPEN, False, 1)


def test_one_probe_for_all_closes_it(breaker: CircuitBreaker, clock: ManualClock) -> None:
    fail(breaker, 3)
    clock.tick(0.999)
    assert not breaker.allows()
    clock.tick(0.001)
    assert [breaker.allows() for _ in range(5)] == [True, False, False, False, False]
    assert str(breaker.state) == "half-open"
    breaker.succeeded()
    assert str(breaker.state) == "closed"
    assert breaker.allows()


def test_a_failed_probe_opens_it_for_longer_up_to_a_bound(breaker: CircuitBreaker, clock: ManualClock) -> None:
    fail(breaker, 3)
    for wait_s in (1, 2, 3, 3):
        clock.tick(wait_s - 0.001)
        assert not breaker.allows()
        clock.tick(0.001)
        fail(breaker, 1)
    assert breaker.opened == 5
    clock.tick(3)
    assert breaker.allows()
    breaker.succeeded()
    fail(breaker, 3)
    clock.tick(1)
    assert breaker.allows(), "after a success the first pause is short again"


def test_calls_under_way_when_it_opened_change_nothing(breaker: CircuitBreaker, clock: ManualClock) -> None:
    fail(breaker, 3)
    breaker.succeeded()
    breaker.failed()
    assert breaker.state is BreakerState.OPEN
    clock.tick(1)
    assert breaker.allows()


def test_a_probe_that_never_reports_is_followed_by_another(breaker: CircuitBreaker, clock: ManualClock) -> None:
    fail(breaker, 3)
    clock.tick(1)
    assert breaker.allows()
    clock.tick(1)
    assert breaker.allows()


def test_a_sign_of_life_ends_the_pause(breaker: CircuitBreaker) -> None:
    fail(breaker, 3)
    breaker.retry_now()
    assert [breaker.allows(), breaker.allows()] == [True, False]
