"""Synthetic market: hourly candles of correlated coins, drawn anywhere in time from a seed alone.

A log price is a common factor times beta plus the coin's own path. Each is Brownian motion in the random time of a
multiplicative cascade (Mandelbrot, Fisher and Calvet, 1997): from a span of 2^14 days down, every span's variance is
shared out unevenly between its halves and its middle is displaced (Lévy's construction), then a day is shared out over
its hours with a daily rhythm. So volatility clusters on all scales, returns have fat tails, and a day costs fourteen
halvings wherever it lies.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock

import numpy as np

from data.interval import Interval
from data.simulated_exchange.candle_series import Series, join
from data.simulated_exchange.hashing import Floats, keys_at, named_key, normal, uniform
from data.simulated_exchange.listings import MAX_SYMBOLS, Character, Listing, default_names, listings
from data.simulated_exchange.refinement import Integers, bridge_extremes
from utils.errors import InvalidInput

_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000
_FIRST_DAY = 14_610
"""2010-01-01, in days since 1970; the cascade ends 2^14 days later, in 2054."""
_LEVELS = 14
_BLOCK_DAYS = 32
_CASCADE = 0.55
"""How unevenly a span's variance is shared between its halves (standard deviation of the log odds)."""
_DAMPED_SPAN_DAYS = 512
_DAMPING = 0.4
"""Spans longer than this wander less, so that price levels stay near those of the listing for decades."""
_COMMON_VOLATILITY = 0.022
_MEAN_TRADE = 350.0
_RHYTHM = np.array([
    0.95, 0.92, 0.85, 0.78, 0.74, 0.74, 0.80, 0.90, 1.00, 1.02, 1.00, 1.02,
    1.15, 1.40, 1.55, 1.50, 1.35, 1.20, 1.10, 1.05, 1.05, 1.00, 0.95, 0.98,
])  # fmt: skip
"""Activity by UTC hour: quiet before Asia wakes, busiest while Europe and America trade together."""


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
        return self.listings[symbol].listed_ms, (_FIRST_DAY + 2**_LEVELS) * _DAY_MS

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

    def _candles(self, symbol: str, first: int, end: int) -> list[Series]:
        """Candles of blocks [first, end), those still missing drawn at one go."""
        kept = {block: self._kept((symbol, block)) for block in range(first, end)}
        missing = [block for block, series in kept.items() if series is None]
        if missing:
            kept.update(self._drawn(symbol, missing[0], missing[-1] + 1))
        return [series for series in kept.values() if isinstance(series, Series)]

    def _drawn(self, symbol: str, first: int, end: int) -> dict[int, Series]:
        listing, coin = self._coins[symbol]
        shared, shared_variance = self._common(first, end)
        own, own_variance = _unit_path(named_key(self._seed, "path", symbol), _days(first, end))
        scale = coin.beta * _COMMON_VOLATILITY
        path = np.log(coin.price) + scale * shared + coin.own_volatility * own
        variance = (scale**2 * shared_variance + coin.own_volatility**2 * own_variance).ravel()
        times = (_first_day(first) * 24 + np.arange(len(variance), dtype=np.int64)) * _HOUR_MS
        values = _hours(named_key(self._seed, "hours", symbol), listing, coin, times, path, variance)
        values.flags.writeable = False
        whole = Series(times, values)
        parts = {}
        for block in range(first, end):
            at = _first_day(block) * _DAY_MS
            parts[block] = whole.between(at, at + _BLOCK_DAYS * _DAY_MS)
            self._keep((symbol, block), parts[block])
        return parts

    def _common(self, first: int, end: int) -> tuple[Floats, Floats]:
        """The path all coins share: edges (hours + 1,) and variances (days, 24) of blocks [first, end)."""
        kept = self._kept((f"common to {end}", first))
        if isinstance(kept, tuple):
            return kept
        made = _unit_path(named_key(self._seed, "path", "common"), _days(first, end))
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
            while len(self._blocks) > 2_000:
                self._blocks.popitem(last=False)


def _block(at_ms: int) -> int:
    return (at_ms // _DAY_MS - _FIRST_DAY) // _BLOCK_DAYS


def _first_day(block: int) -> int:
    return _FIRST_DAY + block * _BLOCK_DAYS


def _days(first: int, end: int) -> Integers:
    """Days of blocks [first, end), counted from the first the cascade has."""
    return np.arange(first * _BLOCK_DAYS, end * _BLOCK_DAYS, dtype=np.int64)


def _unit_path(key: int, days: Integers) -> tuple[Floats, Floats]:
    """A path of variance 1 per day: its value at the hours' edges (24 d + 1,) and each hour's variance (d, 24)."""
    left, right, variance = _cascade(key, days)
    cells = keys_at(key, 100, days[:, None] * 24 + np.arange(24))
    hours = days[:, None] * 24 + np.arange(24)
    mood = 0.45 * normal(keys_at(cells, 1))
    mood += 0.45 * normal(keys_at(key, 101, hours // 3)) + 0.35 * normal(keys_at(key, 102, hours // 8))
    weights = _RHYTHM * np.exp(mood)
    shares = weights / weights.sum(axis=1, keepdims=True)
    hour_variance = variance[:, None] * shares
    steps = np.sqrt(hour_variance) * normal(keys_at(cells, 2))
    steps += shares * ((right - left)[:, None] - steps.sum(axis=1, keepdims=True))
    inner = left[:, None] + np.cumsum(steps, axis=1)[:, :-1]
    edges = np.concatenate([left[:, None], inner], axis=1).ravel()
    return np.append(edges, right[-1]), hour_variance


def _cascade(key: int, days: Integers) -> tuple[Floats, Floats, Floats]:
    """Path at both ends of each day and the day's variance, by halving the whole span around it."""
    start = np.zeros_like(days)
    left, right = np.zeros(len(days)), np.zeros(len(days))
    variance = np.full(len(days), float(2**_LEVELS))
    for level in range(_LEVELS):
        half = 2 ** (_LEVELS - level - 1)
        cells = keys_at(key, level, start // (2 * half))
        share = 1.0 / (1.0 + np.exp(-_CASCADE * normal(keys_at(cells, 1))))
        damping = _DAMPING if 2 * half >= _DAMPED_SPAN_DAYS else 1.0
        middle = left + (right - left) * share
        middle += damping * np.sqrt(variance * share * (1.0 - share)) * normal(keys_at(cells, 2))
        later = days - start >= half
        left, right = np.where(later, middle, left), np.where(later, right, middle)
        variance = variance * np.where(later, 1.0 - share, share)
        start = start + half * later
    return left, right, variance


def _hours(key: int, listing: Listing, coin: Character, opens_ms: Integers, path: Floats, variance: Floats) -> Integers:
    """Candles (9, n) from a log path at the hours' edges (n + 1,) and the variance inside each hour (n,)."""
    cells = keys_at(key, opens_ms // _HOUR_MS)
    edges = _ticks(path, listing)
    high, low = bridge_extremes(path[:-1], path[1:], variance, uniform(keys_at(cells, 1)), uniform(keys_at(cells, 2)))
    opens, closes = edges[:-1], edges[1:]
    highs = np.maximum(_ticks(high, listing), np.maximum(opens, closes))
    lows = np.minimum(_ticks(low, listing), np.minimum(opens, closes))
    usual = (coin.beta * _COMMON_VOLATILITY) ** 2 + coin.own_volatility**2
    turnover = coin.turnover * np.power(variance * 24 / usual, 0.6) * np.exp(0.3 * normal(keys_at(cells, 3)))
    trades = np.maximum(turnover / _MEAN_TRADE * np.exp(0.15 * normal(keys_at(cells, 4))), 4).astype(np.int64)
    place = np.clip(0.5 * _place(opens, highs, lows) + 0.5 * _place(closes, highs, lows), 0.2, 0.8)
    mean = lows + place * (highs - lows)
    quote_unit = listing.units.quote_e8 * 1e-8
    volume = np.maximum((turnover / (mean * quote_unit)).astype(np.int64), 2 * trades)
    quote = np.rint(volume * mean).astype(np.int64)
    push = np.tanh((path[1:] - path[:-1]) / np.sqrt(variance))
    taker_share = np.clip(0.5 + 0.05 * push + 0.02 * normal(keys_at(cells, 5)), 0.35, 0.65)
    taker, taker_quote = (volume * taker_share).astype(np.int64), (quote * taker_share).astype(np.int64)
    return np.stack([opens, highs, lows, closes, volume, quote, trades, taker, taker_quote])


def _ticks(path: Floats, listing: Listing) -> Integers:
    return np.maximum(np.rint(np.exp(path) * (1e8 / listing.tick_e8)), 1).astype(np.int64)


def _place(price: Integers, highs: Integers, lows: Integers) -> Floats:
    """Where in its candle's range a price lies, 0 to 1."""
    spread = (highs - lows).astype(np.float64)
    return np.asarray(np.divide(price - lows, spread, out=np.full(len(price), 0.5), where=spread > 0))
