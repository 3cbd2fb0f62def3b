"""Ensemble page: the form that makes an ensemble, and the card of one: its members and the evidence for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from models.champions import interval_of
from models.ensemble import MIN_BLOCKS, MIN_SCORED, MOST_CANDLES, RECENT_CANDLES, RECENT_MS, Ensemble
from models.ensemble_entry import EnsembleEntry
from models.ensembles import SAME_WEIGHT, Ensembles
from models.ledger_scores import interval_95
from models.registry_entry import RegistryEntry
from routes import wording
from routes.ensemble_rows import EnsembleRow, Evidence, ensemble_row, members_of
from routes.mix_wording import Making, making_of
from routes.model_card import Fact
from routes.model_rows import SHOWN_HORIZONS, some_markets
from routes.services import Services, SkillFace

_VERSIONS = 12
"""Weighings shown."""
_RECENT = f"the last {RECENT_MS // 86_400_000} days ({RECENT_CANDLES} candles, where those are longer)"


@dataclass(frozen=True, slots=True)
class Version:
    """Which weights were used from when to when, and how many forecasts they made."""

    number: str
    digest: str
    weights: str
    from_ms: int
    until_ms: int
    forecasts: str


@dataclass(frozen=True, slots=True)
class EnsembleCard:
    """All that is known of one. `moved`: weighing again would change what it forecasts."""

    row: EnsembleRow
    live: tuple[str, ...]
    coverage: str
    against: str
    """How it did against what serves now, on the forecasts that both made; empty for that one itself."""
    moved: bool
    sure: bool
    """Whether any member's skill is beyond doubt, so that weights differ."""
    least: int
    """Scored forecasts before skill can be beyond doubt."""
    days: int
    """Of them, likewise."""
    floor: str
    recent: str
    """Which forecasts count, in words."""
    every: int
    every_fits: str
    """Which numbers of candles fit, in words."""
    due_ms: int | None
    weighed_ms: int
    making: Making
    versions: tuple[Version, ...]
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
    entry, now = owner.entry(found), owner.weights_now(found)
    overall = parts.ledger.skill(model_id=found.id, digest=found.record)
    skills = {
        horizon: parts.ledger.skill(model_id=found.id, digest=found.record, horizon=horizon)
        for horizon in SHOWN_HORIZONS
    }
    return EnsembleCard(
        row=replace(
            ensemble_row(parts, owner, found, wording.skill_cell(overall)),
            members=members_of(parts, found, _evidence(parts, now)),
        ),
        live=tuple(
            wording.evidence(skill, wording.ahead(found.interval, ahead)).replace("this model", "this ensemble")
            for ahead, skill in skills.items()
        ),
        coverage=wording.coverage_sentence(overall),
        against=_against(parts, entry),
        moved=any(abs(weight - found.weights[member]) > SAME_WEIGHT for member, weight in now.items()),
        sure=len({round(weight, 9) for weight in now.values()}) > 1,
        least=MIN_SCORED,
        days=MIN_BLOCKS,
        floor=wording.percent(found.floor, 0),
        recent=_RECENT,
        every=found.every,
        every_fits=f"1 to {MOST_CANDLES:,}; 0: only by hand.",
        due_ms=None if found.archived else found.due_ms(),
        weighed_ms=found.weighed_ms,
        making=making_of(entry),
        versions=_versions(parts, found),
        facts=(
            Fact("Digest of members and weights", entry.digest or wording.NOTHING),
            Fact("Record of all its versions", found.record),
            Fact("Version of the weights", str(found.version)),
        ),
    )


def _evidence(parts: Services, now: Mapping[str, float]) -> dict[str, Evidence]:
    """Of each model that can be used."""
    return {
        entry.id: Evidence(
            now.get(entry.id), wording.skill_cell(parts.ledger.skill(model_id=entry.id, digest=entry.digest))
        )
        for entry in parts.registry.usable()
        if entry.id in now
    }


def _against(parts: Services, entry: EnsembleEntry) -> str:
    serving = parts.promotion.champions.of(entry.interval)
    if serving is None or serving.id == entry.id or interval_of(serving) is not entry.interval:
        return ""
    return against_sentence(serving.id, parts.ledger.against(entry.record, serving.record))


def against_sentence(other: str, skill: SkillFace) -> str:
    """`skill`: of which the baseline is the other model, on the days of which both have scored as many forecasts."""
    if skill.count < MIN_SCORED:
        return f"against {other}, which serves now: too few to say, {skill.count} of {MIN_SCORED} scored by both"
    bounds = interval_95(skill.skill_fraction, skill.skill_standard_error, skill.blocks)
    if bounds is None or skill.skill_fraction is None:
        return f"against {other}, which serves now: too few days to say, {skill.count:,} scored by both"
    told = f"over {skill.count:,} forecasts that both made, its loss is {wording.percent(abs(skill.skill_fraction))} "
    told += (
        f"{'lower' if skill.skill_fraction >= 0 else 'higher'} than that of {other}, which serves now (95 % interval "
    )
    told += f"of the skill {wording.percent(bounds[0], signed=True)} to {wording.percent(bounds[1], signed=True)})"
    beaten = "better" if bounds[0] > 0 else "worse" if bounds[1] < 0 else "not better"
    return f"{told}: {beaten} beyond doubt" if beaten != "not better" else f"{told}: neither is better beyond doubt"


def _versions(parts: Services, ensemble: Ensemble) -> tuple[Version, ...]:
    return tuple(
        Version(
            number=str(one.version),
            digest=one.digest[:12],
            weights=", ".join(
                f"{name} {wording.percent(weight, 1)}"
                for name, weight in sorted(one.weights.items(), key=lambda pair: (-pair[1], pair[0]))
            )
            + (f"; without {', '.join(one.left_out)}" if one.left_out else ""),
            from_ms=one.first_ms,
            until_ms=one.last_ms,
            forecasts=f"{one.forecasts:,}",
        )
        for one in parts.ledger.weighings(ensemble.record, _VERSIONS)
    )


def _told(entry: RegistryEntry) -> str:
    if entry.spec is None:
        return ""
    alone = f", {some_markets(entry.spec.symbols)} alone" if entry.spec.symbols else ""
    return f"{entry.spec.kind}, {entry.spec.interval}{alone}"
