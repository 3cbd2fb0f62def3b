"""Retraining: the request that trains a model's recipe once more on the candles of today."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime

from data.symbol import Symbol
from models.recipe import Recipe
from models.registry_entry import RegistryEntry
from models.spec import Kind
from models.training_request import TrainingRequest, id_stem
from utils.errors import InvalidInput


def recipe_of(entry: RegistryEntry) -> Recipe:
    """How the model was trained. InvalidInput where its report does not say, or says it in words of another version."""
    given = (entry.report or {}).get("recipe")
    names = {field.name for field in fields(Recipe)}
    if not isinstance(given, dict) or "kind" not in given or not given.keys() <= names:
        raise InvalidInput(f"the report of model {entry.id!r} has no recipe that this version can follow")
    try:
        recipe = replace(Recipe(), **given | {"kind": Kind(given["kind"])})
        recipe.check()
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"the recipe of model {entry.id!r} cannot be followed: {error}") from error
    return recipe


def retraining(entry: RegistryEntry, followed: Sequence[Symbol], new_id: Callable[[str], str]) -> TrainingRequest:
    """Same recipe, same first day, all candles since; of the markets it was trained on those that are followed here,
    which it serves alone if the model does."""
    spec = entry.spec
    if spec is None:
        raise InvalidInput(f"model {entry.id!r} cannot be trained again: {entry.reason}")
    symbols = tuple(one for one in spec.trained_on if one in followed)
    if not symbols:
        raise InvalidInput(f"none of the markets that model {entry.id!r} was trained on is followed here")
    first = datetime.fromtimestamp(spec.train_from_ms / 1000, UTC).strftime("%Y-%m-%d")
    recipe = recipe_of(entry)
    own = bool(spec.symbols)
    name = new_id(id_stem(f"{recipe.kind}-{spec.interval}", symbols if own else ()))
    study, trials = search_of(entry) or ("", 0)
    return TrainingRequest(name, spec.interval, symbols, recipe, first, own=own, study=study, trials=trials)


def search_of(entry: RegistryEntry) -> tuple[str, int] | None:
    """The search that found the model's recipe, and of how many trials it was the best; None where it was none."""
    found = (entry.report or {}).get("search")
    if not isinstance(found, dict) or not isinstance(found.get("study"), str) or not found["study"]:
        return None
    return found["study"], int(found["trials"]) if isinstance(found.get("trials"), int) else 0
