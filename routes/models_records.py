"""Models' records: what the models' page asks the database, in as many statements whatever the number of models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from models.registry_entry import Status
from models.result_store import StoredResult
from routes import wording
from routes.services import Services, SkillFace
from utils.last_known import Known, Silence


@dataclass(frozen=True, slots=True)
class Records:
    """`skills` of every usable model and ensemble, by its record; `trainings` those that run or wait.

    `silence` where the database does not answer and this is what it said last; `blank` where it said nothing before.
    """

    skills: Mapping[str, SkillFace] = field(default_factory=dict)
    searches: tuple[StoredResult, ...] = ()
    trainings: int = 0
    silence: Silence | None = None
    blank: bool = False

    def live(self, record: str) -> tuple[str, str]:
        """The live skill in two short lines."""
        skill = self.skills.get(record)
        if skill is not None:
            return wording.skill_cell(skill)
        return wording.SKILL_NOT_KNOWN if self.silence is not None else ("", "")


def records_of(parts: Services) -> Records:
    """As the database says now, or as it said last while it does not answer."""
    known: Known[Records] = parts.known.read("models", lambda: _read(parts))
    said = known.value or Records(blank=True)
    return Records(said.skills, said.searches, said.trainings, known.silence, said.blank)


def records_version(parts: Services) -> str:
    """Changes with every training, check, search and schedule, and when the database falls silent or speaks again."""
    known: Known[str] = parts.known.read("models.version", lambda: _version(parts))
    return known.value or "" if known.silence is None else f"silent since {known.silence.since_ms}"


def _read(parts: Services) -> Records:
    entries = (*parts.registry.all(), *parts.promotion.archived())
    wanted = [entry.digest for entry in entries if entry.status is Status.OK]
    wanted += [one.record for one in parts.ensembles.all()] if parts.ensembles is not None else []
    found = parts.ledger.skills_of(wanted) if wanted else {}
    return Records(
        skills={record: skill for (record, _, _), skill in found.items()},
        searches=tuple(parts.results.searches()) if parts.results is not None else (),
        trainings=len(parts.training.jobs.unfinished()),
    )


def _version(parts: Services) -> str:
    results = parts.results.version() if parts.results is not None else ""
    schedules = parts.retrainer.schedules.all() if parts.retrainer is not None else ""
    return f"{parts.training.jobs.changes()} {results} {schedules!r}"
