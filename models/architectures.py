"""The networks, in Keras: what each looks like. Every one ends in the same head, whose zero is the naive forecast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.keras_library import keras, layers, ops
from models.spec import Kind

CLIP = 6.0
"""Scaled features beyond this many standard deviations are cut: a crash must not push the net where it never was."""
SPREAD = 1.5
"""Bound of the log of each gap's stretch: bands are at most e^1.5 = 4.5 times the naive ones, at least 1/4.5."""


@dataclass(frozen=True, slots=True)
class Head:
    """What the last layer needs: horizons (h,), the naive quantiles (h, q) in sigma, and the index of the median."""

    horizons: tuple[int, ...]
    baseline: NDArray[np.float32]
    median: int

    @property
    def width(self) -> int:
        """Raw numbers per forecast: per horizon a shift, a common stretch, and one stretch per gap."""
        return len(self.horizons) * (1 + int(self.baseline.shape[1]))


@keras.saving.register_keras_serializable("models")
class Scale(layers.Layer):  # type: ignore[misc]  # keras is untyped
    """(x − mean) / std, cut at ±CLIP: fitted on the training window, folded into the graph."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], **options: Any) -> None:
        super().__init__(**options)
        self.mean, self.std = list(mean), list(std)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mean": self.mean, "std": self.std}

    def call(self, inputs: Any) -> Any:
        mean, inverse = np.array(self.mean, np.float32), np.float32(1.0) / np.array(self.std, np.float32)
        return ops.clip((inputs - mean) * inverse, -CLIP, CLIP)


@keras.saving.register_keras_serializable("models")
class QuantileHead(layers.Layer):  # type: ignore[misc]  # keras is untyped
    """Raw numbers (b, h·(1+q)) → quantiles (b, h, q) in sigma, which cannot cross; zeros give the naive ones.

    Each gap between neighbouring naive quantiles is multiplied by a positive stretch and laid outwards from the
    median, which is the naive one shifted in units of sigma·√h.
    """

    def __init__(
        self, horizons: Sequence[int], baseline: Sequence[Sequence[float]], median: int, **options: Any
    ) -> None:
        super().__init__(**options)
        self.head = Head(tuple(horizons), np.array(baseline, np.float32), median)

    def get_config(self) -> dict[str, Any]:
        head = self.head
        own = {"horizons": list(head.horizons), "baseline": head.baseline.tolist(), "median": head.median}
        return {**super().get_config(), **own}

    def call(self, inputs: Any) -> Any:
        head = self.head
        gaps = np.diff(head.baseline, axis=1).astype(np.float32)
        raw = ops.reshape(inputs, (-1, len(head.horizons), 1 + head.baseline.shape[1]))
        root = np.sqrt(np.array(head.horizons, np.float32))[:, None]
        centre = head.baseline[:, head.median : head.median + 1] + root * raw[:, :, :1]
        stretch = ops.exp(SPREAD * ops.tanh((raw[:, :, 1:2] + raw[:, :, 2:]) / SPREAD))
        steps = gaps * stretch
        return centre + ops.matmul(steps, placement(head))


def placement(head: Head) -> NDArray[np.float32]:
    """(gaps, q): which gaps lie between the median and each quantile, signed by the side they are on."""
    count = head.baseline.shape[1]
    matrix = np.zeros((count - 1, count), dtype=np.float32)
    for column in range(count):
        low, high = sorted((head.median, column))
        matrix[low:high, column] = 1.0 if column > head.median else -1.0
    return matrix


def build(
    kind: Kind, window: int, mean: Sequence[float], std: Sequence[float], head: Head, units: int, dropout: float
) -> keras.Model:
    """(b, window, features) raw float32 → (b, h, q) in sigma. The last layer starts at zero: at the naive forecast."""
    inputs = keras.Input((window, len(mean)), name="windows")
    body = _BODIES[kind](Scale(mean, std, name="scale")(inputs), units, dropout)
    raw = layers.Dense(head.width, kernel_initializer="zeros", name="raw")(body)
    quantiles = QuantileHead(head.horizons, head.baseline.tolist(), head.median, name="quantiles")
    return keras.Model(inputs, quantiles(raw))


TCN_KERNEL = 4
CNN_KERNEL = 4
TRANSFORMER_BLOCKS = 2
EPSILON = 1e-3
"""Of layer normalisation: large enough that single precision cannot blow up a candle without contrast."""


def tcn_layers(window: int) -> int:
    """How many layers of kernel 4 and dilations 1, 4, 16… see exactly the window."""
    count, reach = 0, 1
    while reach < window:
        count, reach = count + 1, reach * TCN_KERNEL
    if reach != window:
        raise ValueError(f"a TCN's window must be a power of {TCN_KERNEL}, such as 16, 64 or 256; {window} was given")
    return count


def _tcn(scaled: Any, units: int, dropout: float) -> Any:
    """A causal dilated convolution net read at its last step.

    Only the positions which the last step depends on are computed, so a dilation of 4ⁿ becomes a stride of 4: the same
    numbers for a fraction of the work (van den Oord et al. 2016; the residual is Bai et al. 2018).
    """
    current = scaled
    for depth in range(tcn_layers(scaled.shape[1])):
        convolved = layers.Conv1D(units, TCN_KERNEL, strides=TCN_KERNEL, name=f"conv{depth}")(current)
        convolved = layers.Activation("relu", name=f"relu{depth}")(convolved)
        if depth:
            convolved = layers.Add(name=f"add{depth}")([convolved, current[:, TCN_KERNEL - 1 :: TCN_KERNEL, :]])
        current = layers.Dropout(dropout, name=f"drop{depth}")(convolved)
    newest = scaled[:, -1, :]
    joined = layers.Concatenate(name="joined")([layers.Flatten(name="last")(current), newest])
    return _dense(joined, units, dropout)


def _lstm(scaled: Any, units: int, dropout: float) -> Any:
    """One LSTM (Hochreiter & Schmidhuber 1997) read at its last step."""
    last = layers.LSTM(units, name="lstm")(scaled)
    joined = layers.Concatenate(name="joined")([last, scaled[:, -1, :]])
    return _dense(joined, units, dropout)


def _gru(scaled: Any, units: int, dropout: float) -> Any:
    """One GRU (Cho et al. 2014; the reset gate after the product, as cuDNN has it) read at its last step."""
    last = layers.GRU(units, reset_after=True, name="gru")(scaled)
    joined = layers.Concatenate(name="joined")([last, scaled[:, -1, :]])
    return _dense(joined, units, dropout)


def _cnn_lstm(scaled: Any, units: int, dropout: float) -> Any:
    """Candles condensed four by four by a convolution, and an LSTM over what comes of it (Shi et al. 2015)."""
    condensed = layers.Conv1D(units, CNN_KERNEL, strides=CNN_KERNEL, name="conv")(scaled)
    condensed = layers.Activation("relu", name="conv_relu")(condensed)
    last = layers.LSTM(units, name="lstm")(layers.Dropout(dropout, name="conv_drop")(condensed))
    joined = layers.Concatenate(name="joined")([last, scaled[:, -1, :]])
    return _dense(joined, units, dropout)


def _transformer(scaled: Any, units: int, dropout: float) -> Any:
    """Encoder blocks, normalised before each part (Vaswani et al. 2017; Xiong et al. 2020), read at the last candle.

    Only that candle asks in the last block: what the others would ask there is never read.
    """
    steps, heads = scaled.shape[1], attention_heads(units)
    current = Place(name="place")(layers.Dense(units, name="embed")(scaled))
    for depth in range(TRANSFORMER_BLOCKS):
        normal = layers.LayerNormalization(epsilon=EPSILON, name=f"normal{depth}")(current)
        last = depth == TRANSFORMER_BLOCKS - 1
        asking, kept = (normal[:, steps - 1 :, :], current[:, steps - 1 :, :]) if last else (normal, current)
        attention = layers.MultiHeadAttention(heads, units // heads, name=f"attention{depth}")
        current = layers.Add(name=f"add{depth}")([kept, attention(asking, normal)])
        inner = layers.LayerNormalization(epsilon=EPSILON, name=f"inner{depth}")(current)
        inner = layers.Dense(2 * units, activation="relu", name=f"wide{depth}")(inner)
        inner = layers.Dropout(dropout, name=f"wide_drop{depth}")(inner)
        current = layers.Add(name=f"sum{depth}")([current, layers.Dense(units, name=f"narrow{depth}")(inner)])
    joined = layers.Concatenate(name="joined")([layers.Flatten(name="last")(current), scaled[:, -1, :]])
    return _dense(joined, units, dropout)


@keras.saving.register_keras_serializable("models")
class Place(layers.Layer):  # type: ignore[misc]  # keras is untyped
    """Adds a learned vector to each place of the window, so that attention knows before from after."""

    def build(self, shape: Any) -> None:
        self.place = self.add_weight(shape=tuple(shape[1:]), initializer="uniform", name="place")

    def call(self, inputs: Any) -> Any:
        return inputs + self.place


def attention_heads(units: int) -> int:
    """As many as divide the units, at most four, of two numbers each or more.

    With heads of a single number, as many as the window has candles, Keras 3.15 mixes the two up.
    """
    return next((heads for heads in (4, 3, 2) if units % heads == 0 and units > heads), 1)


def _dense(joined: Any, units: int, dropout: float) -> Any:
    hidden = layers.Dense(2 * units, activation="relu", name="hidden")(joined)
    return layers.Dropout(dropout, name="drop")(hidden)


_BODIES: dict[Kind, Callable[[Any, int, float], Any]] = {
    Kind.TCN: _tcn,
    Kind.LSTM: _lstm,
    Kind.GRU: _gru,
    Kind.CNN_LSTM: _cnn_lstm,
    Kind.TRANSFORMER: _transformer,
}
