"""Newest: of each lane only what belongs to its newest moment stays, and little of it."""

from __future__ import annotations

from utils.newest import Newest


def test_a_later_moment_outdates_the_earlier_one_of_its_lane_alone() -> None:
    newest: Newest[str, str] = Newest(most_each=4, most_lanes=10)
    assert newest.add("btc", 1, "btc at 1") == set()
    assert newest.add("eth", 1, "eth at 1") == set()
    assert newest.add("btc", 1, "btc at 1, longer") == set()
    assert newest.add("btc", 2, "btc at 2") == {"btc at 1", "btc at 1, longer"}
    assert newest.add("eth", 2, "eth at 2") == {"eth at 1"}


def test_what_comes_late_is_outdated_itself() -> None:
    newest: Newest[str, str] = Newest(most_each=4, most_lanes=10)
    newest.add("btc", 2, "btc at 2")
    assert newest.add("btc", 1, "btc at 1") == {"btc at 1"}
    assert newest.add("btc", 3, "btc at 2") == set(), "the same value of a later moment stays"


def test_one_moment_and_all_lanes_are_bounded() -> None:
    newest: Newest[int, str] = Newest(most_each=2, most_lanes=2)
    newest.add(1, 5, "a")
    newest.add(1, 5, "b")
    newest.add(1, 5, "a")
    assert newest.add(1, 5, "c") == {"b"}, "least recently added first"
    newest.add(2, 5, "d")
    assert newest.add(3, 5, "e") == {"a", "c"}
    assert newest.crowded_out == 3
    newest.add(3, 6, "e later")
    assert newest.crowded_out == 3, "what something newer replaced is not counted"
    assert newest.forget(lambda lane: lane == 3) == {"e later"}
    newest.clear()
    assert newest.add(2, 1, "f") == set()
