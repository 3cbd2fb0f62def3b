"""LastKnown: the newest value while the database answers, the last one and since when while it does not."""

from __future__ import annotations

from utils import last_known
from utils.clock import ManualClock
from utils.errors import StoreError
from utils.last_known import PAUSE_S, LastKnown, Silence


def refuse() -> int:
    raise StoreError("it does not answer")


def test_the_last_value_and_since_when() -> None:
    clock = ManualClock(10_000)
    known = LastKnown(clock, failing_s=lambda: 2.0)
    assert known.read("a", lambda: 1).value == 1
    clock.tick(5)
    silent = known.read("a", refuse)
    assert (silent.value, silent.silence) == (1, Silence(13_000, 10_000, "it does not answer"))
    clock.tick(PAUSE_S)
    again = known.read("b", refuse)
    assert (again.value, again.silence) == (None, Silence(13_000, None, "it does not answer"))
    clock.tick(PAUSE_S)
    assert known.read("a", lambda: 2) == last_known.Known(2)


def test_nobody_asks_again_within_a_second_of_a_failure() -> None:
    clock, asked = ManualClock(), list[int]()

    def ask() -> int:
        asked.append(1)
        return 7

    known = LastKnown(clock)
    known.read("a", refuse)
    assert known.read("a", ask).value is None
    assert not asked
    clock.tick(PAUSE_S)
    assert known.read("a", ask).value == 7


def test_what_is_kept_is_bounded() -> None:
    known = LastKnown(ManualClock())
    for number in range(last_known.MOST_KEPT + 1):
        known.read(number, lambda: 1)
    assert len(known._kept) == last_known.MOST_KEPT
    assert known.read(0, refuse).value is None, "the oldest"
