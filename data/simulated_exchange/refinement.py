"""Refinement: a candle drawn as the finer candles that add up to it exactly, in whole ticks, lots and trades."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.simulated_exchange.hashing import Floats, Keys, keys_at, normal, uniform

Integers = NDArray[np.int64]

_BRIDGE_SHARE = 0.6
"""Standard deviation of a bridge over its range: 1 / (2 sqrt(ln 2)), Parkinson (1980)."""


def refine(parents: Integers, keys: Keys, count: int, quote_factor: float | Floats = 1.0) -> Integers:
    """Splits candles into `count` children each.

    `parents` (9, n) and the answer (9, n, count) hold open, high, low, close in ticks, volume in lots, quote volume in
    quote units, trades, taker volume, taker quote volume. `keys` (n,) decide the noise. `quote_factor`: quote units of
    one lot per tick of price. A child without trades is flat; volume is never below the number of trades.
    """
    opens, highs, lows, closes, volume, quote, trades, taker, taker_quote = parents
    cells, slow = keys_at(keys[:, None], np.arange(count)), np.arange(count) // 6
    activity = np.exp(0.55 * normal(keys_at(cells, 1)) + 0.45 * normal(keys_at(keys[:, None], 2, slow)))
    child_trades = split(trades, activity, uniform(keys_at(keys, 3)))
    activity = activity * (child_trades > 0)
    prices = _prices((opens, highs, lows, closes), cells, _shares(activity))
    middle = (prices[1] + prices[2]) / 2.0
    factor = np.broadcast_to(np.asarray(quote_factor, dtype=np.float64), volume.shape)
    target = quote / np.maximum(volume * factor, 1e-12)
    weights = _tilted(activity, middle, target)
    child_volume = child_trades + split(volume - trades, weights, uniform(keys_at(keys, 4)))
    child_quote = _quotes(child_volume, prices, middle, quote, factor)
    leaning = child_volume * (0.75 + 0.5 * uniform(keys_at(cells, 5)))
    child_taker = np.minimum(split(taker, leaning, uniform(keys_at(keys, 6))), child_volume)
    worth = child_taker * (child_quote / np.maximum(child_volume, 1))
    child_taker_quote = split(taker_quote, worth, np.full(len(keys), 0.5))
    return np.stack([*prices, child_volume, child_quote, child_trades, child_taker, child_taker_quote])


def split(totals: Integers, weights: Floats, offsets: Floats) -> Integers:
    """Whole parts (n, k) of `totals` (n,) in proportion to `weights` (n, k); every row adds up exactly."""
    edges = np.cumsum(weights, axis=1)
    whole = edges[:, -1:]
    edges = np.divide(edges, whole, out=np.zeros_like(edges), where=whole > 0)
    edges = np.floor(totals[:, None] * edges + offsets[:, None]).astype(np.int64)
    edges[:, -1] = totals
    return np.diff(np.minimum(edges, totals[:, None]), axis=1, prepend=0)


def bridge_extremes(starts: Any, ends: Any, variances: Any, up: Floats, down: Floats) -> tuple[Floats, Floats]:
    """Highest and lowest point of Brownian bridges, from uniform numbers.

    P(max <= m) = 1 - exp(-2 (m - a)(m - b) / variance), solved for m (Karatzas and Shreve, 1991, 4.3.40).
    """
    middle, gap = (starts + ends) / 2.0, (ends - starts) ** 2
    high = middle + 0.5 * np.sqrt(gap - 2.0 * variances * np.log(up))
    low = middle - 0.5 * np.sqrt(gap - 2.0 * variances * np.log(down))
    return high, low


def _shares(weights: Floats) -> Floats:
    whole = weights.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(weights, whole, out=np.zeros_like(weights), where=whole > 0))


def _prices(parents: tuple[Integers, ...], cells: Keys, shares: Floats) -> list[Integers]:
    """A bridge from open to close whose excursions are stretched to touch the parent's high and low."""
    opens, highs, lows, closes = (column[:, None] for column in parents)
    spread = _BRIDGE_SHARE * (highs - lows)
    steps = spread * np.sqrt(shares) * normal(keys_at(cells, 7))
    steps += shares * (closes - opens - steps.sum(axis=1, keepdims=True))
    ends = opens + np.cumsum(steps, axis=1)
    starts = np.concatenate([opens, ends[:, :-1]], axis=1)
    up, down = uniform(keys_at(cells, 8)), uniform(keys_at(cells, 9))
    high, low = bridge_extremes(starts, ends, spread**2 * shares, up, down)
    ceiling, floor = np.maximum(opens, closes), np.minimum(opens, closes)
    rise = _stretch(highs - ceiling, high.max(axis=1, keepdims=True) - ceiling)
    fall = _stretch(floor - lows, floor - low.min(axis=1, keepdims=True))

    def stretched(path: NDArray[Any]) -> Integers:
        moved = path + np.maximum(path - ceiling, 0) * (rise - 1) - np.maximum(floor - path, 0) * (fall - 1)
        return np.asarray(np.clip(np.rint(moved).astype(np.int64), lows, highs))

    close = stretched(ends)
    close[:, -1:] = closes
    first = np.concatenate([opens, close[:, :-1]], axis=1)
    top = np.maximum(stretched(high), np.maximum(first, close))
    bottom = np.minimum(stretched(low), np.minimum(first, close))
    traded = shares > 0
    _touch(top, np.where(traded, high, -np.inf).argmax(axis=1), parents[1], traded)
    _touch(bottom, np.where(traded, low, np.inf).argmin(axis=1), parents[2], traded)
    return [first, top, bottom, close]


def _stretch(wanted: Integers, drawn: Floats) -> Floats:
    return np.divide(wanted, drawn, out=np.ones_like(drawn), where=drawn > 1e-9)


def _touch(column: Integers, where: NDArray[np.intp], value: Integers, traded: NDArray[np.bool_]) -> None:
    rows = np.flatnonzero(traded.any(axis=1))
    column[rows, where[rows]] = value[rows]


def _tilted(weights: Floats, middle: Floats, target: Floats) -> Floats:
    """Weights moved towards dearer or cheaper children until their mean price is `target` (n,)."""
    natural = _shares(weights)
    mean = (natural * middle).sum(axis=1, keepdims=True)
    wanted = target[:, None]
    side = natural * np.where(wanted > mean, middle > wanted, middle < wanted)
    pull = _shares(side)
    reach = (pull * middle).sum(axis=1, keepdims=True) - mean
    possible = pull.sum(axis=1, keepdims=True) > 0
    share = np.divide(wanted - mean, reach, out=np.zeros_like(mean), where=possible & (np.abs(reach) > 1e-9))
    share = np.clip(share, 0.0, 1.0)
    return np.asarray(natural * (1 - share) + pull * share)


def _quotes(volume: Integers, prices: list[Integers], middle: Floats, quote: Integers, factor: Floats) -> Integers:
    """Quote volumes that add up to the parent's, at mean prices inside each child's range."""
    scale = factor[:, None]
    worth = volume * middle * scale
    room = volume * (prices[1] - prices[2]) * (0.5 * scale)
    missing = quote[:, None] - worth.sum(axis=1, keepdims=True)
    whole = room.sum(axis=1, keepdims=True)
    share = np.divide(missing, whole, out=np.zeros_like(missing), where=whole > 0)
    return split(quote, worth + room * np.clip(share, -1.0, 1.0), np.full(len(quote), 0.5))
