"""Symbol: the name of a market, as the exchange spells it."""

from __future__ import annotations

from utils.errors import InvalidInput

_MAX_LENGTH = 20
_QUOTES = ("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "BTC", "ETH", "BNB", "EUR", "TRY", "BRL", "USD")


class Symbol(str):
    """An upper-case market name such as `BTCUSDT`; letters of any script, as the exchange has them since 2025-12."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Symbol:
        name = text.upper()
        if not 1 <= len(name) <= _MAX_LENGTH or not all(c.isalnum() or c in "-_." for c in name):
            shown = text if len(text) <= 40 else text[:40] + "…"
            raise InvalidInput(
                f"symbol {shown!r} cannot be a market; use 1 to {_MAX_LENGTH} letters and digits, such as BTCUSDT"
            )
        return cls(name)

    @property
    def pair(self) -> tuple[str, str]:
        """(base, quote) guessed from the spelling, for display alone; `("ABC", "")` where no known quote ends it."""
        for quote in _QUOTES:
            if self.endswith(quote) and len(self) > len(quote):
                return self[: -len(quote)], quote
        return str(self), ""
