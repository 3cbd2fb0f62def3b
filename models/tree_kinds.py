"""Kinds made of trees, behind the common face: histogram gradient boosting and random forests. Imports scikit-learn.

Twenty-four horizons times five quantiles would be 120 forests. Instead trees learn, at five horizons spread evenly over
ln h, how far the outcome goes (ln(|y| + ε), y in units of sigma·√h) and where its middle lies; both are drawn linearly
in ln h between these, and quantiles of what is left on the training windows give the shape (models.laid). The middles
count as much as serves the validation windows: not at all, half, or fully.

Trees read the newest candle's inputs. They become one TreeEnsembleRegressor node (models.tree_graph).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from threadpoolctl import threadpool_limits

from models.graph import ML_DOMAIN, Graph
from models.kinds import MIN_SAMPLES, OnEpoch, Task, Trained, difference_of
from models.laid import laid, roots, shape_of
from models.probe import log_size, without_tails
from models.recipe import Recipe
from models.samples import Ints, recency
from models.scoring import pinball_loss
from models.spec import Kind
from models.tree_graph import Tree, booster_tree, node_attributes
from utils.model_utils import session_of

Floats = NDArray[np.float64]
Rows = NDArray[np.float32]
KNOTS = 5
SHARES = (0.0, 0.5, 1.0)
"""How much of the learned middle may count."""
_MIDDLE_WEIGHT = 0.5
"""Of a middle beside a log width when a forest chooses its splits: it can hardly be foreseen."""
_FOREST_ROWS = 60_000
_LEAF_PART = 2000
_LEAST_LEAF = 5
_JUDGED = 20_000


@dataclass(frozen=True, slots=True)
class Learned:
    """Trees whose sums, from `base` (targets,) on, are `targets` numbers per row; `ask` is the library's own answer."""

    trees: tuple[Tree, ...]
    base: Floats
    ask: Callable[[Rows], Floats]
    train_loss: tuple[float, ...]
    validation_loss: tuple[float, ...]


def knots(horizons: Sequence[int], most: int = KNOTS) -> tuple[int, ...]:
    """At most so many of the horizons, spread evenly over ln h, the first and the last among them."""
    wanted = np.geomspace(horizons[0], horizons[-1], min(most, len(horizons)))
    places = {int(np.argmin(np.abs(np.log(horizons) - np.log(one)))) for one in wanted}
    return tuple(horizons[place] for place in sorted(places))


def drawn(recipe: Recipe, task: Task) -> Ints:
    """Every stride-th training window on average, recent ones more often."""
    weights = recency(task.samples.open_time_ms, recipe.half_life_days)[task.train].astype(np.float32)
    return task.train[drawn_places(weights, recipe.stride, recipe.seed)]


def drawn_places(weights: NDArray[np.floating], stride: int, seed: int) -> Ints:
    """(n,) weights → places of every stride-th on average, in order, those of more weight more often: without
    replacement, by exponential keys over weights (Efraimidis & Spirakis 2006). Drawing is a hundred times faster than
    weights in the histograms' bins."""
    keys = np.random.default_rng(seed).exponential(size=len(weights)) / weights
    count = max(MIN_SAMPLES, len(keys) // stride)
    return np.sort(np.argsort(keys, kind="stable")[:count])


def between(chosen: Sequence[int], horizons: Sequence[int]) -> Floats:
    """(k, h): numbers at the knots, times this, are numbers at all horizons, linear in ln h."""
    logs = np.log(np.array(horizons, dtype=np.float64))
    return np.array([np.interp(logs, np.log(chosen), row) for row in np.eye(len(chosen))])


def fit_trees(recipe: Recipe, task: Task, on_epoch: OnEpoch) -> Trained:
    """Trees learn the size of returns and where their middle lies at a few horizons; shapes are laid around that.

    The learned middle is used by that one of SHARES whose bands lose least on validation, 0 leaving it out.
    """
    chosen = knots(task.horizons)
    columns = [task.horizons.index(horizon) for horizon in chosen]
    spread = between(chosen, task.horizons)
    train = drawn(recipe, task)
    outcome = task.samples.scaled[train] / roots(task.horizons)
    targets = np.concatenate([log_size(outcome[:, columns]), without_tails(outcome[:, columns])], axis=1)
    given = _Given(task, train, targets, on_epoch)
    with threadpool_limits(task.threads):
        learned = _FITS[recipe.kind](recipe, given)
    known = learned.ask(task.samples.features[train])
    count = len(chosen)

    def answer(rows: Rows, share: float, shape: Floats) -> Floats:
        found = learned.ask(rows)
        return laid(share * found[:, count:] @ spread, found[:, :count] @ spread, shape, task.horizons)

    shapes = {
        share: shape_of(outcome, share * known[:, count:] @ spread, known[:, :count] @ spread, task.quantiles)
        for share in SHARES
    }
    some = task.validation[:: max(1, len(task.validation) // _JUDGED)]
    unseen = task.samples.features[some]
    losses = {share: _loss(task, some, answer(unseen, share, shape)) for share, shape in shapes.items()}
    share = min(SHARES, key=lambda one: losses[one])
    trees = learned.trees if share else tuple(tree for tree in learned.trees if min(tree.targets) < count)
    graph = _graph(recipe.kind, task, replace(learned, trees=trees), spread, share, shapes[share])
    windows = task.parity_windows()
    difference = difference_of(session_of(graph, "graph").run(windows), answer(windows[:, -1], share, shapes[share]))
    return Trained(
        graph=graph,
        difference=difference,
        parameters=int(sum(tree.values[tree.leaf].size + 2 * np.count_nonzero(~tree.leaf) for tree in trees)),
        train_loss=learned.train_loss,
        validation_loss=learned.validation_loss,
        best_epoch=int(np.argmin(learned.validation_loss)),
        sizes={"trees": len(trees), "leaves": recipe.units},
        scaler="none: trees only compare",
        packages=("scikit-learn",),
        notes={"share of the learned middle": share, "pinball loss on validation": losses[share]},
    )


@dataclass(frozen=True, slots=True)
class _Given:
    """What trees learn: targets (n, 2k) of the rows `train`, log widths first; and who hears of it."""

    task: Task
    train: Ints
    targets: Floats
    on_epoch: OnEpoch

    @property
    def rows(self) -> Rows:
        return self.task.samples.features[self.train]

    def unseen(self, limit: int = 100_000) -> tuple[Rows, Floats]:
        """Validation rows and their targets."""
        task = self.task
        ends = task.validation[:: max(1, len(task.validation) // limit)]
        chosen = knots(task.horizons)
        columns = [task.horizons.index(horizon) for horizon in chosen]
        outcome = (task.samples.scaled[ends] / roots(task.horizons))[:, columns]
        return task.samples.features[ends], np.concatenate([log_size(outcome), without_tails(outcome)], axis=1)


def _boosted(recipe: Recipe, given: _Given) -> Learned:
    """A booster per target, each stopped where the validation error does not fall any more."""
    rows, (unseen, wanted) = given.rows, given.unseen()
    fitted, curve = [], []
    for target in range(given.targets.shape[1]):
        booster = HistGradientBoostingRegressor(
            max_iter=recipe.epochs,
            learning_rate=recipe.learning_rate,
            max_leaf_nodes=recipe.units,
            min_samples_leaf=max(_LEAST_LEAF, len(rows) // _LEAF_PART),
            l2_regularization=1.0,
            early_stopping=True,
            n_iter_no_change=recipe.patience,
            scoring="loss",
            random_state=recipe.seed,
        )
        booster.fit(rows, given.targets[:, target], X_val=unseen, y_val=wanted[:, target])
        fitted.append(booster)
        curve.append((-float(booster.train_score_[-1]), -float(booster.validation_score_[-1])))
        given.on_epoch(target, *curve[-1])
    trees = tuple(
        booster_tree(stage[0].nodes, target) for target, one in enumerate(fitted) for stage in one._predictors
    )
    base = np.array([float(one._baseline_prediction.item()) for one in fitted])

    def ask(asked: Rows) -> Floats:
        return np.stack([one.predict(asked) for one in fitted], axis=1)

    return Learned(trees, base, ask, tuple(one for one, _ in curve), tuple(one for _, one in curve))


def _forested(recipe: Recipe, given: _Given) -> Learned:
    """One forest for all targets; each is brought to unit spread, and middles count half where splits are chosen."""
    mean, spread = given.targets.mean(axis=0), given.targets.std(axis=0)
    half = given.targets.shape[1] // 2
    spread[half:] /= _MIDDLE_WEIGHT
    rows = given.rows
    forest = RandomForestRegressor(
        n_estimators=recipe.epochs,
        max_leaf_nodes=recipe.units,
        min_samples_leaf=max(_LEAST_LEAF, min(len(rows), _FOREST_ROWS) // _LEAF_PART),
        max_features=1 / 3,
        max_samples=min(1.0, _FOREST_ROWS / len(rows)),
        n_jobs=given.task.threads,
        random_state=recipe.seed,
    )
    forest.fit(rows, (given.targets - mean) / spread)

    def ask(asked: Rows) -> Floats:
        return np.asarray(forest.predict(asked) * spread + mean)

    unseen, wanted = given.unseen()
    some = slice(None, None, max(1, len(rows) // _JUDGED))
    losses = [
        float(np.square((ask(asked) - true) / spread).mean())
        for asked, true in ((rows[some], given.targets[some]), (unseen, wanted))
    ]
    given.on_epoch(0, *losses)
    scale = spread / len(forest.estimators_)
    trees = tuple(_forest_tree(one.tree_, scale) for one in forest.estimators_)
    return Learned(trees, mean, ask, (losses[0],), (losses[1],))


def _forest_tree(tree: Any, scale: Floats) -> Tree:
    return Tree(
        leaf=np.asarray(tree.children_left < 0),
        feature=np.asarray(tree.feature, dtype=np.int64),
        threshold=np.asarray(tree.threshold, dtype=np.float64),
        left=np.asarray(tree.children_left, dtype=np.int64),
        right=np.asarray(tree.children_right, dtype=np.int64),
        values=tree.value[:, :, 0] * scale,
        targets=tuple(range(len(scale))),
    )


_FITS: dict[Kind, Callable[[Recipe, _Given], Learned]] = {Kind.BOOSTING: _boosted, Kind.FOREST: _forested}


def _loss(task: Task, ends: Ints, forecast: Floats) -> float:
    root = roots(task.horizons)
    return float(pinball_loss(task.samples.scaled[ends] / root, forecast / root[:, None], task.quantiles).mean())


def _graph(kind: Kind, task: Task, learned: Learned, spread: Floats, share: float, shape: Floats) -> bytes:
    graph = Graph()
    count, outputs = len(spread), len(learned.base)
    newest = graph.last_step("newest", "windows")
    graph.add(
        "TreeEnsembleRegressor", "found", newest, domain=ML_DOMAIN, **node_attributes(learned.trees, learned.base)
    )
    middle = graph.slice("middle_knots", "found", 1, count, outputs)
    width = graph.slice("width_knots", "found", 1, 0, count)
    middle = graph.add("MatMul", "middle", middle, graph.constant("middle_between", share * spread))
    width = graph.add("MatMul", "width", width, graph.constant("width_between", spread))
    graph.laid(middle, width, shape, task.horizons)
    return graph.finished(str(kind), task.window, task.samples.features.shape[1], shape.shape)
