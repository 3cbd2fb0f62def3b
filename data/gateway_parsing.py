"""From the exchange's bytes to our values: the wire rows, their checks, and nothing that is not documented."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from data.candles import Candle, Candles, Floats, Times
from data.gateway_errors import excerpt
from data.interval import Interval
from data.kline_page import KlinePage
from data.market_info import MarketInfo
from data.symbol import Symbol
from data.ticker import Ticker
from utils.errors import BadData

_ROW_LENGTH = 12
_OPEN_TIME = 0
_FLOATS = [1, 2, 3, 4, 5, 7, 8, 9, 10]
"""Where FLOAT_COLUMNS stand in a kline row; 0 is the open time, 6 the close time, 11 unused."""

Rows = NDArray[np.float64]


def strict_json(body: bytes, path: str) -> Any:
    """JSON as the standard has it: no NaN, no Infinity, nothing after the end."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadData(f"{path} did not answer JSON ({error}): {excerpt(body)}") from None


def parse_klines(body: bytes, symbol: Symbol, interval: Interval, *, start_ms: int | None, now_ms: int) -> KlinePage:
    """Rows of /api/v3/klines. Closed is a candle whose last millisecond lies before `now_ms`, exchange time when asked.

    Rows without sense (not positive, high below low, off the grid, before `start_ms`) are left out and named.
    Raises BadData for anything that is not a list of rows of twelve.
    """
    rows = _in_order(_kline_rows(body))
    times = rows[:, _OPEN_TIME].astype(np.int64)
    sound = sound_prices(rows.T[_FLOATS]) & on_grid(times, interval) & (times >= (start_ms or 0))
    refused = tuple(times[~sound].tolist())
    if refused and not sound.any():
        raise BadData(f"none of {len(refused)} candles of {symbol} {interval} makes sense: {rows[0].tolist()}")
    rows, times = rows[sound], times[sound]
    closed_count = len(times)
    while closed_count and interval.close_ms(int(times[closed_count - 1])) >= now_ms:
        closed_count -= 1
    closed = Candles.from_columns(symbol, interval, times[:closed_count], rows[:closed_count].T[_FLOATS])
    forming = None
    if closed_count < len(times):
        forming = candle_of(int(times[-1]), rows[-1, _FLOATS].tolist(), closed=False)
    return KlinePage(closed, forming, refused, _answered_to(times, closed_count, interval))


def _answered_to(times: Times, closed_count: int, interval: Interval) -> int | None:
    """The first open time that the answer does not settle; None for an answer without rows."""
    if closed_count < len(times):
        return int(times[closed_count])
    return interval.next_open_ms(int(times[-1])) if len(times) else None


def candle_of(open_time_ms: int, floats: Sequence[float], *, closed: bool) -> Candle:
    """`floats` in the order of FLOAT_COLUMNS."""
    opened, high, low, close, volume, quote_volume, trades, taker_base, taker_quote = floats
    return Candle(
        open_time_ms, opened, high, low, close, volume, quote_volume, trades, taker_base, taker_quote, closed=closed
    )


def _kline_rows(body: bytes) -> Rows:
    """Shape (n, 12). The quotes around the numbers are dropped first: so JSON itself parses and refuses them."""
    if body.lstrip()[:1] != b"[":
        raise BadData(f"klines answered no list: {excerpt(body)}")
    rows = strict_json(body.replace(b'"', b""), "klines")
    if not rows:
        return np.empty((0, _ROW_LENGTH))
    try:
        table = np.array(rows, dtype=np.float64)
    except (TypeError, ValueError):
        raise BadData(f"klines answered rows that are not numbers: {excerpt(body)}") from None
    if table.ndim != 2 or table.shape[1] != _ROW_LENGTH:
        raise BadData(f"klines answered rows of shape {table.shape} where (n, {_ROW_LENGTH}) is documented")
    if not np.isfinite(table).all():
        raise BadData("klines answered a number that is not finite")
    return table


def _in_order(rows: Rows) -> Rows:
    """Sorted by open time; of rows with the same time the later in the answer stays."""
    times = rows[:, _OPEN_TIME]
    if (np.diff(times) > 0).all():
        return rows
    _, last = np.unique(times[::-1], return_index=True)
    return rows[len(rows) - 1 - last]


def sound_prices(columns: Floats) -> NDArray[np.bool_]:
    """Which candles of `columns` (9, n) make sense: prices above 0, low ≤ open, close ≤ high, no negative volume."""
    opened, high, low, close = columns[:4]
    ordered = (low > 0) & (low <= np.minimum(opened, close)) & (np.maximum(opened, close) <= high)
    return np.asarray(np.isfinite(columns).all(axis=0) & ordered & (columns[4:] >= 0).all(axis=0))


def is_sound(floats: Sequence[float]) -> bool:
    """The same of one candle, in a fraction of the time: streams tell them one by one."""
    opened, high, low, close, *volumes = floats
    ordered = 0 < low <= min(opened, close) and max(opened, close) <= high
    return ordered and all(map(math.isfinite, floats)) and min(volumes) >= 0


def on_grid(times: Times, interval: Interval) -> NDArray[np.bool_]:
    if interval is Interval.MO1:
        return np.array([interval.open_ms(int(time)) == time for time in times], dtype=np.bool_)
    origin = interval.open_ms(0)
    return np.asarray((times - origin) % interval.ms == 0)


def parse_server_time(body: bytes) -> int:
    """UTC milliseconds of /api/v3/time."""
    told = strict_json(body, "time")
    server_ms = told.get("serverTime") if isinstance(told, dict) else None
    if not isinstance(server_ms, int) or isinstance(server_ms, bool) or server_ms <= 0:
        raise BadData(f"time answered no serverTime: {excerpt(body)}")
    return server_ms


def parse_ping(body: bytes) -> None:
    if strict_json(body, "ping") != {}:
        raise BadData(f"ping answered something else than {{}}: {excerpt(body)}")


def parse_tickers(body: bytes) -> dict[Symbol, Ticker]:
    """Rows of /api/v3/ticker/24hr (FULL or MINI). A row without sense is left out; BadData if that leaves none."""
    rows = strict_json(body, "ticker/24hr")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BadData(f"ticker/24hr answered no list of markets: {excerpt(body)}")
    found = [ticker for row in rows if (ticker := _ticker(row, _REST_TICKER)) is not None]
    if rows and not found:
        raise BadData(f"none of the {len(rows)} tickers makes sense: {excerpt(body)}")
    return {ticker.symbol: ticker for ticker in found}


_REST_TICKER = ("symbol", "closeTime", "lastPrice", "openPrice", "highPrice", "lowPrice", "volume", "quoteVolume")
_STREAM_TICKER = ("s", "E", "c", "o", "h", "l", "v", "q")


def parse_mini_ticker(event: Mapping[str, Any]) -> Ticker:
    """A 24hrMiniTicker event. Raises BadData."""
    ticker = _ticker(event, _STREAM_TICKER)
    if ticker is None:
        raise BadData(f"a ticker event makes no sense: {excerpt(repr(event).encode())}")
    return ticker


def _ticker(row: Mapping[str, Any], names: tuple[str, ...]) -> Ticker | None:
    try:
        symbol, at_ms = row[names[0]], row[names[1]]
        last, opened, high, low, volume, quote_volume = (float(row[name]) for name in names[2:])
    except (KeyError, TypeError, ValueError):
        return None
    numbers = (last, opened, high, low, volume, quote_volume)
    if not isinstance(symbol, str) or not isinstance(at_ms, int):
        return None
    if not all(math.isfinite(number) and number >= 0 for number in numbers) or last <= 0 or high < low:
        return None
    return Ticker(Symbol(symbol), last, opened, high, low, volume, quote_volume, at_ms)


def parse_kline_event(event: Mapping[str, Any]) -> tuple[Symbol, Interval, Candle, int]:
    """(symbol, interval, candle, event time in ms); `closed` by the exchange's word. Raises BadData."""
    try:
        kline = event["k"]
        symbol, interval = Symbol(event["s"]), Interval(kline["i"])
        open_ms, event_ms, closed = kline["t"], event["E"], kline["x"]
        floats = [float(kline[name]) for name in ("o", "h", "l", "c", "v", "q", "n", "V", "Q")]
    except (KeyError, TypeError, ValueError):
        raise BadData(f"a kline event makes no sense: {excerpt(repr(event).encode())}") from None
    times_are_numbers = isinstance(open_ms, int) and isinstance(event_ms, int) and isinstance(closed, bool)
    if not times_are_numbers or open_ms != interval.open_ms(open_ms) or not is_sound(floats):
        raise BadData(f"a kline event of {excerpt(symbol.encode())} {interval} makes no sense: {floats}")
    return symbol, interval, candle_of(open_ms, floats, closed=closed), event_ms


def parse_exchange_info(body: bytes) -> tuple[tuple[MarketInfo, ...], int | None]:
    """Markets of /api/v3/exchangeInfo, and the request weight per minute, None where it is not told."""
    told = strict_json(body, "exchangeInfo")
    if not isinstance(told, dict) or not isinstance(told.get("symbols"), list):
        raise BadData(f"exchangeInfo answered no symbols: {excerpt(body)}")
    return tuple(map(_market_info, told["symbols"])), _weight_limit(told.get("rateLimits"))


def _market_info(row: Any) -> MarketInfo:
    try:
        filters = {rule["filterType"]: rule for rule in row["filters"]}
        return MarketInfo(
            symbol=Symbol(row["symbol"]),
            base=str(row["baseAsset"]),
            quote=str(row["quoteAsset"]),
            status=str(row["status"]),
            tick_size=_step(filters.get("PRICE_FILTER", {}).get("tickSize")),
            step_size=_step(filters.get("LOT_SIZE", {}).get("stepSize")),
        )
    except (KeyError, TypeError, AttributeError, InvalidOperation) as error:
        raise BadData(f"exchangeInfo describes a market oddly ({error!r}): {excerpt(repr(row).encode())}") from None


def _step(text: str | None) -> Decimal | None:
    step = Decimal(text) if text is not None else Decimal(0)
    return step.normalize() if step > 0 else None


def _weight_limit(limits: Any) -> int | None:
    for limit in limits if isinstance(limits, list) else []:
        kind = (limit.get("rateLimitType"), limit.get("interval"), limit.get("intervalNum"))
        if kind == ("REQUEST_WEIGHT", "MINUTE", 1) and isinstance(limit.get("limit"), int) and limit["limit"] > 0:
            return int(limit["limit"])
    return None
