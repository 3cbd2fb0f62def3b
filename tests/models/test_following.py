"""Following: factors moved by each outcome once, the same at every try, and never by what was still to come."""

from __future__ import annotations

import numpy as np
import pytest

from data.symbol import Symbol
from models.conformal import GAMMA, Calibration
from models.following import Following, beginning
from models.panel import Panel, followed

HORIZONS, QUANTILES = (1, 2), (0.05, 0.25, 0.5, 0.75, 0.95)
HOUR_MS = 3_600_000
BANDS = np.array([[-2.0, -1.0, 0.0, 1.0, 2.0], [-4.0, -2.0, 0.0, 2.0, 4.0]])
START = np.array([[1.0, 1.2], [0.9, 1.1]])


def test_a_forecast_uses_what_was_known_a_candle_before_it() -> None:
    begun = Following.begun(START)
    forecast, targets = BANDS[None], np.array([[5, 6]]) * HOUR_MS
    moved = begun.moved(forecast, np.array([[9.0, np.nan]]), targets, HORIZONS, QUANTILES)
    np.testing.assert_allclose(moved.after[0], START[0] * np.exp(GAMMA * np.array([0.5, 0.9])))
    np.testing.assert_array_equal(moved.after[1], START[1])
    assert (moved.moment_ms, moved.outcomes) == (5 * HOUR_MS, 1)
    for earlier, factors in ((5, START), (6, moved.after)):
        np.testing.assert_array_equal(moved.at(earlier * HOUR_MS), factors)
    assert moved.at(4 * HOUR_MS) is None
    np.testing.assert_array_equal(begun.at(5 * HOUR_MS), START)


def test_many_moments_at_once_are_each_in_their_turn() -> None:
    """As `models.panel.followed` lays them out, whose bands are those of its moment."""
    random = np.random.default_rng(3)
    realised = random.normal(0.0, 2.0, (60, 2)) * np.sqrt(HORIZONS)
    times = np.arange(60, dtype=np.int64) * HOUR_MS
    panel = Panel((Symbol("AUSDT"),), times, np.tile(BANDS, (60, 1, 1, 1)), realised[:, None])
    start = Calibration(HORIZONS, QUANTILES, (0.5, 0.9), START)
    given, factors = followed(panel, start)
    targets = times[:, None] + np.array(HORIZONS) * HOUR_MS
    inside = np.where(targets < 60 * HOUR_MS, realised, np.nan)
    at_once = Following.begun(START).moved(given[:, 0], inside, targets, HORIZONS, QUANTILES)
    np.testing.assert_allclose(at_once.after, factors[0])
    piecewise = Following.begun(START)
    for moment in range(60):
        now = np.where(targets == moment * HOUR_MS, realised, np.nan)
        piecewise = piecewise.moved(given[:, 0], now, targets, HORIZONS, QUANTILES)
    np.testing.assert_allclose(piecewise.after, at_once.after)
    np.testing.assert_allclose(piecewise.before, at_once.before)
    assert piecewise.outcomes == at_once.outcomes == np.isfinite(inside).sum()


def test_a_backfilled_outcome_counts_from_then_on() -> None:
    targets = np.array([[5, 6]]) * HOUR_MS
    newer = Following.begun(START).moved(BANDS[None], np.array([[np.nan, 9.0]]), targets, HORIZONS, QUANTILES)
    both = newer.moved(BANDS[None], np.array([[9.0, np.nan]]), targets, HORIZONS, QUANTILES)
    assert both.moment_ms == 6 * HOUR_MS
    np.testing.assert_array_equal(both.before, newer.before)
    assert np.all(both.after[0] > newer.after[0])


def test_nothing_new_moves_nothing() -> None:
    begun = Following.begun(START)
    assert begun.moved(BANDS[None], np.full((1, 2), np.nan), np.zeros((1, 2), np.int64), HORIZONS, QUANTILES) is begun


@pytest.mark.parametrize(
    "report",
    [None, {}, {"calibration": None}, {"calibration": {"factors": [[1.0]]}}, {"calibration": {"horizons": "x"}}],
)
def test_without_a_calibration_the_models_own_bands_are_the_beginning(report: object) -> None:
    found = beginning(report, HORIZONS, QUANTILES)
    assert found is not None
    assert (found.factors == 1).all()
    assert found.count == 0


def test_the_report_of_the_training_is_the_beginning() -> None:
    given = Calibration(HORIZONS, QUANTILES, (0.5, 0.9), START, 300)
    found = beginning({"calibration": given.to_dict()}, HORIZONS, QUANTILES)
    assert found is not None
    np.testing.assert_array_equal(found.factors, START)
    assert found.count == 300
    other = beginning({"calibration": given.to_dict()}, (1, 3), QUANTILES)
    assert other is not None
    assert other.count == 0
    assert beginning({}, HORIZONS, (0.1, 0.5, 0.7)) is None
