"""Leak checks: each tries one step of a pipeline by changing what it must not see, and names what looks ahead."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.candles import Candles
from models.altered_candles import REPLACEMENTS, with_other_candle, with_other_future
from models.leak_findings import Check, Finding, verdict
from models.pipeline import Pipeline
from models.samples import Ints, Samples
from models.scaling import fit_scaler
from utils.phrases import counted

Floats = NDArray[np.float64]


def check_future(pipeline: Pipeline, markets: Sequence[Candles], fractions: Sequence[float]) -> Check:
    """(a) Replaces all candles after t, t at these fractions of each market: inputs and sigma up to t must be the same,
    bit by bit."""
    reach: dict[str, int] = {}
    whole: set[str] = set()
    tried = 0
    for candles in markets:
        before = _columns(pipeline, candles)
        for row in (int(fraction * (len(candles) - 2)) for fraction in fractions):
            for seed, volatility in REPLACEMENTS:
                after = _columns(pipeline, with_other_future(candles, row, seed, volatility))
                tried += 1
                for name, ahead in _changed(before, after, row).items():
                    reach[name] = max(reach.get(name, 0), ahead)
                    whole |= {name} if ahead > row // 2 else set()
    findings = [_looks_ahead(pipeline, name, ahead, name in whole) for name, ahead in reach.items()]
    return verdict(
        "features see the past alone",
        f"{len(pipeline.features)} features and sigma of {counted(len(markets), 'market')}, all candles after t "
        f"replaced {tried} times",
        "bit-identical up to t",
        findings,
    )


def check_targets(pipeline: Pipeline, candles: Candles, horizons: Sequence[int]) -> Check:
    """The target of row t and horizon h must depend on the closes of t and t + h, and on no other candle."""
    longest = max(horizons)
    first = max(0, len(candles) // 2 - longest - 4)
    part, at = candles.slice(first, first + 3 * longest + 10), len(candles) // 2 - first
    before = pipeline.targets(part, horizons)[at]
    touched: list[set[int]] = [set() for _ in horizons]
    for place in range(len(part)):
        after = pipeline.targets(with_other_candle(part, place), horizons)[at]
        for column in np.flatnonzero(_bits(before) != _bits(after)):
            touched[column].add(place - at)
    # where there is a hole, the row h below is not h candles later and there is no target: nothing to try
    steps = [int(np.searchsorted(part.open_time_ms, _later(part, at, horizon))) - at for horizon in horizons]
    tried = [(h, step, seen) for h, step, seen in zip(horizons, steps, touched, strict=True) if seen or step == h]
    findings = [_off(pipeline, horizon, step, seen) for horizon, step, seen in tried if seen != {0, step}]
    return verdict(
        "targets begin at t",
        f"targets of {counted(len(tried), 'horizon')}, each of {len(part)} candles around t changed in turn",
        "they depend on the closes of t and t + h alone",
        findings,
    )


def check_scaler(pipeline: Pipeline, samples: Samples, train: Ints) -> Check:
    """(b) Replaces every row that is not trained on: the scaler's numbers must stay the same, bit by bit."""
    changed = samples.features.copy()
    outside = np.ones(len(changed), dtype=bool)
    outside[train] = False
    changed[outside] = np.random.default_rng(1).normal(50.0, 100.0, (int(outside.sum()), changed.shape[1]))
    before, after = pipeline.scaler(samples.features, train), pipeline.scaler(changed, train)
    moved = np.zeros(changed.shape[1], dtype=bool)
    for ours, theirs in zip(before, after, strict=True):
        moved |= _bits(ours) != _bits(theirs)
    findings = [
        Finding(
            pipeline.files("scaler"),
            pipeline.features[place],
            "its mean and spread change with rows outside the training window: they are fitted on what is tested on",
            "fit them on features[train] alone, train being the ends of the training period",
        )
        for place in np.flatnonzero(moved).tolist()
    ]
    return verdict(
        "scaling knows the training window alone",
        f"mean and spread of {len(pipeline.features)} features, {int(outside.sum())} rows outside it replaced",
        "bit-identical",
        findings,
    )


def check_scaler_numbers(
    file: str, features: Sequence[str], samples: Samples, train: Ints, mean: Floats, inverse_std: Floats
) -> Check:
    """(b) of a trained model: the numbers inside its graph must be its training window's own, to single precision."""
    expected_mean, expected_std = fit_scaler(samples.features, train)
    shifted = np.abs(mean - expected_mean) - 1e-4 * np.abs(expected_mean) - 1e-5
    stretched: Floats = np.abs(inverse_std * expected_std - 1.0) - 1e-4
    far: Floats = np.maximum(shifted, stretched)
    findings = [
        Finding(
            file,
            features[place],
            f"the graph subtracts {mean[place]:.6g} and the training window's mean is {expected_mean[place]:.6g}; "
            f"spreads {1.0 / inverse_std[place]:.6g} and {expected_std[place]:.6g}",
            "train the model again on the window its spec names",
        )
        for place in np.flatnonzero(far > 0).tolist()
    ]
    return verdict(
        "the model's own scaling is its training window's",
        f"mean and spread of {len(features)} features in the graph, computed again from {len(train)} training windows",
        "the same",
        findings,
    )


def check_split(
    pipeline: Pipeline, markets: Sequence[Candles], samples: Samples, horizons: Sequence[int], until_ms: int | None
) -> Check:
    """(c) No outcome of a period may reach into the next one, whatever the windows in it."""
    parts, longest = pipeline.split(markets, max(horizons), until_ms), max(horizons)
    interval = markets[0].interval
    named = [("train", parts.train), ("validation", parts.validation), ("test", parts.test)]
    findings, free = [], []
    for (name, period), (later_name, later) in itertools.pairwise(named):
        times = samples.open_time_ms[samples.starting(period.from_ms, period.until_ms)]
        if not len(times):
            continue
        last = interval.shift_ms(int(times.max()), longest)
        free.append((later.from_ms - last) // interval.ms)
        if last >= later.from_ms:
            crossing = int(np.count_nonzero(times >= interval.shift_ms(later.from_ms, -longest)))
            findings.append(
                Finding(
                    pipeline.files("split"),
                    f"{name} → {later_name}",
                    f"{crossing} windows of {name} have outcomes inside {later_name}",
                    f"end {name} more than {longest} candles before {later_name} begins (purge and embargo)",
                )
            )
    return verdict(
        "no outcome crosses a split",
        f"train {parts.train}, validation {parts.validation}, test {parts.test}, longest horizon {longest}",
        f"between the last outcome of a period and the next period lie at least {min(free, default=0)} candles",
        findings,
    )


def _columns(pipeline: Pipeline, candles: Candles) -> dict[str, NDArray[Any]]:
    named = dict(zip(pipeline.features, pipeline.inputs(candles, pipeline.features).T, strict=True))
    return named | {"sigma": pipeline.sigma(candles)}


def _changed(before: dict[str, NDArray[Any]], after: dict[str, NDArray[Any]], row: int) -> dict[str, int]:
    """Columns that differ at or before `row`, and how many candles before the first replaced one they begin to."""
    found = {}
    for name, column in before.items():
        places = np.flatnonzero(_bits(column[: row + 1]) != _bits(after[name][: row + 1]))
        if len(places):
            found[name] = row + 1 - int(places[0])
    return found


def _looks_ahead(pipeline: Pipeline, name: str, ahead: int, whole: bool) -> Finding:
    if whole:
        problem = "it changes everywhere when later candles do: it is made from a statistic of the whole series"
        fix = "take the statistic of a window that ends at t, or of the training window alone"
    elif ahead == 1:
        problem = "at t it changes with the candle after t: it holds a value of the next candle"
        fix = "shift it forward by one candle, so that row t holds what was known when candle t closed"
    else:
        problem = f"at t it changes with candles up to t + {ahead}: its window reaches past t"
        fix = f"let the window end at t instead of t + {ahead}: a trailing one, not a centred one"
    return Finding(pipeline.files(name), name, problem, fix)


def _off(pipeline: Pipeline, horizon: int, step: int, seen: set[int]) -> Finding:
    where = ", ".join(f"t{place:+d}" if place else "t" for place in sorted(seen)) or "no candle at all"
    known = "part of it is known at t" if min(seen, default=0) < 0 else "it is not the return that is forecast"
    return Finding(
        pipeline.files("targets"),
        f"target at horizon {horizon}",
        f"it depends on {where} and should on t, t{step:+d}: {known}",
        "take ln(close[t + h] / close[t]), both candles found by their open times",
    )


def _later(candles: Candles, row: int, horizon: int) -> int:
    return candles.interval.shift_ms(int(candles.open_time_ms[row]), horizon)


def _bits(column: NDArray[Any]) -> NDArray[Any]:
    """The bytes of floats as integers, so that NaN equals NaN and nothing is rounded."""
    whole = np.ascontiguousarray(column)
    return whole.view(np.dtype(f"i{whole.itemsize}"))
