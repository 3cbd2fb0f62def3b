"""Joining: done at once while it is quiet, together while it is not, nothing twice, and nobody left waiting."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from models.joining import Joined
from utils.errors import ModelError


def test_who_comes_first_is_not_kept_waiting_and_the_others_are_one_batch() -> None:
    batches: list[list[int]] = []
    entered, leave, all_wait = threading.Event(), threading.Event(), threading.Barrier(8)

    def work(jobs: Mapping[int, int]) -> dict[int, int]:
        batches.append(sorted(jobs))
        if len(batches) == 1:
            entered.set()
            assert leave.wait(10)
        return {key: value * value for key, value in jobs.items()}

    joined = Joined(work, slots=1)

    def ask(number: int) -> dict[int, int]:
        all_wait.wait(10)
        return joined.get({number: number, 100: 100})

    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(joined.get, {0: 0})
        assert entered.wait(10)
        later = [pool.submit(ask, number) for number in range(1, 8)]
        all_wait.wait(10)
        while len(joined._waiting) < 8:
            pass
        leave.set()
        assert first.result(10) == {0: 0}
        for number, one in enumerate(later, 1):
            assert one.result(10) == {number: number**2, 100: 10_000}
    assert batches == [[0], [*range(1, 8), 100]]
    assert joined.get({5: 5}) == {5: 25}
    assert joined.get({}) == {}


def test_as_many_at_once_as_there_are_slots() -> None:
    both = threading.Barrier(2)

    def work(jobs: Mapping[int, int]) -> dict[int, int]:
        both.wait(10)
        return dict(jobs)

    joined = Joined(work, slots=2)
    with ThreadPoolExecutor(2) as pool:
        found = [pool.submit(joined.get, {number: number}) for number in range(2)]
        assert [one.result(10) for one in found] == [{0: 0}, {1: 1}]


def test_a_key_under_way_is_not_begun_again_and_an_error_reaches_all_who_asked() -> None:
    entered, leave = threading.Event(), threading.Event()
    calls: list[list[int]] = []

    def work(jobs: Mapping[int, int]) -> dict[int, int]:
        calls.append(list(jobs))
        entered.set()
        assert leave.wait(10)
        raise ModelError("the graph is broken")

    joined = Joined(work, slots=2)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(joined.get, {1: 1})
        assert entered.wait(10)
        second = pool.submit(joined.get, {1: 1})
        leave.set()
        for one in (first, second):
            with pytest.raises(ModelError, match="broken"):
                one.result(10)
    assert len(calls) <= 2
    with pytest.raises(ModelError, match="broken"):
        joined.get({1: 1})


def test_a_key_that_was_forgotten_is_an_error() -> None:
    with pytest.raises(ModelError, match="not given"):
        Joined(_nothing, slots=1).get({1: 1})


def _nothing(_: Mapping[int, int]) -> dict[int, int]:
    return {}
