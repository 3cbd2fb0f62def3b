"""Kinds fitted by numpy alone, behind the common face: ridge regression and the statistical forecasts.

Each is a middle, a log width and a shape per horizon (models.laid); they differ in what middle and width are:

    random walk           middle 0, width 0: the naive forecast itself
    drift                 middle h times the mean return of the last 168 candles, width 0
    same hour yesterday   middle the return of the same h candles as many whole days before as h needs, width 0
    seasonal volatility   log width linear in waves of the day and the week, by ridge regression
    ridge                 middle and log width linear in all inputs, by ridge regression (models.probe)

Shapes are quantiles of what is left on the training windows; nothing else is estimated, and nothing from elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.graph import Graph
from models.kinds import OnEpoch, Task, Trained, difference_of
from models.laid import laid, roots, shape_of
from models.naive_forecasts import DRIFT_CANDLES
from models.probe import CLIP, Probe, fit_probe
from models.recipe import Recipe
from models.samples import Ints, cut
from models.scoring import pinball_loss
from models.spec import Kind
from models.traits import DRIFT_INPUT, SEASONAL_INPUTS, YESTERDAY_INPUTS
from utils.errors import InvalidInput
from utils.model_utils import session_of

Floats = NDArray[np.float64]
Windows = NDArray[np.float32]
_DAY_MS = 86_400_000
_CHUNK = 16_384
_JUDGED = 20_000
"""Windows that the told losses rest on, at most."""
_FARTHEST = 5.0
"""Volatility of yesterday over today's, as a logarithm: no market goes farther in a day."""


def fit_random_walk(recipe: Recipe, task: Task, on_epoch: OnEpoch) -> Trained:
    return _fit_centre(_Centre(recipe.kind, np.zeros((0, 0)), ()), task.train, task, on_epoch)


def fit_drift(recipe: Recipe, task: Task, on_epoch: OnEpoch) -> Trained:
    """The input is the return of 168 candles over sigma·√168, so its share of one candle is that / √168."""
    columns = _columns(task, (DRIFT_INPUT,))
    share = roots(task.horizons)[None] / math.sqrt(DRIFT_CANDLES)
    return _fit_centre(_Centre(recipe.kind, share, columns), task.train[:: recipe.stride], task, on_epoch)


def fit_yesterday(recipe: Recipe, task: Task, on_epoch: OnEpoch) -> Trained:
    """Adds up returns of the window: each is an input times its candle's sigma, over the newest sigma."""
    columns = _columns(task, YESTERDAY_INPUTS)
    places = np.zeros((task.window, len(task.horizons)))
    day = candles_of_a_day(task)
    for column, horizon in enumerate(task.horizons):
        back = day * math.ceil(horizon / day)
        if back > task.window:
            raise InvalidInput(
                f"same-hour-yesterday at {task.interval} looks {back} candles back; give it --window {back} or longer"
            )
        start = task.window - back
        places[start : start + horizon, column] = 1.0 / math.sqrt(horizon)
    return _fit_centre(_Centre(recipe.kind, places, columns), task.train[:: recipe.stride], task, on_epoch)


def candles_of_a_day(task: Task) -> int:
    """InvalidInput where the interval does not divide a day."""
    if task.interval.ms > _DAY_MS:
        raise InvalidInput(f"a {task.interval} candle has no same hour yesterday; use intervals of at most 1d")
    return _DAY_MS // task.interval.ms


@dataclass(frozen=True, slots=True)
class _Centre:
    """How the middles of some windows follow from their inputs: none, one column times a row, or returns added up."""

    kind: Kind
    weights: Floats
    columns: tuple[int, ...]

    def middle(self, windows: Windows, horizons: int) -> Floats:
        """(n, w, f) → (n, h) in units of sigma·√h."""
        if not self.columns:
            return np.zeros((len(windows), horizons))
        picked = windows[:, :, list(self.columns)].astype(np.float64)
        if len(self.columns) == 1:
            return np.asarray(picked[:, -1] @ self.weights)
        returns = picked[:, :, 0] * np.exp(np.clip(picked[:, :, 1] - picked[:, -1:, 1], -_FARTHEST, _FARTHEST))
        return np.asarray(returns @ self.weights)

    def lay(self, graph: Graph, horizons: int) -> str:
        if not self.columns:
            newest = graph.at("first_input", graph.last_step("newest", "windows"), 1, 0)
            column = graph.reshape("one_input", newest, [-1, 1])
            return graph.add("Mul", "middle", column, graph.constant("nothing", np.zeros((1, horizons))))
        first = graph.at("first_input", "windows", 2, self.columns[0])
        weights = graph.constant("weights", self.weights)
        if len(self.columns) == 1:
            newest = graph.slice("newest", first, 1, -1, 2**31)
            return graph.add("MatMul", "middle", newest, weights)
        logs = graph.at("second_input", "windows", 2, self.columns[1])
        beside = graph.add("Sub", "logs", logs, graph.slice("newest", logs, 1, -1, 2**31))
        ratio = graph.add("Exp", "ratio", graph.within("near", beside, -_FARTHEST, _FARTHEST))
        return graph.add("MatMul", "middle", graph.add("Mul", "returns", first, ratio), weights)


def _fit_centre(centre: _Centre, train: Ints, task: Task, on_epoch: OnEpoch) -> Trained:
    """The middle is given; the shape is that of its errors on the training windows."""
    outcome = task.samples.scaled[train] / roots(task.horizons)
    middle = _over(task, train, lambda windows: centre.middle(windows, len(task.horizons)))
    shape = shape_of(outcome, middle, np.zeros_like(middle), task.quantiles)

    def answer(windows: Windows) -> Floats:
        moved = centre.middle(windows, len(task.horizons))
        return laid(moved, np.zeros_like(moved), shape, task.horizons)

    graph = Graph()
    graph.laid(centre.lay(graph, len(task.horizons)), None, shape, task.horizons)
    content = graph.finished(str(centre.kind), task.window, task.samples.features.shape[1], shape.shape)
    return _trained(task, on_epoch, content, answer, shape.size, scaler="none: inputs are in units of sigma")


def fit_seasonal(recipe: Recipe, task: Task, on_epoch: OnEpoch) -> Trained:
    columns = _columns(task, SEASONAL_INPUTS)
    waves = replace(task.samples, features=task.samples.features[:, list(columns)])
    train = task.train[:: recipe.stride]
    probe = fit_probe(waves, train, task.validation, task.horizons, task.quantiles, still=True)
    return _fit_lines(recipe.kind, probe, columns, task, on_epoch)


def fit_ridge(recipe: Recipe, task: Task, on_epoch: OnEpoch) -> Trained:
    train = task.train[:: recipe.stride]
    probe = fit_probe(task.samples, train, task.validation, task.horizons, task.quantiles)
    return _fit_lines(recipe.kind, probe, tuple(range(task.samples.features.shape[1])), task, on_epoch)


def _fit_lines(kind: Kind, probe: Probe, columns: tuple[int, ...], task: Task, on_epoch: OnEpoch) -> Trained:
    def answer(windows: Windows) -> Floats:
        return probe.at(windows[:, -1, list(columns)])

    graph = Graph()
    newest = graph.last_step("newest", "windows")
    picked = graph.add("Gather", "picked", newest, graph.ints("picked_columns", list(columns)), axis=1)
    scaled = graph.standardised(picked, probe.mean, probe.std, CLIP)
    middle, width = (
        graph.within(name, graph.affine(f"{name}_line", scaled, line[:-1], line[-1]), low, high)
        for name, line, (low, high) in zip(("middle", "log_width"), probe.lines, probe.reach, strict=True)
    )
    graph.laid(middle, width, probe.shape, task.horizons)
    content = graph.finished(str(kind), task.window, task.samples.features.shape[1], probe.shape.shape)
    count = probe.middle.size + probe.width.size + probe.shape.size
    scaler = "mean and standard deviation of the training windows' last rows, inside the graph"
    return _trained(task, on_epoch, content, answer, count, scaler)


def _trained(
    task: Task, on_epoch: OnEpoch, graph: bytes, answer: Callable[[Windows], Floats], parameters: int, scaler: str
) -> Trained:
    train_loss, validation_loss = (_loss(task, ends, answer) for ends in (task.train, task.validation))
    on_epoch(0, train_loss, validation_loss)
    windows = task.parity_windows()
    difference = difference_of(session_of(graph, "graph").run(windows), answer(windows))
    return Trained(graph, difference, parameters, (train_loss,), (validation_loss,), 0, {}, scaler, ())


def _loss(task: Task, ends: Ints, answer: Callable[[Windows], Floats]) -> float:
    """Mean pinball loss in units of sigma·√h, as the networks tell theirs."""
    root, some = roots(task.horizons), ends[:: max(1, len(ends) // _JUDGED)]
    forecast = _over(task, some, answer) / root[:, None]
    return float(pinball_loss(task.samples.scaled[some] / root, forecast, task.quantiles).mean())


def _over(task: Task, ends: Ints, ask: Callable[[Windows], Floats]) -> Floats:
    """In chunks: windows are never all there at once."""
    parts = [
        ask(cut(task.samples.features, ends[start : start + _CHUNK], task.window))
        for start in range(0, len(ends), _CHUNK)
    ]
    return np.concatenate(parts)


def _columns(task: Task, names: tuple[str, ...]) -> tuple[int, ...]:
    missing = [name for name in names if name not in task.features]
    if missing:
        raise InvalidInput(
            f"this kind reads the inputs {', '.join(names)}; {', '.join(missing)} is not among those given"
        )
    return tuple(task.features.index(name) for name in names)


PLAIN: Mapping[Kind, Callable[[Recipe, Task, OnEpoch], Trained]] = {
    Kind.RANDOM_WALK: fit_random_walk,
    Kind.DRIFT: fit_drift,
    Kind.YESTERDAY: fit_yesterday,
    Kind.SEASONAL: fit_seasonal,
    Kind.RIDGE: fit_ridge,
}
