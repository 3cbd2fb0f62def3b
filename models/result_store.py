"""Result store: what checks of models found, by the model's digest, so that no result outlives what it was found of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from data.database import Database
from models.job_requests import Task

_METADATA = sa.MetaData()

_RESULTS = sa.Table(
    "model_results",
    _METADATA,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("task", sa.String(12), primary_key=True),
    sa.Column("model_id", sa.String(64), nullable=False),
    sa.Column("against", sa.String(64), nullable=False, index=True),  # digest of the model that was challenged
    sa.Column("made_ms", sa.BigInteger, nullable=False),
    sa.Column("result", sa.JSON, nullable=False),
)


@dataclass(frozen=True, slots=True)
class StoredResult:
    """The newest of one task for one digest."""

    digest: str
    task: Task
    model_id: str
    against: str
    made_ms: int
    result: Mapping[str, Any]


class ResultStore:
    """One row per digest and task; a newer result replaces the older."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.create_tables(_METADATA)

    def put(
        self,
        digest: str,
        task: Task,
        result: Mapping[str, Any],
        *,
        model_id: str,
        now_ms: int,
        against: str = "",
    ) -> None:
        row = {
            "digest": digest,
            "task": str(task),
            "model_id": model_id,
            "against": against,
            "made_ms": now_ms,
            "result": dict(result),
        }
        with self._database.write() as connection:
            connection.execute(self._database.upsert(_RESULTS), row)

    def of(self, digest: str) -> dict[Task, StoredResult]:
        """Everything that is known of a model."""
        return {one.task: one for one in self._read(_RESULTS.c.digest == digest)}

    def get(self, digest: str, task: Task) -> StoredResult | None:
        return self.of(digest).get(task)

    def challenges_of(self, digest: str) -> list[StoredResult]:
        """Of those who challenged the model, the newest first."""
        return self._read((_RESULTS.c.against == digest) & (_RESULTS.c.task == Task.CHALLENGE))

    def searches(self) -> list[StoredResult]:
        """Of every search, the newest first."""
        return self._read(_RESULTS.c.task == Task.SEARCH)

    def version(self) -> str:
        """Changes with every result."""
        query = sa.select(sa.func.count(), sa.func.max(_RESULTS.c.made_ms)).select_from(_RESULTS)
        with self._database.read() as connection:
            count, newest = connection.execute(query).one()
        return f"{count}.{newest or 0}"

    def _read(self, where: sa.ColumnElement[bool]) -> list[StoredResult]:
        query = sa.select(_RESULTS).where(where).order_by(_RESULTS.c.made_ms.desc())
        with self._database.read() as connection:
            rows = connection.execute(query).mappings().all()
        return [StoredResult(**dict(row) | {"task": Task(row["task"])}) for row in rows]
