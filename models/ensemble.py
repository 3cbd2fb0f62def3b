"""`python -m models.ensemble`: an ensemble of models of one interval, weighed by their recent skill in the ledger.

With s_i the skill of member i less its standard error, cut at 0 (what it surely has), f the floor and k members:

    w_i = f / k + (1 − f) · s_i / Σ s        all alike where nobody surely has any

A forecast of the ensemble is the weighted mean of its members' quantiles (Vincent 1912; Lichtendahl et al. 2013),
which keeps their order. Where a member has none, the others' weights are blown up to 1 and the forecast says so. It is
in the ledger under its own id and a digest of the members' versions and weights that made it.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from data.interval import Interval
from data.venue import BINANCE
from models.commands import add_folder, folder_of
from models.forecast import Forecast, Mix, Novelty
from models.ledger_scores import Skill
from utils.errors import DashboardError, InvalidInput

FLOOR = 0.25
"""Part of the weight that is dealt out alike, so that no member is silenced by a bad month."""
MIN_SCORED = 100
"""Scored forecasts below which a member's skill says nothing."""
MIN_BLOCKS = 7
"""Days (or stretches of 24 candles) of them below which its standard error does not: a day's luck is no skill."""
EVERY_CANDLES = 24
"""How often an ensemble is weighed again by itself, unless it is told otherwise."""
MOST_CANDLES = 10_000
RECENT_MS = 90 * 86_400_000
RECENT_CANDLES = 300
"""Recent is what was forecast in the last 90 days, or from the last 300 candles where those are longer."""
_SAME_SIGMA = 1e-6


@dataclass(frozen=True, slots=True)
class Ensemble:
    """`weights` by the members' ids, positive, adding up to 1; `floor` is the part of them that was dealt out alike.

    `every`: after how many closed candles it is weighed again by itself; 0: only by hand. `made_ms`: since when it has
    these members; `weighed_ms`: when it was weighed last, by the ledger of `venue`; `version` counts its weights.
    """

    id: str
    interval: Interval
    weights: Mapping[str, float]
    floor: float = FLOOR
    every: int = EVERY_CANDLES
    made_ms: int = 0
    weighed_ms: int = 0
    version: int = 1
    venue: str = ""
    archived: bool = False

    @property
    def record(self) -> str:
        """Names all its versions together: what they forecast is one record, whatever the members weighed."""
        return hashlib.sha256(f"{self.id}\n{self.interval}\n{self.made_ms}".encode()).hexdigest()

    def digest(self, digests: Mapping[str, str], weights: Mapping[str, float] | None = None) -> str:
        """Names the members' versions (by their ids) and their weights together."""
        shares = sorted((self.weights if weights is None else weights).items())
        told = [self.id, str(self.interval), *(f"{name} {digests[name]} {weight!r}" for name, weight in shares)]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()

    def shares(self, names: Sequence[str]) -> dict[str, float]:
        """The weights of these members, as if there were no others."""
        if len(names) == len(self.weights):
            return dict(self.weights)
        total = math.fsum(self.weights[name] for name in names)
        return {name: self.weights[name] / total for name in names}

    def due_ms(self) -> int | None:
        """When it is to be weighed again by itself."""
        if not self.every:
            return None
        return self.interval.open_ms(self.weighed_ms) + self.every * self.interval.ms


def recent_from_ms(interval: Interval, now_ms: int) -> int:
    """From when on the skill of members counts."""
    return now_ms - max(RECENT_MS, RECENT_CANDLES * interval.ms)


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
    return {name: floor / len(skills) + (1.0 - floor) * (one / total) for name, one in sure.items()}


def _sure(skill: Skill) -> float:
    if skill.count < MIN_SCORED or skill.blocks < MIN_BLOCKS:
        return 0.0
    if skill.skill_fraction is None or skill.skill_standard_error is None:
        return 0.0
    return max(0.0, skill.skill_fraction - skill.skill_standard_error)


def combined(ensemble: Ensemble, forecasts: Sequence[Forecast]) -> list[Forecast]:
    """One forecast per candles that any member has forecast, by those members that have."""
    by_candles: dict[str, dict[str, Forecast]] = {}
    for one in forecasts:
        if one.model_id in ensemble.weights and one.interval is ensemble.interval:
            by_candles.setdefault(one.candles_digest, {})[one.model_id] = one
    return [_mean(ensemble, _alike(ensemble, found)) for found in by_candles.values()]


def _alike(ensemble: Ensemble, found: Mapping[str, Forecast]) -> dict[str, Forecast]:
    """Those with the horizons, quantiles and volatility of the heaviest; kinds compute the last by other roundings."""
    names = sorted(found, key=lambda name: (-ensemble.weights[name], name))
    first = found[names[0]]
    return {
        name: found[name]
        for name in names
        if (found[name].horizons, found[name].quantiles) == (first.horizons, first.quantiles)
        and math.isclose(found[name].sigma, first.sigma, rel_tol=_SAME_SIGMA)
    }


def _mean(ensemble: Ensemble, found: Mapping[str, Forecast]) -> Forecast:
    names = sorted(found)
    shares = ensemble.shares(names)
    log_returns, baseline = (
        np.average([getattr(found[name], column) for name in names], axis=0, weights=[shares[name] for name in names])
        for column in ("log_returns", "baseline_log_returns")
    )
    log_returns.flags.writeable = baseline.flags.writeable = False
    digests = {name: found[name].model_digest for name in names}
    return replace(
        found[names[0]],
        model_id=ensemble.id,
        model_digest=ensemble.digest(digests, shares),
        # an outcome that its weights know lies before it, also where its members had spoken earlier
        made_at_ms=max(ensemble.weighed_ms, *(one.made_at_ms for one in found.values())),
        log_returns=log_returns,
        baseline_log_returns=baseline,
        stretch=None,
        novelty=_strangest([one.novelty for one in found.values() if one.novelty is not None]),
        mix=Mix(
            record=ensemble.record,
            version=ensemble.version,
            weighed_ms=ensemble.weighed_ms,
            weights=tuple((name, shares[name]) for name in names),
            digests=tuple(digests[name] for name in names),
            left_out=tuple(sorted(ensemble.weights.keys() - found.keys())),
        ),
    )


def _strangest(novelties: Sequence[Novelty]) -> Novelty | None:
    """A mean is no better founded than what goes into it."""
    return max(novelties, key=lambda one: abs(one.distance), default=None)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        made = run(options)
    except DashboardError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    told = ", ".join(f"{name} {100 * weight:.1f} %" for name, weight in sorted(made.weights.items()))
    often = f"weighed again every {made.every} candles" if made.every else "weighed again only by hand"
    sys.stdout.write(f"{made.id} of {made.interval} candles: {told}; {often}\n")
    return 0


def run(options: argparse.Namespace) -> Ensemble:
    from config import load_settings
    from data.database import connect
    from models.ensembles import Ensembles
    from models.ledger import Ledger
    from models.registry import Registry
    from utils.clock import SystemClock

    registry = Registry(folder_of(options))
    database = connect(options.database or load_settings().database_address)
    try:
        clock = SystemClock()
        owner = Ensembles(registry=registry, ledger=Ledger(database, clock, venue=options.venue), clock=clock)
        return owner.make(options.id, options.members, options.floor, options.every, anew=True)
    finally:
        database.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.ensemble", description=__doc__)
    parser.add_argument("--id", required=True, help="the ensemble's name, which no model has")
    parser.add_argument("--members", nargs="+", required=True, metavar="MODEL", help="models of one interval")
    parser.add_argument("--floor", type=float, default=FLOOR, help=f"part dealt out alike (default: {FLOOR})")
    parser.add_argument(
        "--every",
        type=int,
        default=EVERY_CANDLES,
        metavar="N",
        help=f"candles after which the dashboard weighs it again (default: {EVERY_CANDLES}; 0: never)",
    )
    parser.add_argument("--database", default="", metavar="URL", help="of the ledger (default: that of the settings)")
    parser.add_argument("--venue", default=BINANCE, help="whose ledger (default: Binance's)")
    add_folder(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
