"""REST: every public endpoint as a function of its parameters, with its weight."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data.interval import Interval
from data.simulated_exchange import errors
from data.simulated_exchange.book import best_prices, depth, last_known
from data.simulated_exchange.candle_series import PLAIN, Bar, Units, kline_rows, text
from data.simulated_exchange.listings import Listing
from data.simulated_exchange.market import Market
from data.simulated_exchange.market_info import exchange_info
from data.simulated_exchange.rest_params import Params
from data.simulated_exchange.settings import ExchangeSettings
from data.simulated_exchange.tape import aggregate_row, newest_trades, trade_row, trades_between, trades_from_id
from data.simulated_exchange.tickers import day_bar, full_ticker, mini_ticker
from data.simulated_exchange.zoned import zoned_klines

if TYPE_CHECKING:
    from multidict import MultiMapping

_MINUTE_MS = 60_000
_HOUR_MS = 3_600_000
_TYPES = ("FULL", "MINI")
_SYMBOL_PARAMS = ("symbol", "symbols", "symbolStatus")
_KLINE_PARAMS = ("symbol", "interval", "startTime", "endTime", "timeZone", "limit")


@dataclass(frozen=True, slots=True)
class Scene:
    """What an endpoint sees: the market, the moment, the limits."""

    market: Market
    now_ms: int
    settings: ExchangeSettings

    def listing(self, symbol: str) -> Listing:
        listing = self.market.listings.get(symbol)
        if listing is None or listing.listed_ms > self.now_ms:
            raise errors.invalid_symbol()
        return listing

    def listed(self) -> list[str]:
        return [name for name, one in self.market.listings.items() if one.listed_ms <= self.now_ms]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One route: how it answers, what it reads, what it costs."""

    answer: Callable[[Scene, Params], Any]
    weight: Callable[[MultiMapping[str]], int]
    allowed: tuple[str, ...] = ()
    mandatory: tuple[str, ...] = ()

    def __call__(self, scene: Scene, query: MultiMapping[str]) -> Any:
        return self.answer(scene, Params(query, self.allowed, self.mandatory))


def ping(scene: Scene, params: Params) -> dict[str, Any]:
    return {}


def time(scene: Scene, params: Params) -> dict[str, int]:
    return {"serverTime": scene.now_ms}


def info(scene: Scene, params: Params) -> dict[str, Any]:
    asked = _asked_symbols(scene, params)
    status = params.status()
    if status and asked is not None:
        raise errors.invalid_combination()
    listings = [scene.listing(name) for name in (scene.listed() if asked is None else asked)]
    chosen = [listing for listing in listings if status in (None, listing.status)]
    sets = params.choice("showPermissionSets", ("true", "false")) != "false"
    return exchange_info(chosen, scene.settings, scene.now_ms, permission_sets=sets)


def klines(scene: Scene, params: Params) -> list[list[object]]:
    symbol = params.symbol() or ""
    limit = params.limit(500, 1000)
    start, end, zone = params.integer("startTime"), params.integer("endTime"), params.zone_ms()
    interval = params.interval()
    listing = scene.listing(symbol)
    zone = zone if interval.ms >= Interval.D1.ms or zone % interval.ms else 0
    if zone:
        series = zoned_klines(scene.market, symbol, interval, start, end, limit, scene.now_ms, zone)
    else:
        series = scene.market.klines(symbol, interval, start, end, limit, scene.now_ms)
    return kline_rows(series, interval, listing.units, zone)


def ticker_24h(scene: Scene, params: Params) -> Any:
    write = mini_ticker if params.choice("type", _TYPES) == "MINI" else full_ticker

    def one(name: str) -> dict[str, Any]:
        bar = day_bar(scene.market, name, scene.now_ms) or _last_price(scene, name)
        return write(scene.market, name, bar, scene.now_ms)

    return _for_each(scene, params, one)


def ticker_price(scene: Scene, params: Params) -> Any:
    def one(name: str) -> dict[str, Any]:
        return {"symbol": name, "price": text(_last_price(scene, name).close, scene.listing(name).units.price_e8)}

    return _for_each(scene, params, one)


def book_ticker(scene: Scene, params: Params) -> Any:
    def one(name: str) -> dict[str, Any]:
        price, volume, _ = scene.listing(name).units
        best = best_prices(scene.market, name, scene.now_ms)
        return {
            "symbol": name,
            "bidPrice": text(best.bid, price),
            "bidQty": text(best.bid_quantity, volume),
            "askPrice": text(best.ask, price),
            "askQty": text(best.ask_quantity, volume),
        }

    return _for_each(scene, params, one)


def average_price(scene: Scene, params: Params) -> dict[str, Any]:
    symbol = params.symbol() or ""
    units = scene.listing(symbol).units
    start = (scene.now_ms - 5 * _MINUTE_MS) // _MINUTE_MS * _MINUTE_MS
    bar = scene.market.since(symbol, start, scene.now_ms)
    mean = _mean_price(bar, units) if bar and bar.volume else None
    last = text(_last_price(scene, symbol).close, units.price_e8)
    return {"mins": 5, "price": last if mean is None else f"{mean:.8f}", "closeTime": scene.now_ms}


def order_book(scene: Scene, params: Params) -> dict[str, object]:
    symbol = params.symbol() or ""
    limit = params.limit(100, 5000)
    scene.listing(symbol)
    return depth(scene.market, symbol, limit, scene.now_ms)


def trades(scene: Scene, params: Params) -> list[dict[str, Any]]:
    symbol = params.symbol() or ""
    limit = params.limit(500, 1000)
    scene.listing(symbol)
    found = newest_trades(scene.market, symbol, limit, scene.now_ms)
    return [trade_row(trade, scene.market, symbol) for trade in found]


def aggregate_trades(scene: Scene, params: Params) -> list[dict[str, Any]]:
    symbol = params.symbol() or ""
    limit = params.limit(500, 1000)
    start, end, first = params.integer("startTime"), params.integer("endTime"), params.integer("fromId")
    scene.listing(symbol)
    if first is not None and (start is not None or end is not None):
        raise errors.invalid_combination()
    market, now = scene.market, scene.now_ms
    if first is not None:
        found = trades_from_id(market, symbol, first, limit, now)
    elif start is not None:
        stop = min(now // 1000 * 1000, start + _HOUR_MS if end is None else end + 1)
        found = trades_between(market, symbol, start, min(stop, start + 24 * _HOUR_MS))[:limit]
    else:
        found = newest_trades(market, symbol, limit, now if end is None else min(end + 1, now))
    return [aggregate_row(trade, market, symbol) for trade in found]


def _for_each(scene: Scene, params: Params, one: Callable[[str], dict[str, Any]]) -> Any:
    """One object for `symbol`, a list for `symbols` or for neither."""
    symbol = params.symbol()
    asked = _asked_symbols(scene, params)
    status = params.status()
    names = scene.listed() if asked is None else asked
    if status and asked is not None and any(scene.listing(name).status != status for name in names):
        raise errors.status_mismatch()
    scene.market.prepare(names, scene.now_ms)
    answers = [one(name) for name in names if status in (None, scene.listing(name).status)]
    return answers[0] if symbol is not None else answers


def _asked_symbols(scene: Scene, params: Params) -> list[str] | None:
    symbol, symbols = params.symbol(), params.symbols()
    if symbol is not None and symbols is not None:
        raise errors.invalid_combination()
    asked = [symbol] if symbol is not None else symbols
    for name in asked or ():
        scene.listing(name)
    return asked


def _last_price(scene: Scene, symbol: str) -> Bar:
    """The newest price; during an outage of the data, that of the last candle before it."""
    running = scene.market.running(symbol, scene.now_ms)
    if running is None:
        running = last_known(scene.market, symbol, scene.now_ms)
    return Bar.flat(running.close)


def _mean_price(bar: Bar, units: Units) -> float:
    if units == PLAIN:
        return bar.quote / bar.volume
    return (bar.quote * units.quote_e8) / (bar.volume * units.volume_e8)


def _flat(weight: int) -> Callable[[MultiMapping[str]], int]:
    return lambda query: weight


def _depth_weight(query: MultiMapping[str]) -> int:
    limit = query.get("limit", "100")
    size = int(limit) if limit.isdecimal() else 100
    return next((weight for bound, weight in ((100, 5), (500, 25), (1000, 50)) if size <= bound), 250)


def _day_weight(query: MultiMapping[str]) -> int:
    if "symbol" in query:
        return 2
    if "symbols" not in query:
        return 80
    count = query["symbols"].count(",") + 1
    return 2 if count <= 20 else 40 if count <= 100 else 80


def _price_weight(query: MultiMapping[str]) -> int:
    return 2 if "symbol" in query else 4


ENDPOINTS: Mapping[str, Endpoint] = {
    "/api/v3/ping": Endpoint(ping, _flat(1)),
    "/api/v3/time": Endpoint(time, _flat(1)),
    "/api/v3/exchangeInfo": Endpoint(info, _flat(20), (*_SYMBOL_PARAMS, "permissions", "showPermissionSets")),
    "/api/v3/klines": Endpoint(klines, _flat(2), _KLINE_PARAMS, ("symbol", "interval")),
    "/api/v3/uiKlines": Endpoint(klines, _flat(2), _KLINE_PARAMS, ("symbol", "interval")),
    "/api/v3/ticker/24hr": Endpoint(ticker_24h, _day_weight, (*_SYMBOL_PARAMS, "type")),
    "/api/v3/ticker/price": Endpoint(ticker_price, _price_weight, _SYMBOL_PARAMS),
    "/api/v3/ticker/bookTicker": Endpoint(book_ticker, _price_weight, _SYMBOL_PARAMS),
    "/api/v3/avgPrice": Endpoint(average_price, _flat(2), ("symbol",), ("symbol",)),
    "/api/v3/depth": Endpoint(order_book, _depth_weight, ("symbol", "limit", "symbolStatus"), ("symbol",)),
    "/api/v3/trades": Endpoint(trades, _flat(25), ("symbol", "limit"), ("symbol",)),
    "/api/v3/aggTrades": Endpoint(
        aggregate_trades, _flat(4), ("symbol", "fromId", "startTime", "endTime", "limit"), ("symbol",)
    ),
}
