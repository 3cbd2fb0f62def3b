"""Training request: what a reader wants trained, read from texts field by field, checked before anything is started."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from data.interval import Interval
from data.symbol import Symbol
from models.kinds import LEARNED
from models.recipe import LIMITS, Recipe, preset
from models.spec import Kind, parse_id
from models.split import parse_date
from utils.errors import InvalidInput

RECIPE_FIELDS = tuple(LIMITS)
_FRACTIONS = ("learning_rate", "dropout", "half_life_days")
_RESERVED = ("train", "rollback", "archive", "import", "diff", "search", "ensemble")
"""Words that are addresses of pages beside the models'."""
_LONGEST_TEXT = 40
_PLAIN = re.compile("[a-z0-9]+")
ALONE, EACH = "yes", "each"
"""One model that serves the chosen markets alone; one such model for each of them."""


class WrongFields(InvalidInput):
    """Some fields do not fit; `problems` says of each why, and the text says all of it."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("; ".join(problems.values()))
        self.problems = dict(problems)


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """One training: markets, span (dates such as 2024-12-31, empty: all), recipe, and the name of the model."""

    model_id: str
    interval: Interval
    symbols: tuple[Symbol, ...]
    recipe: Recipe
    from_date: str = ""
    until_date: str = ""
    own: bool = False
    """Whether the model serves those markets alone; else it serves any."""
    study: str = ""
    """The search whose best recipe this is, the best of so many `trials`; empty: of none."""
    trials: int = 0

    def arguments(self) -> list[str]:
        """For `python -m models.train`."""
        recipe = asdict(self.recipe)
        kind = recipe.pop("kind")
        given = ["--model", str(kind), "--interval", str(self.interval), "--id", self.model_id]
        given += ["--symbols", *self.symbols]
        for name, text in (("--from", self.from_date), ("--until", self.until_date)):
            given += [name, text] if text else []
        given += ["--own"] if self.own else []
        given += ["--study", self.study, "--trials", str(self.trials)] if self.study else []
        for name, value in recipe.items():
            given += [f"--{name.replace('_', '-')}", f"{value!r}"]
        return given

    def to_json(self) -> dict[str, Any]:
        value = asdict(self)
        return value | {"interval": str(self.interval), "symbols": list(self.symbols), "recipe": _plain(self.recipe)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TrainingRequest:
        """Of what `to_json` gave."""
        recipe = dict(value["recipe"])
        return cls(
            model_id=value["model_id"],
            interval=Interval(value["interval"]),
            symbols=tuple(map(Symbol, value["symbols"])),
            recipe=Recipe(**recipe | {"kind": Kind(recipe["kind"])}),
            from_date=value["from_date"],
            until_date=value["until_date"],
            own=value.get("own", False),
            study=value.get("study", ""),
            trials=value.get("trials", 0),
        )


def preset_texts(name: str, kind: str = Kind.TCN, interval: str = Interval.H1) -> dict[str, str]:
    """The fields that a kind's preset fills in, as texts; InvalidInput where there is no such kind or preset."""
    return recipe_texts(preset(name, _one_of("kind", kind, LEARNED), Interval.parse(interval)))


def recipe_texts(recipe: Recipe) -> dict[str, str]:
    return {name: f"{getattr(recipe, name):g}" if name in _FRACTIONS else str(getattr(recipe, name)) for name in LIMITS}


def read_request(
    texts: Mapping[str, str],
    symbols: Sequence[str],
    *,
    intervals: Sequence[Interval],
    markets: Sequence[Symbol],
    new_id: Callable[[str], str],
) -> TrainingRequest:
    """Texts by field name and the chosen markets (none: all of `markets`) as a request, or WrongFields.

    `new_id(stem)` gives a name that is free, where none is asked for.
    """
    problems: dict[str, str] = {}

    def read(name: str, parse: Callable[[str], Any], default: Any) -> Any:
        try:
            return parse(texts.get(name, "").strip())
        except InvalidInput as error:
            problems[name] = str(error)
            return default

    interval = read("interval", lambda text: _one_of("interval", text, intervals), intervals[0])
    kind = read("kind", lambda text: _one_of("kind", text, LEARNED), Kind.TCN)
    span = [read(name, _date, "") for name in ("from", "until")]
    numbers = {name: read(name, partial(_number, name), LIMITS[name][0]) for name in RECIPE_FIELDS}
    chosen = read("symbols", lambda _: _markets(symbols, markets), ())
    model_id = read("model_id", lambda text: _model_id(text) or new_id(f"{kind}-{interval}"), "")
    if all(span) and parse_date(span[0]) >= parse_date(span[1], end=True):
        problems.setdefault("until", f"the last day {span[1]} must come after the first, {span[0]}")
    recipe = replace(Recipe(), kind=kind, **numbers)
    if not problems:
        _check_together(recipe, problems)
    if problems:
        raise WrongFields(problems)
    return TrainingRequest(model_id, interval, chosen, recipe, span[0], span[1], own=texts.get("own") in (ALONE, EACH))


def each_alone(request: TrainingRequest, named: bool, new_id: Callable[[str], str]) -> list[TrainingRequest]:
    """One request per market for a model that serves it alone, `named` after the request's own name or by `new_id`."""

    def name(symbol: Symbol) -> str:
        stem = id_stem(request.model_id if named else f"{request.recipe.kind}-{request.interval}", (symbol,))
        return stem if named else new_id(stem)

    return [replace(request, model_id=name(one), symbols=(one,), own=True) for one in request.symbols]


def id_stem(stem: str, own: Sequence[Symbol] = ()) -> str:
    """With the market, where it is of one alone and can be part of a model's name."""
    plain = own[0].lower() if len(own) == 1 else ""
    return f"{stem}-{plain}" if _PLAIN.fullmatch(plain) else stem


def _check_together(recipe: Recipe, problems: dict[str, str]) -> None:
    try:
        recipe.check()
    except InvalidInput as error:
        text = str(error).removeprefix("--")
        name = text.split(" ")[0].replace("-", "_")
        problems[name if name in LIMITS else "window"] = text


def _plain(recipe: Recipe) -> dict[str, Any]:
    return asdict(recipe) | {"kind": str(recipe.kind)}


def _one_of(name: str, text: str, known: Sequence[Any]) -> Any:
    for one in known:
        if str(one) == text:
            return one
    raise InvalidInput(f"{name} is {text[:_LONGEST_TEXT]!r}; use one of {', '.join(map(str, known))}")


def _date(text: str) -> str:
    if not text:
        return ""
    if len(text) != len("2024-12-31") or not text.isascii():
        raise InvalidInput(f"{text[:_LONGEST_TEXT]!r} is no date; use for instance 2024-12-31 (UTC)")
    parse_date(text)
    return text


def _number(name: str, text: str) -> float:
    low, high = LIMITS[name]
    shown = name.replace("_", " ")
    whole = name not in _FRACTIONS
    try:
        value: float = (int if whole else float)(text[:_LONGEST_TEXT])
    except ValueError:
        kind = "whole number" if whole else "number"
        raise InvalidInput(f"{shown} is {text[:_LONGEST_TEXT]!r}; use a {kind} from {low:g} to {high:g}") from None
    if not low <= value <= high:
        raise InvalidInput(f"{shown} is {value:g}; use {low:g} to {high:g}")
    return value


def _markets(chosen: Sequence[str], markets: Sequence[Symbol]) -> tuple[Symbol, ...]:
    known = set(markets)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise InvalidInput(f"market {unknown[0][:_LONGEST_TEXT]!r} is not followed here")
    return tuple(symbol for symbol in markets if symbol in chosen) or tuple(markets)


def check_name(name: str) -> str:
    """The same; InvalidInput where a page has that address, or it is no model's name."""
    if name in _RESERVED:
        raise InvalidInput(f"{name!r} is the address of a page; choose another name")
    return parse_id(name)


def _model_id(text: str) -> str:
    return check_name(text) if text else ""
