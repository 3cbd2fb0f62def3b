"""Retraining by schedule: begun when due, judged, exchanged only by a winner, and taken up again at any point."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data.interval import Interval
from data.symbol import Symbol
from data.venue import BINANCE
from models import schedule
from models.ensembles import Ensembles
from models.job_requests import CheckRequest, Task
from models.jobs import Job, JobState
from models.ledger import Ledger
from models.model_writing import write_model
from models.result_store import ResultStore
from models.retrainer import Retrainer
from models.schedules import ScheduleStore
from models.training_request import TrainingRequest
from tests.support import tiny_model
from tests.support.trainings import MARKETS, Workshop
from utils.clock import ManualClock
from utils.errors import InvalidInput, NotFound

HOUR_MS = 3_600_000
REPORT = {"recipe": {"kind": "tcn", "window": 16, "seed": 7}, "data": {"test": "2024-01-01 … 2024-08-01"}}


class Life:
    """A workshop whose clock is turned by hand and whose jobs are ended by hand, as their processes would."""

    def __init__(self, folder: Path) -> None:
        candles = [tiny_model.candles(3000, symbol=symbol, seed=number) for number, symbol in enumerate(MARKETS)]
        self.shop = Workshop(folder, markets=candles)
        self.clock = ManualClock(tiny_model.START_MS + 3000 * HOUR_MS)
        self.results = ResultStore(self.shop.database)
        self.put("champion")
        self.shop.promotion.promote("champion")
        self.begin()

    def begin(self) -> None:
        """As after a restart."""
        self.retrainer = Retrainer(
            schedules=ScheduleStore(self.shop.database),
            runner=self.shop.runner,
            registry=self.shop.registry,
            promotion=self.shop.promotion,
            results=self.results,
            ensembles=Ensembles(
                registry=self.shop.registry, ledger=Ledger(self.shop.database, self.clock), clock=self.clock
            ),
            followed=lambda: MARKETS,
            clock=self.clock,
        )

    def put(self, name: str, symbols: tuple[Symbol, ...] = ()) -> None:
        start_ms = tiny_model.START_MS
        until_ms = start_ms + 1000 * HOUR_MS
        spec = tiny_model.spec(
            name,
            symbols=symbols,
            trained_on=symbols or MARKETS,
            train_from_ms=start_ms,
            train_until_ms=until_ms,
        )
        write_model(self.shop.models, spec, tiny_model.graph(spec, seed=len(name)), REPORT)

    def waiting(self) -> list[Job]:
        return self.shop.jobs.within(JobState.QUEUED)

    def end(self, job: Job, state: JobState = JobState.DONE, message: str = "") -> None:
        self.shop.jobs.begin(job.id, 1)
        self.shop.jobs.end(job.id, state, 2, message=message, of=(JobState.RUNNING,))

    def after(self, hours: float) -> None:
        self.clock.set_wall(self.clock.now_ms() + round(hours * HOUR_MS))
        self.retrainer.tick()

    def judged(self, challenger: str, *, won: bool, against: str = "champion") -> None:
        entry, champion = self.shop.registry.get(challenger), self.shop.registry.get(against)
        result: dict[str, Any] = {"won": won, "words": f"{challenger} was judged"}
        self.results.put(entry.digest, Task.CHALLENGE, result, model_id=challenger, now_ms=1, against=champion.digest)

    def serving(self) -> str:
        entry = self.shop.registry.default(Interval.H1)
        return entry.id if entry else ""


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    made = Life(tmp_path)
    yield made
    made.shop.database.close()


def trained(life: Life) -> str:
    """The challenger after its training and before its judgement."""
    (job,) = life.waiting()
    life.put(job.model_id)
    life.end(job)
    life.after(0)
    return job.model_id


def test_it_begins_when_it_is_due_and_not_twice(life: Life) -> None:
    life.retrainer.set("champion", 24, "hours")
    life.after(23.9)
    assert life.waiting() == []
    life.after(0.2)
    (job,) = life.waiting()
    assert isinstance(job.request, TrainingRequest)
    assert (job.request.symbols, job.request.recipe.kind, job.request.from_date) == (MARKETS, "tcn", "2024-01-01")
    life.after(100)
    assert [one.id for one in life.waiting()] == [job.id]
    life.end(job, JobState.FAILED, "memory ran out")
    life.after(0)
    found = life.retrainer.schedules.get("champion")
    assert found is not None
    assert (found.challenger, found.note) == ("", "no new model came of it (failed: memory ran out)")
    life.retrainer.set("champion", 5, "candles")
    due_ms = life.retrainer.schedules.all()[0].due_ms(Interval.H1)
    assert due_ms % HOUR_MS == 0
    life.after(6)
    assert len(life.waiting()) == 1


def test_a_winner_takes_the_place_and_the_schedule_and_the_old_one_stays(life: Life) -> None:
    life.retrainer.set("champion", 1, "hours")
    life.after(1)
    name = trained(life)
    assert life.serving() == "champion"
    (job,) = life.waiting()
    assert job.request == CheckRequest(Task.CHALLENGE, name, Interval.H1, against="champion")
    life.judged(name, won=True)
    life.end(job)
    life.begin()  # the dashboard was killed between the judgement and the exchange
    life.after(0)
    assert life.serving() == name
    assert life.shop.promotion.previous(Interval.H1).id == "champion"  # type: ignore[union-attr]
    (found,) = life.retrainer.schedules.all()
    assert (found.model_id, found.challenger, found.note) == (name, "", f"{name} was judged; it serves now")
    assert life.shop.promotion.roll_back(Interval.H1) == "champion"


def test_a_loser_is_laid_aside_and_nothing_else_changes(life: Life) -> None:
    life.retrainer.set("champion", 1, "hours")
    life.after(1)
    name = trained(life)
    life.judged(name, won=False)
    life.after(0)
    assert life.serving() == "champion"
    assert [entry.id for entry in life.shop.promotion.archived()] == [name]
    (found,) = life.retrainer.schedules.all()
    assert (found.model_id, found.challenger, found.note) == ("champion", "", f"{name} was judged")


def test_a_winner_does_not_push_aside_what_somebody_chose_meanwhile(life: Life) -> None:
    life.retrainer.set("champion", 1, "hours")
    life.after(1)
    name = trained(life)
    life.put("chosen")
    life.shop.promotion.promote("chosen")
    life.judged(name, won=True)
    life.after(0)
    assert life.serving() == "chosen"
    assert life.retrainer.schedules.all()[0].model_id == name


def test_a_judgement_that_fails_is_told(life: Life) -> None:
    life.retrainer.set("champion", 1, "hours")
    life.after(1)
    name = trained(life)
    life.end(life.waiting()[0], JobState.FAILED, "nothing unseen")
    life.after(0)
    assert life.retrainer.schedules.all()[0].note == f"{name} was not judged (failed: nothing unseen)"


def test_on_another_exchange_it_waits_and_without_its_model_it_ends(life: Life) -> None:
    life.retrainer.set("champion", 1, "hours")
    life.shop.runner.use("testnet")
    life.after(5)
    assert life.waiting() == []
    life.shop.runner.use(BINANCE)
    life.put("other")
    life.shop.promotion.promote("other")
    life.shop.promotion.archive("champion")
    life.after(0)
    assert life.retrainer.schedules.all() == []


def test_now_is_at_once_and_once(life: Life) -> None:
    with pytest.raises(NotFound, match="has no schedule"):
        life.retrainer.now("champion")
    life.retrainer.set("champion", 1000, "hours")
    job = life.retrainer.now("champion")
    assert [one.id for one in life.waiting()] == [job.id]
    with pytest.raises(NotFound, match="is being trained or judged already"):
        life.retrainer.now("champion")


@pytest.mark.parametrize(
    ("every", "unit", "why"),
    [(0, "hours", "use 1 to 8,760"), (9000, "hours", "use 1 to"), (1, "days", "not 'days'"), (0, "candles", "use 1")],
)
def test_what_does_not_fit_is_refused(life: Life, every: int, unit: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        life.retrainer.set("champion", every, unit)
    tiny_model.save(life.shop.models, tiny_model.spec("bare", trained_on=MARKETS))
    with pytest.raises(InvalidInput, match="has no recipe"):
        life.retrainer.set("bare", 24, "hours")


def test_from_the_command_line(life: Life, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--database", life.shop.jobs.address, "--out", str(life.shop.models)]
    assert schedule.main(["set", "champion", "--candles", "48", *place]) == 0
    assert schedule.main(["list", *place]) == 0
    assert "champion: every 48 candles, on candles of binance" in capsys.readouterr().out
    assert schedule.main(["set", "nobody", "--hours", "1", *place]) == 2
    assert schedule.main(["off", "champion", *place]) == 0
    assert life.retrainer.schedules.all() == []


def test_a_model_of_its_own_markets_hands_them_to_its_winner(life: Life) -> None:
    btc = MARKETS[0]
    life.put("mine", symbols=(btc,))
    life.shop.promotion.choose_own("mine")
    life.retrainer.set("mine", 1, "hours")
    life.after(1)
    (job,) = life.waiting()
    assert isinstance(job.request, TrainingRequest)
    assert (job.request.own, job.request.symbols) == (True, (btc,))
    life.put(job.model_id, symbols=(btc,))
    life.end(job)
    life.after(0)
    (judging,) = life.waiting()
    life.judged(job.model_id, won=True, against="mine")
    life.end(judging)
    life.after(0)
    assert life.shop.promotion.owned() == {job.model_id: [btc]}
    assert life.serving() == "champion"
    (found,) = life.retrainer.schedules.all()
    assert (found.model_id, found.note) == (job.model_id, f"{job.model_id} was judged; it serves now")
