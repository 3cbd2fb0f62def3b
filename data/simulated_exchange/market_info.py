"""Market info: what `exchangeInfo` says of each market and of the limits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from data.simulated_exchange.candle_series import text
from data.simulated_exchange.listings import Listing
from data.simulated_exchange.settings import ExchangeSettings

_ORDER_TYPES = ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"]
_SELF_TRADE = ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT", "TRANSFER"]


def exchange_info(
    listings: Iterable[Listing], settings: ExchangeSettings, now_ms: int, *, permission_sets: bool = True
) -> dict[str, Any]:
    """The whole answer of `/api/v3/exchangeInfo`."""
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "rateLimits": [
            _limit("REQUEST_WEIGHT", "MINUTE", 1, settings.weight_limit),
            _limit("ORDERS", "SECOND", 10, 100),
            _limit("ORDERS", "DAY", 1, 200_000),
            _limit("RAW_REQUESTS", "MINUTE", 5, settings.raw_limit),
        ],
        "exchangeFilters": [],
        "symbols": [_symbol(listing, permission_sets) for listing in listings],
    }


def _limit(kind: str, interval: str, count: int, limit: int) -> dict[str, Any]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": count, "limit": limit}


def _symbol(listing: Listing, permission_sets: bool) -> dict[str, Any]:
    info: dict[str, Any] = {
        "symbol": listing.symbol,
        "status": listing.status,
        "baseAsset": listing.base,
        "baseAssetPrecision": 8,
        "quoteAsset": listing.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": _ORDER_TYPES,
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "opoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "pegInstructionsAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": _filters(listing),
        "permissions": [],
    }
    if permission_sets:
        info["permissionSets"] = [["SPOT"]]
    info["defaultSelfTradePreventionMode"] = "EXPIRE_MAKER"
    info["allowedSelfTradePreventionModes"] = _SELF_TRADE
    return info


def _filters(listing: Listing) -> list[dict[str, Any]]:
    tick, lot = text(1, listing.tick_e8), text(1, listing.lot_e8)
    largest_price, largest_lot = text(min(listing.tick_e8 * 10**8, 10**14), 1), text(listing.lot_e8 * 9 * 10**8, 1)
    multipliers = {
        f"{side}Multiplier{way}": value for side in ("bid", "ask") for way, value in (("Up", "5"), ("Down", "0.2"))
    }
    trailing = {
        f"{end}Trailing{way}Delta": value for way in ("Above", "Below") for end, value in (("min", 10), ("max", 2000))
    }
    return [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": largest_price, "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": largest_lot, "stepSize": lot},
        {"filterType": "ICEBERG_PARTS", "limit": 100},
        {"filterType": "MARKET_LOT_SIZE", "minQty": text(0, 1), "maxQty": largest_lot, "stepSize": text(0, 1)},
        {"filterType": "TRAILING_DELTA", **trailing},
        {"filterType": "PERCENT_PRICE_BY_SIDE", **multipliers, "avgPriceMins": 5},
        {
            "filterType": "NOTIONAL",
            "minNotional": "5.00000000",
            "applyMinToMarket": True,
            "maxNotional": "9000000.00000000",
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
        {"filterType": "MAX_NUM_ORDER_LISTS", "maxNumOrderLists": 20},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
        {"filterType": "MAX_NUM_ORDER_AMENDS", "maxNumOrderAmends": 10},
    ]
