"""Every kind of model by one suite: shapes, seeds, parity, order of quantiles, no look-ahead, files, refusals."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy
from numpy.typing import NDArray

from data.interval import Interval
from models.baseline import scaled_quantiles
from models.input_source import InputSource, training_source
from models.kinds import LEARNED, MAX_DIFFERENCE, Task, Trained, check_parity, fit, inputs_of, steps
from models.leak_models import check_forecasts
from models.model_writing import write_model
from models.recipe import LIMITS, Recipe, limits, preset
from models.registry import Registry
from models.samples import Samples, cut, decided, gather
from models.scale_series import HISTORY
from models.spec import HORIZONS, QUANTILES, SIGMA_HALF_LIFE, Kind, ModelSpec
from models.split import Period
from models.traits import NETWORKS, PRESET_NAMES, TRAITS
from tests.support import tiny_model
from utils.errors import InvalidInput, ModelCorrupt
from utils.model_utils import Session, session_of

SOME_INPUTS = ("return_1", "range", "log_sigma", "hour_sin", "volatility_ratio_3")
pytestmark = pytest.mark.filterwarnings("ignore:Even though the `tf.config:UserWarning")
KINDS = pytest.mark.parametrize("kind", LEARNED)
TRAIN, VALIDATION = 900, 200


def recipe(kind: Kind, **changes: Any) -> Recipe:
    """As small as a fit can be."""
    whole = replace(preset("quick", kind), stride=1, **changes)
    if kind in NETWORKS:
        return replace(whole, window=4, units=4, epochs=1, batch_size=256)
    if kind is Kind.SCALE:
        return replace(whole, units=4, epochs=1, trees=2)
    return replace(whole, units=min(whole.units, 8), epochs=min(whole.epochs, 5))


CANDLES = tiny_model.candles(HISTORY + 24 + TRAIN + VALIDATION + 100)
PERIOD = Period(tiny_model.START_MS, tiny_model.START_MS + (HISTORY + TRAIN) * 3_600_000)


@lru_cache
def source(kind: Kind) -> InputSource:
    chosen = training_source(kind, [CANDLES], PERIOD)
    return chosen if inputs_of(kind) else replace(chosen, names=SOME_INPUTS)


@lru_cache
def gathered(kind: Kind) -> Samples:
    own = source(kind)
    return gather(
        [CANDLES],
        own.names,
        window=recipe(kind).window,
        warm_up=own.warm_up,
        horizons=HORIZONS,
        half_life=SIGMA_HALF_LIFE,
        inputs=own.compute,
    )


def task(kind: Kind, samples: Samples | None = None, **changes: Any) -> Task:
    found = samples or gathered(kind)
    ends = decided(found, found.ends)
    whole = Task(
        samples=found,
        train=ends[:TRAIN],
        validation=ends[TRAIN + 30 : TRAIN + 30 + VALIDATION],
        window=recipe(kind).window,
        horizons=HORIZONS,
        quantiles=QUANTILES,
        features=inputs_of(kind) or SOME_INPUTS,
        threads=1,
    )
    return replace(whole, **changes)


@pytest.fixture(autouse=True, scope="module")
def eager() -> Iterator[None]:
    """Tracing a network takes seconds, which a few steps on a thousand windows never earn back."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@lru_cache
def trained(kind: Kind) -> Trained:
    return fit(recipe(kind), task(kind))


@lru_cache
def session(kind: Kind) -> Session:
    return session_of(trained(kind).graph, str(kind))


def spec(kind: Kind) -> ModelSpec:
    whole = task(kind)
    return tiny_model.spec(
        "one",
        kind=kind,
        features=whole.features,
        window=whole.window,
        warm_up=source(kind).warm_up,
        season=source(kind).season,
        context=source(kind).context,
        sizes=dict(trained(kind).sizes),
        baseline=tuple(tuple(map(float, row)) for row in whole.naive),
    )


@KINDS
def test_the_graph_takes_windows_and_gives_every_horizon_and_quantile(kind: Kind) -> None:
    whole = task(kind)
    assert session(kind).input_shape == ("n", whole.window, len(whole.features))
    for count in (1, 2, 33):
        windows = cut(whole.samples.features, whole.train[:count], whole.window)
        answers = session(kind).run(windows)
        assert answers.shape == (count, len(HORIZONS), len(QUANTILES))
        assert answers.dtype == np.float32
        assert np.all(np.isfinite(answers))
        np.testing.assert_allclose(session(kind).run(windows[:1])[0], answers[0], rtol=1e-5, atol=1e-5)


@KINDS
def test_the_graph_answers_as_what_was_trained(kind: Kind) -> None:
    assert 0.0 <= trained(kind).difference <= MAX_DIFFERENCE


@pytest.mark.parametrize("kind", [Kind.TCN, Kind.BOOSTING, Kind.FOREST])
def test_another_seed_gives_another_model(kind: Kind) -> None:
    strided = replace(recipe(kind), stride=2 if kind is Kind.BOOSTING else 1)
    ours = fit(strided, task(kind)).graph if kind is Kind.BOOSTING else trained(kind).graph
    assert fit(strided, task(kind, seed=8)).graph != ours


@KINDS
def test_quantiles_never_cross_on_real_windows(kind: Kind) -> None:
    whole = task(kind)
    ends = np.concatenate([whole.train, whole.validation])
    answers = session(kind).run(cut(whole.samples.features, ends, whole.window))
    assert np.all(np.diff(answers, axis=-1) > 0)


@KINDS
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_quantiles_never_cross_whatever_the_inputs(kind: Kind, data: st.DataObject) -> None:
    """Inputs are cut to ±10 before they reach a model; this goes far beyond."""
    whole = task(kind)
    shape = (2, whole.window, len(whole.features))
    wild = st.floats(-1e6, 1e6, width=32)
    windows = data.draw(hypothesis_numpy.arrays(np.float32, shape, elements=wild, fill=wild))
    answers = session(kind).run(windows)
    assert np.all(np.isfinite(answers))
    assert np.all(np.diff(answers, axis=-1) >= 0)


@KINDS
def test_the_same_seed_gives_the_same_bytes_and_nothing_later_changes_them(kind: Kind) -> None:
    """Zero look-ahead: features and outcomes of every row after the validation are replaced, and it is fitted again."""
    samples, heard = gathered(kind), list[int]()
    last = int(task(kind).validation[-1])
    features, returns = samples.features.copy(), samples.returns.copy()
    features[last + 1 :] = 9.0
    returns[last + 1 :] = 0.5
    other = replace(samples, features=features, returns=returns)
    again = fit(recipe(kind), task(kind, other, train=task(kind).train), lambda epoch, *_: heard.append(epoch))
    assert again.graph == trained(kind).graph
    assert again.validation_loss == trained(kind).validation_loss
    assert heard == list(range(len(heard)))
    assert 1 <= len(heard) <= steps(recipe(kind))


@KINDS
def test_its_forecasts_see_the_past_alone(kind: Kind) -> None:
    check = check_forecasts(spec(kind), session(kind), [CANDLES.slice(0, HISTORY + 200)], (0.95,), source(kind).compute)
    assert check.ok, check.words


@KINDS
def test_it_survives_the_registry(kind: Kind, tmp_path: Path) -> None:
    write_model(tmp_path, spec(kind), trained(kind).graph, {"parameters": trained(kind).parameters})
    entry = Registry(tmp_path).get("one")
    assert entry.spec == spec(kind)
    windows = task(kind).parity_windows()
    np.testing.assert_array_equal(entry.open().run(windows), session(kind).run(windows))
    proto = onnx.load_from_string(trained(kind).graph)
    assert {one.domain for one in proto.opset_import} <= {"", "ai.onnx.ml"}


@KINDS
def test_it_tells_how_it_came_about(kind: Kind) -> None:
    told = trained(kind)
    assert told.parameters > 0
    assert len(told.train_loss) == len(told.validation_loss) >= 1
    assert 0 <= told.best_epoch < len(told.validation_loss)
    assert np.all(np.isfinite([*told.train_loss, *told.validation_loss]))
    assert told.scaler


@KINDS
def test_too_few_windows_are_told(kind: Kind) -> None:
    whole = task(kind)
    with pytest.raises(InvalidInput, match=r"only 200 training and 200 validation windows .* at least 500"):
        fit(recipe(kind), replace(whole, train=whole.train[:200]))


@KINDS
def test_a_window_that_does_not_fit_is_told(kind: Kind) -> None:
    with pytest.raises(InvalidInput, match=r"--window .* (is outside|does not fit)"):
        fit(recipe(kind), task(kind, window=int(limits(kind, "window")[1]) + 1))


@pytest.mark.parametrize("kind", [Kind.DRIFT, Kind.YESTERDAY, Kind.SEASONAL])
def test_inputs_that_are_missing_are_named(kind: Kind) -> None:
    with pytest.raises(InvalidInput, match=r"reads the inputs .* is not among those given"):
        fit(recipe(kind), task(kind, features=("range",)))


@pytest.mark.parametrize("name", PRESET_NAMES)
@KINDS
def test_presets_keep_their_limits(kind: Kind, name: str) -> None:
    for interval in (Interval.M15, Interval.H1, Interval.D1):
        preset(name, kind, interval).check()
    assert set(TRAITS[kind].uses) <= LIMITS.keys()


def test_a_graph_that_disagrees_is_refused() -> None:
    for difference in (2e-5, float("nan")):
        with pytest.raises(ModelCorrupt, match="differs from what was trained"):
            check_parity(Kind.RIDGE, difference)


def test_the_random_walk_is_the_naive_forecast() -> None:
    whole = task(Kind.RANDOM_WALK)
    answers = session(Kind.RANDOM_WALK).run(whole.parity_windows())
    expected = scaled_quantiles(whole.samples.scaled[whole.train], QUANTILES)
    np.testing.assert_allclose(answers, np.tile(expected, (len(answers), 1, 1)), rtol=1e-5, atol=1e-5)


def test_same_hour_yesterday_is_yesterdays_return_of_the_same_hours() -> None:
    """Against the returns themselves: between the 24th and the 24 − h th candle before the newest."""
    whole = task(Kind.YESTERDAY)
    samples, middle = whole.samples, list(QUANTILES).index(0.5)
    answers = session(Kind.YESTERDAY).run(cut(samples.features, whole.train, whole.window))[:, :, middle]
    expected = samples.returns[whole.train - 24] / samples.sigma[whole.train, None]
    constant = answers - expected
    np.testing.assert_allclose(constant, np.tile(np.median(constant, axis=0), (len(constant), 1)), atol=2e-3)


def test_drift_goes_on_as_the_last_week() -> None:
    whole = task(Kind.DRIFT)
    answers = session(Kind.DRIFT).run(cut(whole.samples.features, whole.train, 1))
    week = whole.samples.features[whole.train, 0].astype(np.float64) * np.sqrt(168.0) / 168.0
    for place, horizon in enumerate(HORIZONS):
        moved = answers[:, place, 2] - horizon * week
        np.testing.assert_allclose(moved, np.median(moved), atol=1e-4)


def test_a_window_shorter_than_a_day_is_told() -> None:
    whole = task(Kind.YESTERDAY, interval=Interval.M15)
    with pytest.raises(InvalidInput, match="at 15m looks 96 candles back; give it --window 96 or longer"):
        fit(recipe(Kind.YESTERDAY), whole)
    assert preset("quick", Kind.YESTERDAY, Interval.M15).window == 96
    with pytest.raises(InvalidInput, match="a 1w candle has no same hour yesterday"):
        fit(recipe(Kind.YESTERDAY), replace(whole, interval=Interval.W1))


def test_ridge_is_scikit_learns_ridge() -> None:
    """The same objective: squares plus strength times count times the squares of the slopes, the constant free."""
    from sklearn.linear_model import Ridge

    from models.probe import CLIP, STRENGTHS, fit_probe, log_size
    from models.scaling import fit_scaler

    whole = task(Kind.RIDGE)
    samples = whole.samples
    probe = fit_probe(samples, whole.train, whole.validation, HORIZONS, QUANTILES)
    mean, std = fit_scaler(samples.features, whole.train)
    inputs = np.clip((samples.features[whole.train] - mean) / std, -CLIP, CLIP)
    outcome = log_size(samples.scaled[whole.train] / np.sqrt(HORIZONS))
    theirs = [Ridge(alpha=strength * len(inputs)).fit(inputs, outcome).coef_.T for strength in STRENGTHS]
    assert min(float(np.abs(probe.width[:-1] - one).max()) for one in theirs) < 1e-9


def planted(kind: Kind) -> tuple[Samples, NDArray[np.float64]]:
    """Outcomes twice as wide where the third input is positive."""
    samples = gathered(kind)
    random = np.random.default_rng(4)
    features = random.normal(size=samples.features.shape).astype(np.float32)
    wide = np.where(features[:, 2] > 0, 2.0, 0.5)
    noise = random.normal(size=samples.returns.shape) * np.sqrt(HORIZONS)
    return replace(samples, features=features, returns=noise * wide[:, None] * samples.sigma[:, None]), wide


@pytest.mark.parametrize(("kind", "times"), [(Kind.BOOSTING, 2.3), (Kind.FOREST, 1.9), (Kind.RIDGE, 1.6)])
def test_a_planted_width_is_learned(kind: Kind, times: float) -> None:
    """Four times as wide is planted; a tree finds the step better than a line does, and all are held back."""
    samples, wide = planted(kind)
    # a forest's split sees a third of the inputs: with few leaves many trees never meet the one that matters
    made = fit(replace(recipe(kind), epochs=25, units=16), task(kind, samples))
    unseen = decided(samples, samples.ends)[-150:]
    answers = session_of(made.graph, "planted").run(cut(samples.features, unseen, 1))
    band = answers[:, 0, 4] - answers[:, 0, 0]
    assert np.median(band[wide[unseen] > 1]) > times * np.median(band[wide[unseen] < 1])


def test_thresholds_are_rounded_down() -> None:
    from models.tree_graph import rounded_down

    thresholds = np.random.default_rng(1).normal(size=2000)
    rounded = rounded_down(thresholds)
    assert np.all(rounded.astype(np.float64) <= thresholds)
    assert np.all(np.nextafter(rounded, np.inf).astype(np.float64) > thresholds)


def test_knots_lie_between_the_first_and_the_last_horizon() -> None:
    from models.tree_kinds import between, knots

    assert knots(HORIZONS) == (1, 2, 5, 11, 24)
    assert knots((1, 6, 24)) == (1, 6, 24)
    np.testing.assert_allclose(between((1, 24), HORIZONS).sum(axis=0), 1.0)
    np.testing.assert_allclose(between(knots(HORIZONS), HORIZONS)[:, [0, 4, 23]], np.eye(5)[:, [0, 2, 4]], atol=1e-12)


def test_plain_kinds_need_no_tensorflow() -> None:
    """Their files name it nowhere, and neither does the face."""
    for name in ("kinds", "plain_kinds", "tree_kinds", "graph", "laid", "traits"):
        text = Path(sys.modules[f"models.{name}"].__file__ or "").read_text("utf-8")
        assert "import tensorflow" not in text
        assert "import keras" not in text
