"""Scores: golden numbers worked out by hand, and what makes a score proper."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import scoring
from models.ledger_scores import skill_error

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def test_pinball_loss_by_hand() -> None:
    # 0.02 realised; each quantile at 0.01 is 0.01 too low and costs τ·0.01; the mean of τ is 0.5
    assert scoring.pinball_loss(0.02, [0.01] * 5, LEVELS) == pytest.approx(0.005)
    # each at 0.05 is 0.03 too high and costs (1 − τ)·0.03
    assert scoring.pinball_loss(0.02, [0.05] * 5, LEVELS) == pytest.approx(0.015)
    # −0.1·0.05, 0, 0, 0.25·0.1, … : (0.05·0.1 + 0.25·0.05 + 0 + 0.25·0.05 + 0.05·0.1) / 5
    assert scoring.pinball_loss(0.0, [-0.1, -0.05, 0.0, 0.05, 0.1], LEVELS) == pytest.approx(0.007)


def test_pinball_loss_keeps_the_shape() -> None:
    assert scoring.pinball_loss(np.zeros((3, 4)), np.zeros((3, 4, 5)), LEVELS).shape == (3, 4)


@given(shift=st.floats(-3, 3), stretch=st.floats(0.2, 5))
@settings(max_examples=50, deadline=None)
def test_the_truth_has_the_lowest_expected_loss(shift: float, stretch: float) -> None:
    outcomes = np.linspace(-1, 1, 401)  # uniform; its quantiles are known exactly
    truth = np.quantile(outcomes, LEVELS)
    other = truth * stretch + shift
    best = scoring.pinball_loss(outcomes, np.tile(truth, (401, 1)), LEVELS).mean()
    assert best <= scoring.pinball_loss(outcomes, np.tile(other, (401, 1)), LEVELS).mean() + 1e-12


def test_skill_is_the_part_of_the_baselines_loss_that_is_gone() -> None:
    assert scoring.skill(0.98, 1.0) == pytest.approx(0.02)
    assert scoring.skill(1.1, 1.0) == pytest.approx(-0.1)
    assert scoring.skill(0.0, 0.0) is None


def test_coverage_counts_its_edges() -> None:
    assert scoring.coverage([-1.0, 0.0, 1.0, 2.0], -1.0, 1.0) == 0.75
    assert scoring.coverage([], -1.0, 1.0) is None


def test_direction_is_undecided_where_either_is_zero() -> None:
    assert scoring.direction([0.1, -0.1, 0.0, 0.2], [0.2, 0.3, 0.1, 0.0]).tolist() == [1, -1, 0, 0]


def test_directional_accuracy_leaves_the_undecided_out() -> None:
    found = scoring.directional_accuracy([0.1, -0.1, 0.0, 0.2], [0.2, 0.3, 0.1, 0.1], [0, 1, 2, 3])
    assert found is not None
    assert found.mean == pytest.approx(2 / 3)
    assert found.count == 3
    assert scoring.directional_accuracy([0.0], [0.1], [0]) is None


def test_the_standard_error_of_independent_values_is_the_textbooks() -> None:
    values = np.random.default_rng(1).normal(size=2000)
    found = scoring.estimate(values, np.arange(2000))
    assert found is not None
    assert found.standard_error == pytest.approx(values.std(ddof=1) / math.sqrt(2000), rel=1e-9)


def test_copies_of_a_value_do_not_make_it_surer() -> None:
    values = np.random.default_rng(2).normal(size=100)
    once = scoring.estimate(values, np.arange(100))
    copied = scoring.estimate(np.repeat(values, 24), np.repeat(np.arange(100), 24))
    assert once is not None
    assert copied is not None
    assert copied.standard_error == pytest.approx(once.standard_error)


def test_one_block_has_no_standard_error() -> None:
    found = scoring.estimate([1.0, 2.0], [7, 7])
    assert found is not None
    assert found.standard_error is None


def test_blocks_are_as_long_as_the_horizon_and_a_day_of_candles_at_least() -> None:
    hour = 3_600_000
    assert scoring.block_labels([0, 23 * hour, 24 * hour], hour, 1).tolist() == [0, 0, 1]
    assert scoring.block_labels([0, 47 * hour, 48 * hour], hour, 48).tolist() == [0, 0, 1]


def test_the_error_of_skill_matches_resampled_blocks() -> None:
    random = np.random.default_rng(3)
    naive = random.gamma(5.0, 1.0, 400)
    loss = 0.98 * naive + random.normal(0, 0.2, 400)
    picks = random.integers(0, 400, (2000, 400))
    resampled = 1 - loss[picks].sum(axis=1) / naive[picks].sum(axis=1)
    assert skill_error(loss, naive) == pytest.approx(resampled.std(), rel=0.1)
    assert skill_error(loss[:1], naive[:1]) is None
