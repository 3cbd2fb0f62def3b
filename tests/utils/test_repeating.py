"""Repeating: at once or after a period, again and again, and never again once it is closed."""

from __future__ import annotations

import threading

import pytest

from utils.errors import StoreError
from utils.repeating import Repeating

PATIENCE_S = 90.0


@pytest.mark.parametrize("at_once", [True, False])
def test_the_work_is_repeated_until_it_is_closed_and_can_be_begun_anew(at_once: bool) -> None:
    done, seen = threading.Semaphore(0), list[str]()

    def work() -> None:
        seen.append(threading.current_thread().name)
        done.release()

    repeating = Repeating(work, name="of-a-test", period_s=0.001, at_once=at_once)
    for _ in range(2):
        repeating.start()
        repeating.start()
        assert [thread.name for thread in threading.enumerate()].count("of-a-test") == 1
        assert all(done.acquire(timeout=PATIENCE_S) for _ in range(3))
        repeating.close()
        repeating.close()
        assert "of-a-test" not in [thread.name for thread in threading.enumerate()]
    assert set(seen) == {"of-a-test"}


def test_a_long_period_is_not_waited_for_at_the_end_nor_at_once() -> None:
    did = threading.Event()
    soon = Repeating(did.set, name="soon", period_s=3600.0, at_once=True)
    soon.start()
    assert did.wait(PATIENCE_S)
    soon.close()
    later = Repeating(did.clear, name="later", period_s=3600.0)
    later.start()
    later.close()
    assert did.is_set(), "its period has not passed"


@pytest.mark.parametrize("error", [StoreError("the disk is full"), RuntimeError("a fault of ours")], ids=repr)
def test_what_the_work_raises_is_logged_and_the_next_turn_comes(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    done = threading.Event()
    turns = iter([error])

    def work() -> None:
        if (failed := next(turns, None)) is not None:
            raise failed
        done.set()

    repeating = Repeating(work, name="of-a-test", period_s=0.001, at_once=True)
    repeating.start()
    assert done.wait(PATIENCE_S)
    repeating.close()
    assert "of-a-test: " in caplog.text
    assert str(error) in caplog.text


def test_a_period_that_is_called_is_asked_for_each_pause() -> None:
    pauses, over = iter([0.0, 0.001]), threading.Event()
    asked: list[float] = []

    def period_s() -> float:
        asked.append(next(pauses, 3600.0))
        if asked[-1] == 3600.0:
            over.set()
        return asked[-1]

    did: list[int] = []
    repeating = Repeating(lambda: did.append(1), name="of-a-test", period_s=period_s)
    repeating.start()
    assert over.wait(60)
    repeating.close()
    assert (asked, len(did)) == ([0.0, 0.001, 3600.0], 2)
