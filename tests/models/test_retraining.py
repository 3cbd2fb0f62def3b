"""Scheduled retraining end to end: the whole dashboard, real processes, what serves exchanged in flight."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from data.candles import Candles
from data.interval import Interval
from data.symbol import Symbol
from models import training_runner
from models.forecast import Forecast
from models.job_requests import Task
from models.jobs import Job, JobState
from models.model_writing import write_model
from models.schedules import Schedule, ScheduleStore
from models.split import parse_date
from tests.support import tiny_model
from tests.support.trainings import MARKETS
from tests.support.workbench import Bench, bench
from utils.clock import OffsetClock, SystemClock

pytestmark = pytest.mark.slow  # three trainings and three judgements, each in a process of its own

HOUR_MS, DAY_MS = Interval.H1.ms, Interval.D1.ms
HALF_PAST_NOON_MS = 25 * HOUR_MS // 2
DAYS = 150
PATIENCE_S = 240.0
BTC = Symbol("BTCUSDT")


class Dashboard:
    """Its clock is turned by hand from two hours ago on, so that no candle is lacking when a retraining is due."""

    def __init__(self, built: Bench, clock: OffsetClock) -> None:
        self.bench = built
        self.clock = clock
        self.client = built.app.test_client()

    def serving(self, symbol: Symbol = BTC) -> str:
        """By the forecast, not by what the registry says of it."""
        parts = self.bench.services
        (answer,) = parts.forecaster.answers([parts.market.candles(symbol, Interval.H1)])
        assert isinstance(answer, Forecast), answer
        assert answer.model_digest == parts.registry.get(answer.model_id).digest
        return answer.model_id

    def schedule(self) -> Schedule:
        schedules: ScheduleStore = self.bench.services.retrainer.schedules
        (one,) = schedules.all()
        return one

    def newest(self, task: Task) -> Job:
        return next(job for job in self.bench.runner.jobs.recent(20) if job.task is task)

    @property
    def end_ms(self) -> int:
        return self.bench.services.market.candles(BTC, Interval.H1).last_open_time_ms + HOUR_MS

    def an_hour_later(self) -> Schedule:
        """Once the retraining that is due then was decided."""
        before = self.schedule()
        self.clock.offset_ms += HOUR_MS
        pause, deadline_s = threading.Event(), time.monotonic() + PATIENCE_S
        while (found := self.schedule()).challenger or found.note == before.note:
            assert time.monotonic() < deadline_s, (found, self.bench.runner.jobs.recent(5))
            pause.wait(0.1)
        return found


def history(symbol: str, count: int, until_ms: int, seed: int) -> Candles:
    """From the midnight that makes it at least `count` candles on, so that no hour of the first day is lacking."""
    start_ms = (until_ms - count * HOUR_MS) // (24 * HOUR_MS) * 24 * HOUR_MS
    whole = (until_ms - start_ms) // HOUR_MS
    return tiny_model.planted(symbol, seed + 1, whole + 3, start_ms)


@pytest.fixture
def dashboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dashboard]:
    monkeypatch.setattr(training_runner, "TICK_S", 0.2)
    monkeypatch.setattr(training_runner, "LOOK_S", 0.1)
    # yesterday at half past noon, whenever this runs: which days a training asks for depends on the hour
    clock = OffsetClock(SystemClock(), HALF_PAST_NOON_MS - DAY_MS - SystemClock().now_ms() % DAY_MS)
    with bench(tmp_path, MARKETS, 24 * DAYS, clock=clock, made_by=history) as built:
        write_noisy(built)
        yield Dashboard(built, clock)


def write_noisy(built: Bench, name: str = "noisy", own: tuple[Symbol, ...] = ()) -> None:
    """A model whose recipe is a ridge and whose answers are noise: what is trained by it is sure to beat it."""
    candles = built.services.market.candles(BTC, Interval.H1)
    end_ms = candles.last_open_time_ms
    start_ms = end_ms // (24 * HOUR_MS) * 24 * HOUR_MS - DAYS * 24 * HOUR_MS
    until_ms = start_ms + 30 * HOUR_MS
    spec = tiny_model.spec(
        name, symbols=own, trained_on=own or MARKETS, train_from_ms=start_ms, train_until_ms=until_ms
    )
    report = {"recipe": {"kind": "ridge", "window": 1}, "data": {"test": "2001-01-01 … 2001-02-01"}}
    write_model(built.models, spec, tiny_model.graph(spec, strength=0.3), report)


def test_a_winner_serves_without_a_restart_and_its_own_retraining_that_does_not_win_is_laid_aside(
    dashboard: Dashboard,
) -> None:
    parts, runner = dashboard.bench.services, dashboard.bench.runner
    runner.start()
    parts.promotion.promote("noisy")
    parts.retrainer.set("noisy", 1, "hours")
    assert dashboard.serving() == "noisy"
    assert runner.jobs.recent(5) == []

    first = dashboard.an_hour_later()
    assert first.note.endswith("it wins; it serves now"), first
    winner = first.model_id
    training = dashboard.newest(Task.TRAIN)
    assert (training.state, training.model_id) == (JobState.DONE, winner)
    assert training.pid != os.getpid()
    assert dashboard.serving() == winner
    entry = parts.registry.get(winner)
    found = parts.results.get(entry.digest, Task.CHALLENGE).result
    # the newest tenth, of which nothing was learned, chosen or calibrated on
    assert found["from_ms"] >= parse_date(entry.report["data"]["test"].partition(" ")[0])
    assert found["from_ms"] > entry.spec.train_until_ms + max(entry.spec.horizons) * HOUR_MS
    assert found["until_ms"] <= dashboard.end_ms
    assert found["challenger_over_naive"]["low"] > 0 > found["champion_over_naive"]["skill"]
    assert parts.promotion.previous(Interval.H1).id == "noisy"

    second = dashboard.an_hour_later()
    (loser,) = [one.id for one in parts.promotion.archived()]
    assert second.model_id == dashboard.serving() == winner
    assert second.note.startswith(f"{loser}: its loss is")
    assert second.note.endswith("it does not win")
    (kept,) = parts.results.challenges_of(entry.digest)
    assert kept.model_id == loser
    assert len(kept.result["course"]) > 10
    card = dashboard.client.get(f"/models/{winner}").text
    assert card.count('class="line first"') == card.count('class="line second"') == 2, "both curves of both challenges"
    assert loser in card


def test_a_model_of_its_own_market_is_retrained_on_that_alone_and_its_heir_takes_every_place_it_had(
    dashboard: Dashboard,
) -> None:
    parts, runner = dashboard.bench.services, dashboard.bench.runner
    write_noisy(dashboard.bench, "mine", own=(BTC,))
    parts.promotion.promote("noisy")
    parts.promotion.choose_own("mine")
    parts.ensembles.make("mix", ["mine", "noisy"])
    parts.retrainer.set("mine", 1, "hours")
    assert [dashboard.serving(one) for one in MARKETS] == ["mine", "noisy"]
    runner.start()

    done = dashboard.an_hour_later()
    heir = parts.registry.get(done.model_id)
    training = dashboard.newest(Task.TRAIN)
    assert (training.state, training.model_id, training.pid != os.getpid()) == (JobState.DONE, heir.id, True)
    assert (heir.spec.symbols, heir.spec.trained_on) == ((BTC,), (BTC,))
    assert heir.report["data"]["markets"].keys() == {BTC}, "nothing was learned from the other market"
    assert done.note.endswith("it wins; it serves now; it takes the place of mine in mix"), done
    assert [dashboard.serving(one) for one in MARKETS] == [heir.id, "noisy"], "the other market keeps its model"
    assert parts.ensembles.get("mix").weights.keys() == {heir.id, "noisy"}
    parts.promotion.choose_own("mine")  # the old one is there and can be let serve again
    assert dashboard.serving(BTC) == "mine"
