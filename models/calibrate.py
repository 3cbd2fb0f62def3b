"""`python -m models.calibrate`: the factors that stretch a model's bands from its first forecast on.

They come from a slice of time that it was not trained on, and go into the model's report. Trainings do so themselves.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from data.candles import Candles
from models.commands import ended, folder_of, unseen, unseen_parser
from models.conformal import calibrate
from models.evaluation import outcomes
from models.input_source import inputs_for
from models.model_writing import write_model
from models.registry_entry import GRAPH
from models.spec import ModelSpec
from utils.errors import InvalidInput
from utils.model_utils import Session

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
    options = unseen_parser("calibrate", __doc__, "calibrated on").parse_args(arguments)
    return ended(lambda: run(options))


def run(options: argparse.Namespace) -> str:
    """Calibrates, and puts the model in place anew: its graph, spec and so its digest stay as they are."""
    given = unseen(options, "bands are calibrated on")
    entry, spec = given.entry, given.spec
    factors = split_factors(spec, entry.open(), given.markets, given.from_ms, given.until_ms)
    if factors is None:
        raise InvalidInput("too few forecasts have their outcomes between these days; give an earlier or a later date")
    report = {**(entry.report or {}), "calibration": factors}
    write_model(folder_of(options), spec, (entry.path / GRAPH).read_bytes(), report)
    low, high = (float(bound(factors["factors"])) for bound in (np.min, np.max))
    return f"{entry.id}: {factors['count']} outcomes, bands stretched by {low:.3f} … {high:.3f}"


if __name__ == "__main__":
    sys.exit(main())
