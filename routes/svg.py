"""SVG drawn on the server: sparklines, and the candle chart that is there before, or without, any script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SPARK_WIDTH, SPARK_HEIGHT = 120, 28
CHART_WIDTH, CHART_HEIGHT = 1000, 400
_MARGIN = 2.0


@dataclass(frozen=True, slots=True)
class Sparkline:
    """A path in a box of SPARK_WIDTH × SPARK_HEIGHT, and where it ends."""

    path: str
    end_x: str
    end_y: str


@dataclass(frozen=True, slots=True)
class Band:
    """A fan's layer as a polygon's points."""

    name: str
    points: str


@dataclass(frozen=True, slots=True)
class CandleChart:
    """Path data in a box of CHART_WIDTH × CHART_HEIGHT; each kind of stroke is one path."""

    rising_wicks: str
    rising_bodies: str
    falling_wicks: str
    falling_bodies: str
    bands: tuple[Band, ...]
    median: str
    naive: str
    levels: tuple[tuple[str, float], ...]
    """(y in the box, price) of the grid lines."""


def sparkline(closes: Floats) -> Sparkline | None:
    """The last closes from left to right; None for fewer than two. `closes` has shape (n,)."""
    if len(closes) < 2:
        return None
    xs = np.linspace(_MARGIN, SPARK_WIDTH - _MARGIN, len(closes))
    ys = _to_y(closes, float(closes.min()), float(closes.max()), SPARK_HEIGHT)
    points = [f"{x:.1f} {y:.1f}" for x, y in zip(xs.tolist(), ys.tolist(), strict=True)]
    return Sparkline("M" + "L".join(points), f"{xs[-1]:.1f}", f"{ys[-1]:.1f}")


def candle_chart(
    slots: NDArray[np.int64],
    open_: Floats,
    high: Floats,
    low: Floats,
    close: Floats,
    fan: Floats | None = None,
    naive: Floats | None = None,
) -> CandleChart | None:
    """Candles at whole `slots` (a hole skips slots, so that it shows), the fan in the slots that follow.

    `fan` has shape (horizons, quantiles), lowest quantile first and an odd count of them; `naive` shape (horizons,).
    None where there is nothing to draw.
    """
    if not len(close):
        return None
    ahead = 0 if fan is None else len(fan)
    step = CHART_WIDTH / (int(slots[-1] - slots[0]) + 1 + ahead)
    bottom = float(min(low.min(), low.min() if fan is None else fan.min()))
    top = float(max(high.max(), high.max() if fan is None else fan.max()))
    ys = {name: _to_y(column, bottom, top, CHART_HEIGHT) for name, column in _named(open_, high, low, close)}
    xs = (slots - slots[0] + 0.5) * step
    rising = close >= open_
    bands, median, naive_path = _fan(fan, naive, float(close[-1]), float(xs[-1]), step, bottom, top)
    return CandleChart(
        rising_wicks=_wicks(xs, ys, rising),
        rising_bodies=_bodies(xs, ys, rising, step),
        falling_wicks=_wicks(xs, ys, ~rising),
        falling_bodies=_bodies(xs, ys, ~rising, step),
        bands=bands,
        median=median,
        naive=naive_path,
        levels=_levels(bottom, top),
    )


def _named(open_: Floats, high: Floats, low: Floats, close: Floats) -> Sequence[tuple[str, Floats]]:
    return (("open", open_), ("high", high), ("low", low), ("close", close))


def _to_y(values: Floats, bottom: float, top: float, height: float) -> Floats:
    span = top - bottom
    if not span > 0:
        return np.full(len(values), height / 2)
    return _MARGIN + (top - values) / span * (height - 2 * _MARGIN)


def _wicks(xs: Any, ys: dict[str, Floats], chosen: NDArray[np.bool_]) -> str:
    rows = zip(xs[chosen].tolist(), ys["high"][chosen].tolist(), ys["low"][chosen].tolist(), strict=True)
    return "".join(f"M{x:.1f} {high:.1f}V{low:.1f}" for x, high, low in rows)


def _bodies(xs: Any, ys: dict[str, Floats], chosen: NDArray[np.bool_], step: float) -> str:
    half = 0.36 * step
    upper = np.minimum(ys["open"], ys["close"])[chosen]
    lower = np.maximum(ys["open"], ys["close"])[chosen]
    rows = zip(xs[chosen].tolist(), upper.tolist(), np.maximum(lower, upper + 0.6).tolist(), strict=True)
    return "".join(f"M{x - half:.1f} {a:.1f}H{x + half:.1f}V{b:.1f}H{x - half:.1f}Z" for x, a, b in rows)


def _fan(
    fan: Floats | None, naive: Floats | None, last: float, x: float, step: float, bottom: float, top: float
) -> tuple[tuple[Band, ...], str, str]:
    if fan is None:
        return (), "", ""
    xs = x + step * np.arange(len(fan) + 1)
    layers = [_to_y(np.concatenate(([last], column)), bottom, top, CHART_HEIGHT) for column in fan.T]
    middle = len(layers) // 2
    bands = tuple(Band(f"band-{index}", _polygon(xs, layers[index], layers[-1 - index])) for index in range(middle))
    naive_path = ""
    if naive is not None:
        naive_path = _line(xs, _to_y(np.concatenate(([last], naive)), bottom, top, CHART_HEIGHT))
    return bands, _line(xs, layers[middle]), naive_path


def _polygon(xs: Any, low: Any, high: Any) -> str:
    there = [f"{a:.1f},{b:.1f}" for a, b in zip(xs.tolist(), high.tolist(), strict=True)]
    back = [f"{a:.1f},{b:.1f}" for a, b in zip(xs[::-1].tolist(), low[::-1].tolist(), strict=True)]
    return " ".join(there + back)


def _line(xs: Any, ys: Any) -> str:
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(xs.tolist(), ys.tolist(), strict=True))


def _levels(bottom: float, top: float) -> tuple[tuple[str, float], ...]:
    """Four or five round prices."""
    span = top - bottom
    if not span > 0:
        return ()
    rough = span / 4
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.7)
    first = np.ceil(bottom / step) * step
    prices = np.arange(first, top, step)
    ys = _to_y(prices, bottom, top, CHART_HEIGHT)
    return tuple((f"{y:.1f}", float(level)) for y, level in zip(ys.tolist(), prices.tolist(), strict=True))
