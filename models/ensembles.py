"""Ensembles: those of the models' folder, made, weighed again and dissolved, by the dashboard and the command alike."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from models.ensemble import FLOOR, Ensemble, ensemble_of, read_ensembles, weigh, write_ensembles
from models.ledger_scores import Skill
from models.registry import Registry, RegistryEntry
from models.spec import ModelSpec
from models.training_request import check_name
from utils.errors import InvalidInput, ModelCorrupt, ModelNotFound, StoreError


class Ensembles:
    """`skill(model_id=…, digest=…)` is what the ledger says of one model so far."""

    def __init__(self, *, registry: Registry, skill: Callable[..., Skill]) -> None:
        self._registry = registry
        self._skill = skill
        self._lock = threading.Lock()

    @property
    def root(self) -> Path:
        """The models' folder."""
        return self._registry.path

    def all(self) -> tuple[Ensemble, ...]:
        return read_ensembles(self.root)

    def get(self, name: str) -> Ensemble:
        """ModelNotFound where there is none of that name."""
        found = ensemble_of(self.root, name)
        if found is None:
            known = ", ".join(one.id for one in self.all()) or "none"
            raise ModelNotFound(f"there is no ensemble {name[:70]!r}; known: {known}")
        return found

    def make(self, name: str, members: Sequence[str], floor: float = FLOOR, *, anew: bool = False) -> Ensemble:
        """Weighs its members and keeps it; `anew` replaces one of that name. InvalidInput where it cannot be one."""
        with self._lock:
            check_name(name)
            if not anew and ensemble_of(self.root, name) is not None:
                raise InvalidInput(f"an ensemble named {name!r} is there already; weigh it again, or take another name")
            entries = self._fitting(name, members)
            made = Ensemble(name, spec_of(entries[0]).interval, weigh(self._skills(entries), floor), floor)
            self._put(made)
            return made

    def weigh_again(self, name: str) -> Ensemble:
        """By the skill its members have by now. With other weights it is another model to the ledger."""
        found = self.get(name)
        return self.make(name, sorted(found.weights), found.floor, anew=True)

    def dissolve(self, name: str) -> None:
        """Its forecasts stay in the ledger, its members stay as they are."""
        with self._lock:
            self.get(name)
            self._write([one for one in self.all() if one.id != name])

    def weights_now(self, ensemble: Ensemble) -> dict[str, float]:
        """What weighing again would give; empty where a member cannot be used."""
        entries = self._members(ensemble)
        whole = len(entries) == len(ensemble.weights)
        return weigh(self._skills(entries), ensemble.floor) if whole else {}

    def digest(self, ensemble: Ensemble) -> str:
        """Under which the ledger knows it; empty where a member cannot be used."""
        entries = self._members(ensemble)
        if len(entries) < len(ensemble.weights):
            return ""
        return ensemble.digest({entry.id: entry.digest for entry in entries})

    def _members(self, ensemble: Ensemble) -> list[RegistryEntry]:
        return [entry for entry in self._registry.usable() if entry.id in ensemble.weights]

    def _skills(self, entries: Sequence[RegistryEntry]) -> dict[str, Skill]:
        return {entry.id: self._skill(model_id=entry.id, digest=entry.digest) for entry in entries}

    def _fitting(self, name: str, members: Sequence[str]) -> list[RegistryEntry]:
        """The members' entries, if they can be averaged."""
        known = {entry.id: entry for entry in self._registry.usable()}
        if name in known:
            raise InvalidInput(f"{name!r} is a model's name; give the ensemble another")
        if missing := [one for one in members if one not in known]:
            told = ", ".join(known) or "none"
            raise InvalidInput(f"no usable model is named {', '.join(missing)[:200]}; there are {told}")
        entries = [known[one] for one in dict.fromkeys(members)]
        if len(entries) < 2:
            raise InvalidInput(f"an ensemble needs at least two members; {len(entries)} given")
        for other in entries[1:]:
            _check_alike(entries[0], other)
        return entries

    def _put(self, made: Ensemble) -> None:
        self._write([*(one for one in self.all() if one.id != made.id), made])

    def _write(self, ensembles: Sequence[Ensemble]) -> None:
        try:
            write_ensembles(self.root, ensembles)
        except OSError as error:
            raise StoreError(
                f"the ensemble could not be written ({error.strerror}); look at the models' folder"
            ) from error


def _check_alike(first: RegistryEntry, other: RegistryEntry) -> None:
    """InvalidInput unless both forecast the same: only then can they be averaged."""
    one, two = spec_of(first), spec_of(other)
    for name, told in (
        ("interval", "candles of {0}"),
        ("horizons", "{0[0]} to {0[1]} candles ahead"),
        ("quantiles", "the quantiles {0}"),
        ("sigma_half_life", "volatility with half-life {0:g}"),
    ):
        if getattr(one, name) != getattr(two, name):
            raise InvalidInput(
                f"{one.id} and {two.id} cannot be averaged: one forecasts {_told(told, getattr(one, name))}, the other "
                f"{_told(told, getattr(two, name))}; choose members that forecast the same"
            )
    if one.symbols and two.symbols and not set(one.symbols) & set(two.symbols):
        raise InvalidInput(f"{one.id} and {two.id} serve no market in common; choose members that do")


def _told(text: str, value: Any) -> str:
    """Of horizons their first and last."""
    if isinstance(value, tuple) and isinstance(value[0], int):
        return text.format((value[0], value[-1]))
    return text.format(", ".join(map(str, value)) if isinstance(value, tuple) else value)


def spec_of(entry: RegistryEntry) -> ModelSpec:
    """Of an entry that can be used."""
    if entry.spec is None:
        raise ModelCorrupt(f"model {entry.id!r} has no spec; train it again")
    return entry.spec
