"""Markets out of the dashboard's own candle store, for training without files."""

from __future__ import annotations

from collections.abc import Sequence

from config import load_settings
from data.candle_store import CandleStore
from data.candles import Candles
from data.database import connect
from data.interval import Interval
from data.symbol import Symbol
from utils.errors import NotFound


def stored_markets(interval: Interval, symbols: Sequence[Symbol] = ()) -> list[Candles]:
    """The named markets, or all that the settings track; NotFound where the store has none of their candles."""
    settings = load_settings()
    wanted = symbols or [Symbol.parse(name) for name in settings.symbols]
    database = connect(settings.database_address)
    try:
        store = CandleStore(database)
        found = [candles for symbol in wanted if len(candles := store.read(symbol, interval))]
    finally:
        database.close()
    if not found:
        raise NotFound(
            f"the candle store has no {interval} candles of {', '.join(wanted)}; name a folder of kline files with "
            "--data, or load some by python -m data.import_klines"
        )
    return found
