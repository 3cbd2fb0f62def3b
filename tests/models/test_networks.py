"""The networks, every kind by one suite: zero is naive, quantiles never cross, the graph answers as Keras."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from data.symbol import Symbol
from models.graph import OPSET
from models.kinds import MAX_DIFFERENCE, Task, fit
from models.recipe import LIMITS, Recipe
from models.samples import Samples
from models.scaling import fit_scaler
from models.scoring import pinball_loss
from models.spec import HORIZONS, QUANTILES, Kind
from models.traits import NETWORKS
from tests.support import tiny_model
from utils.errors import InvalidInput, ModelCorrupt
from utils.model_utils import session_of

if TYPE_CHECKING:  # five seconds that every worker would wait, also those that run other files
    from models.keras_library import keras

FEATURES = 5
KINDS = pytest.mark.parametrize("kind", NETWORKS)


def network(kind: Kind, *, randomised: bool, window: int = 16, seed: int = 3) -> keras.Model:
    from models.architectures import Head, build
    from models.keras_library import keras

    keras.utils.set_random_seed(seed)
    head = Head(HORIZONS, tiny_model.NAIVE.astype(np.float32), 2)
    mean, std = np.linspace(-1, 1, FEATURES).tolist(), np.linspace(0.5, 2, FEATURES).tolist()
    model = build(kind, window, mean, std, head, units=6, dropout=0.1)
    if randomised:
        random = np.random.default_rng(seed)
        model.set_weights([random.normal(0, _spread(weight), weight.shape) for weight in model.get_weights()])
    return model


def _spread(weight: Any) -> float:
    """As trained ones have: larger ones blow up single precision's own rounding, layer by layer."""
    return float(0.7 / np.sqrt(max(1, np.prod(weight.shape[:-1]))))


def export(model: keras.Model, kind: Kind) -> bytes:
    from models.export import export as graph_of

    return graph_of(model, kind)


@lru_cache
def exported(kind: Kind, window: int = 16) -> tuple[keras.Model, bytes]:
    """A network with random weights, which nobody changes, and its graph."""
    model = network(kind, randomised=True, window=window)
    return model, export(model, kind)


def windows(count: int, window: int = 16, scale: float = 2.0) -> NDArray[np.float32]:
    return np.random.default_rng(count).normal(0, scale, (count, window, FEATURES)).astype(np.float32)


def test_every_kind_is_built_and_exported() -> None:
    for kind in NETWORKS:
        assert export(network(kind, randomised=False), kind)


@KINDS
def test_an_untrained_network_is_the_naive_forecast(kind: Kind) -> None:
    model = network(kind, randomised=False)
    answers = session_of(export(model, kind), "net").run(windows(9))
    np.testing.assert_allclose(answers, np.tile(tiny_model.NAIVE, (9, 1, 1)), rtol=1e-5, atol=1e-5)


@KINDS
def test_quantiles_never_cross_whatever_the_weights_and_inputs(kind: Kind) -> None:
    session = session_of(exported(kind)[1], "net")
    for scale in (0.0, 1.0, 100.0, 1e6):
        answers = session.run(windows(64, scale=scale))
        assert np.isfinite(answers).all()
        assert np.all(np.diff(answers, axis=2) > 0)


@KINDS
@pytest.mark.parametrize("window", [4, 16, 64])
def test_the_graph_answers_as_keras_does(kind: Kind, window: int) -> None:
    from models.export import parity

    model, content = exported(kind, window)
    for count in (1, 2, 32):
        assert parity(model, content, windows(count, window)) <= MAX_DIFFERENCE


@KINDS
def test_a_row_answers_alone_as_in_a_batch(kind: Kind) -> None:
    session = session_of(exported(kind)[1], "net")
    given = windows(32)
    alone = np.concatenate([session.run(given[row : row + 1]) for row in range(32)])
    np.testing.assert_allclose(session.run(given), alone, atol=1e-5)


@KINDS
def test_every_candle_and_feature_of_the_window_counts(kind: Kind) -> None:
    session = session_of(exported(kind)[1], "net")
    base = windows(1, scale=0.3)
    for step in range(16):
        for feature in range(FEATURES):
            moved = base.copy()
            moved[0, step, feature] += 1.0
            assert not np.array_equal(session.run(moved), session.run(base)), (step, feature)


def test_a_graph_that_disagrees_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    other = export(network(Kind.TCN, randomised=True, window=4), Kind.TCN)
    monkeypatch.setattr("models.keras_kinds.export", lambda *_: other)
    with pytest.raises(ModelCorrupt, match=r"exported tcn graph differs .* nothing was written"):
        learned.__wrapped__(Kind.TCN, 0.0)


@KINDS
def test_the_graph_is_pinned_and_deterministic(kind: Kind) -> None:
    _, content = exported(kind)
    proto = onnx.load_from_string(content)
    assert [opset.version for opset in proto.opset_import] == [OPSET]
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "n"
    assert content == export(network(kind, randomised=True), kind)


def test_a_dilated_tcn_read_at_its_last_step_gives_the_same_numbers() -> None:
    """The strided layers hold the weights of a causal convolution with dilations 1 and 4."""
    from models.keras_library import keras

    model, _ = exported(Kind.TCN)
    given = windows(3)
    scaled = keras.Model(model.input, model.get_layer("scale").output).predict_on_batch(given)
    first, second = (model.get_layer(name).get_weights() for name in ("conv0", "conv1"))
    inner = np.maximum(causal(scaled, *first, dilation=1), 0)
    last = np.maximum(causal(inner, *second, dilation=4), 0)[:, -1] + inner[:, -1]
    ours = keras.Model(model.input, model.get_layer("last").output).predict_on_batch(given)
    np.testing.assert_allclose(ours, last, atol=1e-5)


def causal(values: Any, kernel: Any, bias: Any, *, dilation: int) -> Any:
    taps = len(kernel)
    padded = np.pad(values, ((0, 0), (dilation * (taps - 1), 0), (0, 0)))
    length = values.shape[1]
    return bias + sum(padded[:, tap * dilation : tap * dilation + length] @ kernel[tap] for tap in range(taps))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own, while it saves
@KINDS
def test_a_network_survives_its_keras_file(kind: Kind, tmp_path: Path) -> None:
    from models.keras_library import keras

    model, _ = exported(kind)
    model.save(tmp_path / "net.keras")
    loaded = keras.models.load_model(tmp_path / "net.keras")
    np.testing.assert_array_equal(model.predict_on_batch(windows(3)), loaded.predict_on_batch(windows(3)))


def planted(signal: float, count: int = 3500) -> Samples:
    """Outcomes of unit sigma whose mean is `signal` times the newest first feature; nothing else tells anything."""
    random = np.random.default_rng(11)
    features = random.normal(size=(count, FEATURES)).astype(np.float32)
    noise = random.normal(size=(count, len(HORIZONS)))
    returns = np.sqrt(HORIZONS) * (signal * features[:, :1] + noise)
    times = np.arange(count, dtype=np.int64) * 3_600_000
    ones = np.ones(count)
    market = np.zeros(count, dtype=np.int32)
    return Samples((Symbol("X"),), features, ones, returns, times, market, np.arange(20, count))


@lru_cache
def learned(kind: Kind, signal: float) -> tuple[float, NDArray[np.float32]]:
    """(skill against the naive quantiles on unseen rows, forecasts)."""
    samples = planted(signal)
    train, validation, unseen = samples.ends[:2000], samples.ends[2000:2500], samples.ends[2500:]
    task = Task(samples, train, validation, 4, HORIZONS, QUANTILES)
    recipe = Recipe(
        kind=kind,
        window=4,
        units=8,
        epochs=5,
        batch_size=128,
        learning_rate=5e-3,
        stride=1,
        half_life_days=0,
        dropout=0,
    )
    graph = fit(recipe, task).graph
    given = samples.features[unseen[:, None] + np.arange(-3, 1)]
    answers = session_of(graph, "net").run(given)
    losses = [
        pinball_loss(samples.returns[unseen], bands, QUANTILES).mean()
        for bands in (answers, np.tile(task.naive, (len(unseen), 1, 1)))
    ]
    return float(1 - losses[0] / losses[1]), answers


@KINDS
def test_a_planted_signal_is_learned(kind: Kind) -> None:
    skill, _ = learned(kind, 1.0)
    assert skill > 0.2  # the best possible is 1 − 1/√2 = 0.29


def test_no_signal_is_no_skill() -> None:
    skill, _ = learned(Kind.TCN, 0.0)
    assert abs(skill) < 0.02


def test_the_same_seed_gives_the_same_model() -> None:
    again = learned.__wrapped__(Kind.TCN, 0.0)
    np.testing.assert_array_equal(again[1], learned(Kind.TCN, 0.0)[1])


def test_scaling_is_fitted_on_the_given_rows_alone() -> None:
    features = np.random.default_rng(1).normal(3.0, 2.0, (4000, 2)).astype(np.float32)
    before = fit_scaler(features, np.arange(2000))
    features[2000:] = 1e6
    np.testing.assert_array_equal(before, fit_scaler(features, np.arange(2000)))
    assert before[0] == pytest.approx([3.0, 3.0], abs=0.2)
    features[:, 1] = 5.0
    assert fit_scaler(features, np.arange(2000))[1][1] == 1.0


def test_too_few_windows_are_told() -> None:
    samples = planted(1.0, count=300)
    with pytest.raises(InvalidInput, match=r"only 200 training and 80 validation windows .* at least 500"):
        fit(Recipe(), Task(samples, samples.ends[:200], samples.ends[200:], 4, HORIZONS, QUANTILES))


@pytest.mark.parametrize("name", LIMITS)
def test_numbers_beyond_the_limits_are_named(name: str) -> None:
    beyond: dict[str, Any] = {name: LIMITS[name][1] * 2 + 1}
    recipe = Recipe(kind=Kind.LSTM, **beyond)
    with pytest.raises(InvalidInput, match=f"--{name.replace('_', '-')} .* is outside"):
        recipe.check()


def test_a_tcns_window_is_a_power_of_four() -> None:
    with pytest.raises(InvalidInput, match="--window 60 does not fit a TCN; use one of 4, 16, 64, 256"):
        Recipe(kind=Kind.TCN, window=60).check()
