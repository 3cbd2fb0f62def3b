"""`python -m models.coverage`: how many outcomes fall into a model's bands, as given, calibrated, and followed online.

Calibrates on one slice of time (and, if named, some markets) and judges on a later one (and others): coverage per
horizon with bounds, and the skill that calibration costs or brings. Without a slice to calibrate on, bands begin where
they do in serving: at the factors of the model's report, or at its own; *followed* is then what would have been shown.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.candles import Candles
from models.commands import add_klines, add_model, add_period, beside, ended, usable
from models.conformal import GAMMA, Calibration, calibrate, outside
from models.evaluation import Outcomes, outcomes
from models.following import beginning
from models.input_source import inputs_for
from models.panel import Panel, followed
from models.registry_entry import RegistryEntry
from models.samples import Ints
from models.scoring import block_labels, pinball_loss, skill
from models.significance import Bounds, share_bounds
from models.spec import ModelSpec
from models.split import parse_date
from utils.errors import InvalidInput
from utils.model_utils import Session

Floats = NDArray[np.float64]
WAYS = ("as given", "calibrated", "followed")
CALIBRATED = ("log_returns", "realised")


@dataclass(frozen=True, slots=True)
class Covered:
    """One way, one horizon: share inside the inner (50 %) and outer (90 %) band with 95 % bounds, and skill."""

    way: str
    horizon: int
    count: int
    inner: float
    inner_bounds: Bounds | None
    outer: float
    outer_bounds: Bounds | None
    skill_fraction: float | None


@dataclass(frozen=True, slots=True)
class Slice:
    """Markets and the candles [from_ms, until_ms) their forecasts start at."""

    markets: Sequence[Candles]
    from_ms: int
    until_ms: int
    beside: Sequence[Candles] = ()
    """The other market that the model looks at, where it is not one of these."""


def learned_factors(spec: ModelSpec, session: Session, calibration: Slice, judged: Slice) -> Calibration:
    """InvalidInput where the outcomes that are calibrated on reach into what is judged."""
    if calibration.until_ms + max(spec.horizons) * spec.interval.ms > judged.from_ms:
        raise InvalidInput(
            f"the calibration's last outcomes, {max(spec.horizons)} candles after it ends, reach into what is judged; "
            "leave a gap between the two"
        )
    learned = _forecasts(spec, session, calibration)
    forecasts, realised = (np.concatenate([getattr(one, name) for one in learned]) for name in CALIBRATED)
    return calibrate(forecasts, realised, spec.horizons, spec.quantiles)


def coverage_from(
    spec: ModelSpec, session: Session, found: Calibration, judged: Slice, gamma: float = GAMMA
) -> list[Covered]:
    """With bands that begin at these factors."""
    later = _forecasts(spec, session, judged)
    panel = Panel.of(later, spec.interval)
    naive = Panel.of([_as_naive(one) for one in later], spec.interval).forecast
    given = (panel.forecast, found.apply(panel.forecast), followed(panel, found, gamma=gamma)[0])
    return [
        _covered(way, spec, panel, bands, naive, place)
        for way, bands in zip(WAYS, given, strict=True)
        for place in range(len(spec.horizons))
    ]


def _forecasts(spec: ModelSpec, session: Session, part: Slice) -> list[Outcomes]:
    """No more history is read than the first forecast needs."""
    early = part.from_ms - 2 * spec.history * spec.interval.ms
    late = part.until_ms + 2 * max(spec.horizons) * spec.interval.ms
    cut, others = ([_between(one, early, late) for one in markets] for markets in (part.markets, part.beside))
    inputs = inputs_for(spec, [*cut, *others])
    return [outcomes(spec, session, candles, part.from_ms, part.until_ms, inputs) for candles in cut if len(candles)]


def _between(candles: Candles, from_ms: int, until_ms: int) -> Candles:
    first, last = np.searchsorted(candles.open_time_ms, [from_ms, until_ms]).tolist()
    return candles.slice(first, last)


def _as_naive(one: Outcomes) -> Outcomes:
    return Outcomes(one.symbol, one.open_time_ms, one.sigma, one.naive, one.naive, one.realised)


def _covered(way: str, spec: ModelSpec, panel: Panel, bands: Floats, naive: Floats, place: int) -> Covered:
    realised, forecast = panel.realised[..., place], bands[..., place, :]
    known = np.asarray(np.isfinite(realised) & np.isfinite(forecast).all(axis=-1))
    moments = np.broadcast_to(panel.open_time_ms[:, None], known.shape)[known]
    blocks = block_labels(moments, spec.interval.ms, spec.horizons[place])
    inside = ~outside(forecast[known], realised[known], spec.quantiles)
    shares = [_share(inside[:, band], blocks) for band in (0, -1)]
    ours, theirs = (
        float(pinball_loss(realised[known], one[known], spec.quantiles).sum())
        for one in (forecast, naive[..., place, :])
    )
    (inner, inner_bounds), (outer, outer_bounds) = shares
    return Covered(
        way, spec.horizons[place], int(known.sum()), inner, inner_bounds, outer, outer_bounds, skill(ours, theirs)
    )


def _share(inside: NDArray[np.bool_], blocks: Ints) -> tuple[float, Bounds | None]:
    _, labels = np.unique(blocks, return_inverse=True)
    hits = inside.astype(np.float64)
    return float(hits.mean()), share_bounds(np.bincount(labels, weights=hits), np.bincount(labels))


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    told = _json if options.json else _table
    return ended(lambda: told(run(options)))


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Everything the command prints, as plain values."""
    entry, spec = usable(options)
    session = entry.open()
    judged = _slice(options, spec, options.symbols, options.from_, options.until)
    if options.calibrate_from and options.calibrate_until:
        names, start, end = options.calibrate_symbols, options.calibrate_from, options.calibrate_until
        learned = _slice(options, spec, names, start, end)
        markets, found = [str(one.symbol) for one in learned.markets], learned_factors(spec, session, learned, judged)
    elif options.calibrate_from or options.calibrate_until:
        raise InvalidInput("give both --calibrate-from and --calibrate-until, or neither")
    else:
        markets, found = [], _served(entry, spec)
    covered = coverage_from(spec, session, found, judged, options.gamma)
    return {
        "model": entry.id,
        "digest": entry.digest,
        "gamma": options.gamma,
        "calibrated_on": markets,
        "judged_on": [str(one.symbol) for one in judged.markets],
        "calibration": found.to_dict(),
        "coverage": [asdict(one) for one in covered],
    }


def _slice(options: argparse.Namespace, spec: ModelSpec, names: Sequence[str], start: str, end: str) -> Slice:
    from models.kline_files import markets, parse_symbols

    found = markets(options.data, spec.interval, parse_symbols(names))
    return Slice(found, parse_date(start), parse_date(end, end=True), beside(options, spec, found))


def _served(entry: RegistryEntry, spec: ModelSpec) -> Calibration:
    """Where serving begins."""
    found = beginning(entry.report, spec.horizons, spec.quantiles)
    if found is None:
        raise InvalidInput(f"the quantiles of {entry.id!r} make no bands around a median: nothing is calibrated")
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.coverage", description=__doc__)
    add_model(parser)
    add_klines(parser)
    parser.add_argument(
        "--calibrate-from", metavar="DATE", help="first day calibrated on (UTC); without: as in serving"
    )
    parser.add_argument("--calibrate-until", metavar="DATE", help="last day calibrated on (UTC)")
    parser.add_argument("--calibrate-symbols", nargs="+", default=[], metavar="SYMBOL", help="default: every market")
    add_period(parser, "judged on")
    parser.add_argument("--gamma", type=float, default=GAMMA, help=f"how fast bands follow (default: {GAMMA})")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


def _json(report: Mapping[str, Any]) -> str:
    return json.dumps(report, allow_nan=False, indent=2)


def _table(report: Mapping[str, Any]) -> str:
    calibrated, judged = len(report["calibrated_on"]), len(report["judged_on"])
    begun = f"on {calibrated} markets" if calibrated else "as in serving"
    lines = [
        f"{report['model']}, calibrated {begun}, judged on {judged}",
        f"{'':10} {'horizon':>7} {'count':>8} {'50 %':>22} {'90 %':>22} {'skill':>7}",
    ]
    for one in report["coverage"]:
        told = [_told(one[band], one[f"{band}_bounds"]) for band in ("inner", "outer")]
        lines.append(
            f"{one['way']:10} {one['horizon']:>7} {one['count']:>8} {told[0]:>22} {told[1]:>22} "
            f"{100 * (one['skill_fraction'] or 0):>7.2f}"
        )
    return "\n".join(lines)


def _told(share: float, bounds: Mapping[str, float] | None) -> str:
    shown = f" ({100 * bounds['low']:.1f} … {100 * bounds['high']:.1f})" if bounds else ""
    return f"{100 * share:.1f}{shown}"


if __name__ == "__main__":
    sys.exit(main())
