"""Scale inputs: how volatile a market is at many scales, beside what its hours usually are, and what BTC does.

Every window is finite: HISTORY candles give what the whole history would. Nothing at row t depends on a candle after
t, the other market's included; where that one is not known, its inputs are 0 and `context_known` says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from data.candles import Candles
from models.scale_catalogue import OWN, Market, log_sigma_of
from models.scale_series import COLUMNS, HISTORY, columns_of, series_of
from models.season import Season
from models.window_readers import EveryRow, NewestRow
from utils.errors import InvalidInput

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LIMIT = 30.0
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
        series = series_of(columns_of(candles), self.season, candles.interval)
        market = Market(EveryRow(series), candles.open_time_ms, self.season, candles.interval)
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
        columns = {name: np.stack([getattr(one, name) for one in recent]) for name in COLUMNS}
        times, interval = columns["open_time_ms"], markets[0].interval
        reader = NewestRow(series_of(columns, self.season, interval))
        market = Market(reader, times[:, -1], self.season, interval)
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
        series = series_of(columns_of(self.context), self.season, self.context.interval)
        return _context_columns(Market(EveryRow(series), self.context.open_time_ms, self.season, self.context.interval))


@dataclass(frozen=True, slots=True)
class _Context:
    """The other market, at the same open times: its own inputs, 0 where not `known`."""

    known: Floats
    columns: Mapping[str, Floats]


def _inputs(market: Market, context: _Context | None, names: Sequence[str]) -> list[Floats]:
    log_sigma = log_sigma_of(market.reader)
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
    for place in sorted(set(places[known].tolist())):  # `np.unique` would load numpy.ma, a megabyte
        part = context.slice(place - HISTORY + 1, place + 1)
        series = {name: column[None] for name, column in series_of(columns_of(part), season, part.interval).items()}
        market = Market(NewestRow(series), part.open_time_ms[-1:], season, part.interval)
        for name, value in _context_columns(market).items():
            found[name][known & (places == place)] = value[0]
    return _Context(known.astype(np.float64), found)


def _context_columns(market: Market) -> dict[str, Floats]:
    log_sigma = log_sigma_of(market.reader)
    return {name: OWN[name](market, log_sigma) for name in _CONTEXT_NAMES}


def _same(times: Ints, others: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Where in `others` each of `times` is (some place, if it is not), and whether it is."""
    places = np.minimum(np.searchsorted(others, times), len(others) - 1)
    return places, np.equal(others[places], times)


def _cut(matrix: Floats) -> NDArray[np.float32]:
    return np.clip(matrix, -LIMIT, LIMIT).astype(np.float32)
