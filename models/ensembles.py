"""Ensembles: those of the models' folder, made, and weighed again by hand, by the command and by themselves."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from data.interval import Interval
from models.champions import Champions, entry_of
from models.ensemble import EVERY_CANDLES, FLOOR, Ensemble, recent_from_ms, weigh
from models.ensemble_entry import EnsembleEntry
from models.ensemble_file import changing, check_every, found_in, read_ensembles
from models.ledger_scores import Skill
from models.registry import Registry
from models.registry_entry import RegistryEntry
from models.spec import ModelSpec
from models.training_request import check_name
from utils.clock import Clock
from utils.errors import InvalidInput, ModelCorrupt

log = logging.getLogger(__name__)

SAME_WEIGHT = 0.005
"""Weights of which none would move by more stay as they are, so that noise makes no new version."""


class Record(Protocol):
    """What the ledger says of one model."""

    @property
    def venue(self) -> str: ...
    def skill(self, *, model_id: str, digest: str | None = None, since_ms: int | None = None) -> Skill: ...


class Ensembles:
    """Weights follow from forecasts whose outcome the ledger knows by then, so from nothing that came later."""

    def __init__(self, *, registry: Registry, ledger: Record, clock: Clock) -> None:
        self._registry = registry
        self._champions = Champions(registry)
        self._ledger = ledger
        self._clock = clock

    @property
    def root(self) -> Path:
        """The models' folder."""
        return self._registry.path

    def all(self) -> tuple[Ensemble, ...]:
        """Archived ones too."""
        return read_ensembles(self.root)

    def get(self, name: str) -> Ensemble:
        """ModelNotFound where there is none of that name."""
        return found_in({one.id: one for one in self.all()}, name)

    def entry(self, ensemble: Ensemble) -> EnsembleEntry:
        """With its members, archived or not."""
        return entry_of(ensemble, {entry.id: entry for entry in self._registry.usable()})

    def make(
        self, name: str, members: Sequence[str], floor: float = FLOOR, every: int = EVERY_CANDLES, *, anew: bool = False
    ) -> Ensemble:
        """Weighs its members and keeps it. InvalidInput where it cannot be one.

        `anew` takes the place of one of that name; with the same members and floor that is weighing it again.
        """
        check_name(name)
        check_every(every)
        entries = self._fitting(name, members)
        with changing(self.root) as ensembles:
            before = ensembles.get(name)
            if before is not None and not anew:
                raise InvalidInput(f"an ensemble named {name!r} is there already; weigh it again, or take another name")
            weights = self._weights(entries, floor, spec_of(entries[0]).interval)
            made = Ensemble(name, spec_of(entries[0]).interval, weights, floor, every, made_ms=self._clock.now_ms())
            if before is not None and (before.weights.keys(), before.floor) == (weights.keys(), floor):
                made = replace(before, every=every)
            ensembles[name] = self._weighed(made, weights)
            return ensembles[name]

    def weigh_again(self, name: str) -> Ensemble:
        """By the skill its members have by now, as far as they can be used; a missing one keeps its weight."""
        with changing(self.root) as ensembles:
            ensembles[name] = self._again(found_in(ensembles, name))
            return ensembles[name]

    def weigh_due(self, interval: Interval) -> list[Ensemble]:
        """Those of the interval whose time has come are weighed again; those with other weights than before."""
        now_ms = self._clock.now_ms()
        if not any(self._due(one, now_ms) for one in self.all() if one.interval is interval):
            return []
        moved = []
        with changing(self.root) as ensembles:
            for name, one in ensembles.items():
                if one.interval is interval and self._due(one, now_ms):
                    ensembles[name] = self._again(one)
                    moved += [ensembles[name]] if ensembles[name].version != one.version else []
        for one in moved:
            told = ", ".join(f"{name} {100 * weight:.1f} %" for name, weight in sorted(one.weights.items()))
            log.info("ensemble %s was weighed again, version %d: %s", one.id, one.version, told)
        return moved

    def set_every(self, name: str, every: int) -> Ensemble:
        """After how many candles it is weighed again by itself; 0: only by hand."""
        check_every(every)
        with changing(self.root) as ensembles:
            ensembles[name] = replace(found_in(ensembles, name), every=every)
            return ensembles[name]

    def pass_on(self, member: str, heir: str) -> list[str]:
        """The heir takes the member's place and weight in every ensemble that it fits into; their names.

        With other members it is another ensemble: its record begins anew, what the old one forecast stays.
        """
        known = {entry.id: entry for entry in self._registry.usable()}
        changed = []
        with changing(self.root) as ensembles:
            for name, one in ensembles.items():
                if (
                    member in one.weights
                    and heir not in one.weights
                    and self._fits(one, member, known.get(heir), known)
                ):
                    weights = {heir if other == member else other: weight for other, weight in one.weights.items()}
                    ensembles[name] = replace(one, weights=weights, made_ms=self._clock.now_ms(), version=1)
                    changed.append(name)
        return changed

    def weights_now(self, ensemble: Ensemble) -> dict[str, float]:
        """What weighing again would give."""
        return dict(self._again(ensemble, least=0.0).weights)

    def _due(self, one: Ensemble, now_ms: int) -> bool:
        """Also where it was weighed by another market's ledger, or by a clock that was ahead of this one."""
        due_ms = one.due_ms()
        if one.archived or due_ms is None:
            return False
        return one.venue != self._ledger.venue or not one.weighed_ms <= now_ms < due_ms

    def _again(self, one: Ensemble, least: float = SAME_WEIGHT) -> Ensemble:
        entry = self.entry(one)
        names = [member.id for member in entry.members]
        if len(names) < 2:
            return self._weighed(one, one.weights)
        part = sum(one.weights[name] for name in names) if entry.missing else 1.0
        found = {name: weight * part for name, weight in self._weights(entry.members, one.floor, one.interval).items()}
        weights = {name: found.get(name, one.weights[name]) for name in one.weights}
        moved = any(abs(weight - one.weights[name]) > least for name, weight in weights.items())
        return self._weighed(one, weights if moved else one.weights)

    def _weighed(self, one: Ensemble, weights: Mapping[str, float]) -> Ensemble:
        """Now, by this venue's ledger; another version where the weights are others."""
        version = one.version + (dict(weights) != dict(one.weights))
        return replace(one, weights=weights, weighed_ms=self._clock.now_ms(), version=version, venue=self._ledger.venue)

    def _weights(self, entries: Sequence[RegistryEntry], floor: float, interval: Interval) -> dict[str, float]:
        since_ms = recent_from_ms(interval, self._clock.now_ms())
        return weigh(
            {
                entry.id: self._ledger.skill(model_id=entry.id, digest=entry.record, since_ms=since_ms)
                for entry in entries
            },
            floor,
        )

    def _fits(self, one: Ensemble, member: str, heir: RegistryEntry | None, known: dict[str, RegistryEntry]) -> bool:
        """Whether the heir can be averaged with the members that stay."""
        if heir is None:
            return False
        try:
            for name in one.weights.keys() - {member}:
                if name in known:
                    _check_alike(known[name], heir)
        except InvalidInput as error:
            log.warning("%s does not take the place of %s in ensemble %s: %s", heir.id, member, one.id, error)
            return False
        return True

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
