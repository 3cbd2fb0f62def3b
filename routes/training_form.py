"""Training form: its fields with what they mean, what was typed into them, and what is wrong with that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from models.job_requests import WALKED_CANDLES, newest_from
from models.kinds import LEARNED
from models.recipe import LIMITS, Recipe, limits
from models.result_store import StoredResult
from models.search_request import TRIED
from models.spec import Kind
from models.training_estimate import Estimate
from models.training_request import (
    ALONE,
    EACH,
    TrainingRequest,
    WrongFields,
    each_alone,
    preset_texts,
    read_request,
    recipe_texts,
)
from models.traits import PRESET_NAMES, TRAITS
from routes import wording
from routes.market_view import known_markets
from routes.services import Services
from utils.errors import InvalidInput
from utils.phrases import counted

DEFAULT_PRESET = "quick"
_PRESET_WORDS = {
    "quick": "small, to see whether it works at all",
    "standard": "the recipe for use",
    "thorough": "larger, sees more windows",
}
NUMBERS = {
    "window": ("Window", "candles in"),
    "units": ("Size", "units per layer"),
    "epochs": ("Epochs", "at most; early stopping may spare some"),
    "patience": ("Early stopping", "epochs without a better validation loss"),
    "batch_size": ("Batch size", "windows per step"),
    "learning_rate": ("Learning rate", "falls along a cosine"),
    "dropout": ("Dropout", "fraction"),
    "stride": ("Stride", "every n-th window of an epoch; 1 is all"),
    "half_life_days": ("Half-life", "days after which a sample weighs half; 0: all alike"),
    "seed": ("Seed", "same seed, data and machine: same model"),
    "trees": ("Trees", "rounds of boosting beside the networks, for each of 15 quantiles; 0: none"),
}
"""The numbers of a recipe by their names: what they are called, and what they are."""


@dataclass(frozen=True, slots=True)
class Field:
    """An input: `low`, `high` and `step` are those of a number."""

    name: str
    title: str
    help: str
    value: str
    problem: str
    low: str = ""
    high: str = ""
    step: str = "any"


@dataclass(frozen=True, slots=True)
class Option:
    value: str
    title: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Preset:
    name: str
    help: str
    takes: str


@dataclass(frozen=True, slots=True)
class Form:
    """Everything the form shows. `problem` belongs to no single field."""

    kinds: tuple[Option, ...]
    intervals: tuple[Option, ...]
    markets: tuple[Option, ...]
    markets_note: str
    markets_problem: str
    scopes: tuple[Option, ...]
    """Whom the model is for."""
    search_note: str
    study: str
    """The search whose recipe fills the form; empty: none."""
    kind_note: str
    name: Field
    dates: tuple[Field, ...]
    numbers: tuple[Field, ...]
    presets: tuple[Preset, ...]
    problem: str
    estimate: str
    estimate_basis: str


def typed(parts: Services, texts: Mapping[str, str], symbols: Sequence[str]) -> list[TrainingRequest]:
    """What was typed as one request, or as one for each market; WrongFields where it is none."""
    request = read_request(
        texts,
        symbols,
        intervals=parts.market.intervals,
        markets=known_markets(parts.market),
        new_id=parts.training.free_id,
    )
    found = search_named(parts, texts.get("study", ""))
    if found is not None and _is_best(request, found):
        request = replace(request, study=found.model_id, trials=int(found.result["trials"]))
    if texts.get("own") != EACH:
        return [request]
    return each_alone(request, bool(texts.get("model_id", "").strip()), parts.training.free_id)


def search_named(parts: Services, study: str) -> StoredResult | None:
    if not study or parts.results is None:
        return None
    return next((one for one in parts.results.searches() if one.model_id == study), None)


def texts_of_search(found: StoredResult) -> dict[str, str]:
    """What the search found best, as the form's texts."""
    recipe, kind = dict(found.result["recipe"]), str(found.result["recipe"]["kind"])
    there = {"kind": kind, "interval": str(found.result["interval"]), "study": found.model_id}
    return recipe_texts(Recipe(**recipe | {"kind": Kind(kind)})) | there


def _is_best(request: TrainingRequest, found: StoredResult) -> bool:
    """Whether the numbers that the search tried are still those it found best."""
    wanted, asked = texts_of_search(found), recipe_texts(request.recipe)
    same = all(asked[name] == wanted[name] for name in TRIED)
    return same and wanted["kind"] == str(request.recipe.kind) and wanted["interval"] == str(request.interval)


def first_texts(parts: Services, preset: str) -> dict[str, str]:
    """A form nobody has typed into yet: so far back that there is enough to learn from, whatever is stored yet."""
    interval = parts.market.intervals[0]
    from_ms = newest_from(interval, len(known_markets(parts.market)), WALKED_CANDLES, parts.clock.now_ms())
    there = {"kind": str(Kind.TCN), "interval": str(interval), "from": wording.utc(from_ms)[:10]}
    return there | preset_texts(preset)


def chosen(parts: Services, texts: Mapping[str, str]) -> tuple[str, str]:
    """The kind and the candle length that are chosen, or the first ones where what was sent is neither."""
    intervals = list(map(str, parts.market.intervals))
    kind, interval = texts.get("kind", ""), texts.get("interval", "")
    return (kind if kind in LEARNED else str(Kind.TCN)), (interval if interval in intervals else intervals[0])


def form(parts: Services, texts: Mapping[str, str], symbols: Sequence[str], error: InvalidInput | None = None) -> Form:
    """`error` is what came of trying to start it."""
    problems = error.problems if isinstance(error, WrongFields) else {}
    kind, interval = chosen(parts, texts)
    presets = [{**texts, **preset_texts(name, kind, interval)} for name in PRESET_NAMES]
    found, *of_presets = _estimated(parts, [texts, *presets], symbols)
    trait = TRAITS[Kind(kind)]
    return Form(
        kinds=tuple(Option(str(one), TRAITS[one].title, one == kind) for one in LEARNED),
        intervals=tuple(Option(str(one), str(one), one == interval) for one in parts.market.intervals),
        markets=tuple(Option(str(one), str(one), one in symbols) for one in known_markets(parts.market)),
        markets_note=_stored(found) if found else "",
        markets_problem=problems.get("symbols", ""),
        scopes=_scopes(texts.get("own", ""), len(symbols) or len(known_markets(parts.market))),
        search_note=_search_note(search_named(parts, texts.get("study", ""))),
        study=texts.get("study", ""),
        kind_note=f"{trait.title} ({trait.source})",
        name=Field(
            "model_id",
            "Name",
            "letters, digits, - and _; empty: one is made",
            texts.get("model_id", ""),
            problems.get("model_id", ""),
        ),
        dates=(
            Field(
                "from",
                "First day",
                "UTC; what lacks is fetched; empty: what is stored",
                texts.get("from", ""),
                problems.get("from", ""),
            ),
            Field(
                "until",
                "Last day fitted on",
                "what follows is the test; empty: the last tenth is",
                texts.get("until", ""),
                problems.get("until", ""),
            ),
        ),
        numbers=tuple(_number(name, Kind(kind), texts, problems) for name in NUMBERS),
        presets=tuple(
            Preset(name, _PRESET_WORDS.get(name, ""), about(one.seconds) if one else "time unknown")
            for name, one in zip(PRESET_NAMES, of_presets, strict=True)
        ),
        problem=str(error) if error is not None and not problems else "",
        estimate=about(found.seconds) if found else "",
        estimate_basis=basis(found) if found else "",
    )


def _scopes(chosen: str, markets: int) -> tuple[Option, ...]:
    each = f"a model for each of these markets, {markets} trainings one after the other"
    return (
        Option("", "one model for any market, which learns from all of these together", chosen not in (ALONE, EACH)),
        Option(ALONE, "one model for these markets alone", chosen == ALONE),
        Option(EACH, each if markets > 1 else "a model for each of these markets", chosen == EACH),
    )


def _search_note(found: StoredResult | None) -> str:
    if found is None:
        return ""
    trials = found.result["trials"]
    return (
        f"The numbers are those of the best of {trials} trials of the search {found.model_id}. The model’s card will "
        "say so, as long as window, size, learning rate, dropout and half-life stay as they are."
    )


def about(seconds: float) -> str:
    """An estimate is never more than two figures: `about 3 min`, `about 1.5 h`."""
    if seconds < 90:
        return f"about {max(10, round(seconds, -1)):.0f} s"
    if seconds < 90 * 60:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"


def basis(found: Estimate) -> str:
    """What the estimate rests on, so that nobody takes an assumption for a measurement."""
    rate = f"{found.windows_per_s:,.0f} windows a second"
    if found.measured_by:
        return f"{found.windows:,} windows an epoch at {rate}, measured in training {found.measured_by} on this machine"
    return (
        f"{found.windows:,} windows an epoch at {rate}: an assumption from another machine with two cores, "
        "for no training has finished here yet"
    )


def _stored(found: Estimate) -> str:
    return (
        f"{found.candles:,} candles of {counted(found.markets, 'market')} lie in that span, "
        f"stored or still to be fetched; about {found.train_windows:,} windows to learn from."
    )


def _number(name: str, kind: Kind, texts: Mapping[str, str], problems: Mapping[str, str]) -> Field:
    """Where the kind does not read it, that is told instead."""
    title, told = NUMBERS[name]
    low, high = limits(kind, name)
    whole = isinstance(LIMITS[name][0], int)
    trait = TRAITS[kind]
    told = trait.meaning.get(name, told) if name in trait.uses else "not read by this kind"
    if trait.windows and name == "window" and name in trait.uses:
        told = f"candles in; {', '.join(map(str, trait.windows[:4]))}{', …' if len(trait.windows) > 4 else ''}"
    return Field(
        name,
        title,
        told,
        texts.get(name, ""),
        problems.get(name, ""),
        _plain(low) if name in trait.uses else "",
        _plain(high) if name in trait.uses else "",
        "1" if whole else "any",
    )


def _estimated(parts: Services, asked: Sequence[Mapping[str, str]], symbols: Sequence[str]) -> list[Estimate | None]:
    """One per set of texts, all of its trainings together; None for what cannot be trained anyway."""
    requests = [_typed_or_none(parts, dict(texts) | {"model_id": ""}, symbols) for texts in asked]
    found = iter(parts.training.estimates([one for some in requests for one in some]))
    return [together([next(found) for _ in some]) if some else None for some in requests]


def together(found: Sequence[Estimate]) -> Estimate:
    """Of trainings one after the other."""
    return replace(
        found[0],
        **{name: sum(getattr(one, name) for one in found) for name in ("candles", "markets", "train_windows")},
        windows=sum(one.windows for one in found),
        seconds=sum(one.seconds for one in found),
    )


def _typed_or_none(parts: Services, texts: Mapping[str, str], symbols: Sequence[str]) -> list[TrainingRequest]:
    try:
        return typed(parts, texts, symbols)
    except InvalidInput:
        return []


def _plain(bound: float) -> str:
    """As people write it, `0.000001` and not `1e-06`."""
    return f"{bound:.10f}".rstrip("0").rstrip(".")
