"""Training runner: takes trainings from the queue, lets each run in its own process, writes down what becomes of it.

The dashboard may end or be killed at any time: a training goes on without it, and the next dashboard takes it up again
by the number and the start time of its process. One whose process is gone by then is marked lost and can be repeated.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from data.candle_store import SeriesStats
from data.venue import UNKNOWN
from models.job_requests import CheckRequest, SearchRequest, Task
from models.jobs import MAX_WAITING, UNFINISHED, Job, JobState, JobStore
from models.promotion import Promotion
from models.training_estimate import MIN_WINDOWS, Estimate, estimate
from models.training_history import Fetched, TrainingHistory
from models.training_outcome import outcome
from models.training_process import TrainingProcess, log_tail
from models.training_request import TrainingRequest, WrongFields
from utils.clock import Clock
from utils.errors import DashboardError, InvalidInput, NotReady

log = logging.getLogger(__name__)

LOOK_S = 0.5
"""How often a running training is looked at; an empty queue costs nothing."""
TICK_S = 15.0
"""How often schedules are looked at."""
PATIENCE_S = 5.0
"""Given to a training to end when it is asked to, before it is killed."""


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
        self._models_path = models_path
        self._folder = folder
        self._history = history
        self._clock = clock
        self._max_jobs = max_jobs
        self._threads = threads
        self._venue = venue
        self._scheduler = scheduler
        self._live: dict[int, TrainingProcess] = {}
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
            self._take_up()
        for process in list(self._live.values()):
            self._look(process)
        for job in self.jobs.within(JobState.QUEUED)[: max(0, self._max_jobs - len(self._live))]:
            self._begin(job)
        now_s = self._clock.monotonic()
        if self._tick is not None and now_s - self._ticked_s >= TICK_S:
            self._ticked_s = now_s
            self._tick()

    def _run(self) -> None:
        while not self._closing:
            try:
                self.step()
            except (DashboardError, OSError) as error:
                self._unsure = True
                log.error("trainings could not be looked after: %s", error)  # noqa: TRY400 - the tree's texts suffice
            self._wake.wait(LOOK_S if self._live or self._unsure else TICK_S if self._tick is not None else None)
            self._wake.clear()
        for process in self._live.values():
            log.info("training %d goes on without the dashboard, as process %d", process.job_id, process.pid)
            process.leave()
        self._live.clear()

    def _take_up(self) -> None:
        """Finds the trainings that are marked as running and not looked after: an earlier dashboard left them, or the
        database failed between two steps of ours. Whatever goes wrong with one, the next look tries again."""
        self._unsure = False
        for job in self.jobs.within(JobState.RUNNING):
            if job.id in self._live:
                continue
            process = TrainingProcess.found(job, self._folder)
            if process is not None:
                log.info("training %d still runs, as process %d: taken up again", job.id, process.pid)
                self._live[job.id] = process
                continue
            gone = TrainingProcess(job.id, job.model_id, job.pid or 0, job.pid_since_s or 0.0, self._folder)
            gone.news()
            self._conclude(gone, job)

    def _begin(self, job: Job) -> None:
        if not self.jobs.begin(job.id, self._clock.now_ms()):
            return
        if not self._has_history(job):
            return
        try:
            if job.task is Task.TRAIN:
                self._promotion.pin(job.request.interval)
            process = TrainingProcess.start(
                job,
                models_path=self._models_path,
                database=self.jobs.address,
                folder=self._folder,
                threads=self._threads,
                scheduler=self._scheduler,
            )
        except DashboardError as error:
            self._end(job.id, JobState.FAILED, str(error))
            return
        self._live[job.id] = process  # before the database is told, which may fail: it is looked after from now on
        self.jobs.started(job.id, process.pid, process.since_s)
        log.info("training %d of %s began, as process %d", job.id, job.model_id, process.pid)

    def _has_history(self, job: Job) -> bool:
        """False where the job has ended, or was put back into the queue because the dashboard ends."""
        if job.venue != self._venue:
            return True  # another exchange's candles: it works on those that are stored
        self.jobs.progressed(job.id, stage="fetching")
        try:
            if self._history.complete(job.request, partial(self._goes_on, job.id)):
                self.jobs.progressed(job.id, stage="", message="")
                return True
        except DashboardError as error:
            told = f"its history could not be fetched: {error}"
            if isinstance(job.request, TrainingRequest):
                self._end(job.id, JobState.FAILED, told)
                return False
            self.jobs.progressed(job.id, stage="", message=f"{told}; it goes on with what is stored.")
            return True  # which may be enough for a check: it says itself if not
        if self.jobs.get(job.id).cancelling:
            self._end(job.id, JobState.CANCELLED, "cancelled while its history was fetched; what had come was kept")
        else:
            self.jobs.put_back(job.id)
        return False

    def _goes_on(self, job_id: int, so_far: Fetched) -> bool:
        """Asked after each page; meanwhile the others are looked after."""
        self.jobs.progressed(job_id, message=f"{so_far.words}.")
        for process in list(self._live.values()):
            self._look(process)
        return not self._closing and not self.jobs.get(job_id).cancelling

    def _look(self, process: TrainingProcess) -> None:
        alive = process.alive
        if process.news():
            self._write_down(process)
        job = self.jobs.get(process.job_id)
        if not alive:
            process.news()
            self._conclude(process, job)
        elif job.cancelling:
            self._stop(process)

    def _stop(self, process: TrainingProcess) -> None:
        now_s = self._clock.monotonic()
        if process.stop_since_s is None:
            process.stop_since_s = now_s
            process.end()
        elif now_s - process.stop_since_s > PATIENCE_S:
            process.end(hard=True)

    def _write_down(self, process: TrainingProcess) -> None:
        last = process.last
        self.jobs.progressed(
            process.job_id,
            stage=last["stage"],
            epoch=last.get("epoch", last.get("step", 0)),
            curve=process.curve,
            eta_s=last.get("eta_s") if last["stage"] == "training" else None,
            windows=last.get("windows", 0),
            fit_s=last.get("fit_s", 0.0),
            log=process.log_tail(),
            pid=process.pid,
            pid_since_s=process.since_s,
        )

    def _conclude(self, process: TrainingProcess, job: Job) -> None:
        if process.last:
            self._write_down(process)
        state, message = outcome(process, job)
        self._end(job.id, state, message)
        process.clear(self._models_path)
        self._live.pop(job.id, None)

    def _end(self, job_id: int, state: JobState, message: str) -> None:
        tail = log_tail(self._folder, job_id)
        self.jobs.end(job_id, state, self._clock.now_ms(), message=message, log=tail, of=(JobState.RUNNING,))
        log.info("training %d: %s %s", job_id, state, message)

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
