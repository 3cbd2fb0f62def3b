"""Ensemble page: the ensembles in a table, the form that makes one, and the card of one: members and evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.ensemble import MIN_SCORED, Ensemble
from models.ensembles import Ensembles
from models.registry import RegistryEntry
from routes import wording
from routes.model_card import Fact
from routes.models_page import SHOWN_HORIZONS, some
from routes.services import Services

_SAME_WEIGHT = 0.0005
"""Weights that look alike on the page."""


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
class EnsembleRow:
    """One ensemble in a line. `missing` names the members without which it forecasts nothing."""

    id: str
    interval: str
    members: tuple[Member, ...]
    missing: str
    live: tuple[str, str]


@dataclass(frozen=True, slots=True)
class EnsembleCard:
    """All that is known of one. `moved`: weighing again would change what it forecasts."""

    row: EnsembleRow
    live: tuple[str, ...]
    coverage: str
    moved: bool
    sure: bool
    """Whether any member's skill is beyond doubt, so that weights differ."""
    least: int
    """Scored forecasts before skill can be beyond doubt."""
    floor: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that may be a member."""

    id: str
    told: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class EnsembleForm:
    """What was typed, and what is wrong with it."""

    name: str
    candidates: tuple[Candidate, ...]
    problem: str


def ensemble_rows(parts: Services) -> tuple[EnsembleRow, ...]:
    owner: Ensembles | None = parts.ensembles
    return tuple(_row(parts, owner, one) for one in owner.all()) if owner is not None else ()


def ensemble_form(
    parts: Services, name: str = "", members: Sequence[str] = (), problem: str = ""
) -> EnsembleForm | None:
    """None where fewer than two models could be members."""
    entries = [entry for entry in parts.registry.usable() if entry.spec is not None]
    if parts.ensembles is None or len(entries) < 2:
        return None
    return EnsembleForm(name, tuple(Candidate(one.id, _told(one), one.id in members) for one in entries), problem)


def ensemble_card(parts: Services, name: str) -> EnsembleCard | None:
    """None where no ensemble is so named."""
    owner: Ensembles | None = parts.ensembles
    found = next((one for one in owner.all() if one.id == name), None) if owner is not None else None
    if owner is None or found is None:
        return None
    digest, now = owner.digest(found), owner.weights_now(found)
    skills = {
        horizon: parts.ledger.skill(model_id=found.id, digest=digest, horizon=horizon) for horizon in SHOWN_HORIZONS
    }
    return EnsembleCard(
        row=_row(parts, owner, found),
        live=tuple(wording.evidence(skill, wording.ahead(found.interval, ahead)) for ahead, skill in skills.items()),
        coverage=wording.coverage_sentence(parts.ledger.skill(model_id=found.id, digest=digest)),
        moved=any(abs(weight - found.weights[member]) > _SAME_WEIGHT for member, weight in now.items()),
        sure=len({round(weight, 9) for weight in now.values()}) > 1,
        least=MIN_SCORED,
        floor=wording.percent(found.floor, 0),
        facts=(Fact("Digest of members and weights", digest or wording.NOTHING),),
    )


def _row(parts: Services, owner: Ensembles, ensemble: Ensemble) -> EnsembleRow:
    entries: Mapping[str, RegistryEntry] = {entry.id: entry for entry in parts.registry.usable()}
    now, digest = owner.weights_now(ensemble), owner.digest(ensemble)
    live = wording.skill_cell(parts.ledger.skill(model_id=ensemble.id, digest=digest)) if digest else ("", "")
    return EnsembleRow(
        id=ensemble.id,
        interval=str(ensemble.interval),
        members=tuple(
            _member(parts, name, weight, now.get(name), entries.get(name))
            for name, weight in sorted(ensemble.weights.items(), key=lambda one: (-one[1], one[0]))
        ),
        missing=", ".join(name for name in sorted(ensemble.weights) if name not in entries),
        live=live,
    )


def _member(parts: Services, name: str, weight: float, now: float | None, entry: RegistryEntry | None) -> Member:
    skill, count = (
        ("", "") if entry is None else wording.skill_cell(parts.ledger.skill(model_id=entry.id, digest=entry.digest))
    )
    return Member(
        id=name,
        usable=entry is not None,
        weight=wording.percent(weight, 1),
        share=round(100 * weight, 2),
        now=wording.percent(now, 1) if now is not None else wording.NOTHING,
        skill=skill or wording.NOTHING,
        count=count,
    )


def _told(entry: RegistryEntry) -> str:
    if entry.spec is None:
        return ""
    alone = f", {some(entry.spec.symbols)} alone" if entry.spec.symbols else ""
    return f"{entry.spec.kind}, {entry.spec.interval}{alone}"
