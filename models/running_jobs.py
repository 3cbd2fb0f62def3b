"""Running jobs: the processes of trainings and checks: begun, looked at, stopped, and what became of each noted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from models.job_requests import Task
from models.jobs import FETCHING, Job, JobState, JobStore
from models.promotion import Promotion
from models.training_history import Fetched, TrainingHistory
from models.training_outcome import outcome
from models.training_process import TrainingProcess, log_tail
from models.training_request import TrainingRequest
from utils.clock import Clock
from utils.errors import DashboardError

log = logging.getLogger(__name__)

PATIENCE_S = 5.0
"""Given to a training to end when it is asked to, before it is killed."""


_TIMED = ("training", "asking")
"""Stages that say how long they take."""
_NOT_FETCHING = {"stage": "", "epoch": 0, "windows": 0, "eta_s": None}


class RunningJobs:
    """Used by one thread alone."""

    def __init__(
        self,
        *,
        jobs: JobStore,
        promotion: Promotion,
        history: TrainingHistory,
        models_path: Path,
        folder: Path,
        clock: Clock,
        threads: int,
        scheduler: str,
    ) -> None:
        self._jobs = jobs
        self._promotion = promotion
        self._history = history
        self._models_path = models_path
        self._folder = folder
        self._clock = clock
        self._threads = threads
        self._scheduler = scheduler
        self._live: dict[int, TrainingProcess] = {}

    def __len__(self) -> int:
        return len(self._live)

    def take_up(self) -> None:
        """Finds the trainings that are marked as running and not looked after: an earlier dashboard left them, or the
        database failed between two steps of ours. Whatever goes wrong with one, the next look tries again."""
        for job in self._jobs.within(JobState.RUNNING):
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

    def begin(self, job: Job, *, venue: str, goes_on: Callable[[], bool]) -> None:
        """Takes it out of the queue, fetches what it wants and starts it; `venue` is whose candles are stored.

        Put back into the queue where `goes_on` denies while its history is fetched.
        """
        if not self._jobs.begin(job.id, self._clock.now_ms()):
            return
        if not self._has_history(job, venue, goes_on):
            return
        try:
            if job.task is Task.TRAIN:
                self._promotion.pin(job.request.interval)
            process = TrainingProcess.start(
                job,
                models_path=self._models_path,
                database=self._jobs.address,
                folder=self._folder,
                threads=self._threads,
                scheduler=self._scheduler,
            )
        except DashboardError as error:
            self._end(job.id, JobState.FAILED, str(error))
            return
        self._live[job.id] = process  # before the database is told, which may fail: it is looked after from now on
        self._jobs.started(job.id, process.pid, process.since_s)
        log.info("training %d of %s began, as process %d", job.id, job.model_id, process.pid)

    def look(self) -> None:
        """Once at each: what it told is written down, one that has ended is concluded, a cancelled one stopped."""
        for process in list(self._live.values()):
            self._look(process)

    def leave(self) -> None:
        """They go on, and the next dashboard finds them."""
        for process in self._live.values():
            log.info("training %d goes on without the dashboard, as process %d", process.job_id, process.pid)
            process.leave()
        self._live.clear()

    def _has_history(self, job: Job, venue: str, goes_on: Callable[[], bool]) -> bool:
        """False where the job has ended, or was put back into the queue because the dashboard ends."""
        if job.venue != venue:
            return True  # another exchange's candles: it works on those that are stored
        self._jobs.progressed(job.id, stage=FETCHING)
        may_go_on = partial(self._may_fetch_on, job.id, goes_on, self._clock.monotonic())
        try:
            if self._history.complete(job.request, may_go_on):
                self._jobs.progressed(job.id, **_NOT_FETCHING, message="")
                return True
        except DashboardError as error:
            told = f"its history could not be fetched: {error}"
            if isinstance(job.request, TrainingRequest):
                self._end(job.id, JobState.FAILED, told)
                return False
            self._jobs.progressed(job.id, **_NOT_FETCHING, message=f"{told}; it goes on with what is stored.")
            return True  # which may be enough for a check: it says itself if not
        if self._jobs.get(job.id).cancelling:
            self._end(job.id, JobState.CANCELLED, "cancelled while its history was fetched; what had come was kept")
        else:
            self._jobs.put_back(job.id)
        return False

    def _may_fetch_on(self, job_id: int, goes_on: Callable[[], bool], since_s: float, so_far: Fetched) -> bool:
        """Asked after each page; meanwhile the others are looked after."""
        left_s = so_far.left_s(self._clock.monotonic() - since_s)
        self._jobs.progressed(
            job_id, message=f"{so_far.words}.", epoch=so_far.candles, windows=so_far.wanted, eta_s=left_s
        )
        self.look()
        return goes_on() and not self._jobs.get(job_id).cancelling

    def _look(self, process: TrainingProcess) -> None:
        alive = process.alive
        if process.news():
            self._write_down(process)
        job = self._jobs.get(process.job_id)
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
        self._jobs.progressed(
            process.job_id,
            stage=last["stage"],
            epoch=last.get("epoch", last.get("step", 0)),
            curve=process.curve,
            eta_s=last.get("eta_s") if last["stage"] in _TIMED else None,
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
        self._live.pop(job.id, None)  # what cannot be cleared holds up no other job
        process.clear(self._models_path)  # last: until its end is written down, only its files know of it

    def _end(self, job_id: int, state: JobState, message: str) -> None:
        tail = log_tail(self._folder, job_id)
        self._jobs.end(job_id, state, self._clock.now_ms(), message=message, log=tail, of=(JobState.RUNNING,))
        log.info("training %d: %s %s", job_id, state, message)
