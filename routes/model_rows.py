"""Model rows: one line per model, its standing, size, age, speed and skill, for the tables of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data.interval import Interval
from data.symbol import Symbol
from models.champions import Champion
from models.registry_entry import RegistryEntry, Status
from models.speeds import WINDOWS
from routes import wording
from routes.model_record import has_twin, original_of
from routes.services import Services
from utils.phrases import some

SHOWN_HORIZONS = (1, 6, 24)
_NAMED = 6


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model, or what lies in the place of one. `state` is in-use, usable, archived, broken or foreign."""

    id: str
    state: str
    word: str
    reason: str
    kind: str
    interval: str
    size: str
    created_ms: int | None
    age: str
    speed: str
    test_skills: tuple[tuple[str, str], ...]
    tested: str
    """Which other model the skills are of; nothing where they are its own."""
    live: tuple[str, str]
    digest: str
    promotable: bool
    archivable: bool
    needed: str
    """The ensembles that serve and have it as a member."""
    ownable: bool
    """It serves some markets alone, and was not chosen to."""
    owning: bool
    """It was chosen for some markets."""


def some_markets(markets: Sequence[str]) -> str:
    """A few by name, in their order, many by their number."""
    return some(sorted(map(str, markets)), _NAMED)


def speed_text(parts: Services, entry: RegistryEntry) -> str:
    """How long one batch takes; not waited for where it was not measured yet."""
    if parts.speeds is None:
        return wording.NOTHING
    if not parts.speeds.known(entry):
        return "being measured"
    seconds = parts.speeds.seconds(entry)
    return f"{wording.milliseconds(seconds * 1000)} for {WINDOWS}" if seconds else wording.NOTHING


def users_of(in_use: Mapping[Interval, Champion]) -> dict[str, list[Interval]]:
    users: dict[str, list[Interval]] = {}
    for interval, entry in in_use.items():
        users.setdefault(entry.id, []).append(interval)
    return users


def model_row(
    parts: Services,
    entry: RegistryEntry,
    users: Mapping[str, Sequence[Interval]],
    live: tuple[str, str],
    *,
    archived: bool = False,
    needed: Mapping[str, Sequence[str]] | None = None,
) -> ModelRow:
    """`live`: its live skill in two short lines, shown where it can be used; `needed`: the ensembles in use by their
    members, looked up where it is not given."""
    spec, usable = entry.spec, entry.status is Status.OK
    owned = () if archived or spec is None or not spec.symbols else parts.promotion.owned().get(entry.id, ())
    state, word = _state(entry, users, archived=archived, owned=owned)
    alone = usable and not archived and spec is not None and bool(spec.symbols)
    users_of_it = () if archived else (parts.promotion.needed() if needed is None else needed).get(entry.id, ())
    now_ms = parts.clock.now_ms()
    return ModelRow(
        id=entry.id,
        state=state,
        word=word,
        reason=entry.reason,
        kind=str(spec.kind) if spec else wording.NOTHING,
        interval=str(spec.interval) if spec else wording.NOTHING,
        size=wording.size(entry.size_bytes) if entry.size_bytes else wording.NOTHING,
        created_ms=spec.created_ms if spec else None,
        age=wording.age((now_ms - spec.created_ms) / 1000) if spec else wording.NOTHING,
        speed=speed_text(parts, entry) if usable else wording.NOTHING,
        test_skills=_test_skills(entry),
        tested=_tested(entry.report or {}),
        live=live if usable else ("", ""),
        digest=entry.digest,
        promotable=usable and not archived and state != "in-use" and spec is not None and not spec.symbols,
        archivable=not archived and state in ("usable", "broken") and not users_of_it,
        needed=", ".join(users_of_it),
        ownable=alone and spec is not None and len(owned) < len(spec.symbols),
        owning=bool(owned),
    )


def _state(
    entry: RegistryEntry, users: Mapping[str, Sequence[Interval]], *, archived: bool, owned: Sequence[Symbol] = ()
) -> tuple[str, str]:
    if entry.status is Status.UNSUPPORTED:
        return "foreign", "not a model"
    if entry.status is Status.BROKEN:
        return "broken", "archived, broken" if archived else "broken"
    if archived:
        return "archived", "archived"
    if entry.id in users:
        return "in-use", f"champion of {', '.join(users[entry.id])}"
    if entry.spec is not None and entry.spec.symbols:
        if owned:
            return "in-use", f"serves {some_markets(owned)} alone"
        return "usable", f"for {some_markets(entry.spec.symbols)} alone"
    contested = entry.spec is not None and any(entry.spec.interval in held for held in users.values())
    return "usable", f"challenger for {entry.spec.interval}" if entry.spec and contested else "usable"


def _test_skills(entry: RegistryEntry) -> tuple[tuple[str, str], ...]:
    """(horizon, skill) at the horizons shown in tables; empty where the report has no test."""
    if entry.spec is None or entry.report is None:
        return ()
    scores = {score.get("horizon"): score for score in listed(entry.report.get("test")) if isinstance(score, dict)}
    return tuple(
        (
            wording.candles_ahead(entry.spec.interval, horizon),
            wording.percent(number(score, "skill_fraction"), signed=True),
        )
        for horizon in SHOWN_HORIZONS
        if (score := scores.get(horizon)) is not None
    )


def _tested(report: Mapping[str, Any]) -> str:
    """Which other model the skills are of; nothing where they are the model's own."""
    if of := original_of(report):
        return f"of {of}, its original in single precision"
    return "of its twin, which never saw the test" if has_twin(report) else ""


def number(values: Mapping[str, Any], name: str) -> float | None:
    value = values.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def mapping(value: Any) -> dict[str, Any]:
    """The value of a report where it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
