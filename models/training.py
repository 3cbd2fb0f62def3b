"""Training: fits a network to pooled samples with the pinball loss, in units of sigma·√h."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.architectures import Head, build
from models.keras_library import keras
from models.kinds import OnEpoch, Task
from models.recipe import Recipe
from models.samples import Ints, Samples, recency
from models.scaling import fit_scaler
from utils.errors import InvalidInput

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained network with its curve: per epoch the training and the validation loss."""

    model: keras.Model
    train_loss: tuple[float, ...]
    validation_loss: tuple[float, ...]
    best_epoch: int


def fit(recipe: Recipe, task: Task, head: Head, on_epoch: OnEpoch) -> Fitted:
    """Same recipe, same data, same machine: same weights. The weights of the best validation epoch are kept."""
    samples, train, validation = task.samples, task.train, task.validation
    keras.utils.set_random_seed(recipe.seed)
    tf.config.experimental.enable_op_determinism()
    mean, std = fit_scaler(samples.features, train)
    model = build(recipe.kind, recipe.window, mean.tolist(), std.tolist(), head, recipe.units, recipe.dropout)
    steps = max(1, len(train) // recipe.stride // recipe.batch_size) * recipe.epochs
    schedule = keras.optimizers.schedules.CosineDecay(recipe.learning_rate, steps, alpha=0.05)
    model.compile(optimizer=keras.optimizers.AdamW(schedule, weight_decay=1e-4), loss=pinball(head, task.quantiles))
    model.optimizer.build(model.trainable_variables)  # else the first step makes its state, and is traced twice
    best = keras.callbacks.EarlyStopping(
        monitor="val_loss", patience=recipe.patience, restore_best_weights=True, start_from_epoch=0
    )
    report = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: on_epoch(epoch, logs["loss"], logs["val_loss"])
    )
    feed = _Feed(samples, recipe, head)
    history = model.fit(
        feed.training(train),
        validation_data=feed.plain(validation),
        epochs=recipe.epochs,
        callbacks=[best, report],
        shuffle=False,  # the feed shuffles
        verbose=0,
    ).history
    losses = tuple(float(loss) for loss in history["val_loss"])
    if not np.all(np.isfinite(losses)):
        raise InvalidInput("the training diverged (its loss is not a number); try a lower --learning-rate")
    return Fitted(model, tuple(float(loss) for loss in history["loss"]), losses, int(np.argmin(losses)))


def pinball(head: Head, quantiles: Sequence[float]) -> Callable[[Any, Any], Any]:
    """Pinball loss of sigma-scaled outcomes (b, h) against quantiles (b, h, q), each horizon divided by √h."""
    levels = tf.constant(quantiles, tf.float32)
    root = tf.sqrt(tf.constant(head.horizons, tf.float32))[:, None]

    def loss(realised: Any, forecast: Any) -> Any:
        error = (realised[:, :, None] - forecast) / root
        return tf.reduce_mean(tf.maximum(levels * error, (levels - 1.0) * error), axis=(1, 2))

    return loss


class _Feed:
    """Cuts windows inside TensorFlow, batch by batch, out of one copy of the features."""

    def __init__(self, samples: Samples, recipe: Recipe, head: Head) -> None:
        self._features = tf.constant(samples.features)
        self._targets = tf.constant(samples.scaled.astype(np.float32))
        self._offsets = tf.range(1 - recipe.window, 1, dtype=tf.int64)
        self._recipe = recipe
        self._weights = tf.constant(recency(samples.open_time_ms, recipe.half_life_days).astype(np.float32))

    def training(self, ends: Ints) -> Any:
        recipe = self._recipe
        count = max(1, len(ends) // recipe.stride)
        every = tf.data.Dataset.from_tensor_slices(ends).shuffle(len(ends), recipe.seed).take(count)
        return every.batch(recipe.batch_size, drop_remainder=count >= recipe.batch_size).map(self._cut).prefetch(2)

    def plain(self, ends: Ints) -> Any:
        return tf.data.Dataset.from_tensor_slices(ends).batch(4 * self._recipe.batch_size).map(self._cut_unweighted)

    def _cut(self, ends: Any) -> tuple[Any, Any, Any]:
        windows, targets = self._cut_unweighted(ends)
        return windows, targets, tf.gather(self._weights, ends)

    def _cut_unweighted(self, ends: Any) -> tuple[Any, Any]:
        return tf.gather(self._features, ends[:, None] + self._offsets), tf.gather(self._targets, ends)
