"""Models page: every model there is, which one serves an interval, and what searches for better ones found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import xxhash

from data.interval import Interval
from models.champions import Champion, interval_of
from models.ensemble_entry import EnsembleEntry
from models.ensemble_file import read_ensembles
from models.in_use import Choice
from models.result_store import StoredResult
from models.search_request import SEARCHABLE, TRIED
from models.spec import Kind
from models.traits import TRAITS
from routes import wording
from routes.model_rows import ModelRow, model_row, some_markets, users_of
from routes.models_records import Records, records_version
from routes.services import Services
from utils.last_known import Silence


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
        OwnServing(str(interval_of(entries[model])), model, some_markets(markets))
        for model, markets in sorted(parts.promotion.owned().items())
    )


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


def _by_length(item: tuple[Interval, Champion]) -> int:
    return item[0].ms
