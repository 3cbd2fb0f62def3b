"""Synthetic market: hourly candles of correlated coins, drawn anywhere in time from a seed alone.

A log price is a common factor times beta plus the coin's own path, both of them multifractal (`paths.py`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np

from data.interval import Interval
from data.simulated_exchange.candle_series import Series, join
from data.simulated_exchange.hashing import Floats, Keys, keys_at, named_key, normal, uniform
from data.simulated_exchange.listings import MAX_SYMBOLS, Character, Listing, default_names, listings
from data.simulated_exchange.paths import END_DAY, FIRST_DAY, unit_paths
from data.simulated_exchange.refinement import Integers, bridge_extremes
from utils.errors import InvalidInput

_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000
_BLOCK_DAYS = 32
_KEPT_BLOCKS = 1_500
_AT_ONCE = 64
_COMMON_VOLATILITY = 0.022
"""Daily standard deviation of the factor all coins share."""
_MEAN_TRADE = 350.0
"""Quote volume of a usual trade."""


class SyntheticSource:
    """Hourly candles in whole ticks and lots; every finer or coarser interval is made from them."""

    def __init__(self, *, seed: int = 7, symbols: int | Sequence[str] = 20) -> None:
        """`symbols`: how many of the usual markets, or which ones by name."""
        count = symbols if isinstance(symbols, int) else len(symbols)
        if not 1 <= count <= MAX_SYMBOLS:
            raise InvalidInput(f"{count} synthetic symbols were asked for; 1 to {MAX_SYMBOLS} fit")
        self._seed = seed
        self._coins = listings(seed, default_names(symbols) if isinstance(symbols, int) else symbols)
        self.listings: dict[str, Listing] = {name: coin[0] for name, coin in self._coins.items()}
        self._blocks: OrderedDict[tuple[str, int], tuple[Floats, Floats] | Series] = OrderedDict()
        self._lock = Lock()

    def key(self, symbol: str) -> int:
        """What decides the noise of everything finer than an hour."""
        return named_key(self._seed, "inside", symbol)

    def end_ms(self) -> int | None:
        """There is always a next candle (until 2054)."""
        return None

    def coverage(self, symbol: str, interval: Interval) -> tuple[int, int] | None:
        """[first, end) of what this source has itself."""
        if interval is not Interval.H1:
            return None
        return self.listings[symbol].listed_ms, END_DAY * _DAY_MS

    def recorded(self, symbol: str, interval: Interval, start_ms: int, end_ms: int) -> Series:
        """Everything is recorded here."""
        return self.stored(symbol, interval, start_ms, end_ms)

    def stored(self, symbol: str, interval: Interval, start_ms: int, end_ms: int) -> Series:
        """Hourly rows with start <= open time < end."""
        first, end = self.coverage(symbol, interval) or (0, 0)
        start_ms, end_ms = max(start_ms, first), min(end_ms, end)
        if start_ms >= end_ms:
            return Series(np.empty(0, np.int64), np.empty((9, 0), np.int64))
        parts = self._candles(symbol, _block(start_ms), _block(end_ms - 1) + 1)
        return join(parts).between(start_ms, end_ms)

    def warm(self, symbols: Sequence[str], start_ms: int, end_ms: int) -> None:
        """Draws the hours of many markets at one go, which is far quicker than one after the other."""
        first, end = _block(start_ms), _block(end_ms - 1) + 1
        late = [name for name in symbols if any(self._kept((name, block)) is None for block in range(first, end))]
        for some in range(0, len(late), _AT_ONCE):
            self._draw(late[some : some + _AT_ONCE], first, end)

    def _candles(self, symbol: str, first: int, end: int) -> list[Series]:
        """Candles of blocks [first, end), those still missing drawn at one go."""
        kept = {block: self._kept((symbol, block)) for block in range(first, end)}
        missing = [block for block, series in kept.items() if series is None]
        if missing:
            kept.update(self._draw([symbol], missing[0], missing[-1] + 1))
        return [series for series in kept.values() if isinstance(series, Series)]

    def _draw(self, symbols: Sequence[str], first: int, end: int) -> dict[int, Series]:
        """Draws and keeps blocks [first, end) of each; the answer is the first one's."""
        coins = _columns([self._coins[name] for name in symbols])
        shared, shared_variance = self._common(first, end)
        own, own_variance = unit_paths(self._keys("path", symbols), _days(first, end))
        scale = coins.beta * _COMMON_VOLATILITY
        path = np.log(coins.price) + scale * shared + coins.own_volatility * own
        variance = scale**2 * shared_variance + coins.own_volatility**2 * own_variance
        times = (_first_day(first) * 24 + np.arange(variance.shape[1], dtype=np.int64)) * _HOUR_MS
        values = _hours(self._keys("hours", symbols), coins, times, path, variance)
        for index, name in enumerate(symbols):
            for block in range(first, end):
                hours = slice((block - first) * _BLOCK_DAYS * 24, (block - first + 1) * _BLOCK_DAYS * 24)
                part = values[:, index, hours].copy()
                part.flags.writeable = False
                self._keep((name, block), Series(times[hours], part))
        return {
            block: series
            for block in range(first, end)
            if isinstance(series := self._kept((symbols[0], block)), Series)
        }

    def _keys(self, purpose: str, names: Sequence[str]) -> Keys:
        return np.array([named_key(self._seed, purpose, name) for name in names], dtype=np.uint64)

    def _common(self, first: int, end: int) -> tuple[Floats, Floats]:
        """The path all coins share, over blocks [first, end)."""
        kept = self._kept((f"common to {end}", first))
        if isinstance(kept, tuple):
            return kept
        made = unit_paths(self._keys("path", ["common"]), _days(first, end))
        self._keep((f"common to {end}", first), made)
        return made

    def _kept(self, key: tuple[str, int]) -> tuple[Floats, Floats] | Series | None:
        with self._lock:
            found = self._blocks.get(key)
            if found is not None:
                self._blocks.move_to_end(key)
            return found

    def _keep(self, key: tuple[str, int], value: tuple[Floats, Floats] | Series) -> None:
        with self._lock:
            self._blocks[key] = value
            while len(self._blocks) > _KEPT_BLOCKS:
                self._blocks.popitem(last=False)


@dataclass(frozen=True, slots=True)
class _Columns:
    """Coins side by side, every column of shape (s, 1)."""

    price: Floats
    beta: Floats
    own_volatility: Floats
    turnover: Floats
    ticks_per_unit: Floats
    quote_unit: Floats


def _columns(coins: Sequence[tuple[Listing, Character]]) -> _Columns:
    rows = [
        (
            coin.price,
            coin.beta,
            coin.own_volatility,
            coin.turnover,
            1e8 / listing.tick_e8,
            listing.units.quote_e8 * 1e-8,
        )
        for listing, coin in coins
    ]
    return _Columns(*np.array(rows, dtype=np.float64).T[:, :, None])


def _block(at_ms: int) -> int:
    return (at_ms // _DAY_MS - FIRST_DAY) // _BLOCK_DAYS


def _first_day(block: int) -> int:
    return FIRST_DAY + block * _BLOCK_DAYS


def _days(first: int, end: int) -> Integers:
    """Days of blocks [first, end), counted from the first the cascade has."""
    return np.arange(first * _BLOCK_DAYS, end * _BLOCK_DAYS, dtype=np.int64)


def _hours(keys: Keys, coins: _Columns, opens_ms: Integers, path: Floats, variance: Floats) -> Integers:
    """Candles (9, s, n) from log paths at the hours' edges (s, n + 1) and the variance inside each hour (s, n)."""
    cells = keys_at(keys[:, None], opens_ms // _HOUR_MS)
    starts, ends = path[:, :-1], path[:, 1:]
    high, low = bridge_extremes(starts, ends, variance, uniform(keys_at(cells, 1)), uniform(keys_at(cells, 2)))
    edges = _ticks(path, coins)
    opens, closes = edges[:, :-1], edges[:, 1:]
    highs = np.maximum(_ticks(high, coins), np.maximum(opens, closes))
    lows = np.minimum(_ticks(low, coins), np.minimum(opens, closes))
    usual = (coins.beta * _COMMON_VOLATILITY) ** 2 + coins.own_volatility**2
    turnover = coins.turnover * np.power(variance * 24 / usual, 0.6) * np.exp(0.3 * normal(keys_at(cells, 3)))
    trades = np.maximum(turnover / _MEAN_TRADE * np.exp(0.15 * normal(keys_at(cells, 4))), 4).astype(np.int64)
    place = np.clip(0.5 * _place(opens, highs, lows) + 0.5 * _place(closes, highs, lows), 0.2, 0.8)
    mean = lows + place * (highs - lows)
    volume = np.maximum((turnover / (mean * coins.quote_unit)).astype(np.int64), 2 * trades)
    quote = np.rint(volume * mean).astype(np.int64)
    push = np.tanh((ends - starts) / np.sqrt(variance))
    taker_share = np.clip(0.5 + 0.05 * push + 0.02 * normal(keys_at(cells, 5)), 0.35, 0.65)
    taker, taker_quote = (volume * taker_share).astype(np.int64), (quote * taker_share).astype(np.int64)
    return np.stack([opens, highs, lows, closes, volume, quote, trades, taker, taker_quote])


def _ticks(path: Floats, coins: _Columns) -> Integers:
    return np.maximum(np.rint(np.exp(path) * coins.ticks_per_unit), 1).astype(np.int64)


def _place(price: Integers, highs: Integers, lows: Integers) -> Floats:
    """Where in its candle's range a price lies, 0 to 1."""
    spread = (highs - lows).astype(np.float64)
    return np.asarray(np.divide(price - lows, spread, out=np.full(price.shape, 0.5), where=spread > 0))
