"""Redis statistics: what the shared level of the cache did since the start, and whether it is heard."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RedisStats:
    """`refused` calls were not made because the breaker was open; `waited` loads were another process's; `undecodable`
    values were not as this version writes them."""

    breaker: str
    hears: bool
    calls: int
    failures: int
    refused: int
    hits: int
    misses: int
    waited: int
    undecodable: int
    outdated: int
    slowest_s: float
    last_problem: str
