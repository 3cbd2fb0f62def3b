"""Tree graph: trees as arrays, and as the attributes of one node of ONNX: TreeEnsembleRegressor, which knows leaves of
several values, or its successor TreeEnsemble, of which the runtime builds a session in a quarter of the time.

A threshold is rounded down to single precision, so that x ≤ threshold answers for every single-precision x as it did in
training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper

from models.samples import Ints

Floats = NDArray[np.float64]
_COMPACT = (
    "nodes_featureids", "nodes_splits", "nodes_truenodeids", "nodes_trueleafs", "nodes_falsenodeids",
    "nodes_falseleafs", "leaf_weights", "leaf_targetids",
)  # fmt: skip
_SUM = 1
"""Of TreeEnsemble's aggregate functions; its mode 0 is x ≤ split."""


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree as arrays over its nodes. `leaf`: it ends here, with `values` (nodes, targets); else feature, threshold,
    and where smaller or equal (`left`) and greater (`right`) ones go on."""

    leaf: NDArray[np.bool_]
    feature: Ints
    threshold: Floats
    left: Ints
    right: Ints
    values: Floats
    targets: tuple[int, ...]


def booster_tree(nodes: Any, target: int) -> Tree:
    """One of HistGradientBoosting's trees, from its table of nodes."""
    return Tree(
        leaf=nodes["is_leaf"].astype(bool),
        feature=nodes["feature_idx"].astype(np.int64),
        threshold=nodes["num_threshold"].astype(np.float64),
        left=nodes["left"].astype(np.int64),
        right=nodes["right"].astype(np.int64),
        values=nodes["value"].astype(np.float64)[:, None],
        targets=(target,),
    )


def rounded_down(thresholds: Floats) -> NDArray[np.float32]:
    """The greatest single-precision numbers that are not greater: for single-precision x, x ≤ it as x ≤ threshold."""
    near = thresholds.astype(np.float32)
    down: NDArray[np.float32] = np.where(near.astype(np.float64) > thresholds, np.nextafter(near, -np.inf), near)
    return down.astype(np.float32)


def node_attributes(trees: Sequence[Tree], base: Floats) -> dict[str, Any]:
    """Trees whose sums, from `base` (targets,) on, are the answers, as ai.onnx.ml's TreeEnsembleRegressor has them:
    parallel lists over nodes, and over leaf values."""
    nodes: dict[str, list[NDArray[Any]]] = {name: [] for name in ("tree", "node", "feature", "value", "left", "right")}
    leaves: dict[str, list[NDArray[Any]]] = {name: [] for name in ("tree", "node", "target", "weight")}
    modes: list[str] = []
    for number, tree in enumerate(trees):
        size = len(tree.leaf)
        own = np.arange(size)
        nodes["tree"].append(np.full(size, number))
        nodes["node"].append(own)
        nodes["feature"].append(np.where(tree.leaf, 0, tree.feature))
        nodes["value"].append(rounded_down(np.where(tree.leaf, 0.0, tree.threshold)))
        nodes["left"].append(np.where(tree.leaf, 0, tree.left))
        nodes["right"].append(np.where(tree.leaf, 0, tree.right))
        modes += ["LEAF" if leaf else "BRANCH_LEQ" for leaf in tree.leaf.tolist()]
        ends = own[tree.leaf]
        leaves["tree"].append(np.full(len(ends) * len(tree.targets), number))
        leaves["node"].append(np.repeat(ends, len(tree.targets)))
        leaves["target"].append(np.tile(tree.targets, len(ends)))
        leaves["weight"].append(tree.values[ends].astype(np.float32).reshape(-1))
    joined = {name: np.concatenate(parts).tolist() for name, parts in nodes.items()}
    ended = {name: np.concatenate(parts).tolist() for name, parts in leaves.items()}
    return {
        "n_targets": len(base),
        "aggregate_function": "SUM",
        "base_values": base.astype(np.float32).tolist(),
        "nodes_treeids": joined["tree"],
        "nodes_nodeids": joined["node"],
        "nodes_featureids": joined["feature"],
        "nodes_values": joined["value"],
        "nodes_truenodeids": joined["left"],
        "nodes_falsenodeids": joined["right"],
        "nodes_modes": modes,
        "target_treeids": ended["tree"],
        "target_nodeids": ended["node"],
        "target_ids": ended["target"],
        "target_weights": ended["weight"],
    }


def compact_attributes(trees: Sequence[Tree], targets: int) -> dict[str, Any]:
    """Trees of one target each as ai.onnx.ml's TreeEnsemble (version 5) has them: branches apart from leaves, numbers
    as tensors. A tree without a branch gets one, both of whose ways end at its leaf."""
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in _COMPACT}
    roots: list[int] = []
    branches = leaves = 0
    for tree in trees:
        leaf = tree.leaf
        inner = np.flatnonzero(~leaf) if not leaf.all() else np.zeros(1, dtype=np.int64)
        place = np.where(leaf, leaves + np.cumsum(leaf) - 1, branches + np.cumsum(~leaf) - 1)
        ways = {side: np.where(leaf[inner], inner, getattr(tree, side)[inner]) for side in ("left", "right")}
        roots.append(branches)
        parts["nodes_featureids"].append(np.where(leaf[inner], 0, tree.feature[inner]))
        parts["nodes_splits"].append(rounded_down(np.where(leaf[inner], 0.0, tree.threshold[inner])))
        for side, name in (("left", "true"), ("right", "false")):
            parts[f"nodes_{name}nodeids"].append(place[ways[side]])
            parts[f"nodes_{name}leafs"].append(leaf[ways[side]].astype(np.int64))
        parts["leaf_weights"].append(tree.values[leaf, 0].astype(np.float32))
        parts["leaf_targetids"].append(np.full(int(leaf.sum()), tree.targets[0]))
        branches, leaves = branches + len(inner), leaves + int(leaf.sum())
    joined = {name: np.concatenate(found) for name, found in parts.items()}
    tensors = {name: numpy_helper.from_array(joined.pop(name), name) for name in ("nodes_splits", "leaf_weights")} | {
        "nodes_modes": numpy_helper.from_array(np.zeros(branches, dtype=np.uint8), "nodes_modes")
    }
    lists = {name: found.tolist() for name, found in joined.items()}
    return {"n_targets": targets, "aggregate_function": _SUM, "tree_roots": roots, **lists, **tensors}
