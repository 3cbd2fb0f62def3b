"""Training runner: takes trainings from the queue, lets each run in its own process, writes down what becomes of it.

The dashboard may end or be killed at any time: a training goes on without it, and the next dashboard takes it up again
by the number and the start time of its process. One whose process is gone by then is marked lost and can be repeated.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from data.candle_store import SeriesStats
from data.venue import UNKNOWN
from models.job_requests import CheckRequest, SearchRequest, Task
from models.jobs import MAX_WAITING, UNFINISHED, Job, JobState, JobStore
from models.promotion import Promotion
from models.running_jobs import RunningJobs
from models.training_estimate import MIN_WINDOWS, Estimate, estimate
from models.training_history import TrainingHistory
from models.training_request import TrainingRequest, WrongFields
from utils.clock import Clock
from utils.errors import InvalidInput, NotReady
from utils.repeating import tried

LOOK_S = 0.5
"""How often a running training is looked at; an empty queue costs nothing."""
TICK_S = 15.0
"""How often schedules are looked at."""


class TrainingRunner:
    """Owns one thread, which also fetches what the candle store lacks for a job before it starts."""

    def __init__(
        self,
        *,
        jobs: JobStore,
        promotion: Promotion,
        models_path: Path,
        folder: Path,
        history: TrainingHistory,
        clock: Clock,
        max_jobs: int = 1,
        threads: int = 2,
        venue: str = UNKNOWN,
        scheduler: str = "",
    ) -> None:
        self.jobs = jobs
        self._promotion = promotion
        self._history = history
        self._clock = clock
        self._max_jobs = max_jobs
        self._venue = venue
        self._running = RunningJobs(
            jobs=jobs,
            promotion=promotion,
            history=history,
            models_path=models_path,
            folder=folder,
            clock=clock,
            threads=threads,
            scheduler=scheduler,
        )
        self._tick: Callable[[], None] | None = None
        self._ticked_s = -math.inf
        self._unsure = True
        """Whether there may be trainings marked as running that nobody looks after."""
        self._submitting = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    @property
    def venue(self) -> str:
        """Whose candles are trained on."""
        return self._venue

    def look_after(self, tick: Callable[[], None]) -> None:
        """`tick` is called by the runner's thread from now on, at most every TICK_S; it may submit trainings."""
        self._tick = tick

    def use(self, venue: str) -> None:
        """From now on trains on the candles of this venue."""
        self._venue = venue

    def start(self) -> None:
        self._closing, self._unsure = False, True
        self._wake.clear()
        self._thread = threading.Thread(target=self._run, name="training-runner", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread; trainings that run go on, and the next dashboard finds them."""
        if self._thread is not None:
            self._closing = True
            self._wake.set()
            self._thread.join(timeout=10)
            self._thread = None

    def look(self) -> None:
        """Another process queued or cancelled something."""
        self._unsure = True
        self._wake.set()

    def estimate(self, request: TrainingRequest) -> Estimate:
        """How many windows the request has just now, and how long they take."""
        return self.estimates([request])[0]

    def estimates(self, requests: Sequence[TrainingRequest]) -> list[Estimate]:
        """Of several at once: what is stored is looked up once for those of the same markets and dates."""
        speeds = self.jobs.speeds()
        known: dict[object, list[SeriesStats]] = {}
        found = []
        for one in requests:
            place = (one.interval, one.symbols, one.from_date)
            if place not in known:
                known[place] = self._history.series(one)
            found.append(estimate(one, known[place], speeds))
        return found

    def free_id(self, stem: str) -> str:
        """A name for a new model that none has, nor is about to have."""
        day = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC).strftime("%Y%m%d")
        names = (f"{stem[:50]}-{day}" + (f"-{number}" if number > 1 else "") for number in range(1, 1000))
        return next(name for name in names if not self._is_taken(name))

    def submit(self, request: TrainingRequest, *, repeats: int | None = None) -> Job:
        """Queues it. InvalidInput says what does not fit; NotReady while no exchange is chosen."""
        return self.submit_all([request], repeats=repeats)[0]

    def submit_all(self, requests: Sequence[TrainingRequest], *, repeats: int | None = None) -> list[Job]:
        """Queues all of them, or none where one does not fit."""
        if self._venue == UNKNOWN:
            raise NotReady("the exchange is not chosen yet, so it is not known whose candles to train on")
        with self._submitting:
            self._check_queue(len(requests))
            for one in requests:
                self._check(one)
            now_ms = self._clock.now_ms()
            made = [self.jobs.add(one, venue=self._venue, now_ms=now_ms, repeats=repeats) for one in requests]
        self._wake.set()
        return made

    def cancel(self, job_id: int) -> Job:
        """Takes it out of the queue, or ends its process within seconds. InvalidInput where it has already ended."""
        job = self.jobs.get(job_id)
        now_ms = self._clock.now_ms()
        done = self.jobs.end(
            job_id, JobState.CANCELLED, now_ms, message="cancelled before it began", of=(JobState.QUEUED,)
        ) or self.jobs.ask_to_cancel(job_id)
        if not done:
            raise InvalidInput(f"training {job_id} has already ended ({job.state})")
        self._unsure = True
        self._wake.set()
        return self.jobs.get(job_id)

    def ask(self, request: CheckRequest | SearchRequest, *, repeats: int | None = None) -> Job:
        """Queues a check of a model, or a search; one that waits or runs already is given back.

        InvalidInput where too many wait; NotReady while no exchange is chosen.
        """
        if self._venue == UNKNOWN:
            raise NotReady("the exchange is not chosen yet, so it is not known on whose candles to work")
        with self._submitting:
            for job in self.jobs.within(*UNFINISHED):
                if job.request == request:
                    return job
            self._check_queue()
            job = self.jobs.add(request, venue=self._venue, now_ms=self._clock.now_ms(), repeats=repeats)
        self._wake.set()
        return job

    def repeat(self, job_id: int) -> Job:
        """The same once more, a training under another name if its own is taken. InvalidInput while it goes on."""
        job = self.jobs.get(job_id)
        if job.unfinished:
            raise InvalidInput(f"training {job_id} has not ended yet; cancel it first")
        if not isinstance(job.request, TrainingRequest):
            return self.ask(job.request, repeats=job_id)
        name = job.model_id
        if self._is_taken(name):
            name = self.free_id(f"{job.request.recipe.kind}-{job.request.interval}")
        return self.submit(replace(job.request, model_id=name), repeats=job_id)

    def step(self) -> None:
        """Looks at each running training once, then starts as many as may run."""
        if self._unsure:
            self._unsure = False
            self._running.take_up()
        self._running.look()
        for job in self.jobs.within(JobState.QUEUED)[: max(0, self._max_jobs - len(self._running))]:
            self._running.begin(job, venue=self._venue, goes_on=lambda: not self._closing)
        now_s = self._clock.monotonic()
        if self._tick is not None and now_s - self._ticked_s >= TICK_S:
            self._ticked_s = now_s
            self._tick()

    def _run(self) -> None:
        while not self._closing:
            if not tried(self.step, "looking after trainings"):
                self._unsure = True
            self._wake.wait(LOOK_S if self._running or self._unsure else TICK_S if self._tick is not None else None)
            self._wake.clear()
        self._running.leave()

    def _check(self, request: TrainingRequest) -> None:
        if self._is_taken(request.model_id):
            raise WrongFields({"model_id": f"a model named {request.model_id!r} is there or about to be; take another"})
        self._history.check(request)
        found = self.estimate(request)
        if found.train_windows < MIN_WINDOWS:
            raise WrongFields(
                {
                    "symbols": f"{found.candles:,} candles of {found.markets} markets give about "
                    f"{found.train_windows:,} windows to learn from; at least {MIN_WINDOWS} are needed: choose more "
                    "markets or an earlier first day"
                }
            )

    def _check_queue(self, more: int = 1) -> None:
        waiting = len(self.jobs.within(JobState.QUEUED))
        if more > MAX_WAITING:
            raise InvalidInput(f"{more} trainings are more than may wait, {MAX_WAITING}; choose fewer markets")
        if waiting + more > MAX_WAITING:
            told = "cancel one first" if more == 1 else f"{more} more do not fit, for {MAX_WAITING} may wait"
            raise InvalidInput(f"{waiting} trainings are waiting already; {told}")

    def _is_taken(self, name: str) -> bool:
        asked = (job.model_id for job in self.jobs.within(*UNFINISHED) if job.task is Task.TRAIN)
        return self._promotion.taken(name) or name in asked
