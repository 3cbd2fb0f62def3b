"""Model diff: two models side by side: what they are, what they were trained on, how they score, what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import xxhash

from models.registry_entry import RegistryEntry
from models.spec import ModelSpec
from routes import wording
from routes.model_card import found
from routes.model_rows import listed, mapping, model_row, number, users_of
from routes.services import Services
from utils.errors import InvalidInput

_LONGEST = 120
_SKIPPED = ("id", "features", "baseline", "trained_on", "versions", "sizes")


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    first: str
    second: str

    @property
    def differs(self) -> bool:
        return self.first != self.second


@dataclass(frozen=True, slots=True)
class ScoreLine:
    """One horizon's skill in each one's own test, and the difference in percentage points."""

    ahead: str
    first: str
    second: str
    difference: str


@dataclass(frozen=True, slots=True)
class Names:
    """What only one of the two has, and how many both have."""

    title: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    common: int


@dataclass(frozen=True, slots=True)
class ModelDiff:
    """`same_test`: both were tested on the same days, so their scores compare."""

    first: str
    second: str
    known: tuple[str, ...]
    spec: tuple[Line, ...]
    data: tuple[Line, ...]
    recipe: tuple[Line, ...]
    costs: tuple[Line, ...]
    names: tuple[Names, ...]
    scores: tuple[ScoreLine, ...]
    same_test: bool


def model_diff(parts: Services, first_id: str, second_id: str) -> ModelDiff:
    """InvalidInput where one of them is broken; ModelNotFound where it is not there."""
    pair = [_whole(parts, one) for one in (first_id, second_id)]
    (first, one), (second, other) = pair
    reports = [entry.report or {} for entry, _ in pair]
    data = [mapping(report.get("data")) for report in reports]
    return ModelDiff(
        first=first.id,
        second=second.id,
        known=tuple(entry.id for entry in (*parts.registry.usable(), *parts.promotion.archived())),
        spec=tuple(Line(_shown(name), _text(one, name), _text(other, name)) for name in _spec_names()),
        data=_lines(data[0], data[1], skip=("markets", "twin")),
        recipe=_lines(mapping(reports[0].get("recipe")), mapping(reports[1].get("recipe"))),
        costs=_costs(parts, first, second),
        names=(
            _names("Features", one.features, other.features),
            _names("Markets trained on", one.trained_on, other.trained_on),
        ),
        scores=_scores(one, reports),
        same_test=data[0].get("test") == data[1].get("test") and "test" in data[0],
    )


def _whole(parts: Services, model_id: str) -> tuple[RegistryEntry, ModelSpec]:
    entry, _ = found(parts, model_id)
    if entry.spec is None:
        raise InvalidInput(f"model {entry.id!r} cannot be compared: {entry.reason}")
    return entry, entry.spec


def _spec_names() -> list[str]:
    return [field.name for field in fields(ModelSpec) if field.name not in _SKIPPED]


def _text(spec: ModelSpec, name: str) -> str:
    value = getattr(spec, name)
    if name.endswith("_ms"):
        return wording.utc(value)
    if isinstance(value, tuple):
        if len(value) > 6:
            return f"{value[0]} … {value[-1]} ({len(value)})"
        return ", ".join(map(str, value)) or "any"
    text = str(value)
    # a field of hundreds of numbers: whether it is the same is what matters
    return text if len(text) <= _LONGEST else f"{text[:40]}… (hash {xxhash.xxh3_64_hexdigest(text.encode())[:8]})"


def _lines(first: Mapping[str, Any], second: Mapping[str, Any], skip: Sequence[str] = ()) -> tuple[Line, ...]:
    names = [name for name in dict.fromkeys([*first, *second]) if name not in skip]
    return tuple(Line(_shown(name), _said(name, first.get(name)), _said(name, second.get(name))) for name in names)


def _said(name: str, value: Any) -> str:
    return wording.utc(value) if name.endswith("_ms") and isinstance(value, int) else _plain(value)


def _costs(parts: Services, first: RegistryEntry, second: RegistryEntry) -> tuple[Line, ...]:
    users = users_of(parts.promotion.in_use())
    skills = [parts.ledger.skill(model_id=entry.id, digest=entry.digest) for entry in (first, second)]
    rows = [
        model_row(parts, entry, users, wording.skill_cell(skill))
        for entry, skill in zip((first, second), skills, strict=True)
    ]
    reports = [entry.report or {} for entry in (first, second)]
    took = [number(report, "training_s") for report in reports]
    return (
        Line("Standing", rows[0].word, rows[1].word),
        Line("Size", rows[0].size, rows[1].size),
        Line("Speed, windows", rows[0].speed, rows[1].speed),
        Line("Parameters", *(_plain(report.get("parameters")) for report in reports)),
        Line("Training took", *(wording.duration(one) if one is not None else wording.NOTHING for one in took)),
        Line("Skill live", rows[0].live[0] or wording.NOTHING, rows[1].live[0] or wording.NOTHING),
    )


def _names(title: str, first: Sequence[str], second: Sequence[str]) -> Names:
    return Names(
        title,
        tuple(name for name in second if name not in first),
        tuple(name for name in first if name not in second),
        len(set(first) & set(second)),
    )


def _scores(spec: ModelSpec, reports: Sequence[Mapping[str, Any]]) -> tuple[ScoreLine, ...]:
    """At the horizons that both were tested at."""
    by_horizon = [{one.get("horizon"): number(one, "skill_fraction") for one in _tested(report)} for report in reports]
    lines = []
    for horizon, first in by_horizon[0].items():
        second = by_horizon[1].get(horizon)
        if not isinstance(horizon, int) or first is None or second is None:
            continue
        difference = wording.percent(second - first, signed=True).removesuffix(" %")
        ahead = wording.candles_ahead(spec.interval, horizon)
        lines.append(
            ScoreLine(ahead, wording.percent(first, signed=True), wording.percent(second, signed=True), difference)
        )
    return tuple(lines)


def _tested(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [one for one in listed(report.get("test")) if isinstance(one, dict)]


def _shown(name: str) -> str:
    return name.removesuffix("_ms").replace("_", " ")


def _plain(value: Any) -> str:
    if value is None:
        return wording.NOTHING
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
