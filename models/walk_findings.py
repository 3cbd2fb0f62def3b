"""Walk findings: what a walk through time found, of each fold and of all together, as plain values for JSON too."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from data.symbol import Symbol
from models.folds import Fold
from models.importance import Importance
from models.verdicts import Comparison, Coverage, Verdict


@dataclass(frozen=True, slots=True)
class Group:
    """A part of the forecasts at one horizon, against no change."""

    horizon: int
    name: str
    count: int
    comparison: Comparison
    coverage: tuple[Coverage, ...]


@dataclass(frozen=True, slots=True)
class FoldResult:
    """One fold: what it was fitted on and judged on, and its verdicts."""

    fold: Fold
    train_windows: int
    validation_windows: int
    test_windows: int
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class WalkForward:
    """The whole walk. `symbols` are the markets that numbers in verdicts point to."""

    kind: str
    expanding: bool
    symbols: tuple[Symbol, ...]
    folds: tuple[FoldResult, ...]
    pooled: tuple[Verdict, ...]
    by_symbol: tuple[Group, ...]
    by_regime: tuple[Group, ...]
    by_hour: tuple[Group, ...]
    importance: tuple[Importance, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; markets by name."""
        value = asdict(self)
        for one in [*value["pooled"], *(each for fold in value["folds"] for each in fold["verdicts"])]:
            by_market = one["rank_ic_by_market"]
            one["rank_ic_by_market"] = {str(self.symbols[place]): found for place, found in by_market.items()}
        return value
