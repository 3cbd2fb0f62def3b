"""Scale training: first how far prices will range, then the shape of the returns; a few small members, averaged.

Stage 1 learns the log of the coming candles' range (Parkinson 1980), of which every candle is a far better witness
than its return. Stage 2 sees the inputs and stage 1's answers and learns the quantiles. Both are one hidden layer or
two beside a linear skip. Some rows are shown without the other market, so that the model can do without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.keras_library import keras
from models.kinds import Task
from models.samples import Samples, recency
from models.scale_head import PER_KNOT, bent, interpolation, knots_of
from models.scale_inputs import CONTEXT
from models.scaling import fit_scaler
from utils.errors import InvalidInput

Floats = NDArray[np.float32]
Net = list[Floats]
"""Kernel and bias of each hidden layer, then the output's kernel, the linear skip's kernel, and the bias."""
CLIP = 4.0
_SMALL = 0.05
_FAR = 5.0
"""Stage 1's targets are cut so many deviations from their mean."""
_LARGEST_STEP = 5.0


@dataclass(frozen=True, slots=True)
class Pass:
    """How one net is fitted: sizes of its hidden layers, epochs over every `stride`-th row, AdamW's numbers."""

    hidden: tuple[int, ...]
    epochs: int
    stride: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    dropout: float


RANGE_PASS = Pass((64, 64), 4, 2, 2048, 2e-3, 1e-3, 0.1)
NARROW, WIDE = Pass((32,), 5, 3, 4096, 3e-3, 0.1, 0.3), Pass((128,), 3, 1, 4096, 3e-3, 0.1, 0.3)
_WARM_UP = 0.2


@dataclass(frozen=True, slots=True)
class Plan:
    """`hidden_share`: part of the rows that do not see the other market. `noise`: added to every input of stage 2, in
    its standard deviations."""

    members: tuple[Pass, ...] = (NARROW, WIDE, NARROW, WIDE)
    """Of one hidden layer each."""
    ranges: Pass = RANGE_PASS
    half_life_days: float = 1095.0
    hidden_share: float = 0.15
    noise: float = 0.25
    seed: int = 7


@dataclass(frozen=True, slots=True)
class Fitted:
    """Everything the graph is laid out from. `gate` (f,): 1 where an input is the other market's."""

    mean: Floats
    std: Floats
    gate: Floats
    ranges: Net
    members: tuple[Net, ...]
    naive: Floats
    horizons: tuple[int, ...]
    knots: tuple[int, ...]
    median: int


OnMember = Callable[[int, float, Fitted], None]
"""Hears of each member: its number, its last training loss, and what is fitted so far."""


def fit_scale(task: Task, plan: Plan, on_member: OnMember = lambda number, loss, fitted: None) -> Fitted:
    """Same task, plan and machine: same weights."""
    mean, std = (one.astype(np.float32) for one in fit_scaler(task.samples.features, task.train))
    gate = np.array([name in CONTEXT for name in task.features], dtype=np.float32)
    rows = task.train
    inputs = standardised(task.samples.features[rows], mean, std, gate)
    newer = recency(task.samples.open_time_ms[rows], plan.half_life_days)
    knots = knots_of(task.horizons)
    places = [task.horizons.index(one) for one in knots]
    ranges = _fit_ranges(task, plan, inputs, gate, newer, knots)
    seen, unseen = (answers(ranges, one) for one in (inputs, inputs * (1.0 - gate)))
    weights = row_weights(task, plan.half_life_days)
    targets = task.samples.scaled[rows][:, places].astype(np.float32)
    pinball = _pinball(task, knots, task.naive[places])
    columns = [inputs, seen, unseen, targets, weights]
    fitted = Fitted(mean, std, gate, ranges, (), task.naive, task.horizons, knots, task.median)
    for number, one in enumerate(plan.members):
        seed = plan.seed + number
        start = _start(inputs.shape[1] + len(knots), one.hidden, PER_KNOT * len(knots), seed)
        net, last = _descend(start, one, columns, _shape_loss(gate, plan, one.dropout, pinball), seed)
        fitted = replace(fitted, members=(*fitted.members, net))
        on_member(number, last, fitted)
    return fitted


def forecast(fitted: Fitted, features: Floats, chunk: int = 16_384) -> Floats:
    """Raw rows (n, f) → (n, h, q) in units of sigma: what the graph must answer, by the functions that were trained."""
    weights = interpolation(fitted.knots, fitted.horizons)
    found = [np.empty((0, *fitted.naive.shape), dtype=np.float32)]
    for start in range(0, len(features), chunk):
        inputs = standardised(features[start : start + chunk], fitted.mean, fitted.std, fitted.gate)
        joined = np.concatenate([inputs, answers(fitted.ranges, inputs)], axis=1)
        each = [
            bent(answers(net, joined), fitted.naive, fitted.horizons, weights, fitted.median) for net in fitted.members
        ]
        found.append(np.asarray(np.mean(each, axis=0), dtype=np.float32))
    return np.concatenate(found)


def standardised(features: Floats, mean: Floats, std: Floats, gate: Floats) -> Floats:
    """(n, f) as the nets see them: the other market's are 0, their mean, where its first input says it is unknown."""
    scaled: Floats = np.clip((features - mean) / std, -CLIP, CLIP)
    if gate.any():
        known = features[:, np.argmax(gate)][:, None]
        scaled *= 1.0 - gate + gate * known
    return scaled


def answers(net: Net, inputs: Floats, chunk: int = 32_768) -> Floats:
    """(n, outputs), in numpy."""
    found = []
    for start in range(0, len(inputs), chunk):
        part = inputs[start : start + chunk]
        hidden = part
        for kernel, bias in zip(net[:-3:2], net[1:-3:2], strict=True):
            hidden = _silu(hidden @ kernel + bias)
        found.append(hidden @ net[-3] + part @ net[-2] + net[-1])
    return np.concatenate(found).astype(np.float32)


def _silu(values: Floats) -> Floats:
    return np.asarray(values / (1.0 + np.exp(-values)), dtype=np.float32)


def _fit_ranges(
    task: Task,
    plan: Plan,
    inputs: Floats,
    gate: Floats,
    newer: NDArray[np.float64],
    knots: Sequence[int],
) -> Net:
    """Outputs are standardised: mean 0 and deviation 1 over the training rows. `newer` (n,): the weight of each row."""
    targets = coming_ranges(task.samples, knots, [task.horizons.index(one) for one in knots])[task.train]
    centre, spread = np.nanmean(targets, axis=0), np.nanstd(targets, axis=0)
    scaled = np.nan_to_num(np.clip((targets - centre) / np.where(spread > 0, spread, 1.0), -_FAR, _FAR))
    one = plan.ranges

    def loss(net: Sequence[Any], shown: Any, target: Any, weight: Any) -> Any:
        hidden = _hidden(shown, plan.hidden_share)
        error = tf.abs(_run(net, shown * (1.0 - hidden * gate), one.dropout) - target)
        return tf.reduce_mean(weight[:, None] * tf.where(error < 1.0, 0.5 * tf.square(error), error - 0.5))

    start = _start(inputs.shape[1], one.hidden, len(knots), plan.seed)
    columns = [inputs, scaled.astype(np.float32), (newer / newer.mean()).astype(np.float32)]
    return _descend(start, one, columns, loss, plan.seed)[0]


def coming_ranges(samples: Samples, horizons: Sequence[int], columns: Sequence[int]) -> NDArray[np.float64]:
    """(n, h) log of the volatility that the ranges of the next candles show, beside sigma; NaN past a market's end.

    Where the samples have no ranges, the log of the outcome's size stands in, of those columns of the returns.
    """
    if samples.range_variance is None:
        sizes = np.abs(samples.returns[:, list(columns)])
        return np.log(sizes / samples.sigma[:, None] + _SMALL)
    total = np.concatenate([[0.0], np.cumsum(samples.range_variance)])
    found = np.full((len(samples.sigma), len(horizons)), np.nan)
    for column, horizon in enumerate(horizons):
        mean = (total[horizon + 1 :] - total[1 : len(total) - horizon]) / horizon
        same = samples.market[horizon:] == samples.market[: len(mean)]
        found[: len(mean), column] = np.where(same, mean, np.nan)
    return np.asarray(0.5 * np.log(np.maximum(found, _SMALL**4)) - np.log(samples.sigma)[:, None])


def _shape_loss(gate: Floats, plan: Plan, dropout: float, pinball: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """Of rows with stage 1's answers, with and without the other market."""

    def loss(net: Sequence[Any], shown: Any, seen: Any, unseen: Any, target: Any, weight: Any) -> Any:
        hidden = _hidden(shown, plan.hidden_share)
        joined = tf.concat([shown * (1.0 - hidden * gate), hidden * unseen + (1.0 - hidden) * seen], axis=1)
        joined += plan.noise * tf.random.normal(tf.shape(joined))
        return tf.reduce_mean(weight * pinball(_run(net, joined, dropout), target))

    return loss


def _pinball(task: Task, knots: Sequence[int], naive: Floats) -> Callable[[Any, Any], Any]:
    """Pinball loss at the knots, each divided by √h."""
    levels = tf.constant(task.quantiles, tf.float32)
    root = np.sqrt(np.array(knots, dtype=np.float32))[:, None]
    weights = np.eye(len(knots), dtype=np.float32)

    def loss(raw: Any, target: Any) -> Any:
        error = (target[:, :, None] - bent(raw, naive, knots, weights, task.median)) / root
        return tf.reduce_mean(tf.maximum(levels * error, (levels - 1.0) * error), axis=(1, 2))

    return loss


def _hidden(inputs: Any, share: float) -> Any:
    """(b, 1): 1 for the rows that do not see the other market."""
    return tf.cast(tf.random.uniform((tf.shape(inputs)[0], 1)) < share, tf.float32)


def _start(inputs: int, hidden: Sequence[int], outputs: int, seed: int) -> Net:
    """Outputs start at 0: at the naive forecast."""
    random, net, width = np.random.default_rng(seed), [], inputs
    for size in hidden:
        net += [random.normal(0.0, width**-0.5, (width, size)), np.zeros(size)]
        width = size
    net += [np.zeros((width, outputs)), np.zeros((inputs, outputs)), np.zeros(outputs)]
    return [one.astype(np.float32) for one in net]


def _run(net: Sequence[Any], inputs: Any, dropout: float) -> Any:
    hidden = inputs
    for kernel, bias in zip(net[:-3:2], net[1:-3:2], strict=True):
        hidden = tf.nn.dropout(tf.nn.silu(tf.matmul(hidden, kernel) + bias), dropout)
    return tf.matmul(hidden, net[-3]) + tf.matmul(inputs, net[-2]) + net[-1]


def _descend(
    start: Net,
    one: Pass,
    columns: Sequence[Floats],
    loss: Callable[..., Any],
    seed: int,
) -> tuple[Net, float]:
    """The net and its last epoch's loss. AdamW (Loshchilov & Hutter 2019): the rate rises over the first fifth of the
    steps, then falls as a cosine. InvalidInput where the loss is no number."""
    keras.utils.set_random_seed(seed)
    count = len(columns[0]) // one.stride
    batch = min(one.batch_size, count)
    steps = count // batch
    total = steps * one.epochs
    warm = max(1, round(_WARM_UP * total))
    rate = keras.optimizers.schedules.CosineDecay(
        0.05 * one.learning_rate, max(1, total - warm), alpha=0.0, warmup_target=one.learning_rate, warmup_steps=warm
    )
    net = [tf.Variable(value) for value in start]
    optimizer = keras.optimizers.AdamW(rate, weight_decay=one.weight_decay, clipnorm=_LARGEST_STEP)
    optimizer.build(net)
    held = [tf.constant(column) for column in columns]

    @tf.function  # type: ignore[untyped-decorator]
    def epoch(order: Any) -> Any:
        summed = tf.constant(0.0)
        for step in tf.range(steps):
            rows = order[step * batch : (step + 1) * batch]
            with tf.GradientTape() as tape:
                value = loss(net, *(tf.gather(column, rows) for column in held))
            optimizer.apply_gradients(zip(tape.gradient(value, net), net, strict=True))
            summed += value
        return summed / tf.cast(steps, tf.float32)

    random, last = np.random.default_rng(seed), np.inf
    for _ in range(one.epochs):
        last = float(epoch(tf.constant(random.permutation(len(columns[0])), tf.int32)))
    if not np.isfinite(last):
        raise InvalidInput("the training diverged (its loss is not a number); try a lower --learning-rate")
    return [np.asarray(value) for value in net], last


def row_weights(task: Task, half_life_days: float) -> Floats:
    """(n,) of the training rows, 1 in the mean: the newer and the more volatile, the more."""
    rows = task.train
    weights = np.sqrt(task.samples.sigma[rows]) * recency(task.samples.open_time_ms[rows], half_life_days)
    return np.asarray(weights / weights.mean(), dtype=np.float32)
