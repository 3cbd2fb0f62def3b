"""LastKnown: the newest value while the database answers, the last one and since when while it does not."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from tests.support.redis_processes import eventually
from utils import last_known
from utils.clock import ManualClock
from utils.errors import StoreError
from utils.last_known import PAUSE_S, Known, LastKnown, Silence
from utils.request_trace import RequestTrace, count_query, traced, tracing


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


class Server:
    """A database that answers at once, or not until it is let."""

    def __init__(self) -> None:
        self.speaking = threading.Event()
        self.speaking.set()
        self.asked = 0
        self.answered_s: float | None = None

    def load(self) -> int:
        self.asked += 1
        assert self.speaking.wait(90)
        return self.asked


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.speaking.set()


def test_a_silent_server_holds_up_nobody_who_can_be_shown_what_is_known(server: Server) -> None:
    clock = ManualClock(10_000)
    known = LastKnown(clock, patience_s=0.05, answered_s=lambda: server.answered_s)
    assert known.read("a", server.load) == Known(1)
    clock.tick(2)
    server.speaking.clear()
    told = known.read("a", server.load)
    assert told.value == 1
    assert told.silence is not None
    assert (told.silence.since_ms, told.silence.read_ms) == (12_000, 10_000)
    assert "does not answer" in told.silence.reason
    clock.tick(2)
    for name in ("a", "b"):
        again = known.read(name, server.load)
        assert again.silence is not None
        assert (again.silence.since_ms, again.value) == (12_000, {"a": 1, "b": None}[name])
    assert server.asked == 2, "one asks for all"
    server.speaking.set()
    eventually(lambda: known._late == 0)
    assert known.read("a", server.load) == Known(3)
    assert known.read("b", server.load) == Known(4)


def test_one_slow_statement_is_no_silence(server: Server) -> None:
    known = LastKnown(ManualClock(), patience_s=0.05, answered_s=lambda: 0.01)
    assert known.read("a", server.load) == Known(1)
    server.speaking.clear()
    threading.Timer(0.3, server.speaking.set).start()
    assert known.read("a", server.load) == Known(2), "the server answers others: this one is waited for"


def test_a_question_that_takes_its_time_is_given_it(server: Server) -> None:
    clock = ManualClock()
    known = LastKnown(clock, patience_s=0.05)

    def slow() -> int:
        clock.tick(30)
        return server.load()

    assert known.read("a", slow) == Known(1)
    server.speaking.clear()
    threading.Timer(0.3, server.speaking.set).start()
    assert known.read("a", slow) == Known(2), "it took thirty seconds the last time as well"


def test_what_nobody_knows_is_waited_for_and_while_it_fails_one_asks_for_all(server: Server) -> None:
    clock = ManualClock()
    known = LastKnown(clock, patience_s=0.05)
    server.speaking.clear()
    threading.Timer(0.2, server.speaking.set).start()
    assert known.read("a", server.load) == Known(1), "there is nothing to show instead"
    assert known.read("a", refuse).silence is not None
    server.speaking.clear()
    clock.tick(PAUSE_S)
    assert known.read("new", server.load).value is None, "nor is a new name waited for while it fails"
    assert known.read("other", server.load).value is None
    assert server.asked == 2
    server.speaking.set()
    eventually(lambda: known._late == 0)
    assert known.read("other", server.load) == Known(3)


def test_what_is_asked_aside_fails_for_its_asker_and_counts_for_its_request(server: Server) -> None:
    known = LastKnown(ManualClock(), patience_s=90.0)
    assert known.read("a", server.load) == Known(1)

    def ask() -> int:
        with traced("database"):
            count_query()
        return 2

    trace = RequestTrace("id", time.perf_counter())
    with tracing(trace), traced("score"):
        assert known.read("a", ask) == Known(2)
    assert trace.queries == 1
    assert set(trace.spans) == {"database", "score"}

    def fail() -> int:
        raise KeyError("of the program, not of the database")

    with pytest.raises(KeyError, match="of the program"):
        known.read("a", fail)
    assert known.read("a", refuse).value == 2
