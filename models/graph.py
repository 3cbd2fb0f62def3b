"""Graph: an ONNX graph laid out by hand, node by node, with the one input and the one output that serving knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.laid import roots

OPSET = 17
ML_OPSET, COMPACT_TREES_OPSET = 3, 5
"""The second where trees are a TreeEnsemble, which the first does not know."""
ML_DOMAIN = "ai.onnx.ml"
"""Where the operator for trees lives."""
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

    def affine(self, name: str, value: str, kernel: NDArray[np.floating], bias: NDArray[np.floating]) -> str:
        """value @ kernel + bias."""
        product = self.add("MatMul", f"{name}_product", value, self.constant(f"{name}_kernel", kernel))
        return self.add("Add", name, product, self.constant(f"{name}_bias", bias))

    def at(self, name: str, value: str, axis: int, index: int) -> str:
        """One place along an axis, which goes away."""
        return self.add("Gather", name, value, self.constant(f"{name}_index", index, np.int64), axis=axis)

    def last_step(self, name: str, value: str) -> str:
        """(n, steps, c) → (n, c) at the newest candle."""
        return self.at(name, value, 1, -1)

    def standardised(self, value: str, mean: Any, std: Any, clip: float) -> str:
        """(value − mean) / std, cut at ±clip, in single precision."""
        centred = self.add("Sub", "centred", value, self.constant("mean", mean))
        inverse = self.constant("inverse_std", np.float32(1.0) / np.array(std, np.float32))
        scaled = self.add("Mul", "standardised", centred, inverse)
        low, high = self.constant("clip_low", -clip), self.constant("clip_high", clip)
        return self.add("Clip", "scaled", scaled, low, high)

    def finished(self, name: str, window: int, features: int, answer: Sequence[int]) -> bytes:
        """The graph's bytes: `windows` float32 (n, window, features) → `quantiles` float32 (n, h, q), any n."""
        laid = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info("windows", TensorProto.FLOAT, ["n", window, features])],
            [helper.make_tensor_value_info("quantiles", TensorProto.FLOAT, ["n", *answer])],
            self.constants,
        )
        domains = sorted({node.domain for node in self.nodes} | {""})
        of_trees = COMPACT_TREES_OPSET if any(node.op_type == "TreeEnsemble" for node in self.nodes) else ML_OPSET
        opsets = [helper.make_opsetid(domain, of_trees if domain else OPSET) for domain in domains]
        proto = helper.make_model(laid, opset_imports=opsets, producer_name="models.export")
        proto.ir_version = IR_VERSION
        onnx.checker.check_model(proto, full_check=True)
        content: bytes = proto.SerializeToString(deterministic=True)
        return content

    def within(self, name: str, value: str, low: Any, high: Any) -> str:
        """No less than low and no more than high, which may be arrays (Clip takes single numbers)."""
        least = self.add("Max", f"{name}_least", value, self.constant(f"{name}_low", low))
        return self.add("Min", name, least, self.constant(f"{name}_high", high))

    def laid(self, middle: str, width: str | None, shape: NDArray[np.float64], horizons: Sequence[int]) -> str:
        """The nodes of `models.laid.laid`: (n, h) middles and log widths (none: 0) into (n, h, q) `quantiles`."""
        spread = self.constant("shape", shape)
        if width is not None:
            widths = self.reshape("width_column", self.add("Exp", "widths", width), [0, len(horizons), 1])
            spread = self.add("Mul", "spread_out", widths, spread)
        moved = self.add("Add", "moved", self.reshape("middle_column", middle, [0, len(horizons), 1]), spread)
        return self.add("Mul", "quantiles", moved, self.constant("root_horizon", roots(horizons)[:, None]))
