"""Training form: its fields with what they mean, what was typed into them, and what is wrong with that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.kinds import LEARNED
from models.recipe import LIMITS, limits
from models.spec import Kind
from models.training_estimate import Estimate
from models.training_request import TrainingRequest, WrongFields, preset_texts, read_request
from models.traits import PRESET_NAMES, TRAITS
from routes.services import Services
from utils.errors import InvalidInput

DEFAULT_PRESET = "quick"
_PRESET_WORDS = {
    "quick": "small, to see whether it works at all",
    "standard": "the recipe for use",
    "thorough": "larger, sees more windows",
}
_NUMBERS = {
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
}


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
    own: bool
    kind_note: str
    name: Field
    dates: tuple[Field, ...]
    numbers: tuple[Field, ...]
    presets: tuple[Preset, ...]
    problem: str
    estimate: str
    estimate_basis: str


def typed(parts: Services, texts: Mapping[str, str], symbols: Sequence[str]) -> TrainingRequest:
    """What was typed as a request; WrongFields where it is none."""
    return read_request(
        texts,
        symbols,
        intervals=parts.market.intervals,
        markets=parts.market.symbols,
        new_id=parts.training.free_id,
    )


def first_texts(parts: Services, preset: str) -> dict[str, str]:
    """A form nobody has typed into yet."""
    return {"kind": str(Kind.TCN), "interval": str(parts.market.intervals[0]), **preset_texts(preset)}


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
        markets=tuple(Option(str(one), str(one), one in symbols) for one in parts.market.symbols),
        markets_note=_stored(found) if found else "",
        markets_problem=problems.get("symbols", ""),
        own=texts.get("own") == "yes",
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
                "UTC; what is not stored is fetched",
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
        numbers=tuple(_number(name, Kind(kind), texts, problems) for name in _NUMBERS),
        presets=tuple(
            Preset(name, _PRESET_WORDS.get(name, ""), about(one.seconds) if one else "time unknown")
            for name, one in zip(PRESET_NAMES, of_presets, strict=True)
        ),
        problem=str(error) if error is not None and not problems else "",
        estimate=about(found.seconds) if found else "",
        estimate_basis=basis(found) if found else "",
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
        f"{found.candles:,} candles of {found.markets} markets lie in that span, stored or still to be fetched; "
        f"about {found.train_windows:,} windows to learn from."
    )


def _number(name: str, kind: Kind, texts: Mapping[str, str], problems: Mapping[str, str]) -> Field:
    """Where the kind does not read it, that is told instead."""
    title, told = _NUMBERS[name]
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
        f"{low:.10g}" if name in trait.uses else "",
        f"{high:.10g}" if name in trait.uses else "",
        "1" if whole else "any",
    )


def _estimated(parts: Services, asked: Sequence[Mapping[str, str]], symbols: Sequence[str]) -> list[Estimate | None]:
    """One per set of texts; None for what cannot be trained anyway."""
    requests = [_typed_or_none(parts, dict(texts) | {"model_id": ""}, symbols) for texts in asked]
    found = iter(parts.training.estimates([one for one in requests if one is not None]))
    return [next(found) if one is not None else None for one in requests]


def _typed_or_none(parts: Services, texts: Mapping[str, str], symbols: Sequence[str]) -> TrainingRequest | None:
    try:
        return typed(parts, texts, symbols)
    except InvalidInput:
        return None
