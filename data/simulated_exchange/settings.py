"""Settings of a simulated exchange: its paces and its limits, Binance's own unless a test wants them shorter."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ExchangeSettings:
    """`_s`: real seconds. `_ms`: milliseconds of the exchange's own clock."""

    pace_s: float = 1.0
    """how often the streams look at the clock"""
    kline_period_ms: int = 2_000
    """at most one kline event per stream in this time (`1s` candles: one a second)"""
    ticker_period_ms: int = 1_000
    ping_interval_s: float = 20.0
    pong_timeout_s: float = 60.0
    connection_limit_s: float = 86_400.0
    max_streams: int = 1_024
    max_messages_per_s: int = 5
    connect_limit: int = 300
    """stream connections of one address in five minutes"""
    weight_limit: int = 6_000
    raw_limit: int = 300_000
    patience: int = 10
    """requests after a 429, in its minute, before the ban"""
    first_ban_s: int = 120
    longest_ban_s: int = 3 * 86_400
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "::1")
