"""Redis statistics: what the shared level of the cache did since the start, and whether it is heard."""

from __future__ import annotations

from dataclasses import dataclass

from utils.redis_watch import RedisServerFacts


@dataclass(frozen=True, slots=True)
class RedisStats:
    """`refused` calls were not made because the breaker was open; `waited` loads were another process's; `undecodable`
    values were not as this version writes them. `loads` are those that this process made of shared values.

    What the server holds and tells was asked `asked_s` seconds ago, None before the first answer. `entries`, their
    bytes and ages are those of this cache that count, None where the server holds too many keys to count them;
    `evictions` are of anyone's keys, since the server was started.
    """

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
    loads: int = 0
    load_time_s: float = 0.0
    entries: int | None = None
    size_bytes: int | None = None
    age_median_s: float | None = None
    age_oldest_s: float | None = None
    evictions: int | None = None
    asked_s: float | None = None
    server: RedisServerFacts | None = None
