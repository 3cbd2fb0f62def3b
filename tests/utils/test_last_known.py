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
    known = LastKnown(clock, failing=lambda: (2.0, "gone"))
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


def test_pages_that_ask_nothing_hear_of_a_silence_that_lasts() -> None:
    clock, failing = ManualClock(10_000), list[tuple[float, str]]()
    known = LastKnown(clock, failing=lambda: failing[0] if failing else None)
    seen = [known.silence]
    for told in ((PAUSE_S / 2, "gone"), (PAUSE_S, "gone"), (PAUSE_S + 7.002, "gone")):
        failing[:] = [told]
        seen.append(known.silence)
        clock.tick(7)
    failing.clear()
    silence = Silence(16_000, None, "gone")
    assert [*seen, known.silence] == [None, None, silence, silence, None], "a single failure is none; it has one moment"


def test_one_process_tells_the_others() -> None:
    clock = ManualClock(10_000)
    leads, follows = LastKnown(clock, failing=lambda: (2.0, "gone")), LastKnown(clock, failing=lambda: (9.0, "old"))
    follows.follow(leads.told())
    assert follows.silence == leads.silence == Silence(8_000, None, "gone")
    follows.follow(None)
    assert not follows.silence, "whoever seldom asks does not hear that it answers again"
    assert follows.told(), "and tells what it noticed itself as soon as it leads"
