"""The scale kind behind the common face: networks by TensorFlow and trees by scikit-learn, mixed; bands calibrated;
the graph laid out by hand and compared."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.kinds import OnEpoch, Task, Trained, difference_of
from models.recipe import Recipe
from models.samples import Ints
from models.scale_graph import parameters, scale_graph
from models.scale_head import signs
from models.scale_training import (
    NARROW,
    WIDE,
    Fitted,
    Floats,
    Pass,
    Plan,
    fit_scale,
    forecast,
    row_weights,
)
from models.scale_trees import LEAVES, SHARE, Trees, as_in_graph, fit_trees_beside, forecast_of
from models.scoring import pinball_loss
from models.tensorflow_threads import use_threads
from utils.onnx_library import onnxruntime

_WIDER = 4
"""Every second member has so many times the neurons, sees every row, and fewer times."""
MARGIN = 1.03
"""Bands are this much wider than the markets of the validation period call for: on markets that were left out of the
training they held 2 % less (docs/experiments.md, part 3)."""
_JUDGED_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Mixed:
    """Networks, and trees of the same inputs where the recipe asks for some."""

    networks: Fitted
    trees: Trees | None

    def __call__(self, features: Floats) -> Floats:
        """Raw rows (n, f) → (n, h, q) in units of sigma, before the bands are widened."""
        ours = forecast(self.networks, features)
        if self.trees is None:
            return ours
        theirs = forecast_of(self.trees, as_in_graph(features, self.networks), self.networks.horizons)
        return np.asarray((1.0 - SHARE) * ours + SHARE * theirs, dtype=np.float32)


def fit_scale_kind(recipe: Recipe, task: Task, on_epoch: OnEpoch) -> Trained:
    """An epoch is a member of the ensemble, each of which has epochs of its own (models.scale_training); a last one, if
    the recipe asks for them, is the trees beside them."""
    use_threads(task.threads)
    told: list[tuple[float, float]] = []

    def heard(number: int, loss: float, fitted: Fitted) -> None:
        told.append((loss, _loss(Mixed(fitted, None), task, task.validation)))
        on_epoch(number, *told[-1])

    plan = plan_of(recipe)
    fitted = fit_scale(task, plan, heard)
    mixed = Mixed(fitted, _trees(recipe, plan, task, fitted))
    if mixed.trees:
        told.append((_loss(mixed, task, task.train), _loss(mixed, task, task.validation)))
        on_epoch(len(told) - 1, *told[-1])
    widening = calibrated(mixed, task)
    graph = scale_graph(fitted, mixed.trees, widening)
    windows = task.parity_windows()
    return Trained(
        graph=graph,
        difference=difference_of(_answers(graph, windows), widened(mixed(windows[:, 0]), widening, task)),
        parameters=parameters(fitted, mixed.trees),
        train_loss=tuple(one for one, _ in told),
        validation_loss=tuple(one for _, one in told),
        best_epoch=len(told) - 1,
        sizes={"units": recipe.units, "members": len(fitted.members), **_sizes_of(mixed.trees)},
        scaler="mean and standard deviation of the training windows' last rows, inside the graph",
        packages=("keras", "tensorflow", *(("scikit-learn",) if mixed.trees else ())),
        notes={
            "calibration": "gaps between quantiles widened until the bands held their part of the validation period, "
            f"and by {100 * (MARGIN - 1):.0f} % more for markets that were not trained on",
            "widest factor": float(widening.max()),
            "narrowest factor": float(widening.min()),
        },
        calibrated=True,
    )


def _sizes_of(trees: Trees | None) -> dict[str, int]:
    return {"trees": len(trees.trees), "leaves": LEAVES} if trees else {}


def plan_of(recipe: Recipe) -> Plan:
    """Narrow and wide members in turn, as many as the recipe has epochs."""
    narrow = _pass(NARROW, recipe, recipe.units, recipe.stride)
    wide = _pass(WIDE, recipe, _WIDER * recipe.units, max(1, recipe.stride // 3))
    members = tuple((narrow, wide)[number % 2] for number in range(recipe.epochs))
    ranges = replace(Plan().ranges, stride=max(1, 2 * recipe.stride // 3))
    return Plan(members, ranges, half_life_days=recipe.half_life_days, seed=recipe.seed)


def _trees(recipe: Recipe, plan: Plan, task: Task, fitted: Fitted) -> Trees | None:
    """Some rows are shown without the other market, as they are to the networks."""
    if not recipe.trees:
        return None
    inputs = as_in_graph(task.samples.features[task.train], fitted)
    hidden = np.random.default_rng(recipe.seed).random(len(inputs)) < plan.hidden_share
    inputs[hidden] *= 1.0 - fitted.gate
    return fit_trees_beside(task, inputs, row_weights(task, plan.half_life_days), recipe.trees, recipe.stride)


def calibrated(mixed: Mixed, task: Task) -> Floats:
    """(h, gaps): factors by which the inner and the outer gaps are widened, so that of the validation period's outcomes
    as many lie inside each band as should, and by MARGIN more (split conformal, Vovk et al. 2005, as a factor about the
    median)."""
    ends = task.validation
    bands = mixed(task.samples.features[ends])
    realised = task.samples.scaled[ends]
    levels, median = task.quantiles, task.median
    factors = np.ones((len(task.horizons), len(levels) - 1), dtype=np.float32)
    for place in range(len(task.horizons)):
        centre = bands[:, place, median]
        for distance in range(1, min(median, len(levels) - 1 - median) + 1):
            low, high = median - distance, median + distance
            inside = median - distance + 1, median + distance - 1
            outcome = realised[:, place] - centre
            known = [
                factors[place, inside[0] : median] * np.diff(bands[:, place, inside[0] : median + 1]),
                factors[place, median : inside[1]] * np.diff(bands[:, place, median : inside[1] + 1]),
            ]
            starts = [-known[0].sum(axis=1), known[1].sum(axis=1)]
            gaps = [bands[:, place, low + 1] - bands[:, place, low], bands[:, place, high] - bands[:, place, high - 1]]
            factor = _factor(outcome, starts, gaps, levels[high] - levels[low])
            factors[place, [low, high - 1]] = factor
    return np.asarray(MARGIN * factors, dtype=np.float32)


def _factor(outcome: NDArray[np.float64], starts: list[Floats], gaps: list[Floats], wanted: float) -> float:
    """How many of its outer gaps a band must reach beyond its inner one on both sides to hold that part of the
    outcomes: a quantile of the number that each outcome would need."""
    beyond = np.where(outcome < 0, starts[0] - outcome, outcome - starts[1])
    needed = beyond / np.maximum(np.where(outcome < 0, *gaps), 1e-9)
    return float(np.clip(np.quantile(needed, wanted), 0.5, 2.0))


def widened(bands: Floats, widening: Floats, task: Task) -> Floats:
    """(n, h, q) with every gap multiplied by its factor, the median where it is."""
    _, placed = signs(bands.shape[2], task.median)
    centre = bands[:, :, task.median, None]
    return np.asarray(centre + (np.diff(bands, axis=2) * widening) @ placed, dtype=np.float32)


def _loss(mixed: Mixed, task: Task, rows: Ints) -> float:
    """Of some of the rows, in units of sigma·√h."""
    some = rows[:: max(1, len(rows) // _JUDGED_ROWS)]
    root = np.sqrt(np.array(task.horizons, dtype=np.float64))
    bands = mixed(task.samples.features[some]) / root[:, None]
    return float(pinball_loss(task.samples.scaled[some] / root, bands, task.quantiles).mean())


def _answers(graph: bytes, windows: Floats) -> Floats:
    runtime = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return np.asarray(runtime.run(None, {"windows": windows})[0])


def _pass(one: Pass, recipe: Recipe, units: int, stride: int) -> Pass:
    return replace(
        one,
        hidden=(units,),
        stride=stride,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        dropout=recipe.dropout,
    )
