"""KlinePage: one answer of the exchange to a question for candles."""

from __future__ import annotations

from dataclasses import dataclass

from data.candles import Candle, Candles


@dataclass(frozen=True, slots=True)
class KlinePage:
    """`closed` by exchange time, sorted and without duplicates; `refused_open_ms` are rows that made no sense.

    `answered_to_ms`: the open time after the newest closed row; before that, what is absent does not exist.
    """

    closed: Candles
    forming: Candle | None
    refused_open_ms: tuple[int, ...] = ()
    answered_to_ms: int | None = None

    @property
    def rows(self) -> int:
        """How many rows the answer held, usable or not."""
        return len(self.closed) + (self.forming is not None) + len(self.refused_open_ms)
