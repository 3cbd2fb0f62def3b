"""`python -m models.ensemble`: an ensemble of models of one interval, weighed by their skill in the ledger so far.

With s_i the skill of member i less its standard error, cut at 0 (what it surely has), f the floor and k members:

    w_i = f / k + (1 − f) · s_i / Σ s        all alike where nobody surely has any

A forecast of the ensemble is the weighted mean of its members' quantiles (Vincent 1912; Lichtendahl et al. 2013),
which keeps their order. It is in the ledger under its own id and a digest of members and weights, and is made only
where every member has a forecast of the very same candles: one that is missing is not replaced by the others.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from config import load_settings
from data.database import connect
from data.interval import Interval
from data.symbol import Symbol
from data.venue import BINANCE
from models.forecast import Forecast, NoForecast
from models.ledger import Ledger
from models.ledger_scores import Skill
from models.registry import Registry
from models.spec import parse_id
from utils.clock import SystemClock
from utils.errors import DashboardError, InvalidInput

FILE = ".ensembles.json"
FLOOR = 0.25
"""Part of the weight that is dealt out alike, so that no member is silenced by a bad month."""
MIN_SCORED = 100
"""Scored forecasts below which a member's skill says nothing."""
_SCHEMA = 1
_LONGEST_BYTES = 64 * 1024
_SAME_SIGMA = 1e-6


@dataclass(frozen=True, slots=True)
class Ensemble:
    """`weights` by the members' ids, positive, adding up to 1; `floor` is the part of them that was dealt out alike."""

    id: str
    interval: Interval
    weights: Mapping[str, float]
    floor: float = FLOOR

    def digest(self, digests: Mapping[str, str]) -> str:
        """Names the members' versions (by their ids) and their weights together."""
        told = [self.id, str(self.interval), *(f"{name} {digests[name]} {weight!r}" for name, weight in self._sorted())]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()

    def _sorted(self) -> list[tuple[str, float]]:
        return sorted(self.weights.items())


def weigh(skills: Mapping[str, Skill], floor: float = FLOOR) -> dict[str, float]:
    """Weights by model id. InvalidInput for fewer than two members, or a floor that is no part."""
    if len(skills) < 2:
        raise InvalidInput(f"an ensemble needs at least two members; {len(skills)} given")
    if not 0.0 < floor <= 1.0:
        raise InvalidInput(f"the floor {floor:g} is no part of the whole; use more than 0 and at most 1")
    sure = {name: _sure(one) for name, one in skills.items()}
    total = sum(sure.values())
    if total <= 0.0:
        return dict.fromkeys(skills, 1.0 / len(skills))
    return {name: floor / len(skills) + (1.0 - floor) * one / total for name, one in sure.items()}


def _sure(skill: Skill) -> float:
    if skill.count < MIN_SCORED or skill.skill_fraction is None or skill.skill_standard_error is None:
        return 0.0
    return max(0.0, skill.skill_fraction - skill.skill_standard_error)


def combined(ensemble: Ensemble, forecasts: Sequence[Forecast]) -> list[Forecast]:
    """One forecast per candles that every member has forecast, at the same horizons and quantiles."""
    by_candles: dict[str, dict[str, Forecast]] = {}
    for one in forecasts:
        if one.model_id in ensemble.weights and one.interval is ensemble.interval:
            by_candles.setdefault(one.candles_digest, {})[one.model_id] = one
    whole = [found for found in by_candles.values() if found.keys() == ensemble.weights.keys() and _alike(found)]
    return [_mean(ensemble, found) for found in whole]


def mixed(ensemble: Ensemble, symbol: Symbol, answers: Sequence[Forecast | NoForecast]) -> Forecast | NoForecast:
    """Of its members' answers about one market: their mean, or why there is none."""
    silent = next((one for one in answers if isinstance(one, NoForecast)), None)
    if silent is not None:
        return NoForecast(symbol, f"a member of ensemble {ensemble.id} has none: {silent.reason}", lasting=False)
    found = combined(ensemble, [one for one in answers if isinstance(one, Forecast)])
    why = f"the members of ensemble {ensemble.id} do not forecast the same horizons"
    return found[0] if found else NoForecast(symbol, why, lasting=False)


def _alike(found: Mapping[str, Forecast]) -> bool:
    """The same horizons, quantiles and volatility; kinds compute the last by different roundings."""
    first, *others = found.values()
    return all(
        (one.horizons, one.quantiles) == (first.horizons, first.quantiles)
        and math.isclose(one.sigma, first.sigma, rel_tol=_SAME_SIGMA)
        for one in others
    )


def _mean(ensemble: Ensemble, found: Mapping[str, Forecast]) -> Forecast:
    names = sorted(found)
    weights = [ensemble.weights[name] for name in names]
    log_returns, baseline = (
        np.average([getattr(found[name], column) for name in names], axis=0, weights=weights)
        for column in ("log_returns", "baseline_log_returns")
    )
    log_returns.flags.writeable = baseline.flags.writeable = False
    return replace(
        found[names[0]],
        model_id=ensemble.id,
        model_digest=ensemble.digest({name: found[name].model_digest for name in names}),
        made_at_ms=max(one.made_at_ms for one in found.values()),
        log_returns=log_returns,
        baseline_log_returns=baseline,
        stretch=None,
    )


def read_ensembles(root: Path) -> tuple[Ensemble, ...]:
    """Those of the models' folder; none where the file is absent or damaged."""
    path = root / FILE
    try:
        if path.is_symlink() or path.stat().st_size > _LONGEST_BYTES:
            return ()
        value = json.loads(path.read_bytes())
        return tuple(_ensemble(name, given) for name, given in value["ensembles"].items() if value["schema"] == _SCHEMA)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, DashboardError, RecursionError):
        return ()


def ensemble_of(root: Path, name: str) -> Ensemble | None:
    """The one of that name."""
    return next((one for one in read_ensembles(root) if one.id == name), None)


def write_ensembles(root: Path, ensembles: Sequence[Ensemble]) -> None:
    """At once or not at all."""
    value = {
        one.id: {"interval": str(one.interval), "weights": dict(one.weights), "floor": one.floor} for one in ensembles
    }
    root.mkdir(parents=True, exist_ok=True)
    aside = root / f"{FILE}.{os.getpid()}"
    try:
        aside.write_text(json.dumps({"schema": _SCHEMA, "ensembles": value}, indent=2, sort_keys=True) + "\n", "utf-8")
        aside.replace(root / FILE)
    finally:
        aside.unlink(missing_ok=True)


def _ensemble(name: str, given: Mapping[str, Any]) -> Ensemble:
    weights = {parse_id(member): float(weight) for member, weight in given["weights"].items()}
    if len(weights) < 2 or min(weights.values()) <= 0 or not math.isclose(sum(weights.values()), 1.0, abs_tol=1e-9):
        raise InvalidInput(f"the weights of ensemble {name!r} do not add up to 1 over two members or more")
    floor = float(given.get("floor", FLOOR))
    if not 0.0 < floor <= 1.0:
        raise InvalidInput(f"the floor {floor:g} of ensemble {name!r} is no part of the whole")
    return Ensemble(parse_id(name), Interval.parse(given["interval"]), weights, floor)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        made = run(options)
    except DashboardError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    told = ", ".join(f"{name} {100 * weight:.1f} %" for name, weight in sorted(made.weights.items()))
    sys.stdout.write(f"{made.id} of {made.interval} candles: {told}\n")
    return 0


def run(options: argparse.Namespace) -> Ensemble:
    from models.ensembles import Ensembles

    registry = Registry(options.models)
    database = connect(options.database or load_settings().database_address)
    try:
        ledger = Ledger(database, SystemClock(), venue=options.venue)
        return Ensembles(registry=registry, skill=ledger.skill).make(
            options.id, options.members, options.floor, anew=True
        )
    finally:
        database.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.ensemble", description=__doc__)
    parser.add_argument("--id", required=True, help="the ensemble's name, which no model has")
    parser.add_argument("--members", nargs="+", required=True, metavar="MODEL", help="models of one interval")
    parser.add_argument("--floor", type=float, default=FLOOR, help=f"part dealt out alike (default: {FLOOR})")
    parser.add_argument("--database", default="", metavar="URL", help="of the ledger (default: that of the settings)")
    parser.add_argument("--venue", default=BINANCE, help="whose ledger (default: Binance's)")
    parser.add_argument(
        "--models", type=Path, default=Path(__file__).resolve().parents[1] / "saved_models", metavar="DIR"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
