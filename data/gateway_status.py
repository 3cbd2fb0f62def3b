"""GatewayStatus: what the gateway has done and how the exchange treats it, for the performance page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    """Times are UTC milliseconds, None where there is nothing; weights are per minute and address.

    `loop_lag_s`: how much later than asked the loop thread last woke up, `loop_lag_max_s` at worst in the last minute.
    """

    rest_url: str
    running: bool
    used_weight: int
    weight_limit: int
    calls: Mapping[str, int]
    retries: int
    errors: Mapping[str, int]
    refused_rows: int
    backoff_until_ms: int | None
    banned_until_ms: int | None
    clock_offset_ms: int
    loop_lag_s: float
    loop_lag_max_s: float
    last_error: str
    last_success_ms: int | None


@dataclass(slots=True)
class GatewayCounters:
    """Written by the loop thread alone, read by anyone."""

    calls: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    retries: int = 0
    refused_rows: int = 0
    last_error: str = ""
    last_success_ms: int | None = None
