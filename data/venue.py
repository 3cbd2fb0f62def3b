"""Venue: whose candles and forecasts these are, so that invented ones never mix with the market's."""

from __future__ import annotations

BINANCE = "binance"
TESTNET = "testnet"
UNKNOWN = ""
"""Until the exchange is chosen: there is nothing to read."""
_RUN = "run "


def mirror(host: str) -> str:
    """Another address than Binance's own."""
    return f"at {host}"[:80]


def invented(seed: int) -> str:
    """The simulated exchange's own market in real time: the same seed tells the same story after a restart."""
    return f"invented {seed}"


def run(started_ms: int) -> str:
    """A simulation whose clock is not ours: each run begins its time anew, and what the last one left is its future."""
    return f"{_RUN}{started_ms}"


def lasts(venue: str) -> bool:
    """Whether a later start of the program goes on where this one ended."""
    return not venue.startswith(_RUN)
