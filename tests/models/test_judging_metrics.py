"""Metrics held against textbook values, scipy, and against what makes them worth having: properness and calibration."""

from __future__ import annotations

from random import Random
from statistics import NormalDist

import numpy as np
import pytest
import scipy  # its parts are imported when they are asked for
from hypothesis import given, settings
from hypothesis import strategies as st

from models.metrics import (
    brier,
    crps,
    normal_cdf,
    pit_histogram,
    probability_up,
    quadrature,
    rank_correlation,
    rank_ic_by_time,
    ranks,
)
from models.scoring import pinball_loss

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
NORMAL = np.array([NormalDist().inv_cdf(level) for level in LEVELS])


def test_weights_stand_for_their_part_of_the_unit() -> None:
    assert quadrature(LEVELS) == pytest.approx([0.15, 0.225, 0.25, 0.225, 0.15])
    assert quadrature([0.5]) == pytest.approx([1.0])


def test_crps_by_hand() -> None:
    # one quantile, the median: twice half the absolute error
    assert crps(3.0, [1.0], [0.5]) == pytest.approx(2.0)
    # outcome 0 of a forecast that is surely 1: pinball (1 − τ)·1 each
    assert crps(0.0, np.ones(5), LEVELS) == pytest.approx(2 * np.dot(quadrature(LEVELS), 1 - np.array(LEVELS)))


def test_many_quantiles_of_a_normal_give_its_known_crps() -> None:
    levels = (np.arange(2000) + 0.5) / 2000
    forecast = np.array([NormalDist().inv_cdf(level) for level in levels])
    for outcome in (0.0, 0.7, -2.0):
        # Gneiting & Raftery 2007, eq. 21
        exact = (
            outcome * (2 * scipy.stats.norm.cdf(outcome) - 1) + 2 * scipy.stats.norm.pdf(outcome) - 1 / np.sqrt(np.pi)
        )
        assert crps(outcome, forecast, levels) == pytest.approx(exact, abs=2e-4)


@given(st.floats(-1.0, 1.0), st.floats(0.4, 2.5))
@settings(max_examples=60, deadline=None)
def test_scores_are_proper(shift: float, stretch: float) -> None:
    """The true quantiles have the lowest expected score, by integration over the true distribution."""
    outcomes = scipy.stats.norm.ppf((np.arange(2000) + 0.5) / 2000)
    wrong = shift + stretch * NORMAL
    for score in (pinball_loss, crps):
        truth = score(outcomes, np.broadcast_to(NORMAL, (2000, 5)), LEVELS).mean()
        assert truth <= score(outcomes, np.broadcast_to(wrong, (2000, 5)), LEVELS).mean() + 1e-6


def test_a_calibrated_forecast_fills_each_bin_with_its_width() -> None:
    outcomes = scipy.stats.norm.ppf((np.arange(10_000) + 0.5) / 10_000)
    flat = pit_histogram(outcomes, np.broadcast_to(NORMAL, (10_000, 5)), LEVELS)
    assert [one.share for one in flat] == pytest.approx([one.expected for one in flat], abs=2e-4)
    assert [one.expected for one in flat] == pytest.approx([0.05, 0.2, 0.25, 0.25, 0.2, 0.05])
    narrow = pit_histogram(outcomes, np.broadcast_to(0.5 * NORMAL, (10_000, 5)), LEVELS)
    assert narrow[0].share == pytest.approx(scipy.stats.norm.cdf(0.5 * NORMAL[0]), abs=2e-4)
    assert narrow[0].share > 3 * narrow[0].expected


@given(st.floats(-3.0, 3.0), st.floats(0.05, 3.0))
@settings(max_examples=80, deadline=None)
def test_the_chance_of_a_rise_of_a_normal_is_exact(mean: float, spread: float) -> None:
    found = probability_up(mean + spread * NORMAL, LEVELS)
    assert float(found) == pytest.approx(scipy.stats.norm.sf(-mean / spread), abs=1e-6)


def test_the_chance_of_a_rise_passes_through_the_quantiles() -> None:
    for place, level in enumerate(LEVELS):
        skewed = np.array([-3.0, -1.0, 0.2, 0.9, 5.0])
        found = probability_up(skewed - skewed[place], LEVELS)
        assert float(found) == pytest.approx(1 - level, abs=1e-6)
    assert probability_up(np.zeros((2, 5)), LEVELS).shape == (2,)


def test_the_normal_distribution_is_scipys() -> None:
    x = np.linspace(-9, 9, 2001)
    assert normal_cdf(x) == pytest.approx(scipy.stats.norm.cdf(x), abs=1e-7)


def test_brier_by_hand() -> None:
    assert brier([1.0, -2.0, 0.0], [0.8, 0.4, 0.9]) == pytest.approx((0.2**2 + 0.4**2) / 2)
    assert brier([0.0], [0.5]) is None
    assert brier(np.random.default_rng(1).normal(size=1000), np.full(1000, 0.5)) == pytest.approx(0.25)


@given(st.lists(st.integers(-4, 4), min_size=5, max_size=40), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_ranks_and_their_correlation_are_scipys(values: list[int], random: Random) -> None:
    other = [random.randint(-4, 4) for _ in values]
    assert ranks(values) == pytest.approx(scipy.stats.rankdata(values))
    ours = rank_correlation(values, other)
    if len(set(values)) == 1 or len(set(other)) == 1:
        assert ours is None
    else:
        assert ours == pytest.approx(scipy.stats.spearmanr(values, other).statistic, abs=1e-9)


def test_rank_ic_over_time() -> None:
    random = np.random.default_rng(2)
    moments = np.repeat(np.arange(500), 8)
    outcome = random.normal(size=4000)
    knowing, guessing = outcome + random.normal(0.0, 3.0, 4000), random.normal(size=4000)
    order = random.permutation(4000)
    good = rank_ic_by_time(knowing[order], outcome[order], moments[order], 1)
    none = rank_ic_by_time(guessing, outcome, moments, 1)
    assert good is not None
    assert none is not None
    assert none.standard_error is not None
    assert 0.2 < good.mean < 0.4
    assert good.count == 500
    assert abs(none.mean) < 4 * none.standard_error
    by_hand = [scipy.stats.spearmanr(knowing[moments == t], outcome[moments == t]).statistic for t in range(500)]
    assert good.mean == pytest.approx(np.mean(by_hand))
    assert rank_ic_by_time(knowing[:4], outcome[:4], moments[:4], 1) is None
