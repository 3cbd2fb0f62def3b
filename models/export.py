"""Export: a trained Keras network laid out by hand as an ONNX graph that does only what the last step needs.

The converter's own graphs were 3 to 12 times slower (docs/models.md). Weights are read by layer name; parity with
Keras is measured on every export.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.architectures import (
    CLIP,
    CNN_KERNEL,
    EPSILON,
    SPREAD,
    TCN_KERNEL,
    TRANSFORMER_BLOCKS,
    placement,
    tcn_layers,
)
from models.graph import Graph
from models.keras_library import keras
from models.kinds import difference_of
from models.spec import Kind


def export(model: keras.Model, kind: Kind) -> bytes:
    """The graph's bytes: `windows` float32 (n, window, features) → `quantiles` float32 (n, h, q), any n."""
    graph = Graph()
    _, window, features = model.input_shape
    _, horizons, quantiles = model.output_shape
    scale = model.get_layer("scale")
    newest = _BODIES[kind](graph, model, graph.standardised("windows", scale.mean, scale.std, CLIP))
    hidden = graph.add("Relu", "hidden_relu", graph.affine("hidden", newest, *_weights(model, "hidden")))
    _head(graph, model, graph.affine("raw", hidden, *_weights(model, "raw")))
    return graph.finished(str(kind), window, features, (horizons, quantiles))


def parity(model: keras.Model, content: bytes, windows: NDArray[np.float32]) -> float:
    """The largest difference between Keras and the graph on `windows`, in sigma, relative where above 1."""
    from utils.onnx_library import onnxruntime

    runtime = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    ours = runtime.run(None, {"windows": windows})[0]
    theirs = np.asarray(model.predict_on_batch(windows))
    return difference_of(ours, theirs)


def _weights(model: keras.Model, layer: str) -> tuple[NDArray[np.float32], ...]:
    return tuple(np.asarray(weight) for weight in model.get_layer(layer).get_weights())


def _tcn(graph: Graph, model: keras.Model, scaled: str) -> str:
    """A convolution whose stride is its kernel is a matrix product over stacked neighbours."""
    _, steps, channels = model.input_shape
    current = scaled
    for depth in range(tcn_layers(steps)):
        kernel, bias = _weights(model, f"conv{depth}")
        steps, units = steps // TCN_KERNEL, kernel.shape[-1]
        stacked = graph.reshape(f"stacked{depth}", current, [0, steps, TCN_KERNEL * channels])
        flat = kernel.reshape(TCN_KERNEL * channels, units)
        convolved = graph.add("Relu", f"relu{depth}", graph.affine(f"conv{depth}", stacked, flat, bias))
        if depth:
            kept = graph.slice(f"kept{depth}", stacked, 2, (TCN_KERNEL - 1) * channels, TCN_KERNEL * channels)
            convolved = graph.add("Add", f"add{depth}", convolved, kept)
        current, channels = convolved, units
    last = graph.reshape("last", current, [0, channels])
    return graph.add("Concat", "joined", last, graph.last_step("newest", scaled), axis=1)


def _lstm(graph: Graph, model: keras.Model, scaled: str) -> str:
    last = _lstm_last(graph, model, scaled)
    return graph.add("Concat", "joined", last, graph.last_step("newest", scaled), axis=1)


def _cnn_lstm(graph: Graph, model: keras.Model, scaled: str) -> str:
    _, steps, channels = model.input_shape
    kernel, bias = _weights(model, "conv")
    stacked = graph.reshape("stacked", scaled, [0, steps // CNN_KERNEL, CNN_KERNEL * channels])
    flat = kernel.reshape(CNN_KERNEL * channels, -1)
    condensed = graph.add("Relu", "conv_relu", graph.affine("conv", stacked, flat, bias))
    last = _lstm_last(graph, model, condensed)
    return graph.add("Concat", "joined", last, graph.last_step("newest", scaled), axis=1)


def _gru(graph: Graph, model: keras.Model, scaled: str) -> str:
    """The runtime's own GRU. Gates are z, r, h in both; `linear_before_reset` is Keras' `reset_after`."""
    kernel, recurrent, biases = _weights(model, "gru")
    steps_first = graph.add("Transpose", "steps_first", scaled, perm=[1, 0, 2])
    graph.add(
        "GRU",
        "gru",
        steps_first,
        graph.constant("gru_w", kernel.T[None]),
        graph.constant("gru_r", recurrent.T[None]),
        graph.constant("gru_b", biases.reshape(1, -1)),
        outputs=("", "gru_last"),
        hidden_size=recurrent.shape[0],
        linear_before_reset=1,
    )
    last = graph.add("Squeeze", "last", "gru_last", graph.ints("last_axis", [0]))
    return graph.add("Concat", "joined", last, graph.last_step("newest", scaled), axis=1)


def _transformer(graph: Graph, model: keras.Model, scaled: str) -> str:
    """Keys and values of a block are one product, and in the last block only the newest candle asks."""
    _, steps, _ = model.input_shape
    current = graph.affine("embed", scaled, *_weights(model, "embed"))
    current = graph.add("Add", "placed", current, graph.constant("places", _weights(model, "place")[0]))
    for depth in range(TRANSFORMER_BLOCKS):
        normal = _normalised(graph, model, f"normal{depth}", current)
        asking, asked = normal, steps
        if depth == TRANSFORMER_BLOCKS - 1:
            asking, asked = graph.slice(f"asking{depth}", normal, 1, steps - 1, steps), 1
            current = graph.slice(f"kept{depth}", current, 1, steps - 1, steps)
        attended = _attention(graph, model, f"attention{depth}", asking, asked, normal, steps)
        current = graph.add("Add", f"add{depth}", current, attended)
        inner = _normalised(graph, model, f"inner{depth}", current)
        wide = graph.add(
            "Relu", f"wide_relu{depth}", graph.affine(f"wide{depth}", inner, *_weights(model, f"wide{depth}"))
        )
        narrow = graph.affine(f"narrow{depth}", wide, *_weights(model, f"narrow{depth}"))
        current = graph.add("Add", f"sum{depth}", current, narrow)
    last = graph.last_step("last", current)
    return graph.add("Concat", "joined", last, graph.last_step("newest", scaled), axis=1)


def _normalised(graph: Graph, model: keras.Model, layer: str, value: str) -> str:
    gamma, beta = _weights(model, layer)
    constants = graph.constant(f"{layer}_gamma", gamma), graph.constant(f"{layer}_beta", beta)
    return graph.add("LayerNormalization", layer, value, *constants, axis=-1, epsilon=EPSILON)


def _attention(graph: Graph, model: keras.Model, layer: str, asking: str, asked: int, keeping: str, steps: int) -> str:
    """softmax(QKᵀ/√d)V by heads; the root of d is folded into the questions' weights."""
    (ask, ask_bias, key, key_bias, value, value_bias, out, out_bias) = _weights(model, layer)
    units, heads, size = ask.shape
    root = np.float32(np.sqrt(size))
    question = graph.affine(f"{layer}_ask", asking, ask.reshape(units, -1) / root, ask_bias.reshape(-1) / root)
    question = graph.reshape(f"{layer}_questions", question, [0, asked, heads, size])
    question = graph.add("Transpose", f"{layer}_q", question, perm=[0, 2, 1, 3])
    both = np.concatenate([key.reshape(units, -1), value.reshape(units, -1)], axis=1)
    biases = np.concatenate([key_bias.reshape(-1), value_bias.reshape(-1)])
    pair = graph.reshape(
        f"{layer}_pairs", graph.affine(f"{layer}_keep", keeping, both, biases), [0, steps, 2, heads, size]
    )
    keys = graph.add("Transpose", f"{layer}_k", graph.at(f"{layer}_keys", pair, 2, 0), perm=[0, 2, 3, 1])
    values = graph.add("Transpose", f"{layer}_v", graph.at(f"{layer}_values", pair, 2, 1), perm=[0, 2, 1, 3])
    weights = graph.add("Softmax", f"{layer}_weights", graph.add("MatMul", f"{layer}_scores", question, keys), axis=-1)
    mixed = graph.add(
        "Transpose", f"{layer}_t", graph.add("MatMul", f"{layer}_mixed", weights, values), perm=[0, 2, 1, 3]
    )
    flat = graph.reshape(f"{layer}_flat", mixed, [0, asked, heads * size])
    return graph.affine(f"{layer}_out", flat, out.reshape(heads * size, -1), out_bias)


def _lstm_last(graph: Graph, model: keras.Model, steps: str) -> str:
    """The runtime's own LSTM at its last step; Keras orders the gates i, f, c, o and ONNX i, o, f, c."""
    kernel, recurrent, bias = _weights(model, "lstm")
    units = recurrent.shape[0]
    biases = np.concatenate([_gates(bias[None], units), np.zeros((1, 4 * units), np.float32)], axis=1)
    steps_first = graph.add("Transpose", "steps_first", steps, perm=[1, 0, 2])
    graph.add(
        "LSTM",
        "lstm",
        steps_first,
        graph.constant("lstm_w", _gates(kernel, units).T[None]),
        graph.constant("lstm_r", _gates(recurrent, units).T[None]),
        graph.constant("lstm_b", biases),
        outputs=("", "lstm_last"),
        hidden_size=units,
    )
    return graph.add("Squeeze", "last", "lstm_last", graph.ints("last_axis", [0]))


def _gates(weights: NDArray[np.float32], units: int) -> NDArray[np.float32]:
    i, f, c, o = (weights[:, gate * units : (gate + 1) * units] for gate in range(4))
    return np.concatenate([i, o, f, c], axis=1)


def _head(graph: Graph, model: keras.Model, raw: str) -> str:
    head = model.get_layer("quantiles").head
    horizons, count = head.baseline.shape
    parts = graph.reshape("parts", raw, [0, horizons, 1 + count])
    shift, common = graph.slice("shift", parts, 2, 0, 1), graph.slice("common", parts, 2, 1, 2)
    each = graph.slice("each", parts, 2, 2, 1 + count)
    root = graph.constant("root_horizon", np.sqrt(np.array(head.horizons, np.float32))[:, None])
    median = graph.constant("naive_median", head.baseline[:, head.median : head.median + 1])
    centre = graph.add("Add", "centre", graph.add("Mul", "shift_sigma", shift, root), median)
    spread = graph.constant("spread", SPREAD)
    bent = graph.add("Tanh", "bent", graph.add("Div", "unbent", graph.add("Add", "stretches", common, each), spread))
    stretch = graph.add("Exp", "stretch", graph.add("Mul", "bounded", bent, spread))
    gaps = graph.constant("naive_gaps", np.diff(head.baseline, axis=1))
    steps = graph.add("Mul", "steps", stretch, gaps)
    laid = graph.add("MatMul", "laid", steps, graph.constant("placement", placement(head)))
    return graph.add("Add", "quantiles", laid, centre)


_BODIES: dict[Kind, Callable[[Graph, keras.Model, str], str]] = {
    Kind.TCN: _tcn,
    Kind.LSTM: _lstm,
    Kind.GRU: _gru,
    Kind.CNN_LSTM: _cnn_lstm,
    Kind.TRANSFORMER: _transformer,
}
