"""Models page: every model with its standing, size, age, speed and skill, and which one serves an interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import xxhash

from data.interval import Interval
from data.symbol import Symbol
from models.champions import Champion, interval_of
from models.ensemble_entry import EnsembleEntry
from models.ensemble_file import read_ensembles
from models.in_use import Choice
from models.registry import RegistryEntry, Status
from models.result_store import StoredResult
from models.search_request import SEARCHABLE, TRIED
from models.spec import Kind
from models.speeds import WINDOWS
from models.traits import TRAITS
from routes import wording
from routes.model_record import has_twin, original_of
from routes.models_records import Records, records_version
from routes.services import Services
from utils.last_known import Silence

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


@dataclass(frozen=True, slots=True)
class Serving:
    """What serves an interval, since when if it was chosen, and what one click brings back."""

    interval: Interval
    model: str
    mixed: bool
    """An ensemble serves."""
    since_ms: int | None
    previous: str
    problem: str
    """Why what was chosen does not serve, or not whole."""


@dataclass(frozen=True, slots=True)
class OwnServing:
    """What serves some markets before the model that serves their interval."""

    interval: str
    model: str
    markets: str


@dataclass(frozen=True, slots=True)
class SearchRow:
    """The best recipe of a study, and of how many trials it is the best."""

    study: str
    kind: str
    trials: str
    skill: str
    preset_skill: str
    recipe: str
    made_ms: int


@dataclass(frozen=True, slots=True)
class ModelsPage:
    """Everything the page shows: what serves, all models, those laid aside, and what searches found."""

    version: str
    serving: tuple[Serving, ...]
    own: tuple[OwnServing, ...]
    models: tuple[ModelRow, ...]
    archived: tuple[ModelRow, ...]
    trainings: int
    """Those that run or wait."""
    searches: tuple[SearchRow, ...]
    silence: Silence | None
    """Since when the database does not answer, where that is so."""
    blank: bool
    """It never said what searches found, how models did and what is under way."""
    kinds: tuple[str, ...]
    intervals: tuple[str, ...]


def models_version(parts: Services) -> str:
    """Changes when a model, a choice or a training does, and once a minute for ages and live scores."""
    entries = (*parts.registry.all(), *parts.promotion.archived())
    text = [f"{entry.id} {entry.digest} {entry.status} {entry.path.parent.name}" for entry in entries]
    text += [repr(sorted(parts.registry.choices().items())), records_version(parts)]
    text += [repr(parts.promotion.owned()), repr(read_ensembles(parts.promotion.root))]
    text += [str(parts.speeds.changes) if parts.speeds is not None else ""]
    text += [str(parts.clock.now_ms() // 60_000), parts.exchange.name, parts.app_version]
    return xxhash.xxh3_64_hexdigest("\n".join(text).encode())


def models_page(parts: Services, records: Records) -> ModelsPage:
    """Models in use first, then the usable, the broken and what is none of ours, newest first."""
    in_use: Mapping[Interval, Champion] = parts.promotion.in_use()
    users = users_of(in_use)
    order = {"in-use": 0, "usable": 1, "broken": 2, "foreign": 3}
    needed = parts.promotion.needed()
    rows = [model_row(parts, entry, users, records.live(entry.digest), needed=needed) for entry in parts.registry.all()]
    rows.sort(key=lambda row: (order[row.state], -(row.created_ms or 0), row.id))
    return ModelsPage(
        version=models_version(parts),
        serving=tuple(_serving(parts, interval, entry) for interval, entry in sorted(in_use.items(), key=_by_length)),
        own=_own(parts),
        models=tuple(rows),
        archived=tuple(
            model_row(parts, entry, {}, records.live(entry.digest), archived=True)
            for entry in parts.promotion.archived()
        ),
        searches=tuple(_search(one) for one in records.searches),
        silence=records.silence,
        blank=records.blank,
        kinds=tuple(map(str, SEARCHABLE)),
        intervals=tuple(map(str, parts.market.intervals)),
        trainings=records.trainings,
    )


def _own(parts: Services) -> tuple[OwnServing, ...]:
    entries = {entry.id: entry for entry in parts.promotion.champions.all()}
    return tuple(
        OwnServing(str(interval_of(entries[model])), model, some(markets))
        for model, markets in sorted(parts.promotion.owned().items())
    )


def some(markets: Sequence[str]) -> str:
    """A few by name, many by their number."""
    names = sorted(map(str, markets))
    return ", ".join(names) if len(names) <= _NAMED else f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"


def _search(stored: StoredResult) -> SearchRow:
    result = stored.result
    read = set(TRIED) & set(TRAITS[Kind(result["kind"])].uses)
    recipe = [f"{name.replace('_', ' ')} {value:g}" for name, value in result["recipe"].items() if name in read]
    counts: Mapping[str, int] = result["counts"]
    ended = ", ".join(f"{count} {name}" for name, count in counts.items() if name != "complete")
    return SearchRow(
        study=stored.model_id,
        kind=f"{result['kind']}, {result['interval']}",
        trials=f"{result['trials']}" + (f" ({ended})" if ended else ""),
        skill=wording.percent(result["skill"], signed=True),
        preset_skill=wording.percent(result["preset_skill"], signed=True),
        recipe=", ".join(recipe),
        made_ms=stored.made_ms,
    )


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


def _serving(parts: Services, interval: Interval, entry: Champion) -> Serving:
    choice: Choice | None = parts.registry.choices().get(interval)
    before = parts.promotion.previous(interval)
    return Serving(
        interval=interval,
        model=entry.id,
        mixed=isinstance(entry, EnsembleEntry),
        since_ms=choice.since_ms if choice is not None and choice.model == entry.id else None,
        previous=before.id if before else "",
        problem=_problem(entry, choice),
    )


def _problem(entry: Champion, choice: Choice | None) -> str:
    if choice is not None and choice.model != entry.id:
        return f"{choice.model} was chosen and cannot be used, so the newest usable model serves"
    if isinstance(entry, EnsembleEntry) and entry.missing:
        return f"without {', '.join(entry.missing)}, which cannot be used: the other members weigh more"
    return ""


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
        return (
            ("in-use", f"serves {some(owned)} alone") if owned else ("usable", f"for {some(entry.spec.symbols)} alone")
        )
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


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _by_length(item: tuple[Interval, Champion]) -> int:
    return item[0].ms
