"""Scale inputs: how volatile a market is at many scales, beside what its hours usually are, and what BTC does.

Every window is finite: HISTORY candles give what the whole history would. Nothing at row t depends on a candle after
t, the other market's included; where that one is not known, its inputs are 0 and `context_known` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.candles import Candles
from data.features import SIGMA_FLOOR
from data.filters import decayed_mean
from data.interval import Interval
from models.season import Season, slots
from models.window_readers import LONGEST, EveryRow, NewestRow, Reader
from utils.errors import InvalidInput

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LIMIT = 30.0
_LOCAL_HALF_LIFE, _LOCAL_WINDOW = 24.0, 168
"""Of the volatility that single candles of the past are held against."""
HISTORY = LONGEST + _LOCAL_WINDOW + 2
"""Candles that one row needs: the longest window, of values held against the volatility before them."""
_DAY_MS = 86_400_000
_WEEK_MS = 7 * _DAY_MS
_SMALL = 1e-6
_HORIZONS = (1, 2, 3, 6, 12, 24)
_STEPS_AHEAD = range(1, max(_HORIZONS) + 1)
_FLUSH = 20.0
"""A candle's range counts for no more than so many local volatilities: single trades far off are no volatility."""


@dataclass(frozen=True)
class ScaleInputs:
    """Computes the inputs of any market of one interval. `context`: the other market's candles; None: not at hand."""

    season: Season
    context: Candles | None = None

    def __call__(self, candles: Candles, names: Sequence[str]) -> NDArray[np.float32]:
        """Of every row, float32 (n, f) in the order of `names`; NaN in the first HISTORY - 1 rows."""
        matrix = np.full((len(candles), len(names)), np.nan, dtype=np.float32)
        if len(candles) < HISTORY:
            return matrix
        series = _series(_columns(candles), self.season, candles.interval)
        market = _Market(EveryRow(series), candles.open_time_ms, self.season, candles.interval)
        columns = _inputs(market, self._beside(candles.open_time_ms), names)
        matrix[HISTORY - 1 :] = _cut(np.stack(columns, axis=-1)[HISTORY - 1 :])
        return matrix

    def newest(self, markets: Sequence[Candles], names: Sequence[str]) -> NDArray[np.float32]:
        """Of the newest row of each market, float32 (m, f): the last rows of the above but for rounding, for a small
        part of the work. InvalidInput where a market has fewer than HISTORY candles."""
        if short := [str(one.symbol) for one in markets if len(one) < HISTORY]:
            raise InvalidInput(f"{', '.join(short)}: fewer than the {HISTORY} candles that one forecast needs")
        if not markets:
            return np.empty((0, len(names)), dtype=np.float32)
        recent = [one.tail(HISTORY) for one in markets]
        columns = {name: np.stack([getattr(one, name) for one in recent]) for name in _COLUMNS}
        times, interval = columns["open_time_ms"], markets[0].interval
        reader = NewestRow(_series(columns, self.season, interval))
        market = _Market(reader, times[:, -1], self.season, interval)
        context = _context_newest(times[:, -1], self.context, self.season)
        return _cut(np.stack(_inputs(market, context, names), axis=-1))

    def _beside(self, times: Ints) -> _Context | None:
        """The context's candle of the same open time, for each row."""
        if self.context is None or len(self.context) < HISTORY:
            return None
        places, there = _same(times, self.context.open_time_ms)
        known = there & (places >= HISTORY - 1)
        columns = {name: column[places] for name, column in self._context_columns.items()}
        return _Context(known.astype(np.float64), columns)

    @cached_property
    def _context_columns(self) -> dict[str, Floats]:
        """Of every row of the context."""
        if self.context is None:
            return {}
        series = _series(_columns(self.context), self.season, self.context.interval)
        return _context_columns(
            _Market(EveryRow(series), self.context.open_time_ms, self.season, self.context.interval)
        )


@dataclass(frozen=True)
class _Market:
    """One market's every row, or the newest of several."""

    reader: Reader
    open_time_ms: Ints
    season: Season
    interval: Interval

    @property
    def day(self) -> int:
        """Candles of a day, at least one."""
        return max(1, _DAY_MS // self.interval.ms)

    @cached_property
    def ahead(self) -> Floats:
        """(candles, …) squares of what the next candles usually have."""
        scale = np.square(np.array(self.season.scale))
        return np.array([scale[slots(self.open_time_ms + step * self.interval.ms)] for step in _STEPS_AHEAD])


@dataclass(frozen=True, slots=True)
class _Context:
    """The other market, at the same open times: its own inputs, 0 where not `known`."""

    known: Floats
    columns: Mapping[str, Floats]


Input = Callable[[_Market, Floats], Floats]
"""From a market and the log of its sigma."""


def _inputs(market: _Market, context: _Context | None, names: Sequence[str]) -> list[Floats]:
    log_sigma = _log_sigma(market.reader)
    found = []
    for name in names:
        if name in OWN:
            found.append(OWN[name](market, log_sigma))
        elif context is None:
            found.append(np.zeros(market.open_time_ms.shape))
        else:
            found.append(_of_context(name, context, log_sigma))
    return found


def _of_context(name: str, context: _Context, log_sigma: Floats) -> Floats:
    if name == KNOWN:
        return context.known
    own = context.columns[name.removeprefix(PREFIX)]
    return np.where(context.known > 0, own - log_sigma if name == RATIO else own, 0.0)


def _context_newest(newest: Ints, context: Candles | None, season: Season) -> _Context | None:
    """Beside the newest candle of each market; they may be of different times."""
    if context is None or len(context) < HISTORY:
        return None
    places, there = _same(newest, context.open_time_ms)
    known = there & (places >= HISTORY - 1)
    found = {name: np.zeros(len(newest)) for name in _CONTEXT_NAMES}
    for place in np.unique(places[known]):
        part = context.slice(int(place) - HISTORY + 1, int(place) + 1)
        series = {name: column[None] for name, column in _series(_columns(part), season, part.interval).items()}
        market = _Market(NewestRow(series), part.open_time_ms[-1:], season, part.interval)
        for name, value in _context_columns(market).items():
            found[name][known & (places == place)] = value[0]
    return _Context(known.astype(np.float64), found)


def _context_columns(market: _Market) -> dict[str, Floats]:
    log_sigma = _log_sigma(market.reader)
    return {name: OWN[name](market, log_sigma) for name in _CONTEXT_NAMES}


def _same(times: Ints, others: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Where in `others` each of `times` is (some place, if it is not), and whether it is."""
    places = np.minimum(np.searchsorted(others, times), len(others) - 1)
    return places, np.equal(others[places], times)


_COLUMNS = ("open_time_ms", "open", "high", "low", "close", "volume")


def _columns(candles: Candles) -> dict[str, Any]:
    return {name: getattr(candles, name) for name in _COLUMNS}


def _series(columns: Mapping[str, Any], season: Season, interval: Interval) -> dict[str, Floats]:
    """What the inputs are means and lags of, (…, n) each. `u`: returns in units of what their hour usually is."""
    logs = {name: np.log(columns[name]) for name in ("open", "high", "low", "close")}
    times = columns["open_time_ms"]
    slot = slots(_alike(times))
    usual = np.broadcast_to(np.array(season.scale)[slot], times.shape)
    returns = np.zeros(logs["close"].shape)
    returns[..., 1:] = np.where(np.diff(times, axis=-1) == interval.ms, np.diff(logs["close"], axis=-1), 0.0)
    local = np.maximum(np.sqrt(decayed_mean(np.square(returns), _LOCAL_HALF_LIFE, _LOCAL_WINDOW)), SIGMA_FLOOR)
    before = np.full(local.shape, np.nan)
    before[..., 1:] = local[..., :-1]
    sizes, path = np.abs(returns), np.cumsum(returns, axis=-1)
    u_size, z = sizes / usual, np.clip(returns / before, -10.0, 10.0)
    z_size, z_square = np.abs(z), np.square(z)
    span, body = logs["high"] - logs["low"], logs["close"] - logs["open"]
    middle = logs["high"] + logs["low"]
    most = _FLUSH * local
    volume = np.log1p(columns["volume"] * columns["close"]) - np.array(season.volume)[slot]
    garman_klass = 0.5 * np.square(np.minimum(span, most)) - _GK * np.square(np.clip(body, -most, most))
    bipower, wild = np.zeros(sizes.shape), np.full(sizes.shape, np.nan)
    bipower[..., 1:] = u_size[..., 1:] * u_size[..., :-1]
    wild[..., 1:] = np.abs(np.diff(np.log(local), axis=-1))
    return {
        "returns": returns,
        "squares": np.square(returns),
        "signed": returns * sizes,
        "sizes": sizes,
        "path": path,
        "high": path + np.minimum(logs["high"] - logs["close"], most),
        "low": path - np.minimum(logs["close"] - logs["low"], most),
        "u_size": u_size,
        "u_square": np.square(u_size),
        "bipower": bipower,
        "range": np.minimum(span / _PARKINSON, most) / usual,
        "garman_klass": garman_klass / np.square(usual),
        "z": z,
        "z_size": z_size,
        "z_square": z_square,
        "z_fourth": np.square(z_square),
        "z_large": np.where(np.isnan(z), np.nan, z_size > 1.8),
        "local_move": wild,
        "wick": (logs["open"] + logs["close"] - middle) / local,
        "place": _shares(2.0 * logs["close"] - middle, span),
        "volume": volume,
        "season": np.log(usual),
    }


def _alike(times: Ints) -> Ints:
    """(m, n) → (1, n) where all markets have the same times, as they nearly always do."""
    return times[:1] if times.ndim > 1 and bool((times == times[0]).all()) else times


_PARKINSON = 2.0 * np.sqrt(np.log(2.0))
"""Parkinson 1980: the range of a candle over this is its volatility."""
_GK = 2.0 * np.log(2.0) - 1.0


def _log_sigma(reader: Reader) -> Floats:
    return np.log(np.maximum(np.sqrt(reader.decayed("squares", 24.0)), SIGMA_FLOOR))


def _log(values: Floats, small: float = _SMALL) -> Floats:
    return np.log(np.maximum(values, 0.0) + small)


def _volatility(half_life: float) -> Input:
    """Root mean square of returns freed from their hours, beside sigma."""
    return lambda m, ls: 0.5 * _log(m.reader.decayed("u_square", half_life), 1e-12) - ls


def _mean_size(series: str, half_life: float) -> Input:
    return lambda m, ls: _log(m.reader.decayed(series, half_life)) - ls


def _slow_size(series: str, window: int) -> Input:
    return lambda m, ls: _log(m.reader.mean(series, window)) - ls


def _garman_klass(half_life: float) -> Input:
    """Garman & Klass 1980."""
    return lambda m, ls: 0.5 * _log(m.reader.decayed("garman_klass", half_life), 1e-12) - ls


def _jumps(half_life: float) -> Input:
    """Bipower variation beside variance (Barndorff-Nielsen & Shephard 2004): how little of it came in jumps."""

    def compute(m: _Market, _: Floats) -> Floats:
        return _log(m.reader.decayed("bipower", half_life), 1e-12) - _log(
            m.reader.decayed("u_square", half_life), 1e-12
        )

    return compute


def _size_before(rows: int) -> Input:
    return lambda m, ls: np.log(m.reader.lag("u_size", rows) / np.exp(ls) + 0.05)


def _range_before(rows: int) -> Input:
    return lambda m, ls: np.log(m.reader.lag("range", rows) / np.exp(ls) + 0.05)


def _season_ahead(candles: int) -> Input:
    """Log of the root mean square that the next hours usually have: the calendar, not the market."""

    return lambda m, _: 0.5 * np.log(m.ahead[:candles].mean(axis=0))


def _wave(function: Callable[[Floats], Floats], period_ms: int, humps: int) -> Input:
    turn = 2.0 * np.pi * humps / period_ms
    return lambda m, _: function((m.open_time_ms % period_ms).astype(np.float64) * turn)


def _same_hour(ahead: int) -> Input:
    """Sizes at the hour `ahead` candles from now on the last days, as many as fit, beside all hours'."""

    def compute(m: _Market, _: Floats) -> Floats:
        days = [day for day in range(1, 15) if 0 <= day * m.day - ahead < LONGEST]
        weights = [0.9**day for day in days]
        there = m.reader.taps("z_size", [day * m.day - ahead for day in days], weights)
        return np.log((there + 0.05) / (m.reader.decayed("z_size", 240.0) + 0.05))

    return compute


def _same_hour_of_week(m: _Market, _: Floats) -> Floats:
    lags = [lag for week in range(1, 5) if 0 <= (lag := 7 * week * m.day - 1) < LONGEST] or [0]
    there = m.reader.taps("z_size", lags, [1.0] * len(lags))
    return np.log((there + 0.05) / (m.reader.decayed("z_size", 240.0) + 0.05))


def _move(rows: int) -> Input:
    return lambda m, ls: (m.reader.now("path") - m.reader.lag("path", rows)) / (np.exp(ls) * np.sqrt(rows))


def _skew(half_life: float) -> Input:
    """How much of the variance came from rises rather than falls: -1…1."""
    return lambda m, _: m.reader.decayed("signed", half_life) / (m.reader.decayed("squares", half_life) + 1e-12)


def _variance_ratio(rows: int, window: int) -> Input:
    """Lo & MacKinlay 1988: above 0 where moves over `rows` candles are larger than single ones explain."""

    def compute(m: _Market, _: Floats) -> Floats:
        ends = range(0, window - rows + 1, rows)
        squares = [np.square(m.reader.lag("path", end) - m.reader.lag("path", end + rows)) for end in ends]
        return _log(np.mean(squares, axis=0), 1e-10) - _log(rows * m.reader.mean("squares", window), 1e-10)

    return compute


def _below_high(rows: int) -> Input:
    return lambda m, ls: (m.reader.now("path") - m.reader.largest("high", rows)) / (np.exp(ls) * np.sqrt(rows))


def _above_low(rows: int) -> Input:
    return lambda m, ls: (m.reader.now("path") - m.reader.smallest("low", rows)) / (np.exp(ls) * np.sqrt(rows))


def _channel(rows: int) -> Input:
    """Highest high above lowest low, beside sigma."""
    return lambda m, ls: _log(m.reader.largest("high", rows) - m.reader.smallest("low", rows)) - ls - 0.5 * np.log(rows)


def _surprise(half_life: float) -> Input:
    """How large returns were beside what was expected of them."""
    return lambda m, _: _log(m.reader.decayed("z_square", half_life), 0.05)


def _largest(rows: int) -> Input:
    return lambda m, ls: _log(m.reader.largest("sizes", rows)) - ls


def _volume_trend(fast: float, slow: float) -> Input:
    return lambda m, _: m.reader.decayed("volume", fast) - m.reader.decayed("volume", slow)


OWN: dict[str, Input] = {
    **{f"volatility_{k}": _volatility(k) for k in (3, 6, 12, 24, 48, 96, 240)},
    **{f"size_{k}": _mean_size("u_size", k) for k in (3, 6, 12, 24, 48, 96, 240)},
    "size_720": _slow_size("u_size", LONGEST),
    **{f"range_{k:g}": _mean_size("range", k) for k in (0.5, 1, 2, 4, 8, 16, 24, 48, 96, 240)},
    "range_720": _slow_size("range", LONGEST),
    **{f"garman_klass_{k}": _garman_klass(k) for k in (3, 24, 96)},
    **{f"jumps_{k}": _jumps(k) for k in (24, 96)},
    **{f"size_before_{k}": _size_before(k) for k in (0, 1, 2, 3)},
    **{f"range_before_{k}": _range_before(k) for k in (0, 1, 2)},
    **{f"season_ahead_{k}": _season_ahead(k) for k in _HORIZONS},
    "season_now": lambda m, _: m.reader.now("season"),
    **{f"day_{f.__name__}_{k}": _wave(f, _DAY_MS, k) for k in (1, 2, 3) for f in (np.sin, np.cos)},
    **{f"week_{f.__name__}_{k}": _wave(f, _WEEK_MS, k) for k in (1, 2) for f in (np.sin, np.cos)},
    **{f"same_hour_{k}": _same_hour(k) for k in (1, 2, 3)},
    "same_hour_of_week": _same_hour_of_week,
    "z": lambda m, _: m.reader.now("z"),
    **{f"z_square_{k}": _surprise(k) for k in (24, 240)},
    "z_fourth": lambda m, _: _log(m.reader.decayed("z_fourth", 240), 0.1),
    "z_large": lambda m, _: m.reader.mean("z_large", 480),
    **{f"largest_{k}": _largest(k) for k in (24, 168)},
    "local_move": lambda m, _: _log(m.reader.decayed("local_move", 48), 1e-3),
    "variance_ratio_6": _variance_ratio(6, 24),
    "variance_ratio_24": _variance_ratio(24, 336),
    "volume_now": lambda m, _: m.reader.now("volume") - m.reader.decayed("volume", 24),
    "volume_3": _volume_trend(3, 168),
    "volume_24": _volume_trend(24, 168),
    "volume_168": lambda m, _: m.reader.decayed("volume", 168) - m.reader.mean("volume", LONGEST),
    "return": lambda m, ls: m.reader.now("returns") / np.exp(ls),
    **{f"move_{k}": _move(k) for k in (2, 3, 6, 12, 24, 48, 96, 168, 336, 719)},
    "place": lambda m, _: m.reader.now("place"),
    "wick": lambda m, _: m.reader.now("wick"),
    "wick_24": lambda m, _: m.reader.decayed("wick", 24),
    **{f"skew_{k}": _skew(k) for k in (12, 48, 240)},
    **{f"below_high_{k}": _below_high(k) for k in (24, 168, 720)},
    **{f"above_low_{k}": _above_low(k) for k in (24, 168, 720)},
    **{f"channel_{k}": _channel(k) for k in (24, 168, 720)},
    "log_sigma": lambda _, ls: ls,
    "log_slow": lambda m, _: _log(m.reader.mean("sizes", LONGEST)),
}
"""Every input of a market's own. A name never changes its meaning."""

PREFIX = "context_"
KNOWN = "context_known"
RATIO = "context_log_sigma"
"""The context's log sigma less the market's own."""
_CONTEXT_NAMES = (
    "volatility_3", "volatility_12", "size_24", "size_96", "range_0.5", "range_2", "range_8", "range_48",
    "return", "move_2", "move_3", "move_6", "move_24", "move_168", "largest_24", "volume_now", "volume_3",
    "skew_48", "place", "log_sigma",
)  # fmt: skip
CONTEXT = (KNOWN, *(PREFIX + name for name in _CONTEXT_NAMES))
"""Inputs of the other market."""


def _cut(matrix: Floats) -> NDArray[np.float32]:
    return np.clip(matrix, -LIMIT, LIMIT).astype(np.float32)


def _shares(part: Floats, whole: Floats) -> Floats:
    """part / whole, 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros(whole.shape), where=whole > 0)
