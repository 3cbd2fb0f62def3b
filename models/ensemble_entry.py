"""Ensemble entry: an ensemble with those of its members that can be used, as a registry entry is to a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from data.interval import Interval
from data.symbol import Symbol
from models.ensemble import Ensemble, combined
from models.forecast import Forecast, NoForecast
from models.registry_entry import RegistryEntry
from models.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class EnsembleEntry:
    """`members`: those that can be used, by id. `missing`: the others by name; without them the rest weighs more."""

    ensemble: Ensemble
    members: tuple[RegistryEntry, ...]
    missing: tuple[str, ...]

    @property
    def id(self) -> str:
        return self.ensemble.id

    @property
    def interval(self) -> Interval:
        return self.ensemble.interval

    @property
    def record(self) -> str:
        """Under which the ledger adds up how it did."""
        return self.ensemble.record

    @property
    def digest(self) -> str:
        """Of those members that can be used and their weights; empty where there are none."""
        if not self.members:
            return ""
        digests = {entry.id: entry.digest for entry in self.members}
        return self.ensemble.digest(digests, self.ensemble.shares(sorted(digests)))

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        """The markets that all its members serve; none where they serve any."""
        bound = [spec.symbols for spec in self.specs if spec.symbols]
        return tuple(one for one in bound[0] if all(one in other for other in bound)) if bound else ()

    @property
    def specs(self) -> tuple[ModelSpec, ...]:
        """The members'."""
        return tuple(entry.spec for entry in self.members if entry.spec is not None)

    @property
    def serves_any(self) -> bool:
        """Whether it can serve every market of its interval."""
        return bool(self.members) and not any(spec.symbols for spec in self.specs)

    def serves(self, symbol: Symbol) -> bool:
        return bool(self.members) and all(spec.serves(symbol) for spec in self.specs)


def mixed(entry: EnsembleEntry, symbol: Symbol, told: Mapping[str, Forecast | NoForecast]) -> Forecast | NoForecast:
    """Of what its members say of one market: their mean, or why there is none."""
    if not entry.serves(symbol):
        why = "serve other markets" if entry.members else f"({', '.join(entry.missing)}) cannot be used"
        return NoForecast(symbol, f"the members of ensemble {entry.id} {why}", lasting=False)
    made = combined(entry.ensemble, [one for one in told.values() if isinstance(one, Forecast)])
    if made:
        return made[0]
    why = "; ".join(f"{name}: {one.reason}" for name, one in told.items() if isinstance(one, NoForecast))
    return NoForecast(symbol, f"no member of ensemble {entry.id} has a forecast ({why})", lasting=False)
