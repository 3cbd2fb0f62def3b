"""The scale kind's trees: their graph answers as scikit-learn does, to the edge of each split; quantiles in order."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from models.graph import ML_DOMAIN, Graph
from models.kinds import Task
from models.samples import Samples
from models.spec import HORIZONS, QUANTILES
from models.tree_graph import Tree, compact_attributes
from utils.model_utils import session_of

if TYPE_CHECKING:  # scikit-learn is loaded when it is needed, not by every worker
    from models.scale_trees import Trees

ROWS, INPUTS = 800, 3
Rows = NDArray[np.float32]


def inputs() -> Rows:
    return np.random.default_rng(1).normal(size=(ROWS, INPUTS)).astype(np.float32)


@cache
def trees() -> Trees:
    """Of outcomes as wide as the first input says."""
    from models.scale_trees import fit_trees_beside

    rows = inputs()
    noise = np.random.default_rng(2).normal(size=(ROWS, len(HORIZONS)))
    outcomes = noise * np.exp(rows[:, :1]) * np.sqrt(np.array(HORIZONS))
    ends = np.arange(ROWS)
    samples = Samples((), rows, np.ones(ROWS), outcomes, ends, np.zeros(ROWS, dtype=np.int32), ends)
    task = Task(samples, ends, ends, 1, HORIZONS, QUANTILES, threads=1)
    return fit_trees_beside(task, rows, np.ones(ROWS, dtype=np.float32), rounds=12, stride=1)


def answers(found: tuple[Tree, ...], targets: int, rows: Rows) -> Rows:
    """Sums, by the runtime."""
    graph = Graph()
    newest = graph.last_step("newest", "windows")
    graph.add("TreeEnsemble", "sums", newest, domain=ML_DOMAIN, **compact_attributes(found, targets))
    graph.reshape("quantiles", "sums", [0, 1, targets])
    session = session_of(graph.finished("trees", 1, rows.shape[1], (1, targets)), "trees")
    return session.run(rows[:, None])[:, 0]


def test_the_runtime_sums_the_trees_as_scikit_learn_does_to_the_edge_of_each_split() -> None:
    splits = np.concatenate([one.threshold[~one.leaf] for one in trees().trees]).astype(np.float32)
    edges = np.concatenate([np.nextafter(splits, -np.inf), splits, np.nextafter(splits, np.float32(np.inf))])
    asked = np.concatenate([inputs(), np.repeat(edges[:, None], INPUTS, axis=1)]).astype(np.float32)
    wanted = np.stack([one.predict(asked) for one in trees().boosters], axis=1) - trees().base
    np.testing.assert_allclose(answers(trees().trees, len(trees().base), asked), wanted, atol=1e-5)


def test_a_tree_without_a_branch_always_answers_its_leaf() -> None:
    one = np.zeros(1, dtype=np.int64)
    lonely = Tree(np.array([True]), one, one.astype(float), one, one, np.array([[0.25]]), (1,))
    first = trees().trees[0]
    rows = inputs()[:50]
    alone = answers((first,), 2, rows)
    np.testing.assert_allclose(answers((first, lonely, first), 2, rows), alone * 2.0 + [0.0, 0.25], atol=1e-6)


def test_quantiles_are_in_order_at_every_horizon_and_wide_where_outcomes_are() -> None:
    from models.scale_trees import KNOTS, forecast_of

    assert len(trees().knots) == KNOTS
    wild = np.random.default_rng(3).normal(0, 10, (500, INPUTS)).astype(np.float32)
    assert np.all(np.diff(forecast_of(trees(), wild, HORIZONS), axis=2) >= 0)
    calm, rough = forecast_of(trees(), np.array([[-1, 0, 0], [1, 0, 0]], dtype=np.float32), HORIZONS)
    assert np.all(rough[:, -1] - rough[:, 0] > 1.3 * (calm[:, -1] - calm[:, 0]))


@pytest.mark.parametrize("stride", [1, 4])
def test_rows_are_drawn_by_their_weight_each_once(stride: int) -> None:
    from models.tree_kinds import drawn_places

    weights = np.where(np.arange(8000) < 4000, 1.0, 3.0)
    places = drawn_places(weights, stride, 7)
    assert len(np.unique(places)) == len(places) == 8000 // stride
    if stride > 1:
        assert 0.65 < np.mean(places >= 4000) < 0.78
