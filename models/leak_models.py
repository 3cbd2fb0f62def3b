"""Leak checks of a trained model: its forecast at t, the scaling in its graph, and the gap its training kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.candles import Candles
from models.altered_candles import REPLACEMENTS, with_other_future
from models.inputs import input_matrix
from models.leak_checks import check_scaler_numbers
from models.leak_findings import Check, Finding
from models.pipeline import Pipeline
from models.registry_entry import GRAPH, RegistryEntry
from models.samples import Inputs, cut, data_hash, gather
from models.spec import ModelSpec
from models.split import parse_date
from utils.errors import InvalidInput
from utils.model_utils import Session

Floats = NDArray[np.float64]
_LAST = 48
"""Forecasts compared before each t."""


def check_forecasts(
    spec: ModelSpec,
    session: Session,
    markets: Sequence[Candles],
    fractions: Sequence[float],
    inputs: Inputs = input_matrix,
) -> Check:
    """(a) The forecasts up to t, sigma included, with all candles after t replaced: the same bits."""
    tried, changed = 0, set()
    for candles in markets:
        for row in (int(fraction * (len(candles) - 2)) for fraction in fractions):
            ours = _forecasts(spec, session, candles, row, inputs)
            for seed, volatility in REPLACEMENTS:
                theirs = _forecasts(spec, session, with_other_future(candles, row, seed, volatility), row, inputs)
                tried += len(ours)
                if not np.array_equal(ours.view(np.int64), theirs.view(np.int64)):
                    changed.add(f"{candles.symbol} at row {row}")
    words = f"{tried} forecasts at or before t, all candles after t replaced: "
    if not tried:
        return Check("the model's forecasts see the past alone", False, words + "none could be made; give more candles")
    if not changed:
        return Check("the model's forecasts see the past alone", True, words + "bit-identical")
    finding = Finding(
        f"{spec.id}/{GRAPH}",
        ", ".join(sorted(changed)),
        "the forecast at t changes with candles after t",
        "find the feature that looks ahead with the check of the features",
    )
    return Check("the model's forecasts see the past alone", False, words + "they change", (finding,))


def check_gap(spec: ModelSpec, report: Mapping[str, Any]) -> Check:
    """(c) of a trained model: the gap its report tells of must be longer than its longest horizon."""
    name = "the model's training kept a gap"
    gap = report.get("data", {}).get("gap_candles")
    longest = max(spec.horizons)
    if not isinstance(gap, int):
        return Check(name, False, "its report does not tell of a gap between training and validation; train it again")
    words = f"{gap} candles between its periods, longest horizon {longest}"
    if gap > longest:
        return Check(name, True, words)
    finding = Finding(
        "models/split.py", f"{spec.id}: train → validation", "outcomes of training windows reach into validation",
        f"train again with a gap of more than {longest} candles",
    )  # fmt: skip
    return Check(name, False, words, (finding,))


def check_graph_scaler(pipeline: Pipeline, entry: RegistryEntry, markets: Sequence[Candles]) -> Check | None:
    """(b) The graph's own constants, computed again; None where the graph has none or the candles are other ones."""
    spec, report = entry.spec, entry.report or {}
    constants = graph_constants(entry)
    until_ms = _fitted_until(report)
    if spec is None or until_ms is None or not {"mean", "inverse_std"} <= constants.keys():
        return None
    by_symbol = {candles.symbol: _before(candles, until_ms) for candles in markets}
    known = [by_symbol[symbol] for symbol in spec.trained_on if symbol in by_symbol]
    if len(known) < len(spec.trained_on) or data_hash(known) != spec.data_hash:
        return None
    samples = pipeline.gather(known, spec.horizons, spec.window, spec.warm_up)
    ends = samples.starting(spec.train_from_ms, spec.train_until_ms)
    train = ends[np.isfinite(samples.returns[ends]).all(axis=1)]
    mean, inverse = (constants[name].astype(np.float64) for name in ("mean", "inverse_std"))
    return check_scaler_numbers(f"{entry.id}/{GRAPH}", spec.features, samples, train, mean, inverse)


def graph_constants(entry: RegistryEntry) -> dict[str, NDArray[Any]]:
    """The graph's constants by name. Imports onnx, which serving does not need."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(entry.path / GRAPH).graph
    return {one.name: numpy_helper.to_array(one) for one in graph.initializer}


def _forecasts(spec: ModelSpec, session: Session, candles: Candles, row: int, inputs: Inputs) -> Floats:
    """(n, h · q + 1): the last forecasts at or before `row` in log returns, and their sigmas."""
    samples = gather(
        [candles],
        spec.features,
        window=spec.window,
        warm_up=spec.warm_up,
        horizons=spec.horizons,
        half_life=spec.sigma_half_life,
        inputs=inputs,
    )
    ends = samples.ends[samples.ends <= row][-_LAST:]
    if not len(ends):
        return np.empty((0, 1 + len(spec.horizons) * len(spec.quantiles)))
    sigma = samples.sigma[ends][:, None]
    scaled = session.run(cut(samples.features, ends, spec.window)).astype(np.float64)
    return np.concatenate([scaled.reshape(len(ends), -1) * sigma, sigma], axis=1)


def _fitted_until(report: Mapping[str, Any]) -> int | None:
    """The first millisecond of the test period, as the report tells it: nothing from there on was trained on."""
    if isinstance(until_ms := report.get("data", {}).get("fitted_until_ms"), int):
        return until_ms
    told = str(report.get("data", {}).get("test", "")).split(" … ")[0]
    try:
        return parse_date(told)
    except InvalidInput:
        return None


def _before(candles: Candles, until_ms: int) -> Candles:
    return candles.slice(0, int(np.searchsorted(candles.open_time_ms, until_ms)))
