"""Markets out of the dashboard's own candle store, for training without files."""

from __future__ import annotations

from collections.abc import Sequence

from config import load_settings
from data.candle_store import CandleStore
from data.candles import Candles
from data.database import connect
from data.interval import Interval
from data.store_errors import TRAINER_PATIENCE_S
from data.symbol import Symbol
from data.venue import BINANCE
from utils.errors import InvalidInput, NotFound


def stored_markets(
    interval: Interval, symbols: Sequence[Symbol] = (), *, database: str = "", venue: str = BINANCE
) -> list[Candles]:
    """The named markets of a venue, or all that the settings track; NotFound where the store has none of their candles.

    The store is that of the settings where no `database` address is given.
    """
    wanted = symbols or [Symbol.parse(name) for name in load_settings().symbols]
    opened = connect(database or load_settings().database_address, patience_s=TRAINER_PATIENCE_S)
    try:
        store = CandleStore(opened, venue=venue)
        found = [candles for symbol in wanted if len(candles := store.read(symbol, interval))]
    finally:
        opened.close()
    if not found:
        raise NotFound(
            f"the candle store has no {interval} candles of {', '.join(wanted)}; follow one of these markets, load "
            "some by python -m data.import_klines, or train from a folder of kline files (--data)"
        )
    return found


def long_enough(markets: Sequence[Candles], least: int, what: str) -> Sequence[Candles]:
    """The same; InvalidInput where not even the longest has `least` candles, which `what` needs."""
    longest = max(markets, key=len)
    if len(longest) >= least:
        return markets
    raise InvalidInput(
        f"{what} needs {least:,} {longest.interval} candles of at least one market; {longest.symbol} has most, "
        f"{len(longest):,}, with all that the exchange gave: wait until there are more, or load older ones by "
        "python -m data.import_klines"
    )
