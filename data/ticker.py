"""Ticker: the rolling 24 hours of one market, as the exchange last told them."""

from __future__ import annotations

from dataclasses import dataclass

from data.symbol import Symbol


@dataclass(frozen=True, slots=True)
class Ticker:
    """Prices and quote volume in the quote asset, volume in the base asset; `at_ms` is exchange time (UTC)."""

    symbol: Symbol
    last_price: float
    open_24h: float
    high_24h: float
    low_24h: float
    volume_24h: float
    quote_volume_24h: float
    at_ms: int

    @property
    def change_24h_fraction(self) -> float | None:
        """Last price against the price 24 h ago (0.01 is 1 %); None where the market did not trade then."""
        if not self.open_24h > 0:
            return None
        return self.last_price / self.open_24h - 1.0
