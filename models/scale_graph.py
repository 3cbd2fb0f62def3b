"""Scale graph: networks and trees of the scale kind and their average, laid out by hand as one ONNX graph.

The networks' hidden layers lie side by side in one kernel, their outputs in one that is block-diagonal; since quantiles
are linear in the median and the gaps between them, it is these that are averaged. All trees are one node.
"""

from __future__ import annotations

import numpy as np

from models.graph import ML_DOMAIN, Graph
from models.laid import roots
from models.scale_head import PER_KNOT, SPREAD, interpolation, signs
from models.scale_training import CLIP, Fitted, Floats, Net
from models.scale_trees import SHARE, Trees
from models.tree_graph import compact_attributes
from models.tree_kinds import between


def scale_graph(fitted: Fitted, trees: Trees | None, widening: Floats) -> bytes:
    """`windows` float32 (n, 1, f) → `quantiles` float32 (n, h, q), any n. `widening` (h, gaps): factors of the gaps."""
    graph = Graph()
    features = len(fitted.mean)
    inputs = _standardised(graph, fitted, features)
    ranges = _ranges(graph, fitted.ranges, inputs)
    raw = _members(graph, fitted, graph.add("Concat", "joined", inputs, ranges, axis=1))
    if trees is None:
        by_quantile = _quantiles(graph, fitted, raw, widening)
    else:
        networks = _quantiles(graph, fitted, raw, np.ones_like(widening))
        by_quantile = _widened(graph, _mixed(graph, networks, _grown(graph, fitted, trees, inputs)), fitted, widening)
    graph.add("Transpose", "quantiles", by_quantile, perm=[0, 2, 1])
    horizons, quantiles = fitted.naive.shape
    return graph.finished("scale", 1, features, (horizons, quantiles))


def _standardised(graph: Graph, fitted: Fitted, features: int) -> str:
    """(n, f); the other market's inputs are 0 where it is not known."""
    rows = graph.reshape("rows", "windows", [0, features])
    centred = graph.add("Sub", "centred", rows, graph.constant("mean", fitted.mean))
    scaled = graph.add("Mul", "standardised", centred, graph.constant("inverse_std", np.float32(1.0) / fitted.std))
    cut = graph.add("Clip", "cut", scaled, graph.constant("clip_low", -CLIP), graph.constant("clip_high", CLIP))
    if not fitted.gate.any():
        return cut
    first = int(np.argmax(fitted.gate))
    said = graph.slice("said", rows, 1, first, first + 1)
    known = graph.add("Mul", "known", said, graph.constant("gate", fitted.gate))
    open_ = graph.add("Add", "open", known, graph.constant("ungated", 1.0 - fitted.gate))
    return graph.add("Mul", "gated", cut, open_)


def _ranges(graph: Graph, net: Net, inputs: str) -> str:
    hidden = inputs
    for depth, (kernel, bias) in enumerate(zip(net[:-3:2], net[1:-3:2], strict=True)):
        hidden = _silu(graph, f"range{depth}", graph.affine(f"range{depth}", hidden, kernel, bias))
    skip = graph.add("MatMul", "range_skip", inputs, graph.constant("range_skip_kernel", net[-2]))
    return graph.add("Add", "ranges", graph.affine("range_out", hidden, net[-3], net[-1]), skip)


def _members(graph: Graph, fitted: Fitted, joined: str) -> str:
    """(n, members, numbers, knots)."""
    count, knots = len(fitted.members), len(fitted.knots)
    kernel = np.concatenate([net[0] for net in fitted.members], axis=1)
    bias = np.concatenate([net[1] for net in fitted.members])
    hidden = _silu(graph, "hidden", graph.affine("hidden", joined, kernel, bias))
    outputs = [_by_gap(net[-3], knots, fitted) for net in fitted.members]
    block = np.zeros((len(bias), sum(one.shape[1] for one in outputs)), dtype=np.float32)
    row = column = 0
    for one in outputs:
        block[row : row + one.shape[0], column : column + one.shape[1]] = one
        row, column = row + one.shape[0], column + one.shape[1]
    skips = np.concatenate([_by_gap(net[-2], knots, fitted) for net in fitted.members], axis=1)
    biases = np.concatenate([_by_gap(net[-1][None], knots, fitted)[0] for net in fitted.members])
    skip = graph.add("MatMul", "member_skip", joined, graph.constant("member_skip_kernel", skips))
    raw = graph.add("Add", "raw", graph.affine("member_out", hidden, block, biases), skip)
    return graph.reshape("by_member", raw, [0, count, biases.shape[0] // (count * knots), knots])


def _by_gap(kernel: Floats, knots: int, fitted: Fitted) -> Floats:
    """(i, knots · 5) → (i, (1 + gaps) · knots): the head's own bending of gaps, laid into the kernel."""
    bends, _ = signs(fitted.naive.shape[1], fitted.median)
    numbers = kernel.reshape(len(kernel), knots, PER_KNOT)
    each = np.concatenate([numbers[:, :, :1], numbers[:, :, 1:] @ bends], axis=2)
    return np.ascontiguousarray(each.transpose(0, 2, 1)).reshape(len(kernel), -1)


def _quantiles(graph: Graph, fitted: Fitted, raw: str, widening: Floats) -> str:
    """The networks' (n, q, h)."""
    count = fitted.naive.shape[1]
    weights = graph.constant("interpolation", interpolation(fitted.knots, fitted.horizons))
    at = graph.add("MatMul", "at_horizons", raw, weights)
    root = graph.constant("root_horizon", np.sqrt(np.array(fitted.horizons, dtype=np.float32)))
    shift = _mean(graph, "shift", graph.slice("shifts", at, 2, 0, 1))
    median = graph.constant("naive_median", fitted.naive[:, fitted.median])
    centre = graph.add("Add", "centre", graph.add("Mul", "shift_sigma", shift, root), median)
    spread = graph.constant("spread", SPREAD)
    bent = graph.add("Tanh", "bent", graph.add("Div", "unbent", graph.slice("stretches", at, 2, 1, count), spread))
    stretch = _mean(graph, "stretch", graph.add("Exp", "stretched", graph.add("Mul", "bounded", bent, spread)))
    gaps = graph.constant("naive_gaps", (np.diff(fitted.naive, axis=1) * widening).T)
    steps = graph.add("Mul", "steps", stretch, gaps)
    _, placed = signs(count, fitted.median)
    laid = graph.add("MatMul", "laid", graph.constant("placement", placed.T), steps)
    return graph.add("Add", "by_quantile", laid, centre)


def _grown(graph: Graph, fitted: Fitted, trees: Trees, inputs: str) -> str:
    """The trees' (n, q, h)."""
    attributes = compact_attributes(trees.trees, len(trees.base))
    sums = graph.add("TreeEnsemble", "sums", inputs, domain=ML_DOMAIN, **attributes)
    found = graph.add("Add", "found", sums, graph.constant("tree_base", trees.base))
    count = fitted.naive.shape[1]
    at_knots = graph.reshape("by_tree_knot", found, [0, len(trees.knots), count])
    graph.add(
        "TopK",
        "sorted",
        at_knots,
        graph.ints("quantile_count", [count]),
        outputs=("sorted", "order"),
        axis=2,
        largest=0,
    )
    by_quantile = graph.add("Transpose", "sorted_by_quantile", "sorted", perm=[0, 2, 1])
    spread = between(trees.knots, fitted.horizons) * roots(fitted.horizons)
    return graph.add("MatMul", "grown", by_quantile, graph.constant("tree_interpolation", spread))


def _mixed(graph: Graph, networks: str, grown: str) -> str:
    ours = graph.add("Mul", "networks_part", networks, graph.constant("networks_share", 1.0 - SHARE))
    theirs = graph.add("Mul", "trees_part", grown, graph.constant("trees_share", SHARE))
    return graph.add("Add", "mixed", ours, theirs)


def _widened(graph: Graph, mixed: str, fitted: Fitted, widening: Floats) -> str:
    """(n, q, h) with every gap multiplied by its factor, the median where it is."""
    count, median = fitted.naive.shape[1], fitted.median
    above, below = graph.slice("above", mixed, 1, 1, count), graph.slice("below", mixed, 1, 0, count - 1)
    gaps = graph.add("Sub", "gaps", above, below)
    wider = graph.add("Mul", "wider", gaps, graph.constant("widening", widening.T))
    _, placed = signs(count, median)
    apart = graph.add("MatMul", "apart", graph.constant("placement_widened", placed.T), wider)
    return graph.add("Add", "by_quantile_widened", apart, graph.slice("middle", mixed, 1, median, median + 1))


def _mean(graph: Graph, name: str, value: str) -> str:
    """Over the members."""
    return graph.add("ReduceMean", name, value, axes=[1], keepdims=0)


def _silu(graph: Graph, name: str, value: str) -> str:
    return graph.add("Mul", f"{name}_silu", value, graph.add("Sigmoid", f"{name}_sigmoid", value))


def parameters(fitted: Fitted, trees: Trees | None) -> int:
    """Trained numbers."""
    nets: list[Net] = [fitted.ranges, *fitted.members]
    return sum(int(value.size) for net in nets for value in net) + (trees.parameters if trees else 0)
