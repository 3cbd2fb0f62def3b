"""Calibration: exact by hand, covers what it promises on unseen outcomes, never crosses, follows a turning market."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from data.interval import Interval
from data.symbol import Symbol
from models.conformal import FACTOR_LIMITS, Calibration, band_levels, calibrate, missed, stretched
from models.evaluation import Outcomes
from models.panel import Panel, followed
from utils.errors import InvalidInput

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
HORIZONS = (1, 6, 24)
SHAPE = np.array([-1.645, -0.674, 0.0, 0.674, 1.645])
Floats = NDArray[np.float64]


def given_bands(count: int, scale: float = 1.0) -> Floats:
    """(n, 3, 5): normal bands, wider with the horizon."""
    return np.broadcast_to(scale * np.sqrt(HORIZONS)[:, None] * SHAPE, (count, 3, 5)).copy()


def drawn(count: int, seed: int, spread: float = 1.0) -> Floats:
    return np.random.default_rng(seed).normal(0.0, spread, (count, 3)) * np.sqrt(HORIZONS)


def inside(forecast: Floats, realised: Floats) -> Floats:
    return 1.0 - missed(forecast, realised, LEVELS)


def test_the_factor_is_the_right_order_statistic() -> None:
    """9 outcomes at 1, 2, … 9 half-widths: ⌈10 · 0.5⌉ = the fifth, and ⌈10 · 0.9⌉ = the ninth."""
    forecast = np.broadcast_to(np.array([-2.0, -1.0, 0.0, 1.0, 2.0]), (9, 1, 5))
    outcome = np.array([1.0, -2.0, 3.0, -4.0, 5.0, -6.0, 7.0, -7.9, 2.5])[:, None]
    found = calibrate(forecast, outcome, (1,), LEVELS)
    scores = np.sort(np.abs(outcome[:, 0]))
    assert found.levels == (0.5, 0.9)
    assert found.factors.tolist() == [[pytest.approx(min(scores[4], 4.0)), pytest.approx(scores[8] / 2)]]
    assert found.count == 9
    with pytest.raises(InvalidInput, match="at least 9 are needed"):
        calibrate(forecast[:8], outcome[:8], (1,), LEVELS)


@pytest.mark.parametrize("spread", [0.6, 1.0, 1.7])
def test_calibrated_bands_cover_unseen_outcomes_as_promised(spread: float) -> None:
    found = calibrate(given_bands(4000), drawn(4000, 1, spread), HORIZONS, LEVELS)
    covered = inside(found.apply(given_bands(20_000)), drawn(20_000, 2, spread))
    assert covered[:, 0] == pytest.approx([0.5] * 3, abs=0.03)
    assert covered[:, 1] == pytest.approx([0.9] * 3, abs=0.015)
    assert found.factors == pytest.approx(np.full((3, 2), spread), rel=0.08)


def test_missing_outcomes_are_left_out() -> None:
    outcome = drawn(500, 3)
    holed = np.concatenate([outcome, np.full((300, 3), np.nan)])
    whole, part = (calibrate(given_bands(len(one)), one, HORIZONS, LEVELS) for one in (outcome, holed))
    assert np.array_equal(whole.factors, part.factors)
    assert part.count == 1500


@given(
    arrays(np.float64, (4, 3, 5), elements=st.floats(-5.0, 5.0)),
    arrays(np.float64, (3, 2), elements=st.floats(*FACTOR_LIMITS)),
)
@settings(max_examples=150, deadline=None)
def test_quantiles_never_cross_and_the_median_never_moves(raw: Floats, factors: Floats) -> None:
    forecast = np.sort(raw, axis=-1)
    moved = stretched(forecast, factors, LEVELS)
    assert np.all(np.diff(moved, axis=-1) >= 0)
    assert np.array_equal(moved[..., 2], forecast[..., 2])


def test_the_neutral_calibration_changes_nothing() -> None:
    forecast = given_bands(10)
    assert np.array_equal(Calibration.neutral(HORIZONS, LEVELS).apply(forecast), forecast)


def test_the_state_is_plain_and_comes_back_whole() -> None:
    found = calibrate(given_bands(100), drawn(100, 4), HORIZONS, LEVELS)
    again = Calibration.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False)))
    assert again.factors.tolist() == found.factors.tolist()
    assert (again.count, again.levels, again.horizons) == (found.count, found.levels, found.horizons)
    for wrong in ({}, found.to_dict() | {"factors": [[1.0]]}, found.to_dict() | {"factors": [[1.0, -1.0]] * 3}):
        with pytest.raises(InvalidInput, match=r"no calibration|do not fit"):
            Calibration.from_dict(wrong)


def test_an_outcome_moves_the_factors_by_the_rule() -> None:
    start = Calibration.neutral(HORIZONS, LEVELS)
    outcome = np.array([[10.0, 0.0, np.nan]])
    after = start.observed(given_bands(1), outcome, gamma=0.1)
    assert after.factors[0] == pytest.approx(np.exp(0.1 * np.array([0.5, 0.9])))
    assert after.factors[1] == pytest.approx(np.exp(0.1 / 6 * np.array([-0.5, -0.1])))
    assert after.factors[2].tolist() == [1.0, 1.0]
    assert after.count == 2


def outcomes(count: int, seed: int, spread: Floats | float, symbol: str = "AAAUSDT") -> Outcomes:
    step = Interval.H1.ms
    scale = np.broadcast_to(spread, count)
    steps = np.random.default_rng(seed).normal(size=count + 24) * np.append(scale, np.full(24, scale[-1]))
    path = np.concatenate([[0.0], np.cumsum(steps)])
    realised = np.stack([path[h : h + count] - path[:count] for h in HORIZONS], axis=1)
    bands = given_bands(count)
    return Outcomes(Symbol(symbol), np.arange(count) * step, np.ones(count), bands, bands, realised)


def test_online_factors_follow_a_market_that_turns_wild() -> None:
    wild = outcomes(6000, 5, np.where(np.arange(6000) < 2000, 1.0, 1.8))
    panel = Panel.of([wild], Interval.H1)
    given, factors = followed(panel, Calibration.neutral(HORIZONS, LEVELS))
    late = slice(4000, 6000)
    before, after = (inside(one[late, 0], panel.realised[late, 0]) for one in (panel.forecast, given))
    assert before[0, 1] < 0.7
    assert after[0] == pytest.approx([0.5, 0.9], abs=0.02)
    assert factors[0, 0] == pytest.approx([1.8, 1.8], rel=0.2)


def test_no_band_knows_an_outcome_that_is_still_to_come() -> None:
    """The promise of the whole: change every outcome that is not known by then, and the band at t is the same."""
    one = outcomes(300, 6, 1.5)
    panel = Panel.of([one], Interval.H1)
    given, _ = followed(panel, Calibration.neutral(HORIZONS, LEVELS))
    at = 200
    later = panel.realised.copy()
    for place, horizon in enumerate(HORIZONS):
        later[at - horizon + 1 :, :, place] = 99.0
    changed, _ = followed(
        Panel(panel.symbols, panel.open_time_ms, panel.forecast, later), Calibration.neutral(HORIZONS, LEVELS)
    )
    assert np.array_equal(given[: at + 1], changed[: at + 1])
    assert not np.array_equal(given[at + 1 :], changed[at + 1 :])


def test_each_market_follows_its_own_outcomes_or_all_share_one_state() -> None:
    calm, wild = outcomes(1500, 7, 0.6, "AAAUSDT"), outcomes(1500, 8, 1.7, "BBBUSDT")
    panel = Panel.of([calm, wild], Interval.H1)
    start = Calibration.neutral(HORIZONS, LEVELS)
    _, each = followed(panel, start)
    _, shared = followed(panel, start, each=False)
    assert each[0, 0, 1] < 0.8 < 1.3 < each[1, 0, 1]
    assert np.array_equal(shared[0], shared[1])


def test_holes_and_late_listings_keep_their_place_on_the_grid() -> None:
    whole, late = outcomes(100, 9, 1.0, "AAAUSDT"), outcomes(40, 10, 1.0, "BBBUSDT")
    late = Outcomes(late.symbol, late.open_time_ms + 50 * Interval.H1.ms, *(
        getattr(late, name) for name in ("sigma", "log_returns", "naive", "realised")
    ))  # fmt: skip
    panel = Panel.of([whole, late], Interval.H1)
    assert panel.forecast.shape == (100, 2, 3, 5)
    assert np.isnan(panel.realised[:50, 1]).all()
    assert panel.realised[50:90, 1] == pytest.approx(late.realised)
    given, factors = followed(panel, Calibration.neutral(HORIZONS, LEVELS))
    assert np.isfinite(factors).all()
    assert np.isnan(given[:50, 1]).all()
    for interval, wanted in ((Interval.MO1, "equal steps"), (Interval.H1, "no forecasts")):
        with pytest.raises(InvalidInput, match=wanted):
            Panel.of([], interval)


def test_bands_must_be_symmetric() -> None:
    assert band_levels((0.1, 0.5, 0.9)) == (0.8,)
    for wrong in ((0.1, 0.9), (0.1, 0.4, 0.5, 0.75, 0.9)):
        with pytest.raises(InvalidInput, match="not symmetric"):
            band_levels(wrong)
