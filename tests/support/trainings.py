"""Trainings as the dashboard runs them, on made candles in a real database, with real trainer processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from data.candle_store import CandleStore
from data.candles import Candles
from data.database import Database, connect
from data.interval import Interval
from data.symbol import Symbol
from data.venue import BINANCE
from models.jobs import Job, JobState, JobStore
from models.promotion import Promotion
from models.recipe import Recipe
from models.registry import Registry
from models.spec import Kind
from models.training_history import Fetch, TrainingHistory
from models.training_request import TrainingRequest
from models.training_runner import TrainingRunner
from tests.support import tiny_model
from utils.clock import SystemClock

MARKETS = (Symbol("BTCUSDT"), Symbol("ETHUSDT"))
PATIENCE_S = 300.0


def nothing(symbol: Symbol, interval: Interval, start_ms: int, end_ms: int) -> Iterator[Candles]:
    """An exchange that has no older candles."""
    yield from ()


class Workshop:
    """A runner with everything it stands on; `again` is the next dashboard over the same folder."""

    def __init__(
        self, folder: Path, *, markets: Sequence[Candles] = (), venue: str = BINANCE, fetch: Fetch | None = None
    ) -> None:
        self.folder = folder
        self.models = folder / "models"
        self.database: Database = connect(f"sqlite:///{folder / 'dashboard.db'}")
        self.store = CandleStore(self.database, venue=venue)
        for candles in markets:
            self.store.write(candles)
        self.jobs = JobStore(self.database)
        self.registry = Registry(self.models)
        self.promotion = Promotion(registry=self.registry, clock=SystemClock())
        self.runner = TrainingRunner(
            jobs=self.jobs,
            promotion=self.promotion,
            models_path=self.models,
            folder=folder / "trainings",
            history=TrainingHistory(store=self.store, fetch=fetch or nothing, clock=SystemClock()),
            clock=SystemClock(),
            venue=venue,
        )

    def again(self) -> Workshop:
        """Another one on the same folder, as after a restart."""
        return Workshop(self.folder)

    def ended(self, job_id: int) -> Job:
        return self.wait_for(job_id, lambda job: not job.unfinished)

    def wait_for(self, job_id: int, wanted: Callable[[Job], bool]) -> Job:
        """Real processes take real time: looks until the job is as wanted."""
        pause, deadline_s = threading.Event(), time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            if wanted(job := self.jobs.get(job_id)):
                return job
            pause.wait(0.1)
        raise AssertionError(f"after {PATIENCE_S:g} s it is still {self.jobs.get(job_id)}")

    def close(self) -> None:
        for job in self.jobs.within(JobState.QUEUED, JobState.RUNNING):
            self.runner.cancel(job.id)
            self.ended(job.id)  # one that waited may have begun meanwhile, and would outlast whoever could stop it
        self.runner.close()
        self.database.close()


@contextmanager
def workshop(folder: Path, count: int = 2000, markets: Sequence[Symbol] = MARKETS) -> Iterator[Workshop]:
    """Running, with `count` made candles of each market."""
    made = [tiny_model.candles(count, symbol=symbol, seed=number) for number, symbol in enumerate(markets)]
    shop = Workshop(folder, markets=made)
    shop.runner.start()
    try:
        yield shop
    finally:
        shop.close()


def request(model_id: str = "made", *, epochs: int = 2, symbols: Sequence[Symbol] = MARKETS) -> TrainingRequest:
    """A training of seconds, or with very many epochs one that surely still runs when somebody looks."""
    recipe = Recipe(kind=Kind.TCN, window=4, units=2, epochs=epochs, batch_size=64, stride=1, patience=100)
    return TrainingRequest(model_id, Interval.H1, tuple(symbols), recipe)


def in_second_epoch(job: Job) -> bool:
    return job.epoch >= 2
