"""MemoryGuard with readings of our own: order, stopping early, cool-down, and one round on real memory."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from utils.clock import ManualClock
from utils.memory_guard import MemoryGuard, MemoryReading, TrimStep, read_memory
from utils.memory_return import give_back

MB = 1_000_000


class Machine:
    """Memory of 1000 MB, some of it others', the rest in our caches."""

    def __init__(self, others_mb: int, **caches_mb: int) -> None:
        self.others_mb = others_mb
        self.caches_mb = dict(caches_mb)
        self.trimmed: list[tuple[str, float]] = []
        self.readings = 0

    def read(self) -> MemoryReading:
        self.readings += 1
        ours = sum(self.caches_mb.values())
        return MemoryReading(used_percent=(self.others_mb + ours) / 10, rss_bytes=ours * MB)

    def step(self, name: str) -> TrimStep:
        return TrimStep(name, lambda fraction: self.trim(name, fraction))

    def trim(self, name: str, fraction: float) -> int:
        self.trimmed.append((name, fraction))
        gone = int(self.caches_mb[name] * fraction)
        self.caches_mb[name] -= gone
        return gone


def guard(
    machine: Machine, clock: ManualClock, steps: list[TrimStep] | None = None, max_rss_mb: int = 0
) -> MemoryGuard:
    return MemoryGuard(
        max_percent=80,
        max_rss_bytes=max_rss_mb * MB,
        steps=[machine.step(name) for name in machine.caches_mb] if steps is None else steps,
        read=machine.read,
        release=lambda: None,
        tidy=lambda: None,
        clock=clock,
        cool_down_s=30,
    )


def test_growth_with_room_enough_is_tidied_ever_more_rarely() -> None:
    machine, clock, tidied = Machine(100, pages=100), ManualClock(), []

    def tidy() -> None:
        tidied.append(clock.monotonic() - started_s)
        machine.caches_mb["passing"] = 0

    watching = MemoryGuard(max_percent=80, steps=[], read=machine.read, tidy=tidy, clock=clock)
    started_s = clock.monotonic()
    for _ in range(300):  # as if every second a library read nine megabytes
        watching.check()
        machine.caches_mb["passing"] = machine.caches_mb.get("passing", 0) + 9
        clock.tick(1)
    assert tidied == [0, 1, 3, 7, 15, *range(31, 300, 20)]
    machine.caches_mb["passing"] = 0
    clock.tick(600)
    assert watching.check() == ()
    assert len(tidied) == 19  # as small as after the last time: nothing to let go of
    machine.caches_mb["passing"] = 1
    watching.check()
    assert len(tidied) == 19  # not worth it
    machine.caches_mb["passing"] = 2
    watching.check()
    assert len(tidied) == 20
    assert machine.trimmed == []


def test_below_the_limit_nothing_is_touched() -> None:
    machine = Machine(700, pages=100)
    assert guard(machine, ManualClock()).check() == ()
    assert machine.trimmed == []


def test_steps_go_in_order_and_stop_as_soon_as_it_is_enough(caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine(700, pages=40, indicators=100, candles=100, models=50)
    with caplog.at_level(logging.WARNING):
        reports = guard(machine, ManualClock()).check()
    assert machine.trimmed == [("pages", 0.5), ("indicators", 0.5), ("candles", 0.5), ("models", 0.5)][: len(reports)]
    assert [report.name for report in reports] == ["pages", "indicators", "candles", "models"]
    assert [(r.rss_before_bytes // MB, r.rss_after_bytes // MB) for r in reports][:2] == [(290, 270), (270, 220)]
    assert "trimmed pages by 20 bytes: process from 290.0 to 270.0 MB" in caplog.text

    machine = Machine(700, pages=200, models=50)
    assert [report.name for report in guard(machine, ManualClock()).check()] == ["pages", "models"]
    machine = Machine(700, pages=150, models=20)
    assert [report.name for report in guard(machine, ManualClock()).check()] == ["pages"]


def test_a_process_over_its_own_limit_gives_way_on_an_idle_machine_until_it_is_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    machine = Machine(100, pages=40, indicators=100, candles=100, models=50)
    watching = guard(machine, ManualClock(), max_rss_mb=230)
    with caplog.at_level(logging.WARNING):
        reports = watching.check()
    assert [(report.name, report.rss_after_bytes // MB) for report in reports] == [("pages", 270), ("indicators", 220)]
    assert "this process holds 290.0 MB, limit 230 MB" in caplog.text
    assert watching.stats().max_rss_bytes == 230 * MB
    assert watching.check() == (), "it is kept now"
    assert guard(Machine(100, pages=300), ManualClock()).check() == (), "without a limit of its own"


def test_within_the_cool_down_it_does_not_trim_again_and_then_it_trims_everything() -> None:
    clock, machine = ManualClock(), Machine(900, pages=100)
    watching = guard(machine, clock)
    assert len(watching.check()) == 1
    clock.tick(29)
    assert watching.check() == ()
    clock.tick(1)
    assert len(watching.check()) == 1
    assert machine.trimmed == [("pages", 0.5), ("pages", 1.0)]


def test_memory_that_is_somebody_elses_is_asked_for_ever_more_rarely() -> None:
    clock, machine = ManualClock(), Machine(950, pages=0)
    watching = guard(machine, clock)
    for _ in range(3600):
        clock.tick(1)
        watching.check()
    assert 5 <= len(machine.trimmed) <= 12, "not once a second, and not once in 30 s either"
    assert watching.stats().cool_down_s == 600


def test_a_limit_below_what_the_program_needs_is_told_and_does_not_empty_full_caches_all_the_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, machine = ManualClock(), Machine(100, program=0, pages=20)
    watching = guard(machine, clock, [machine.step("pages")], max_rss_mb=90)
    machine.caches_mb["program"] = 100
    with caplog.at_level(logging.WARNING):
        for _ in range(3600):
            clock.tick(1)
            machine.caches_mb["pages"] = 20  # readers fill it again at once
            watching.check()
    assert len(machine.trimmed) <= 12, "not every 30 s"
    assert watching.stats().in_vain
    assert caplog.text.count("MAX_RSS_MB is 90, but with nothing kept this process holds 100 MB") == 1
    machine.caches_mb["program"] = 50
    clock.tick(600)
    watching.check()
    assert (watching.stats().in_vain, watching.stats().cool_down_s) == (False, 30)


def test_after_a_quiet_time_it_starts_gently_again() -> None:
    clock, machine = ManualClock(), Machine(900, pages=100)
    watching = guard(machine, clock)
    watching.check()
    machine.others_mb = 100
    clock.tick(60)
    watching.check()
    machine.others_mb = 900
    watching.check()
    assert machine.trimmed == [("pages", 0.5), ("pages", 0.5)]
    assert watching.stats().rounds == 2


def test_a_cache_that_fails_does_not_keep_the_others_from_giving_way(caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine(750, pages=200)

    def fail(fraction: float) -> int:
        raise RuntimeError("locked")

    reports = guard(machine, ManualClock(), [TrimStep("broken", fail), machine.step("pages")]).check()
    assert [(report.name, report.dropped) for report in reports] == [("broken", 0), ("pages", 100)]
    assert "trimming broken failed" in caplog.text


def test_statistics_before_and_after() -> None:
    machine = Machine(900, pages=100)
    watching = guard(machine, ManualClock())
    assert watching.stats().used_percent is None
    reports = watching.check()
    stats = watching.stats()
    assert (stats.rounds, stats.last_reports, stats.used_percent, stats.rss_bytes) == (1, reports, 95.0, 50 * MB)


def test_the_thread_checks_until_it_is_closed() -> None:
    before = set(threading.enumerate())
    checked = threading.Semaphore(0)

    def read() -> MemoryReading:
        checked.release()
        return MemoryReading(10.0, MB)

    watching = MemoryGuard(max_percent=80, steps=[], read=read, period_s=0.002)
    watching.start()
    watching.start()
    for _ in range(3):
        assert checked.acquire(timeout=90)
    watching.close()
    watching.close()
    assert set(threading.enumerate()) <= before, "others may end meanwhile, ours must"


def test_real_memory_goes_back_to_the_machine() -> None:
    held = [bytes(1000) for _ in range(60_000)]

    def drop(fraction: float) -> int:
        count = len(held)
        held.clear()
        return count

    seen: list[float] = [99.0, 10.0]
    read: Callable[[], MemoryReading] = lambda: MemoryReading(seen.pop(0), read_memory().rss_bytes)  # noqa: E731
    watching = MemoryGuard(max_percent=80, steps=[TrimStep("bytes", drop)], read=read, release=give_back)
    (report,) = watching.check()
    assert report.dropped == 60_000
    assert report.rss_before_bytes - report.rss_after_bytes > 30 * MB
    assert 0 < read_memory().used_percent <= 100
