"""Retraining: the request that trains a model's recipe once more on the candles of today."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime

from data.symbol import Symbol
from models.recipe import Recipe
from models.registry import RegistryEntry
from models.spec import Kind
from models.training_request import TrainingRequest
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
    """Same recipe, same first day, all candles since; of the markets it was trained on those that are followed here."""
    spec = entry.spec
    if spec is None:
        raise InvalidInput(f"model {entry.id!r} cannot be trained again: {entry.reason}")
    if spec.symbols:
        raise InvalidInput(
            f"model {entry.id!r} serves some markets only; one that serves any can be retrained by itself"
        )
    symbols = tuple(one for one in spec.trained_on if one in followed)
    if not symbols:
        raise InvalidInput(f"none of the markets that model {entry.id!r} was trained on is followed here")
    first = datetime.fromtimestamp(spec.train_from_ms / 1000, UTC).strftime("%Y-%m-%d")
    recipe = recipe_of(entry)
    return TrainingRequest(new_id(f"{recipe.kind}-{spec.interval}"), spec.interval, symbols, recipe, first)
