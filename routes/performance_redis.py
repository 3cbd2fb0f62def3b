"""Performance of the shared cache: whether Redis is used, and what the server tells of itself, as a panel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from routes import wording
from routes.performance_parts import Fact, Panel, count, found_text, seconds_text
from utils.part_metrics import shared_cache_up


def redis_panel(redis: Mapping[str, Any]) -> tuple[Panel, ...]:
    """The cache that several processes share; none where REDIS_URL is not set."""
    if not redis:
        return ()
    facts = (
        Fact("State", redis_words(redis)),
        Fact("Hears of changes", "yes" if redis["hears"] else "no; own copies are trusted for a second"),
        Fact("Questions", f"{count(redis['calls'])}, {count(redis['failures'])} failed"),
        Fact("Not asked while it was down", count(redis["refused"])),
        Fact("Loads left to another process", count(redis["waited"])),
        Fact("Values not readable", count(redis["undecodable"])),
        Fact("Slowest question", seconds_text(redis["slowest_s"] if redis["calls"] else None)),
        Fact("Last problem", redis["last_problem"] or "none"),
        *_server_facts(redis),
    )
    return (Panel("Shared cache (Redis)", facts),)


def _server_facts(redis: Mapping[str, Any]) -> tuple[Fact, ...]:
    """What the server tells of itself, whoever uses it; nothing before its first answer."""
    server: Mapping[str, Any] = redis.get("server") or {}
    if not server:
        return ()
    return (
        Fact("Server", _server_words(server)),
        _memory_fact(server),
        Fact("Its keys", f"{count(server['keys'])}, {_ours(redis)}"),
        Fact("Keys it evicted, that expired", f"{count(server['evictions'])}, {count(server['expired'])}"),
        Fact("Its reads that found a key", found_text(server["hits"] or 0, server["misses"] or 0)),
        Fact("It was asked", f"{wording.duration(redis['asked_s'])} ago"),
    )


def _server_words(server: Mapping[str, Any]) -> str:
    """`Redis 7.0.15, up 3 h, 5 connections`; a server that tells nothing of itself is one too."""
    up, clients = server["uptime_s"], server["clients"]
    told = (
        f"Redis {server['version']}" if server["version"] else "tells nothing of itself",
        f"up {wording.duration(up)}" if up is not None else "",
        f"{count(clients)} connection{'' if clients == 1 else 's'}" if clients is not None else "",
    )
    return ", ".join(part for part in told if part)


def _memory_fact(server: Mapping[str, Any]) -> Fact:
    """Beyond its limit the policy says what goes, or that nothing is taken any more (noeviction)."""
    used, most = server["memory_bytes"], server["max_memory_bytes"]
    if used is None:
        return Fact("Its memory", wording.NOTHING)
    if not most:
        return Fact("Its memory", f"{wording.size(used)}, without a limit of its own")
    return Fact(
        "Its memory", f"{wording.size(used)} of {wording.size(most)}, then {server['policy']}", used / most * 100
    )


def _ours(redis: Mapping[str, Any]) -> str:
    if redis["entries"] is None:
        return "ours not counted"
    return f"{count(redis['entries'])} of them values of ours"


def redis_words(redis: Mapping[str, Any]) -> str:
    """Whether it is used."""
    if shared_cache_up(redis):
        return "in use"
    problem = f" ({redis['last_problem']})" if redis["last_problem"] else ""
    return f"cannot be used{problem}; each process loads for itself"
