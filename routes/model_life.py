"""Model life: how a model is retrained by itself, and how challengers did against it, for its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.job_requests import Task
from models.registry_entry import RegistryEntry
from models.result_store import StoredResult
from models.schedules import HOURS
from routes import wording
from routes.services import Services

WIDTH, HEIGHT = 420, 120
_MARGIN = 6.0


@dataclass(frozen=True, slots=True)
class ScheduleView:
    """`words` is empty where there is none; `every` and `unit` are what the form shows."""

    words: str
    every: int
    unit: str
    due_ms: int | None
    challenger: str
    note: str
    elsewhere: str
    """The exchange it waits for, where that is another than the present one."""


@dataclass(frozen=True, slots=True)
class ChallengeView:
    """Two models' skill over time, in a box of WIDTH × HEIGHT with one scale, zero being no change."""

    champion: str
    challenger: str
    won: bool
    words: str
    made_ms: int
    champion_skill: str
    challenger_skill: str
    from_ms: int
    until_ms: int
    champion_path: str
    challenger_path: str
    zero: str
    label: str


def schedule_of(parts: Services, entry: RegistryEntry) -> ScheduleView | None:
    """None where models are not retrained here, or this one cannot be."""
    if parts.retrainer is None or entry.spec is None:
        return None
    found = parts.retrainer.schedules.get(entry.id)
    if found is None:
        return ScheduleView("", 24, HOURS, None, "", "", "")
    elsewhere = "" if found.venue == parts.training.venue else found.venue
    due_ms = found.due_ms(entry.spec.interval)
    return ScheduleView(found.words, found.every, found.unit, due_ms, found.challenger, found.note, elsewhere)


def challenges_of(parts: Services, entry: RegistryEntry) -> tuple[ChallengeView, ...]:
    """The one that the model made, and those that it met."""
    if parts.results is None or not entry.digest:
        return ()
    own = parts.results.get(entry.digest, Task.CHALLENGE)
    return tuple(_view(one) for one in [*([own] if own else []), *parts.results.challenges_of(entry.digest)[:5]])


def _view(stored: StoredResult) -> ChallengeView:
    result = stored.result
    first, second = _skills(result["course"])
    low, high = min([0.0, *first, *second]), max([0.0, *first, *second])
    names = [str(result[name]) for name in ("champion", "challenger")]
    skills = [_told(result[name]) for name in ("champion_over_naive", "challenger_over_naive")]
    return ChallengeView(
        champion=names[0],
        challenger=names[1],
        won=bool(result["won"]),
        words=str(result["words"]),
        made_ms=stored.made_ms,
        champion_skill=skills[0],
        challenger_skill=skills[1],
        from_ms=int(result["from_ms"]),
        until_ms=int(result["until_ms"]),
        champion_path=_path(first, low, high),
        challenger_path=_path(second, low, high),
        zero=f"{_up(0.0, low, high):.1f}",
        label=f"Skill against no change over time: {names[0]} {skills[0]}, {names[1]} {skills[1]}",
    )


def _skills(course: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    """Of champion and challenger, stretch by stretch."""
    known = [(champion, challenger, naive) for _, champion, challenger, naive in course if naive > 0]
    return [1 - one / naive for one, _, naive in known], [1 - one / naive for _, one, naive in known]


def _path(values: Sequence[float], low: float, high: float) -> str:
    step = (WIDTH - 2 * _MARGIN) / max(1, len(values) - 1)
    points = (f"{_MARGIN + place * step:.1f} {_up(value, low, high):.1f}" for place, value in enumerate(values))
    return "M" + "L".join(points)


def _up(value: float, low: float, high: float) -> float:
    return _MARGIN + (high - value) / ((high - low) or 1.0) * (HEIGHT - 2 * _MARGIN)


def _told(skill: Mapping[str, Any]) -> str:
    told = wording.percent(skill["skill"], signed=True)
    if skill["low"] is None:
        return told
    low, high = (wording.percent(skill[name], 1, signed=True).removesuffix(" %") for name in ("low", "high"))
    return f"{told} ({low} … {high})"
