"""Promotion: chooses which model or ensemble serves an interval, goes back to the one before, lays others aside."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from data.interval import Interval
from data.symbol import Symbol
from models.champions import Champion, Champions, interval_of, serves_any, symbols_of
from models.ensemble import Ensemble
from models.ensemble_entry import EnsembleEntry
from models.ensemble_file import changing, ensemble_of, found_in, read_ensembles
from models.in_use import Choice, write_choices
from models.own_choice import Choices, chosen_for, given_back, passed_on, read_own, write_own
from models.registry import Registry
from models.registry_entry import RegistryEntry, read_entry
from models.spec import parse_id
from utils.clock import Clock
from utils.errors import FileError, InvalidInput, ModelNotFound

ARCHIVE = ".archive"
"""Inside the models' folder, where the registry does not look: laid aside, never deleted."""


class Promotion:
    """Changes take effect with the next forecast: caches go by the model's digest."""

    def __init__(self, *, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self.champions = Champions(registry)
        self._clock = clock
        self._lock = threading.Lock()

    @property
    def root(self) -> Path:
        """The models' folder."""
        return self._registry.path

    def in_use(self) -> dict[Interval, Champion]:
        """By interval, the models and ensembles that serve now, chosen or not."""
        intervals = {found for one in self.champions.all() if (found := interval_of(one)) is not None}
        serving = {interval: self.champions.of(interval) for interval in intervals}
        return {interval: one for interval, one in serving.items() if one is not None}

    def previous(self, interval: Interval) -> Champion | None:
        """What `roll_back` would bring back; None where there is none or it cannot be used."""
        choice = self._registry.choices().get(interval)
        if choice is None or not choice.previous:
            return None
        found = (one for one in self.champions.all() if one.id == choice.previous and interval_of(one) is interval)
        return next((one for one in found if serves_any(one)), None)

    def promote(self, model_id: str) -> Interval:
        """Lets a model or an ensemble serve its interval; the one that did is remembered. ModelError where it cannot be
        used."""
        with self._lock:
            one = self.champions.named(parse_id(model_id))
            interval = self._promotable(one)
            serving = self.champions.of(interval)
            if serving is not None and serving.id != one.id:
                self._choose(interval, one.id, serving.id)
            elif interval not in self._registry.choices():
                self._choose(interval, one.id, "")
            return interval

    def roll_back(self, interval: Interval) -> str:
        """Brings back the model before; returns its id. A second call undoes the first."""
        with self._lock:
            before = self.previous(interval)
            if before is None:
                raise InvalidInput(f"no earlier model of {interval} candles is there to go back to")
            serving = self.champions.of(interval)
            self._choose(interval, before.id, serving.id if serving is not None else "")
            return before.id

    def owned(self) -> dict[str, list[Symbol]]:
        """By the models' ids the markets that they serve alone, before the one that serves their interval."""
        found: dict[str, list[Symbol]] = {}
        for (_, symbol), entry in self.champions.owners().items():
            found.setdefault(entry.id, []).append(symbol)
        return found

    def choose_own(self, model_id: str) -> None:
        """Lets a model or ensemble of some markets alone serve them. InvalidInput for one that serves any market."""
        with self._lock:
            one = self.champions.named(parse_id(model_id))
            self._write_own(chosen_for(read_own(self.root), one.id, interval_of(one), symbols_of(one)))

    def give_back(self, model_id: str) -> None:
        """Its markets go back to the model that serves their interval. InvalidInput where it was chosen for none."""
        with self._lock:
            self._write_own(given_back(read_own(self.root), model_id))

    def pass_on(self, model_id: str, heir_id: str) -> bool:
        """Lets the heir serve the markets that the model serves alone; False where it serves none."""
        with self._lock:
            heir, choices = self._registry.get(heir_id).spec, read_own(self.root)
            if heir is None or model_id not in choices.values():
                return False
            self._write_own(passed_on(choices, model_id, heir))
            return True

    def pin(self, interval: Interval) -> None:
        """Keeps what serves now in use, so that a newer model does not replace it by being newer."""
        with self._lock:
            self._pin(interval)

    def archive(self, model_id: str) -> None:
        """Lays a model or an ensemble aside, files untouched. InvalidInput for one in use, or a member of one in use;
        ModelNotFound for one that is not there."""
        with self._lock:
            name = parse_id(model_id)
            if ensemble_of(self.root, name) is not None:
                self._lay_aside(name, archived=True)
                return
            entry = self._listed(name)
            self._check_idle("model", entry.id)
            if users := self.needed().get(entry.id):
                raise InvalidInput(
                    f"model {entry.id!r} is a member of {', '.join(users)}, which serves; let another serve first"
                )
            folder = self._archive()
            folder.mkdir(exist_ok=True)
            _move(entry.path, folder / entry.id)

    def unarchive(self, model_id: str) -> None:
        """Puts it back among the models; it serves only once it is promoted."""
        with self._lock:
            name = parse_id(model_id)
            if ensemble_of(self.root, name) is not None:
                self._lay_aside(name, archived=False)
                return
            path = self._archive() / name
            if path.is_symlink() or not path.is_dir():
                known = ", ".join(entry.id for entry in self.archived()) or "none"
                raise ModelNotFound(f"no archived model is named {model_id!r}; archived: {known}")
            entry = read_entry(path)
            if entry.spec is not None:
                self._pin(entry.spec.interval)
            _move(path, self._registry.path / path.name)

    def dissolve(self, name: str) -> None:
        """Takes an ensemble away; its forecasts stay in the ledger, its members as they are. InvalidInput for one in
        use."""
        with self._lock, changing(self.root) as ensembles:
            found_in(ensembles, name)
            self._check_idle("ensemble", name)
            del ensembles[name]

    def needed(self) -> dict[str, list[str]]:
        """By the ids of their members the ensembles in use."""
        serving = [*self.in_use().values(), *self.champions.owners().values()]
        mixes = {one.id: one for one in serving if isinstance(one, EnsembleEntry)}
        found: dict[str, list[str]] = {}
        for name, one in sorted(mixes.items()):
            for member in one.ensemble.weights:
                found.setdefault(member, []).append(name)
        return found

    def archived_ensembles(self) -> tuple[Ensemble, ...]:
        return tuple(one for one in read_ensembles(self.root) if one.archived)

    def archived(self) -> tuple[RegistryEntry, ...]:
        """What was laid aside, verified like the rest."""
        folder = self._archive()
        try:
            names = sorted(entry.name for entry in os.scandir(folder) if not entry.name.startswith("."))
        except FileNotFoundError:
            return ()
        return tuple(read_entry(folder / name) for name in names)

    def taken(self, model_id: str) -> bool:
        """Whether a model of that name is there, archived or not, or an ensemble."""
        there = (self.root / model_id).exists() or (self._archive() / model_id).exists()
        return there or ensemble_of(self.root, model_id) is not None

    def _listed(self, model_id: str) -> RegistryEntry:
        entries = {entry.id: entry for entry in self._registry.all() if entry.path.is_dir()}
        if model_id not in entries or entries[model_id].path.is_symlink():
            raise ModelNotFound(f"there is no model {model_id!r}; known: {', '.join(entries) or 'none'}")
        return entries[model_id]

    def _promotable(self, one: Champion) -> Interval:
        """Its interval. InvalidInput where it cannot serve every market of that."""
        interval = interval_of(one)
        if isinstance(one, EnsembleEntry) and not one.members:
            raise InvalidInput(f"no member of ensemble {one.id!r} can be used: {', '.join(one.missing)}")
        if interval is None or not serves_any(one):
            raise InvalidInput(f"model {one.id!r} serves some markets only; one that serves any is needed")
        return interval

    def _check_idle(self, what: str, name: str) -> None:
        """InvalidInput where it serves an interval or a market."""
        for interval, serving in self.in_use().items():
            if serving.id == name:
                raise InvalidInput(f"{what} {name!r} serves {interval} candles; let another serve before archiving it")
        if markets := self.owned().get(name):
            raise InvalidInput(
                f"{what} {name!r} serves {', '.join(markets)} alone; give its markets back before archiving it"
            )

    def _lay_aside(self, name: str, *, archived: bool) -> None:
        """An ensemble; it neither forecasts nor serves until it is brought back."""
        with changing(self.root) as ensembles:
            found = found_in(ensembles, name)
            if archived:
                self._check_idle("ensemble", name)
            ensembles[name] = replace(found, archived=archived)

    def _archive(self) -> Path:
        folder = self._registry.path / ARCHIVE
        if folder.is_symlink():
            raise FileError(f"{folder.name} in the models' folder is a link; make it a folder")
        return folder

    def _pin(self, interval: Interval) -> None:
        serving = self.champions.of(interval)
        if serving is not None and interval not in self._registry.choices():
            self._choose(interval, serving.id, "")

    def _choose(self, interval: Interval, model_id: str, previous: str) -> None:
        choice = Choice(model_id, previous, self._clock.now_ms())
        with _told_where_it_failed():
            write_choices(self._registry.path, self._registry.choices() | {interval: choice})

    def _write_own(self, choices: Choices) -> None:
        with _told_where_it_failed():
            write_own(self._registry.path, choices)


@contextmanager
def _told_where_it_failed() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FileError(f"the choice could not be written ({error.strerror}); look at the models' folder") from error


def _move(path: Path, to: Path) -> None:
    if to.exists():
        raise InvalidInput(f"a model named {to.name!r} is already there")
    try:
        path.rename(to)
    except OSError as error:
        raise FileError(f"{path.name} could not be moved ({error.strerror}); look at the models' folder") from error
