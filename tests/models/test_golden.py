"""Golden numbers: every metric of a judgement on fixed candles, as it was when each formula had been proved by itself.

The forecasts are the naive ones bent in a fixed way, so nothing that learns is between the candles and the numbers.
"""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from numpy.typing import NDArray

from data.candles import Candles
from data.features import ewma_sigma
from models.baseline import horizon_returns, scaled_quantiles
from models.inputs import input_matrix
from models.kinds import Task
from models.learners import Predict
from models.spec import QUANTILES
from models.verdicts import Verdict
from models.walk import Plan, walk
from models.walk_findings import WalkForward
from tests.support import tiny_model

PLAN = Plan(folds=2, horizons=(1, 6))


def bent(task: Task) -> Predict:
    """The naive quantiles, a tenth wider, and moved by a tenth of the last return in sigma."""
    still = 1.1 * scaled_quantiles(task.samples.scaled[task.train], task.quantiles)
    place = task.features.index("return_1")

    def predict(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        moved = 0.1 * windows[:, -1, place].astype(np.float64)
        return (still[None] + moved[:, None, None]).astype(np.float32)

    return predict


@pytest.fixture(scope="module")
def judged() -> WalkForward:
    return walk(made(), bent, PLAN)


def numbers(one: Verdict) -> dict[str, float | None]:
    first = one.comparisons[0]
    bounds, direction = first.skill_bounds, one.directional_accuracy
    return {
        "count": one.count,
        "loss": first.loss,
        "naive loss": first.baseline_loss,
        "skill": first.skill_fraction,
        "low": bounds.low if bounds else None,
        "high": bounds.high if bounds else None,
        "p": first.p_value,
        "p better": first.p_better,
        "crps skill": one.crps_skill_fraction,
        "direction": direction.mean if direction else None,
        "brier": one.brier,
        "50 %": one.coverage[0].realised,
        "90 %": one.coverage[-1].realised,
        "pit first": one.pit[0].share,
        "rank ic": one.rank_ic_by_market[0],
    }


GOLDEN: dict[int, dict[str, float]] = {
    1: {
        "count": 2716,
        "loss": 0.0010770639665,
        "naive loss": 0.0010994260634,
        "skill": 0.0203397914613,
        "low": 0.0154049987623,
        "high": 0.0254579848506,
        "p": 1.01788e-12,
        "p better": 5.08939e-13,
        "crps skill": 0.0206781836317,
        "direction": 0.5743740795287,
        "brier": 0.2430405304029,
        "50 %": 0.5405007363770,
        "90 %": 0.9164212076583,
        "pit first": 0.0342415316642,
        "rank ic": 0.2606822057731,
    },
    6: {
        "count": 2706,
        "loss": 0.0035278113938,
        "naive loss": 0.0035370216882,
        "skill": 0.0026039688767,
        "low": -0.0012678333918,
        "high": 0.0062349682157,
        "p": 0.2433818678772,
        "p better": 0.1216909339386,
        "crps skill": 0.0025248042776,
        "direction": 0.4974131559497,
        "brier": 0.2516477548466,
        "50 %": 0.5107169253511,
        "90 %": 0.8968957871396,
        "pit first": 0.0347376201035,
        "rank ic": 0.0117736318515,
    },
}


@pytest.mark.parametrize("place", [0, 1], ids=["1 ahead", "6 ahead"])
def test_every_metric_is_what_it_was(judged: WalkForward, place: int) -> None:
    one = judged.pooled[place]
    assert numbers(one) == pytest.approx(GOLDEN[one.horizon], rel=1e-5)


def test_the_golden_losses_are_those_of_the_formulas_written_out(judged: WalkForward) -> None:
    """Pinball loss and coverage one ahead in the last fold, forecast by forecast, from the candles themselves."""
    fold, markets = judged.folds[-1].fold, made()
    units = [horizon_returns(one, (1,))[:, 0] / ewma_sigma(one) for one in markets]
    trained = [np.flatnonzero(_within(one, fold.train.from_ms, fold.train.until_ms)) for one in markets]
    trained = [rows[rows >= PLAN.warm_up + PLAN.window - 1] for rows in trained]
    learned = np.concatenate([unit[rows] for unit, rows in zip(units, trained, strict=True)])
    still = [1.1 * float(one) for one in np.quantile(learned, QUANTILES)]
    losses, inside = [], []
    for one in markets:
        last, sigma = input_matrix(one, ("return_1",))[:, 0], ewma_sigma(one)
        for row in np.flatnonzero(_within(one, fold.test.from_ms, fold.test.until_ms)):
            if row + 1 == len(one):
                continue
            realised = math.log(one.close[row + 1] / one.close[row])
            given = [(level + 0.1 * float(last[row])) * float(sigma[row]) for level in still]
            pairs = list(zip(given, QUANTILES, strict=True))
            losses.append(statistics.fmean(max(t * (realised - q), (t - 1) * (realised - q)) for q, t in pairs))
            inside.append(given[0] <= realised <= given[-1])
    (found, _) = judged.folds[-1].verdicts
    assert found.count == len(losses)
    assert found.comparisons[0].loss == pytest.approx(statistics.fmean(losses), rel=1e-5)
    assert found.coverage[-1].realised == pytest.approx(statistics.fmean(inside), abs=1e-9)


def made() -> list[Candles]:
    return [tiny_model.planted(name, seed, 3000) for seed, name in ((1, "AAAUSDT"), (2, "BBBUSDT"))]


def _within(candles: Candles, from_ms: int, until_ms: int) -> NDArray[np.bool_]:
    return np.asarray((candles.open_time_ms >= from_ms) & (candles.open_time_ms < until_ms))
