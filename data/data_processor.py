"""Data processor: candles to indicator columns, by TA-Lib or `ta`, computed once for the same candles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import import_module

import numpy as np

from data.candles import Candles, Floats
from data.indicator_catalogue import BY_NAME, NAMES, VERSION
from utils.data_cache import data_cache
from utils.errors import NotFound

Compute = Callable[[Candles], tuple[Floats, ...]]

_KEPT_BEYOND_CLOSE_S = 60.0
_LONGEST_KEPT_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Indicators:
    """Indicator columns of one run of candles. `columns` is float64 (k, n), read-only, NaN while warming up."""

    candles_digest: str
    names: tuple[str, ...]
    columns: Floats

    def column(self, name: str) -> Floats:
        """(n,); NotFound where it was not computed."""
        try:
            column: Floats = self.columns[self.names.index(name)]
        except ValueError:
            raise NotFound(f"indicator {name!r} is not among {', '.join(self.names)}") from None
        return column

    def __len__(self) -> int:
        return int(self.columns.shape[1])


def compute_indicators(candles: Candles, names: Sequence[str] | None = None) -> Indicators:
    """The named indicators (all by default) over the rows as they are: a hole is not filled, neighbours are neighbours.

    A value at row t depends on the candles up to t alone. Averages that never forget (EMA, Wilder's, OBV, PSAR) begin
    at the first candle given. NotFound where a name is not in the catalogue.
    """
    chosen = NAMES if names is None else tuple(names)
    if chosen is not NAMES and not BY_NAME.keys() >= set(chosen):
        unknown = [name for name in chosen if name not in BY_NAME]
        raise NotFound(f"no indicator {', '.join(unknown)}; there are {', '.join(NAMES)}")
    matrix = compute_with(engine_name(), candles, chosen)
    matrix.flags.writeable = False
    return Indicators(candles.digest, chosen, matrix)


def indicators(candles: Candles) -> Indicators:
    """All indicators through the cache, keyed by the candles' content and the catalogue's version.

    Kept until the market's next candle comes, and at most until a minute after it should have: then nobody asks for
    these again. Of a stretch that ends earlier than what is kept of the market nothing is kept.
    """
    key = ("indicators", VERSION, candles.digest)
    lane = ("indicators", candles.symbol, candles.interval), candles.last_open_time_ms if len(candles) else 0
    kept_s = min(candles.interval.ms / 1000 + _KEPT_BEYOND_CLOSE_S, _LONGEST_KEPT_S)
    return data_cache.get_or_load(key, lambda: compute_indicators(candles), ttl_s=kept_s, lane=lane)


@cache
def engine_name() -> str:
    """`talib`, or `ta` where TA-Lib cannot be imported."""
    try:
        import_module("data.indicators_talib")
    except ImportError:
        return "ta"
    return "talib"


def engine_families(engine: str) -> Mapping[tuple[str, ...], Compute]:
    """Which columns an engine computes together, by which function, with our own; imported at the first call."""
    chosen, own = import_module(f"data.indicators_{engine}"), import_module("data.indicators_own")
    return {**own.FAMILIES, **chosen.FAMILIES}


def compute_with(engine: str, candles: Candles, names: tuple[str, ...]) -> Floats:
    """(k, n): the columns by one engine, NaN while warming up."""
    matrix = np.empty((len(names), len(candles)))
    for compute, shortest, places in _plan(engine, names):
        # Each column is copied at once: forty kept beside the matrix would have the allocator fetch fresh pages.
        computed = compute(candles) if len(candles) > shortest else None
        for index, row in places:
            matrix[row] = np.nan if computed is None else computed[index]
    return matrix


@lru_cache(maxsize=64)
def _plan(engine: str, names: tuple[str, ...]) -> list[tuple[Compute, int, list[tuple[int, int]]]]:
    """What to call for these names: (function, most candles that give nothing, [(its column, our row)])."""
    rows = {name: row for row, name in enumerate(names)}
    plan = []
    for family, compute in engine_families(engine).items():
        places = [(index, rows[name]) for index, name in enumerate(family) if name in rows]
        if places:
            plan.append((compute, min(BY_NAME[names[row]].warm_up for _, row in places), places))
    return plan
