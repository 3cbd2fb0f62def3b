"""Ensemble rows: one line per ensemble, its standing, its members and what each of them weighs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.ensemble import Ensemble
from models.ensemble_entry import EnsembleEntry
from models.ensembles import Ensembles
from routes import wording
from routes.model_rows import some_markets, users_of
from routes.models_records import Records
from routes.services import Services


@dataclass(frozen=True, slots=True)
class Member:
    """`now` is what it would weigh if it were weighed today; `share` is its weight in percent."""

    id: str
    usable: bool
    weight: str
    share: float
    now: str
    skill: str
    count: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a member would weigh today, and its live skill in two short lines."""

    now: float | None
    live: tuple[str, str]


_NO_EVIDENCE = Evidence(None, ("", ""))


@dataclass(frozen=True, slots=True)
class EnsembleRow:
    """One ensemble in a line. `state` is in-use, usable, broken or archived; `missing` names the members that cannot be
    used, `silent` that none can."""

    id: str
    interval: str
    state: str
    word: str
    members: tuple[Member, ...]
    missing: str
    silent: bool
    live: tuple[str, str]
    promotable: bool
    ownable: bool
    owning: bool
    idle: bool
    """It serves nothing, so that it may be archived or dissolved."""
    archived: bool


def ensemble_rows(parts: Services, records: Records) -> tuple[EnsembleRow, ...]:
    """Without what the table does not show: how the members did, and what they would weigh today."""
    owner: Ensembles | None = parts.ensembles
    if owner is None:
        return ()
    return tuple(ensemble_row(parts, owner, one, records.live(one.record)) for one in owner.all())


def ensemble_row(parts: Services, owner: Ensembles, ensemble: Ensemble, live: tuple[str, str]) -> EnsembleRow:
    """`live`: its live skill in two short lines."""
    entry = owner.entry(ensemble)
    owned = parts.promotion.owned().get(ensemble.id, ())
    state, word = _state(parts, entry, owned)
    free = not ensemble.archived and bool(entry.members)
    return EnsembleRow(
        id=ensemble.id,
        interval=str(ensemble.interval),
        state=state,
        word=word,
        members=members_of(parts, ensemble, {}),
        missing=", ".join(entry.missing),
        silent=not entry.members,
        live=live,
        promotable=free and entry.serves_any and state != "in-use",
        ownable=free and len(owned) < len(entry.symbols),
        owning=bool(owned),
        idle=state != "in-use",
        archived=ensemble.archived,
    )


def _state(parts: Services, entry: EnsembleEntry, owned: Sequence[str]) -> tuple[str, str]:
    users = users_of(parts.promotion.in_use()).get(entry.id)
    if entry.ensemble.archived:
        return "archived", "archived"
    if not entry.members:
        return "broken", "makes no forecast"
    if users:
        return "in-use", f"champion of {', '.join(users)}"
    if owned:
        return "in-use", f"serves {some_markets(owned)} alone"
    return "usable", f"for {some_markets(entry.symbols)} alone" if entry.symbols else f"challenger for {entry.interval}"


def members_of(parts: Services, ensemble: Ensemble, evidence: Mapping[str, Evidence]) -> tuple[Member, ...]:
    """The heaviest first, each with its `evidence` where there is some."""
    usable = {entry.id for entry in parts.registry.usable()}
    return tuple(
        _member(name, weight, evidence.get(name, _NO_EVIDENCE), usable=name in usable)
        for name, weight in sorted(ensemble.weights.items(), key=lambda one: (-one[1], one[0]))
    )


def _member(name: str, weight: float, seen: Evidence, *, usable: bool) -> Member:
    return Member(
        id=name,
        usable=usable,
        weight=wording.percent(weight, 1),
        share=round(100 * weight, 2),
        now=wording.percent(seen.now, 1) if seen.now is not None else wording.NOTHING,
        skill=seen.live[0] or wording.NOTHING,
        count=seen.live[1],
    )
