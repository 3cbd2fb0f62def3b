"""Walk: learns again and again as time goes on, and is judged only on what came after.

Each fold trains, chooses and scales on its own past, with purge and embargo before what it is judged on; all of it is
judged together too, by horizon, market, volatility regime and hour of day, against three naive forecasts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.candles import Candles
from data.filters import rolling_sum
from data.interval import Interval
from models.folds import Fold, folds
from models.importance import Importance, permuted
from models.input_source import training_source
from models.inputs import INPUTS, WARM_UP, input_matrix
from models.kinds import Task
from models.learners import PROBE, Learner, Predict
from models.naive_forecasts import centres, naive_quantiles
from models.parallel import ALONE, Workers, run_all
from models.samples import Inputs, Ints, Samples, cut, decided, gather
from models.scale_series import HISTORY
from models.spec import QUANTILES, SIGMA_HALF_LIFE, Kind
from models.verdicts import Rows, compared, covered, verdict
from models.walk_findings import FoldResult, Group, WalkForward
from utils.errors import InvalidInput

Floats = NDArray[np.float64]
JUDGED = (1, 6, 24)
NOT_EVERYWHERE = ("trades_24", "imbalance", "imbalance_12")
FEATURES = tuple(name for name in INPUTS if name not in NOT_EVERYWHERE)
REGIMES = ("calm", "usual", "wild")
SLOW_CANDLES = 720
_CHUNK = 4096


@dataclass(frozen=True, slots=True)
class Plan:
    """What walks through time: the inputs, the horizons that are judged, the folds."""

    features: tuple[str, ...] = FEATURES
    window: int = 16
    warm_up: int = WARM_UP
    horizons: tuple[int, ...] = JUDGED
    quantiles: tuple[float, ...] = QUANTILES
    folds: int = 5
    expanding: bool = True
    seed: int = 7


def walk(
    markets: Sequence[Candles],
    learn: Learner,
    plan: Plan | None = None,
    *,
    kind: str = PROBE,
    on_fold: Callable[[FoldResult], None] = lambda _: None,
    workers: Workers = ALONE,
) -> WalkForward:
    """Learns and judges every fold of these markets, which share one interval, each fold by one of the `workers`.

    `on_fold` hears of each fold in its order; what it raises ends the walk.
    """
    chosen, inputs = walked_inputs(kind, markets, plan or Plan())
    samples = gather(
        markets,
        chosen.features,
        window=chosen.window,
        warm_up=chosen.warm_up,
        horizons=chosen.horizons,
        half_life=SIGMA_HALF_LIFE,
        inputs=inputs,
    )
    interval = markets[0].interval
    first = int(samples.open_time_ms[samples.ends].min()) if len(samples.ends) else 0
    last = int(samples.open_time_ms.max()) + interval.ms
    made = folds(first, last, interval, max(chosen.horizons), chosen.folds, expanding=chosen.expanding)
    naive = _centres(markets, chosen.horizons)
    slow = np.concatenate([_slow_mean(samples, place) for place in range(len(markets))])
    scene = _Scene(samples, chosen, interval, learn, naive, slow, last=made[-1])
    walked = []
    for one in run_all(partial(_walked, scene), made, workers):
        walked.append(one)
        on_fold(one.result)
    results, judged = [one.result for one in walked], [one.judged for one in walked]
    rows, regimes = _pooled(judged)
    return WalkForward(
        kind=kind,
        expanding=chosen.expanding,
        symbols=samples.symbols,
        folds=tuple(results),
        pooled=tuple(verdict(one) for one in rows if len(one)),
        by_symbol=_groups(rows, [one.market for one in rows], list(map(str, samples.symbols))),
        by_regime=_groups(rows, regimes, list(REGIMES)),
        by_hour=_groups(
            rows, [one.open_time_ms // 3_600_000 % 24 for one in rows], [f"{hour:02d}" for hour in range(24)]
        ),
        importance=walked[-1].importance,
    )


def walked_inputs(kind: str, markets: Sequence[Candles], plan: Plan) -> tuple[Plan, Inputs]:
    """The plan as the kind needs it, and how its inputs are computed. What the hours of the week usually are is learned
    from the first fold's training period, which lies in every later fold's past too."""
    if kind != Kind.SCALE:
        return plan, input_matrix
    interval, settled = markets[0].interval, HISTORY - 1
    starts = [int(one.open_time_ms[settled]) for one in markets if len(one) > settled]
    if not starts:
        raise InvalidInput(f"no market has more than the {settled} candles that a forecast needs before it")
    last = max(one.last_open_time_ms for one in markets) + interval.ms
    made = folds(min(starts), last, interval, max(plan.horizons), plan.folds, expanding=plan.expanding)
    source = training_source(Kind.SCALE, markets, made[0].train)
    return replace(plan, features=source.names, window=1, warm_up=source.warm_up), source.compute


@dataclass(frozen=True, slots=True)
class _Judged:
    """Of one fold: test ends, rows per horizon, and the volatility regime (0, 1, 2) of each of those rows."""

    ends: Ints
    rows: tuple[Rows, ...]
    regimes: tuple[Ints, ...]


@dataclass(frozen=True, slots=True)
class _Scene:
    """What every fold needs, whoever walks it."""

    samples: Samples
    plan: Plan
    interval: Interval
    learn: Learner
    naive: Mapping[str, Floats]
    slow: Floats
    last: Fold


@dataclass(frozen=True, slots=True)
class _Walked:
    result: FoldResult
    judged: _Judged
    importance: tuple[Importance, ...]


def _walked(scene: _Scene, fold: Fold) -> _Walked:
    """One fold, learned and judged; importance is that of the last one's model."""
    samples, plan = scene.samples, scene.plan
    predict, train, validation = _learned(samples, fold, scene.learn, plan, scene.interval)
    part = _judged(samples, fold, predict, train, scene.naive, scene.slow, plan, scene.interval)
    verdicts = tuple(verdict(rows) for rows in part.rows if len(rows))
    result = FoldResult(fold, len(train), len(validation), len(part.ends), verdicts)
    weighed = permuted(samples, part.ends, predict, plan) if fold == scene.last else ()
    return _Walked(result, part, weighed)


def _learned(
    samples: Samples, fold: Fold, learn: Learner, plan: Plan, interval: Interval
) -> tuple[Predict, Ints, Ints]:
    ends = [samples.starting(period.from_ms, period.until_ms) for period in (fold.train, fold.validation)]
    train, validation = (decided(samples, rows) for rows in ends)
    if not len(train) or not len(validation):
        raise InvalidInput(
            f"fold {fold.number} has {len(train)} training and {len(validation)} validation windows in {fold.train} "
            f"and {fold.validation}; give a longer history or fewer folds"
        )
    task = Task(
        samples=samples,
        train=train,
        validation=validation,
        window=plan.window,
        horizons=plan.horizons,
        quantiles=plan.quantiles,
        seed=plan.seed,
        features=plan.features,
        interval=interval,
    )
    return learn(task), train, validation


def _judged(
    samples: Samples,
    fold: Fold,
    predict: Predict,
    train: Ints,
    naive: Mapping[str, Floats],
    slow: Floats,
    plan: Plan,
    interval: Interval,
) -> _Judged:
    ends = samples.starting(fold.test.from_ms, fold.test.until_ms)
    forecast = asked(predict, samples, ends, plan) * samples.sigma[ends, None, None]
    others = {name: naive_quantiles(samples, one, train, ends, plan.quantiles) for name, one in naive.items()}
    ratio = samples.sigma / slow
    edges = np.quantile(ratio[train], [1 / 3, 2 / 3])
    regime = np.searchsorted(edges, ratio[ends]).astype(np.int64)
    rows, regimes = [], []
    for place, horizon in enumerate(plan.horizons):
        known = np.asarray(np.isfinite(samples.returns[ends, place]))
        rows.append(
            Rows(
                horizon=horizon,
                candle_ms=interval.ms,
                quantiles=plan.quantiles,
                open_time_ms=samples.open_time_ms[ends][known],
                market=samples.market[ends][known].astype(np.int64),
                sigma=samples.sigma[ends][known],
                forecast=forecast[known, place],
                naive={name: one[known, place] for name, one in others.items()},
                realised=samples.returns[ends][known, place],
            )
        )
        regimes.append(regime[known])
    return _Judged(ends, tuple(rows), tuple(regimes))


def asked(predict: Predict, samples: Samples, ends: Ints, plan: Plan) -> Floats:
    """(n, h, q) in units of sigma, in batches."""
    shape = (0, len(plan.horizons), len(plan.quantiles))
    starts = range(0, len(ends), _CHUNK)
    parts = [predict(cut(samples.features, ends[start : start + _CHUNK], plan.window)) for start in starts]
    return np.concatenate([np.empty(shape), *parts]).astype(np.float64)


def _pooled(judged: Sequence[_Judged]) -> tuple[list[Rows], list[Ints]]:
    """Each horizon's rows of all folds."""
    rows, regimes = [], []
    for place, first in enumerate(judged[0].rows):
        parts = [one.rows[place] for one in judged]
        names = ("open_time_ms", "market", "sigma", "forecast", "realised")
        joined: dict[str, Any] = {name: np.concatenate([getattr(one, name) for one in parts]) for name in names}
        naive = {name: np.concatenate([one.naive[name] for one in parts]) for name in first.naive}
        rows.append(replace(first, naive=naive, **joined))
        regimes.append(np.concatenate([one.regimes[place] for one in judged]))
    return rows, regimes


def _groups(rows: Sequence[Rows], labels: Sequence[Ints], names: Sequence[str]) -> tuple[Group, ...]:
    """Those that have forecasts, by horizon."""
    found = []
    for one, label in zip(rows, labels, strict=True):
        for number, name in enumerate(names):
            part = one.where(np.asarray(label == number))
            if len(part):
                found.append(Group(one.horizon, name, len(part), compared(part), covered(part)))
    return tuple(found)


def _centres(markets: Sequence[Candles], horizons: Sequence[int]) -> dict[str, Floats]:
    each = [centres(candles, horizons) for candles in markets]
    return {name: np.concatenate([one[name] for one in each]) for name in each[0]}


def _slow_mean(samples: Samples, place: int) -> Floats:
    """(n,) the mean of sigma over the last 720 candles, or over what is known of it."""
    sigma = samples.sigma[samples.market == place]
    known = np.nan_to_num(sigma)
    total = rolling_sum(known, SLOW_CANDLES) / SLOW_CANDLES
    counts = np.maximum(np.cumsum(np.isfinite(sigma)), 1)
    so_far = np.cumsum(known) / counts
    slow: Floats = np.where(np.isfinite(total) & (counts >= SLOW_CANDLES), total, so_far)
    return np.where(slow > 0, slow, np.nan)
