"""Chart data: what the drawn chart needs of any stretch of time, in no more points than a screen can show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.candles import Candles
from data.interval import Interval
from routes import wording
from routes.chart_choices import chosen
from routes.digits import DRAWN, significant
from routes.forms import parse_limit
from routes.gathered import CHART_CANDLES, Gathered
from routes.services import Services
from utils.errors import InvalidInput

_MOST_POINTS = 2_000
_LATEST_MS = 8_640_000_000_000_000
"""The last moment that a browser knows."""
_MOST_CANDLES = 200_000
"""Read for one chart at most, the newest of what was asked for."""
_WARM_UP = 300
"""Candles before the first one shown, so that indicators of older history have settled."""

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Span:
    """The stretch of time a chart asks for, open times in UTC milliseconds, both included, in at most `points` bars."""

    from_ms: int
    to_ms: int
    points: int


@dataclass(frozen=True, slots=True)
class Bars:
    """Candles as they are drawn: each stands for `each` of them, `ends` are the places of the last one of every bar."""

    open_time_ms: NDArray[np.int64]
    open: Values
    high: Values
    low: Values
    close: Values
    volume: Values
    ends: NDArray[np.intp]
    each: int


def parse_span(asked: Mapping[str, str]) -> Span | None:
    """None where the newest candles are asked for, one by one. InvalidInput says what does not fit."""
    points = parse_limit(asked.get("points"), default=1_000, most=_MOST_POINTS, name="points")
    if "from" not in asked and "to" not in asked:
        return None
    from_ms = parse_limit(asked.get("from"), default=1, most=_LATEST_MS, name="from")
    to_ms = parse_limit(asked.get("to"), default=_LATEST_MS, most=_LATEST_MS, name="to")
    if from_ms > to_ms:
        raise InvalidInput(f"from is {from_ms} and to is {to_ms}; from must not be later")
    return Span(from_ms, to_ms, points)


def chart_data(services: Services, gathered: Gathered, shown: Sequence[str], span: Span | None) -> dict[str, Any]:
    """Closed candles oldest first in columns, holes left out, NaN where warming up, and the forecast or null.

    Times are UTC milliseconds. The candle that forms is not among it, so that a browser keeps the chart's data until
    the next close: the page itself brings it. `each` says how many candles one bar stands for: 1 is exact; beyond
    `points` it has their first open, highest high, lowest low, last close and whole volume, and a curve has the value
    at the bar's end. `older` says whether there may be candles before these.
    """
    candles = gathered.candles
    if span is None:
        drawn = candles.tail(CHART_CANDLES)
        return _columns(gathered, drawn, gathered.indicators.column, shown, bars_of(drawn, 1), older=True)
    within = _read(services, candles, span)
    column = (gathered.indicators if within is candles else services.indicators(within)).column
    first, last = np.searchsorted(within.open_time_ms, (span.from_ms, span.to_ms + 1)).tolist()
    drawn = within.slice(first, last)
    bars = bars_of(drawn, bar_size(drawn, span.points))
    return _columns(gathered, drawn, lambda name: column(name)[first:last], shown, bars, older=first > 0)


def _read(services: Services, candles: Candles, span: Span) -> Candles:
    """From memory where it reaches back far enough, else from the store, with what indicators need before."""
    interval = candles.interval
    start_ms = max(0, span.from_ms - _WARM_UP * interval.ms)
    if start_ms >= int(candles.open_time_ms[0]):
        return candles
    found = services.market.stored(
        candles.symbol, interval, start_ms, min(span.to_ms, candles.last_open_time_ms), _MOST_CANDLES
    )
    return found if len(found) else candles


def bar_size(candles: Candles, points: int) -> int:
    """How many candles one bar stands for: a power of two, so that bars stay what they are while time goes on."""
    if not len(candles):
        return 1
    steps = (candles.last_open_time_ms - int(candles.open_time_ms[0])) // candles.interval.ms + 1
    size = 1
    while steps > size * points:
        size *= 2
    return size


def bars_of(candles: Candles, each: int) -> Bars:
    """One bar for the candles of each stretch of `each` intervals, counted from 1970, that has any."""
    if each == 1 or not len(candles):
        places = np.arange(len(candles))
        columns = (candles.open, candles.high, candles.low, candles.close, candles.volume)
        return Bars(candles.open_time_ms, *columns, places, 1)
    width_ms = each * candles.interval.ms
    stretch = candles.open_time_ms // width_ms
    starts = np.flatnonzero(np.diff(stretch, prepend=stretch[0] - 1))
    ends = np.append(starts[1:], len(candles)) - 1
    return Bars(
        stretch[starts] * width_ms,
        candles.open[starts],
        np.maximum.reduceat(candles.high, starts),
        np.minimum.reduceat(candles.low, starts),
        candles.close[ends],
        np.add.reduceat(candles.volume, starts),
        ends,
        each,
    )


def _columns(
    gathered: Gathered,
    candles: Candles,
    column: Callable[[str], Values],
    shown: Sequence[str],
    bars: Bars,
    *,
    older: bool,
) -> dict[str, Any]:
    step_ms = candles.interval.ms * bars.each
    count = len(candles)
    return {
        "symbol": candles.symbol,
        "interval": str(candles.interval),
        "step_ms": step_ms,
        "each": bars.each,
        "older": older,
        "newest_ms": gathered.candles.last_open_time_ms,
        "decimals": wording.price_decimals(gathered.candles.close),
        "open_time_ms": bars.open_time_ms,
        "open": bars.open,
        "high": bars.high,
        "low": bars.low,
        "close": bars.close,
        "volume": bars.volume,
        "holes": candles.holes() if bars.each == 1 else _gaps(bars, step_ms),
        "curves": [
            {
                "id": choice.id,
                "title": choice.title,
                "overlay": choice.overlay,
                "lines": [
                    {"name": name, "values": significant(column(name)[-count:][bars.ends] if count else (), DRAWN)}
                    for name in choice.columns
                ],
            }
            for choice in chosen(shown)
        ],
        "forecast": None if gathered.forecast is None else _fan_data(gathered.forecast),
    }


def _gaps(bars: Bars, step_ms: int) -> list[tuple[int, int]]:
    """Where at least one whole bar is missing."""
    stretch = bars.open_time_ms // step_ms
    places = np.flatnonzero(np.diff(stretch) > 1)
    return [(int(stretch[at] + 1) * step_ms, int(bars.open_time_ms[at + 1])) for at in places]


def _fan_data(forecast: Any) -> dict[str, Any]:
    """`open_time_ms` of the model's horizons; `ahead_open_time_ms` of every candle up to its farthest, so that the
    chart makes room for each, and horizons lie as far apart as they are."""
    interval: Interval = forecast.interval
    farthest = max(map(int, forecast.horizons))
    last_ms = forecast.last_open_time_ms
    return {
        "last_open_time_ms": last_ms,
        "last_close": forecast.last_close,
        "open_time_ms": [interval.shift_ms(last_ms, int(ahead)) for ahead in forecast.horizons],
        "ahead_open_time_ms": [interval.shift_ms(last_ms, ahead) for ahead in range(1, farthest + 1)],
        "quantiles": list(forecast.quantiles),
        "prices": significant(forecast.prices, DRAWN),
        "naive": significant(np.asarray(forecast.baseline_prices)[:, list(forecast.quantiles).index(0.5)], DRAWN),
    }
