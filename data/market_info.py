"""MarketInfo: what the exchange says of one market."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from data.symbol import Symbol


@dataclass(frozen=True, slots=True)
class MarketInfo:
    """`status` is the exchange's own word (TRADING, HALT, BREAK…); the list is open. Steps are None where unlimited."""

    symbol: Symbol
    base: str
    quote: str
    status: str
    tick_size: Decimal | None
    step_size: Decimal | None

    @property
    def trading(self) -> bool:
        """Only the one known word means that orders are taken."""
        return self.status == "TRADING"
