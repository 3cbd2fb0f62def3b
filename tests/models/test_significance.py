"""Confidence intervals and p-values: held against scipy, against textbook numbers, and against simulation."""

from __future__ import annotations

import numpy as np
import pytest
import scipy  # its parts are imported when they are asked for
from hypothesis import given, settings
from hypothesis import strategies as st

from models.significance import (
    diebold_mariano,
    incomplete_beta,
    long_run_variance,
    share_bounds,
    skill_bounds,
    student_tail,
    wilson,
)
from utils.errors import InvalidInput


@given(st.floats(0.0, 25.0), st.integers(1, 20_000))
@settings(max_examples=80, deadline=None)
def test_the_tail_of_students_t_is_scipys(statistic: float, freedom: int) -> None:
    assert student_tail(statistic, freedom) == pytest.approx(scipy.stats.t.sf(statistic, freedom), rel=1e-8, abs=1e-300)


@given(st.floats(0.001, 0.999), st.floats(0.5, 400.0), st.floats(0.5, 400.0))
@settings(max_examples=80, deadline=None)
def test_the_incomplete_beta_function_is_scipys(x: float, a: float, b: float) -> None:
    assert incomplete_beta(x, a, b) == pytest.approx(scipy.special.betainc(a, b, x), rel=1e-8, abs=1e-12)


@given(st.integers(1, 3000), st.data())
@settings(max_examples=60, deadline=None)
def test_bounds_of_a_share_are_scipys(count: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, count))
    trial = scipy.stats.binomtest(hits, count)
    ours, theirs = wilson(hits, count), trial.proportion_ci(0.95, method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    assert ours.low <= hits / count <= ours.high


def test_wilson_of_a_textbook() -> None:
    # Newcombe 1998, table I: 81 of 263 has the Wilson interval 0.2553 … 0.3662
    bounds = wilson(81, 263)
    assert (round(bounds.low, 4), round(bounds.high, 4)) == (0.2553, 0.3662)


@pytest.mark.parametrize(("hits", "count"), [(-1, 5), (6, 5), (0, 0)])
def test_impossible_shares_are_refused(hits: int, count: int) -> None:
    with pytest.raises(InvalidInput, match="impossible"):
        wilson(hits, count)


def test_dependent_hits_widen_the_bounds() -> None:
    random = np.random.default_rng(1)
    blocks, size = 200, 50
    alone = random.random((blocks, size)) < 0.9
    together = np.repeat(random.random((blocks, 1)) < 0.9, size, axis=1)
    sizes = np.full(blocks, size)
    free, bound = (share_bounds(hits.sum(axis=1), sizes) for hits in (alone, together))
    assert free is not None
    assert bound is not None
    narrow, wide = free.high - free.low, bound.high - bound.low
    exact = wilson(float(alone.sum()), alone.size)
    assert narrow == pytest.approx(exact.high - exact.low, rel=0.25)
    assert wide == pytest.approx(narrow * np.sqrt(size), rel=0.3)
    assert share_bounds([], []) is None


def test_nothing_but_hits_counts_each_block_once() -> None:
    bounds = share_bounds([50.0] * 10, [50.0] * 10)
    assert bounds is not None
    assert bounds == wilson(10, 10)


def test_the_long_run_variance_by_hand() -> None:
    values = [1.0, 3.0, 2.0, 6.0]
    centred = np.array(values) - 3.0  # -2 0 -1 3
    gamma = [14 / 4, (0 * -2 + -1 * 0 + 3 * -1) / 4]
    assert long_run_variance(values, 0) == pytest.approx(gamma[0])
    assert long_run_variance(values, 1) == pytest.approx(gamma[0] + 2 * 0.5 * gamma[1])
    assert centred.sum() == 0


def test_diebold_mariano_without_dependence_is_a_paired_t_test() -> None:
    random = np.random.default_rng(2)
    ours, theirs = random.gamma(2.0, 1.0, (2, 60))
    found = diebold_mariano(ours, theirs, 1)
    assert found is not None
    lags, difference = 10, ours - theirs
    assert found.lags == lags
    # at one horizon the small-sample factor is √((t − 1)/t), which turns the variance over n into that over n − 1
    b = lags / 60
    cautious = 1.96 / (1.96 + 2.9694 * b + 0.416 * b**2 - 0.5324 * b**3)
    expected = cautious * difference.mean() / np.sqrt(long_run_variance(difference, lags) / 59)
    assert found.statistic == pytest.approx(expected)
    assert found.p_value == pytest.approx(2 * scipy.stats.t.sf(abs(expected), 59))
    plain = scipy.stats.ttest_rel(ours, theirs)
    assert difference.mean() / np.sqrt(long_run_variance(difference, 0) / 59) == pytest.approx(plain.statistic)


def test_the_better_model_has_the_small_one_sided_p_value() -> None:
    theirs = np.random.default_rng(3).gamma(2.0, 1.0, 400)
    better, worse = (diebold_mariano(theirs * factor, theirs, 6) for factor in (0.95, 1.05))
    assert better is not None
    assert worse is not None
    assert better.statistic < 0 < worse.statistic
    assert better.p_better < 1e-6
    assert better.p_value == pytest.approx(2 * better.p_better)
    assert worse.p_better > 1 - 1e-6


def test_nothing_to_compare_gives_no_p_value() -> None:
    same = np.ones(100)
    assert diebold_mariano(same, same, 1) is None
    assert diebold_mariano(same[:20], same[:20] * 2, 24) is None
    assert skill_bounds(same[:20], same[:20], 24) is None
    assert skill_bounds(same * 0, same * 0, 2) is None
    with pytest.raises(InvalidInput, match="do not pair"):
        diebold_mariano(same, same[:50], 1)


@pytest.mark.parametrize("horizon", [1, 24])
def test_equal_forecasts_are_told_apart_no_more_often_than_promised(horizon: int) -> None:
    """Overlapping horizons depend on each other over h moments: the test must know."""
    random = np.random.default_rng(4)
    rejected = 0
    for _ in range(300):
        noise = np.convolve(random.normal(size=1200 + horizon), np.ones(horizon) / horizon, mode="valid")
        found = diebold_mariano(10.0 + noise, np.full(len(noise), 10.0), horizon)
        rejected += found is not None and found.p_value < 0.05
    assert 0.01 < rejected / 300 < 0.11


def test_bootstrap_bounds_hold_the_truth_as_often_as_promised() -> None:
    random = np.random.default_rng(5)
    held = 0
    for trial in range(200):
        shared = np.repeat(random.gamma(2.0, 1.0, 60), 10)
        theirs = shared + random.gamma(1.0, 0.5, 600)
        ours = theirs * 0.97 + random.normal(0.0, 0.2, 600)
        bounds = skill_bounds(ours, theirs, 10, draws=400, seed=trial)
        assert bounds is not None
        held += bounds.low <= 0.03 <= bounds.high
    assert 0.88 <= held / 200 <= 0.99


def test_bootstrap_bounds_are_the_same_each_time_and_shrink_with_data() -> None:
    random = np.random.default_rng(6)
    theirs = random.gamma(2.0, 1.0, 8000)
    ours = theirs * 0.97 + random.normal(0.0, 0.3, 8000)
    whole, again, part = (
        skill_bounds(ours, theirs, 24),
        skill_bounds(ours, theirs, 24),
        skill_bounds(ours[:500], theirs[:500], 24),
    )
    assert whole is not None
    assert part is not None
    assert whole == again
    assert whole.low < 1 - ours.sum() / theirs.sum() < whole.high
    assert whole.high - whole.low < 0.5 * (part.high - part.low)


def test_blocks_that_cover_everything_give_the_mean_itself() -> None:
    """With one value everywhere, no draw can differ: golden by construction."""
    bounds = skill_bounds(np.full(48, 0.9), np.full(48, 1.0), 24)
    assert bounds is not None
    assert (bounds.low, bounds.high) == pytest.approx((0.1, 0.1))
