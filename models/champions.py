"""Champions: which model or ensemble serves an interval or a market, as chosen, or else what is there."""

from __future__ import annotations

from collections.abc import Mapping

from data.interval import Interval
from data.symbol import Symbol
from models.ensemble import Ensemble
from models.ensemble_entry import EnsembleEntry
from models.ensemble_file import FILE, read_ensembles
from models.in_use import Choice
from models.one_look import seen
from models.own_choice import read_own
from models.registry import Registry, file_signature
from models.registry_entry import RegistryEntry, fits
from utils.errors import ModelNotFound

Champion = RegistryEntry | EnsembleEntry


class Champions:
    """Reads the registry and what was chosen beside it on demand. Archived ensembles are not among its ensembles."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._read: tuple[object, tuple[Ensemble, ...]] = (None, ())

    def choices(self) -> dict[Interval, Choice]:
        return self.registry.choices()

    def all(self) -> tuple[Champion, ...]:
        """Every usable model and every ensemble that has a usable member, by id."""
        models = self.registry.usable()
        return (*models, *(one for one in self._entries(models) if one.members))

    def ensembles(self, interval: Interval | None = None) -> tuple[EnsembleEntry, ...]:
        """Those of the interval, or all."""
        return tuple(one for one in self._entries(self.registry.usable()) if interval in (None, one.interval))

    def ensemble(self, name: str) -> EnsembleEntry | None:
        """The one of that name; None where there is none, or an archived one."""
        return next((one for one in self.ensembles() if one.id == name), None)

    def named(self, name: str) -> Champion:
        """Raises ModelNotFound (naming what exists) or, for a broken model, ModelCorrupt with its reason."""
        if (found := self.ensemble(name)) is not None:
            return found
        try:
            return self.registry.get(name)
        except ModelNotFound as error:
            known = ", ".join(one.id for one in self.ensembles())
            raise ModelNotFound(f"{error}" + (f"; ensembles: {known}" if known else "")) from None

    def of(self, interval: Interval) -> Champion | None:
        """The one chosen for that interval, or where none was (or it cannot be used) the newest usable model.

        Only those that serve any market count; None if there is none.
        """
        choice = self.choices().get(interval)
        mix = self.ensemble(choice.model) if choice is not None else None
        if mix is not None and mix.interval is interval and mix.serves_any:
            return mix
        return self.registry.default(interval)

    def serving(self, interval: Interval, symbol: Symbol) -> Champion | None:
        """The one chosen for that market alone, or where none was (or it cannot be used) that of the interval."""
        return self.owners().get((interval, symbol)) or self.of(interval)

    def owners(self) -> dict[tuple[Interval, Symbol], Champion]:
        """By interval and market those chosen for that market alone, as far as they can be used."""
        wanted = seen(("own", self.registry.path), lambda: read_own(self.registry.path))
        known = {one.id: one for one in self.all()} if wanted else {}
        found = {place: known[name] for place, name in wanted.items() if name in known}
        return {place: one for place, one in found.items() if serves(one, *place)}

    def _entries(self, models: tuple[RegistryEntry, ...]) -> list[EnsembleEntry]:
        usable = {entry.id: entry for entry in models}
        there = seen(("ensembles", self.registry.path), self._look)
        return [entry_of(one, usable) for one in there if not one.archived]

    def _look(self) -> tuple[Ensemble, ...]:
        signature = file_signature(self.registry.path / FILE)
        if signature != self._read[0]:
            self._read = (signature, read_ensembles(self.registry.path))
        return self._read[1]


def entry_of(ensemble: Ensemble, usable: Mapping[str, RegistryEntry]) -> EnsembleEntry:
    """With those of the usable models that are its members; they have to be of its interval."""
    names = sorted(ensemble.weights)
    known = {name: usable[name] for name in names if name in usable and interval_of(usable[name]) is ensemble.interval}
    return EnsembleEntry(ensemble, tuple(known.values()), tuple(name for name in names if name not in known))


def interval_of(one: Champion) -> Interval | None:
    """None for a model that has no spec."""
    if isinstance(one, EnsembleEntry):
        return one.interval
    return one.spec.interval if one.spec is not None else None


def members_of(one: Champion | None) -> tuple[RegistryEntry, ...]:
    """The models that have to forecast for it."""
    if one is None:
        return ()
    return one.members if isinstance(one, EnsembleEntry) else (one,)


def symbols_of(one: Champion) -> tuple[Symbol, ...]:
    """The markets that it serves alone; none where it serves any."""
    if isinstance(one, EnsembleEntry):
        return one.symbols
    return one.spec.symbols if one.spec is not None else ()


def serves_any(one: Champion) -> bool:
    """Whether it can serve every market of its interval."""
    if isinstance(one, EnsembleEntry):
        return one.serves_any
    return one.spec is not None and fits(one, one.spec.interval)


def serves(one: Champion, interval: Interval, symbol: Symbol) -> bool:
    """Whether it can serve that market."""
    if interval_of(one) is not interval:
        return False
    return one.serves(symbol) if isinstance(one, EnsembleEntry) else one.spec is not None and one.spec.serves(symbol)
