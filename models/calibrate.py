"""`python -m models.calibrate`: the factors that stretch a model's bands from its first forecast on.

They come from a slice of time that it was not trained on, and go into the model's report. Trainings do so themselves.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.candles import Candles
from models.conformal import calibrate
from models.evaluation import outcomes
from models.input_source import inputs_for
from models.registry import GRAPH, Registry, write_model
from models.spec import ModelSpec
from models.split import parse_date
from utils.errors import DashboardError, InvalidInput, ModelCorrupt
from utils.model_utils import Session

SAVED_MODELS = Path(__file__).resolve().parents[1] / "saved_models"
_NEEDED = ("log_returns", "realised")


def split_factors(
    spec: ModelSpec, session: Session, markets: Sequence[Candles], from_ms: int, until_ms: int
) -> dict[str, Any] | None:
    """`Calibration.to_dict` of the forecasts from candles in [from_ms, until_ms), all markets together.

    None where there are too few of them, or where the quantiles make no bands.
    """
    early = from_ms - 2 * spec.history * spec.interval.ms
    late = until_ms + 2 * max(spec.horizons) * spec.interval.ms
    cut = [one.slice(*np.searchsorted(one.open_time_ms, [early, late]).tolist()) for one in markets]
    inputs = inputs_for(spec, cut)
    found = [outcomes(spec, session, one, from_ms, until_ms, inputs) for one in cut if len(one)]
    if not found:
        return None
    forecasts, realised = (np.concatenate([getattr(one, name) for one in found]) for name in _NEEDED)
    try:
        return calibrate(forecasts, realised, spec.horizons, spec.quantiles).to_dict()
    except InvalidInput:
        return None


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        sys.stdout.write(f"{run(options)}\n")
    except DashboardError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


def run(options: argparse.Namespace) -> str:
    """Calibrates, and puts the model in place anew: its graph, spec and so its digest stay as they are."""
    from models.kline_files import markets, parse_symbols

    entry = Registry(options.models).get(options.model)
    if entry.spec is None:  # `Registry.get` gives usable entries only
        raise ModelCorrupt(f"model {entry.id!r} has no spec")
    from_ms, until_ms = parse_date(options.from_), parse_date(options.until, end=True)
    if from_ms < entry.spec.train_until_ms:
        raise InvalidInput(
            f"model {entry.id!r} was trained until after {options.from_}; bands are calibrated on what comes later"
        )
    found = markets(options.data, entry.spec.interval, parse_symbols(options.symbols))
    factors = split_factors(entry.spec, entry.open(), found, from_ms, until_ms)
    if factors is None:
        raise InvalidInput("too few forecasts have their outcomes between these days; give an earlier or a later date")
    report = {**(entry.report or {}), "calibration": factors}
    write_model(options.models, entry.spec, (entry.path / GRAPH).read_bytes(), report)
    low, high = (float(bound(factors["factors"])) for bound in (np.min, np.max))
    return f"{entry.id}: {factors['count']} outcomes, bands stretched by {low:.3f} … {high:.3f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.calibrate", description=__doc__)
    parser.add_argument("--model", required=True, metavar="ID", help="a model of --models")
    parser.add_argument(
        "--data", required=True, type=Path, metavar="DIR", help="folder of SYMBOL-INTERVAL.parquet files"
    )
    parser.add_argument("--from", dest="from_", required=True, metavar="DATE", help="first day calibrated on (UTC)")
    parser.add_argument("--until", required=True, metavar="DATE", help="last day calibrated on (UTC)")
    parser.add_argument("--symbols", nargs="+", default=[], metavar="SYMBOL", help="default: every market")
    parser.add_argument("--models", type=Path, default=SAVED_MODELS, metavar="DIR", help="default: saved_models")
    return parser


if __name__ == "__main__":
    sys.exit(main())
