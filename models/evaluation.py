"""Evaluation: forecasts over past candles, market by market, summed into one score per horizon."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from data.candles import Candles
from data.symbol import Symbol
from models.baseline import naive_log_returns
from models.input_source import inputs_for
from models.ledger_scores import skill_error
from models.samples import Inputs, Ints, Samples, cut, gather
from models.scoring import block_labels, direction, estimate_from_sums, pinball_loss, skill
from models.spec import ModelSpec
from utils.errors import InvalidInput
from utils.model_utils import Session

Floats = NDArray[np.float64]
CHUNK = 2048
_COLUMNS = ("count", "loss", "naive", "scaled_loss", "scaled_naive", "inside_50", "inside_90", "spoken", "hits")


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Forecasts of one market with their outcomes, log returns. NaN in `realised` where an outcome is not known."""

    symbol: Symbol
    open_time_ms: Ints
    """(n,) of the last candle of each forecast."""
    sigma: Floats
    """(n,) EWMA volatility per candle."""
    log_returns: Floats
    """(n, h, q)."""
    naive: Floats
    """(n, h, q)."""
    realised: Floats
    """(n, h)."""


@dataclass(frozen=True, slots=True)
class HorizonScore:
    """One horizon, all markets pooled. Losses in log returns; `scaled_…` in units of sigma·√h, every forecast alike.

    Standard errors take forecasts of the same `max(24, h)` candles, in all markets, as one observation; the
    `…_independent` one pretends that all were independent.
    """

    horizon: int
    count: int
    pinball_loss: float
    baseline_pinball_loss: float
    skill_fraction: float | None
    skill_standard_error: float | None
    scaled_pinball_loss: float
    baseline_scaled_pinball_loss: float
    scaled_skill_fraction: float | None
    coverage_50: float
    coverage_90: float
    directional_accuracy: float | None
    directional_standard_error: float | None
    directional_standard_error_independent: float | None
    directional_count: int
    blocks: int


@dataclass(slots=True)
class Scores:
    """Sums the outcomes of any number of markets without keeping them."""

    spec: ModelSpec
    _labels: list[list[Ints]] = field(default_factory=list)
    _sums: list[list[Floats]] = field(default_factory=list)

    def add(self, outcomes: Outcomes) -> None:
        self._labels.append([])
        self._sums.append([])
        for place, horizon in enumerate(self.spec.horizons):
            known = np.isfinite(outcomes.realised[:, place])
            blocks = block_labels(outcomes.open_time_ms[known], self.spec.interval.ms, horizon)
            labels, inverse = np.unique(blocks, return_inverse=True)
            columns = _columns(self.spec, outcomes, known, place)
            sums = [np.bincount(inverse, weights=column, minlength=len(labels)) for column in columns]
            self._labels[-1].append(labels)
            self._sums[-1].append(np.stack(sums))

    def by_horizon(self) -> list[HorizonScore]:
        """InvalidInput where there is nothing to score."""
        scored = [self._horizon(place, horizon) for place, horizon in enumerate(self.spec.horizons)]
        present = [score for score in scored if score is not None]
        if not present:
            raise InvalidInput(
                f"nothing to score: each forecast needs {self.spec.history} candles before it and its outcome after it"
            )
        return present

    def _horizon(self, place: int, horizon: int) -> HorizonScore | None:
        labels = np.concatenate([part[place] for part in self._labels] or [np.empty(0, dtype=np.int64)])
        if not len(labels):
            return None
        sums = np.concatenate([part[place] for part in self._sums], axis=1)
        unique, inverse = np.unique(labels, return_inverse=True)
        by_block = {
            name: np.bincount(inverse, weights=row, minlength=len(unique)).astype(np.float64)
            for name, row in zip(_COLUMNS, sums, strict=True)
        }
        total = {name: float(column.sum()) for name, column in by_block.items()}
        count = total["count"]
        hits = estimate_from_sums(by_block["hits"], by_block["spoken"])
        return HorizonScore(
            horizon=horizon,
            count=int(count),
            pinball_loss=total["loss"] / count,
            baseline_pinball_loss=total["naive"] / count,
            skill_fraction=skill(total["loss"], total["naive"]),
            skill_standard_error=skill_error(by_block["loss"], by_block["naive"]),
            scaled_pinball_loss=total["scaled_loss"] / count,
            baseline_scaled_pinball_loss=total["scaled_naive"] / count,
            scaled_skill_fraction=skill(total["scaled_loss"], total["scaled_naive"]),
            coverage_50=total["inside_50"] / count,
            coverage_90=total["inside_90"] / count,
            directional_accuracy=hits.mean if hits else None,
            directional_standard_error=hits.standard_error if hits else None,
            directional_standard_error_independent=(
                math.sqrt(hits.mean * (1 - hits.mean) / hits.count) if hits else None
            ),
            directional_count=hits.count if hits else 0,
            blocks=len(unique),
        )


def outcomes(
    spec: ModelSpec, session: Session, candles: Candles, from_ms: int, until_ms: int, inputs: Inputs | None = None
) -> Outcomes:
    """Every forecast of a market whose last candle opens in [from_ms, until_ms), in batches.

    `inputs`: the model's, where they are at hand with its other market; else that one is not known.
    """
    samples = gather(
        [_needed(spec, candles, from_ms, until_ms)],
        spec.features,
        window=spec.window,
        warm_up=spec.warm_up,
        horizons=spec.horizons,
        half_life=spec.sigma_half_life,
        inputs=inputs or inputs_for(spec),
    )
    ends = samples.starting(from_ms, until_ms)
    sigma = samples.sigma[ends]
    return Outcomes(
        symbol=candles.symbol,
        open_time_ms=samples.open_time_ms[ends],
        sigma=sigma,
        log_returns=_predicted(spec, session, samples, ends) * sigma[:, None, None],
        naive=naive_log_returns(spec.baseline_array, sigma),
        realised=samples.returns[ends],
    )


def _needed(spec: ModelSpec, candles: Candles, from_ms: int, until_ms: int) -> Candles:
    """What the forecasts are made from and judged by; of inputs with endless memory, everything."""
    if spec.season is None:
        return candles
    first, after = (int(row) for row in np.searchsorted(candles.open_time_ms, (from_ms, until_ms)))
    return candles.slice(max(0, first - 2 * spec.history), after + max(spec.horizons))


def evaluate(
    spec: ModelSpec,
    session: Session,
    markets: Sequence[Candles],
    from_ms: int,
    until_ms: int,
    on_market: Callable[[Outcomes], None] = lambda _: None,
    others: Sequence[Candles] = (),
) -> list[HorizonScore]:
    """All markets pooled, each forecast counted once. `on_market` sees each market's outcomes as they come; `others`
    are not judged, but the model may look at them."""
    scores = Scores(spec)
    inputs = inputs_for(spec, [*markets, *others])
    for candles in markets:
        found = outcomes(spec, session, candles, from_ms, until_ms, inputs)
        scores.add(found)
        on_market(found)
    return scores.by_horizon()


def _predicted(spec: ModelSpec, session: Session, samples: Samples, ends: Ints) -> Floats:
    shape = (0, len(spec.horizons), len(spec.quantiles))
    parts = [session.run(cut(samples.features, part, spec.window)) for part in _parts(ends)]
    return np.concatenate([np.empty(shape, dtype=np.float64), *parts]).astype(np.float64)


def _parts(ends: Ints) -> Iterator[Ints]:
    for start in range(0, len(ends), CHUNK):
        yield ends[start : start + CHUNK]


def _columns(spec: ModelSpec, outcomes: Outcomes, known: NDArray[np.bool_], place: int) -> list[Floats]:
    """What _COLUMNS sums, one value per known outcome of a horizon."""
    realised = outcomes.realised[known, place]
    forecast, naive = outcomes.log_returns[known, place], outcomes.naive[known, place]
    unit = outcomes.sigma[known] * math.sqrt(spec.horizons[place])
    loss, naive_loss = (pinball_loss(realised, one, spec.quantiles) for one in (forecast, naive))
    signs = direction(realised, forecast[:, spec.quantiles.index(0.5)])
    inside = [
        (realised >= forecast[:, spec.quantiles.index(low)]) & (realised <= forecast[:, spec.quantiles.index(high)])
        for low, high in ((0.25, 0.75), (0.05, 0.95))
    ]
    values = [np.ones(len(realised)), loss, naive_loss, loss / unit, naive_loss / unit, *inside, signs != 0, signs > 0]
    return [np.asarray(value, dtype=np.float64) for value in values]
