"""Jobs: the trainings and checks that were asked for, as rows of the database, so that they outlast the dashboard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from data.database import Database
from models.job_requests import Request, Task, request_of, steps_of, task_of
from models.training_estimate import Speed
from models.training_request import TrainingRequest
from utils.errors import NotFound

MAX_WAITING = 20
FETCHING = "fetching"
"""The stage in which candles are counted instead of epochs."""
_LOG_CHARS = 6_000
_REMEMBERED_SPEEDS = 20

_METADATA = sa.MetaData()

_JOBS = sa.Table(
    "training_jobs",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("state", sa.String(12), nullable=False, index=True),
    sa.Column("model_id", sa.String(64), nullable=False),
    sa.Column("venue", sa.String(80), nullable=False),
    sa.Column("request", sa.JSON, nullable=False),
    sa.Column("repeats", sa.Integer),
    sa.Column("stage", sa.String(20), nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),  # over; while history is fetched, candles
    sa.Column("curve", sa.JSON, nullable=False),  # per epoch [training loss, validation loss]
    sa.Column("eta_s", sa.Double),
    sa.Column("windows", sa.Integer, nullable=False),  # per epoch; candles wanted of history; a check's steps
    sa.Column("fit_s", sa.Double, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("log", sa.Text, nullable=False),
    sa.Column("cancelling", sa.Boolean, nullable=False),
    sa.Column("pid", sa.Integer),
    sa.Column("pid_since_s", sa.Double),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("started_ms", sa.BigInteger),
    sa.Column("ended_ms", sa.BigInteger),
    sa.Column("changes", sa.Integer, nullable=False),
)


_ANEW = {"stage": "", "epoch": 0, "windows": 0, "eta_s": None, "message": ""}


class JobState(StrEnum):
    """Where a training stands; the last four are ends."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    """Its process was gone when the dashboard looked for it."""


UNFINISHED = (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True, slots=True)
class Job:
    """One training, or check of a model. Times are UTC ms; `pid` and `pid_since_s` name its process beyond doubt."""

    id: int
    state: JobState
    model_id: str
    venue: str
    request: Request
    repeats: int | None
    stage: str
    epoch: int
    curve: tuple[tuple[float | None, float | None], ...]
    """Per epoch the training and the validation loss; None where it was not a number."""
    eta_s: float | None
    windows: int
    fit_s: float
    message: str
    log: str
    cancelling: bool
    pid: int | None
    pid_since_s: float | None
    created_ms: int
    started_ms: int | None
    ended_ms: int | None
    changes: int
    """Grows with each change of the row."""

    @property
    def task(self) -> Task:
        return task_of(self.request)

    @property
    def steps(self) -> int:
        """Epochs, folds, trials or deals, of which `epoch` are over; 0 where that is not known yet."""
        told = self.windows if self.task is not Task.TRAIN and self.stage != FETCHING else 0
        return steps_of(self.request) or told

    @property
    def share(self) -> float:
        """Of its present stage, where that is fetching, else of its epochs, folds or trials, what is over: 0 … 1."""
        if self.state is JobState.DONE:
            return 1.0
        return min(1.0, self.epoch / max(1, self.windows if self.stage == FETCHING else self.steps))

    @property
    def unfinished(self) -> bool:
        return self.state in UNFINISHED

    @property
    def windows_per_s(self) -> float | None:
        """Of the epochs so far, the first counted as the later ones."""
        return self.windows * self.epoch / self.fit_s if self.fit_s > 0 and self.epoch else None

    @property
    def other_s(self) -> float:
        """What an ended training took beside its epochs, without the fetching of history before its process began."""
        started_s, ended_s = (self.started_ms or 0) / 1000, (self.ended_ms or 0) / 1000
        since_s = self.pid_since_s or 0.0
        return max(0.0, ended_s - (since_s if started_s < since_s < ended_s else started_s) - self.fit_s)


class JobStore:
    """Each change is one statement that names the states it may change: of two who act at once, one wins."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.create_tables(_METADATA)

    @property
    def address(self) -> str:
        """Where another process of this machine finds the same database; it may hold a password."""
        path = self._database.path
        if path is not None:
            return f"sqlite:///{path.resolve()}"
        return self._database.engine.url.render_as_string(hide_password=False)

    def add(self, request: Request, *, venue: str, now_ms: int, repeats: int | None = None) -> Job:
        row: dict[str, Any] = {
            "state": JobState.QUEUED,
            "model_id": request.model_id,
            "venue": venue,
            "request": request.to_json(),
            "repeats": repeats,
            "stage": "",
            "epoch": 0,
            "curve": [],
            "windows": 0,
            "fit_s": 0.0,
            "message": "",
            "log": "",
            "cancelling": False,
            "created_ms": now_ms,
            "changes": 1,
        }
        with self._database.write() as connection:
            (key,) = connection.execute(sa.insert(_JOBS).values(row)).inserted_primary_key or (0,)
        return self.get(int(key))

    def get(self, job_id: int) -> Job:
        """NotFound where there is none."""
        found = self._read(sa.select(_JOBS).where(_JOBS.c.id == job_id))
        if not found:
            raise NotFound(f"there is no training number {job_id}")
        return found[0]

    def recent(self, limit: int) -> list[Job]:
        """The newest first."""
        return self._read(sa.select(_JOBS).order_by(_JOBS.c.id.desc()).limit(limit))

    def within(self, *states: JobState) -> list[Job]:
        """Those in any of the states, the oldest first."""
        return self._read(sa.select(_JOBS).where(_JOBS.c.state.in_(states)).order_by(_JOBS.c.id))

    def unfinished(self) -> list[Job]:
        """Those that run or wait, the oldest first."""
        return self.within(*UNFINISHED)

    def newest(self, task: Task, model_id: str) -> Job | None:
        """The last one asked for of that model."""
        query = sa.select(_JOBS).where(_JOBS.c.model_id == model_id).order_by(_JOBS.c.id.desc())
        return next((job for job in self._read(query) if job.task is task), None)

    def changes(self) -> int:
        """Grows with every change of any row."""
        query = sa.select(sa.func.coalesce(sa.func.sum(_JOBS.c.changes), 0))
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def speeds(self) -> list[Speed]:
        """What finished trainings took, the newest first."""
        query = (
            sa.select(_JOBS)
            .where(_JOBS.c.state == JobState.DONE, _JOBS.c.fit_s > 0)
            .order_by(_JOBS.c.id.desc())
            .limit(_REMEMBERED_SPEEDS)
        )
        return [
            Speed(job.request.recipe, job.windows_per_s, job.id, job.other_s, job.windows)
            for job in self._read(query)
            if job.windows_per_s and isinstance(job.request, TrainingRequest)
        ]

    def begin(self, job_id: int, now_ms: int) -> bool:
        """Takes a job out of the queue; False if somebody else did, or it was cancelled meanwhile."""
        return self._change(job_id, (JobState.QUEUED,), state=JobState.RUNNING, started_ms=now_ms)

    def put_back(self, job_id: int) -> None:
        """Into the queue again, for the next dashboard."""
        self._change(job_id, (JobState.RUNNING,), state=JobState.QUEUED, started_ms=None, **_ANEW)

    def started(self, job_id: int, pid: int, pid_since_s: float) -> None:
        self._change(job_id, (JobState.RUNNING,), pid=pid, pid_since_s=pid_since_s)

    def ask_to_cancel(self, job_id: int) -> bool:
        return self._change(job_id, (JobState.RUNNING,), cancelling=True)

    def progressed(self, job_id: int, **values: Any) -> None:
        self._change(job_id, (JobState.RUNNING,), **values)

    def end(
        self, job_id: int, state: JobState, now_ms: int, *, message: str = "", log: str = "", of: Sequence[JobState]
    ) -> bool:
        """False where the job was in none of the states `of` any more."""
        return self._change(
            job_id, of, state=state, ended_ms=now_ms, message=message, log=log[-_LOG_CHARS:], eta_s=None
        )

    def _change(self, job_id: int, of: Sequence[JobState], **values: Any) -> bool:
        update = (
            sa.update(_JOBS)
            .where(_JOBS.c.id == job_id, _JOBS.c.state.in_(of))
            .values(**values, changes=_JOBS.c.changes + 1)
        )
        with self._database.write() as connection:
            return connection.execute(update).rowcount == 1

    def _read(self, query: sa.Select[Any]) -> list[Job]:
        with self._database.read() as connection:
            rows = connection.execute(query).mappings().all()
        return [
            Job(
                **dict(row)
                | {
                    "state": JobState(row["state"]),
                    "request": request_of(row["request"]),
                    "curve": tuple((loss, validation) for loss, validation in row["curve"]),
                }
            )
            for row in rows
        ]
