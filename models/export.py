"""Export: a trained Keras network laid out by hand as an ONNX graph that does only what the last step needs.

The converter's own graphs were 3 to 12 times slower (docs/models.md). Weights are read by layer name; parity with
Keras is measured on every export.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.architectures import CLIP, SPREAD, TCN_KERNEL, placement, tcn_layers
from models.kinds import difference_of
from models.spec import Kind

OPSET = 17
IR_VERSION = 9


class Graph:
    """Nodes and constants in the making; every method returns the name of the value it adds."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, value: Any, dtype: type = np.float32) -> str:
        self.constants.append(numpy_helper.from_array(np.array(value, dtype=dtype, order="C"), name))
        return name

    def add(self, operator: str, name: str, *inputs: str, outputs: tuple[str, ...] = (), **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, list(inputs), list(outputs) or [name], name=name, **attributes))
        return name

    def ints(self, name: str, values: list[int]) -> str:
        return self.constant(name, values, np.int64)

    def slice(self, name: str, value: str, axis: int, start: int, stop: int) -> str:
        bounds = [self.ints(f"{name}_{part}", [at]) for part, at in (("start", start), ("stop", stop), ("axis", axis))]
        return self.add("Slice", name, value, *bounds)

    def reshape(self, name: str, value: str, shape: list[int]) -> str:
        return self.add("Reshape", name, value, self.ints(f"{name}_shape", shape))

    def affine(self, name: str, value: str, kernel: NDArray[np.float32], bias: NDArray[np.float32]) -> str:
        """value @ kernel + bias."""
        product = self.add("MatMul", f"{name}_product", value, self.constant(f"{name}_kernel", kernel))
        return self.add("Add", name, product, self.constant(f"{name}_bias", bias))


def export(model: keras.Model, kind: Kind) -> bytes:
    """The graph's bytes: `windows` float32 (n, window, features) → `quantiles` float32 (n, h, q), any n."""
    graph = Graph()
    _, window, features = model.input_shape
    _, horizons, quantiles = model.output_shape
    newest = _BODIES[kind](graph, model, _scale(graph, model))
    hidden = graph.add("Relu", "hidden_relu", graph.affine("hidden", newest, *_weights(model, "hidden")))
    _head(graph, model, graph.affine("raw", hidden, *_weights(model, "raw")))
    laid = helper.make_graph(
        graph.nodes,
        f"{kind}",
        [helper.make_tensor_value_info("windows", TensorProto.FLOAT, ["n", window, features])],
        [helper.make_tensor_value_info("quantiles", TensorProto.FLOAT, ["n", horizons, quantiles])],
        graph.constants,
    )
    proto = helper.make_model(laid, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="models.export")
    proto.ir_version = IR_VERSION
    onnx.checker.check_model(proto, full_check=True)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def parity(model: keras.Model, content: bytes, windows: NDArray[np.float32]) -> float:
    """The largest difference between Keras and the graph on `windows`, in sigma, relative where above 1."""
    import onnxruntime

    runtime = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    ours = runtime.run(None, {"windows": windows})[0]
    theirs = np.asarray(model.predict_on_batch(windows))
    return difference_of(ours, theirs)


def _weights(model: keras.Model, layer: str) -> tuple[NDArray[np.float32], ...]:
    return tuple(np.asarray(weight) for weight in model.get_layer(layer).get_weights())


def _scale(graph: Graph, model: keras.Model) -> str:
    scale = model.get_layer("scale")
    centred = graph.add("Sub", "centred", "windows", graph.constant("mean", scale.mean))
    inverse = graph.constant("inverse_std", np.float32(1.0) / np.array(scale.std, np.float32))
    scaled = graph.add("Mul", "standardised", centred, inverse)
    low, high = graph.constant("clip_low", -CLIP), graph.constant("clip_high", CLIP)
    return graph.add("Clip", "scaled", scaled, low, high)


def _last_step(graph: Graph, name: str, value: str, index: int) -> str:
    """(n, steps, c) → (n, c) at one step."""
    return graph.add("Gather", name, value, graph.constant(f"{name}_index", index, np.int64), axis=1)


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
    return graph.add("Concat", "joined", last, _last_step(graph, "newest", scaled, -1), axis=1)


def _lstm(graph: Graph, model: keras.Model, scaled: str) -> str:
    """The runtime's own LSTM; Keras orders the gates i, f, c, o and ONNX i, o, f, c."""
    kernel, recurrent, bias = _weights(model, "lstm")
    units = recurrent.shape[0]
    biases = np.concatenate([_gates(bias[None], units), np.zeros((1, 4 * units), np.float32)], axis=1)
    steps_first = graph.add("Transpose", "steps_first", scaled, perm=[1, 0, 2])
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
    last = graph.add("Squeeze", "last", "lstm_last", graph.ints("last_axis", [0]))
    return graph.add("Concat", "joined", last, _last_step(graph, "newest", scaled, -1), axis=1)


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


_BODIES: dict[Kind, Callable[[Graph, keras.Model, str], str]] = {Kind.TCN: _tcn, Kind.LSTM: _lstm}
