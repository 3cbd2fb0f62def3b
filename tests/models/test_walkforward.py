"""Walking forward: what is there to learn is found and proved, what is not is not; folds keep their distance."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from data.interval import Interval
from models import walkforward
from models.baseline import scaled_quantiles
from models.folds import folds
from models.kinds import Task
from models.learners import PROBE, Predict, learner, probe
from models.naive_forecasts import DRIFT, NO_CHANGE, YESTERDAY, centres
from models.placebo import placebo
from models.samples import gather
from models.spec import QUANTILES
from models.walk import Plan, walk
from models.walk_findings import WalkForward
from tests.support import tiny_model
from tests.support.kline_folder import write
from utils.errors import InvalidInput

HOUR = Interval.H1.ms
PLAN = Plan(folds=2, horizons=(1, 6))
Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def learned() -> WalkForward:
    return walk([tiny_model.planted("AAAUSDT", 1), tiny_model.planted("BBBUSDT", 2)], probe, PLAN)


@pytest.fixture(scope="module")
def walked() -> WalkForward:
    """On a pure random walk."""
    source = [tiny_model.candles(7000, symbol=name, seed=seed) for name, seed in (("AAAUSDT", 3), ("BBBUSDT", 4))]
    return walk([placebo(one, 1) for one in source], probe, PLAN)


def test_a_planted_signal_is_learned_and_proved(learned: WalkForward) -> None:
    one = learned.pooled[0]
    first = one.comparisons[0]
    assert first.baseline == NO_CHANGE
    assert first.skill_fraction is not None
    assert first.skill_fraction > 0.04
    assert first.p_better is not None
    assert first.p_better < 0.01
    assert first.skill_bounds is not None
    assert 0 < first.skill_bounds.low < first.skill_fraction < first.skill_bounds.high
    assert "better than no change" in one.words
    assert "not better" not in one.words
    assert one.directional_accuracy is not None
    assert one.directional_accuracy.mean > 0.55
    assert one.brier is not None
    assert one.baseline_brier is not None
    assert one.brier < one.baseline_brier
    assert one.rank_ic_by_market[0] is not None
    assert one.rank_ic_by_market[0] > 0.15
    assert one.crps_skill_fraction == pytest.approx(first.skill_fraction, abs=0.02)


def test_a_pure_random_walk_shows_no_skill(walked: WalkForward) -> None:
    for one in walked.pooled:
        first = one.comparisons[0]
        assert first.skill_bounds is not None
        assert first.skill_bounds.low <= 0.0
        assert first.skill_fraction is not None
        assert abs(first.skill_fraction) < 0.005
        assert first.p_better is not None
        assert first.p_better > 0.01
        assert "not better than no change" in one.words


def test_an_interval_above_zero_is_not_enough_where_p_says_luck(learned: WalkForward) -> None:
    one = learned.pooled[0]
    first, *others = one.comparisons
    doubtful = replace(first, p_value=0.07, p_better=0.035)
    told = replace(one, comparisons=(doubtful, *others)).words
    assert "not better than no change" in told
    assert "p = 0.070" in told


def test_other_naive_forecasts_are_no_better_where_nothing_is_known(walked: WalkForward) -> None:
    names = [one.baseline for one in walked.pooled[0].comparisons]
    assert names == [NO_CHANGE, DRIFT, YESTERDAY]
    losses = {one.baseline: one.baseline_loss for one in walked.pooled[0].comparisons}
    assert losses[NO_CHANGE] < losses[DRIFT] < losses[YESTERDAY]


def test_what_the_signal_rests_on_is_named(learned: WalkForward) -> None:
    ordered = [one.feature for one in learned.importance]
    losses = [one.skill_lost for one in learned.importance]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > 0.005
    assert {"return_1", "body", "hour_sin", "hour_cos", "close_position"} & set(ordered[:4])
    assert set(ordered) == set(Plan().features)


def test_every_part_adds_up_to_the_whole(learned: WalkForward) -> None:
    for whole in learned.pooled:
        for groups in (learned.by_symbol, learned.by_regime, learned.by_hour):
            mine = [one for one in groups if one.horizon == whole.horizon]
            assert sum(one.count for one in mine) == whole.count
            loss = sum(one.count * one.comparison.loss for one in mine) / whole.count
            assert loss == pytest.approx(whole.comparisons[0].loss)
        assert whole.count == sum(
            one.count for fold in learned.folds for one in fold.verdicts if one.horizon == whole.horizon
        )
        assert sum(one.share for one in whole.pit) == pytest.approx(1.0)
    assert [one.name for one in learned.by_hour][:3] == ["00", "01", "02"]
    assert {one.name for one in learned.by_regime} == {"calm", "usual", "wild"}


def test_the_report_is_strict_json_with_markets_by_name(learned: WalkForward) -> None:
    value = json.loads(json.dumps(learned.to_dict(), allow_nan=False))
    assert list(value["pooled"][0]["rank_ic_by_market"]) == ["AAAUSDT", "BBBUSDT"]
    assert value["folds"][0]["fold"]["number"] == 1


@given(
    span=st.integers(2_000, 60_000),
    horizon=st.integers(1, 72),
    embargo=st.integers(0, 48),
    count=st.integers(1, 8),
    expanding=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_purge_and_embargo_hold_for_any_horizon(
    span: int, horizon: int, embargo: int, count: int, expanding: bool
) -> None:
    first = 1_500_000 * HOUR // 1000
    last = first + span * HOUR
    try:
        made = folds(first, last, Interval.H1, horizon, count, expanding=expanding, embargo=embargo)
    except InvalidInput:
        assert span * 0.4 * 0.1 < 3 * (horizon + embargo) + 2 or span < 60 * count
        return
    reach = (horizon + embargo) * HOUR
    for fold in made:
        # the last candle that can end a training window opens one candle before the period ends
        assert fold.train.until_ms - HOUR + reach < fold.validation.from_ms
        assert fold.validation.until_ms - HOUR + reach < fold.test.from_ms
        assert fold.train.from_ms < fold.train.until_ms
        assert fold.train.from_ms == first or not expanding
    tests = [(fold.test.from_ms, fold.test.until_ms) for fold in made]
    assert [end for _, end in tests[:-1]] == [start for start, _ in tests[1:]]
    assert tests[-1][1] == last
    if not expanding:
        lengths = [fold.validation.until_ms - fold.train.from_ms for fold in made]
        assert max(lengths) - min(lengths) <= HOUR


@pytest.mark.parametrize("window", [4, 16, 64])
@pytest.mark.parametrize("horizon", [1, 24, 48])
def test_no_training_outcome_reaches_a_judged_window(window: int, horizon: int) -> None:
    seen: list[Task] = []

    def spy(task: Task) -> Predict:
        seen.append(task)
        still = scaled_quantiles(task.samples.scaled[task.train], task.quantiles).astype(np.float32)
        return lambda windows: np.broadcast_to(still, (len(windows), *still.shape))

    candles = tiny_model.candles(5000, seed=5)
    found = walk([candles], spy, Plan(folds=2, window=window, horizons=(horizon,)))
    for task, result in zip(seen, found.folds, strict=True):
        times = task.samples.open_time_ms
        assert times[task.train].max() + horizon * HOUR < times[task.validation].min()
        assert times[task.validation].max() + horizon * HOUR < result.fold.test.from_ms
        assert result.test_windows == len(task.samples.starting(result.fold.test.from_ms, result.fold.test.until_ms))


def test_naive_centres_know_nothing_to_come() -> None:
    candles = tiny_model.without(tiny_model.candles(600, seed=6), 300, 303)
    whole = centres(candles, (1, 24, 30))
    logs = np.log(candles.close)
    assert whole[YESTERDAY][200] == pytest.approx([logs[177] - logs[176], logs[200] - logs[176], logs[182] - logs[152]])
    assert whole[DRIFT][200, 1] == pytest.approx(24 * (logs[200] - logs[32]) / 168)
    part = centres(candles.slice(0, 401), (1, 24, 30))
    for name, one in part.items():
        assert one == pytest.approx(whole[name][:401], abs=1e-12)
    assert np.isfinite(whole[YESTERDAY]).all()


def test_too_few_candles_are_refused_with_what_is_needed() -> None:
    with pytest.raises(InvalidInput, match=r"too few|windows"):
        walk([tiny_model.candles(900)], probe, Plan())
    with pytest.raises(InvalidInput, match="at least 1"):
        folds(0, 1000 * HOUR, Interval.H1, 1, 0)
    with pytest.raises(InvalidInput, match="use probe"):
        learner("guess")
    with pytest.raises(InvalidInput, match="preset"):
        learner("tcn", "guess")


def test_the_command_tells_and_gives_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, tiny_model.planted("AAAUSDT", 1, 5000))
    arguments = ["--kind", PROBE, "--data", str(tmp_path), "--folds", "2", "--horizons", "1", "--rolling"]
    assert walkforward.main(arguments) == 0
    told = capsys.readouterr()
    assert "better than no change" in told.out
    assert "rests on:" in told.out
    assert "fold 2:" in told.err
    assert walkforward.main([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["expanding"] is False
    assert report["pooled"][0]["comparisons"][0]["skill_fraction"] > 0.02
    assert walkforward.main(["--data", str(tmp_path), "--from", "2030-01-01"]) == 2
    assert "other dates" in capsys.readouterr().err


def test_a_network_has_the_same_face() -> None:
    """A Keras network, asked through its exported graph."""
    features = ("return_1", "hour_sin", "hour_cos", "range")
    samples = gather(
        [tiny_model.planted("AAAUSDT", 1, 5000)], features, window=4, warm_up=240, horizons=(1, 6), half_life=24.0
    )
    known = samples.ends[np.isfinite(samples.returns[samples.ends]).all(axis=1)]
    predict = learner("tcn", "quick")(Task(samples, known[:1500], known[1600:1800], 4, (1, 6), QUANTILES))
    forecast = predict(np.zeros((3, 4, 4), dtype=np.float32))
    assert forecast.shape == (3, 2, 5)
    assert np.all(np.diff(forecast, axis=-1) > 0)
