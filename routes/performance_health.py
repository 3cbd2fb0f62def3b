"""Health: is the machine fast and healthy? One sentence, and the checks behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from routes import wording
from routes.budgets import Breach
from routes.performance_parts import count, percent, seconds_text
from routes.performance_redis import redis_words
from utils.minutes import Minute

State = Literal["live", "late", "stale"]
"""Well, worth a look, or bad: the states of the page's marks."""

_WEIGHT_WORRIES = 80.0
_CPU_WORRIES = 90.0
_LAG_WORRIES_S, _LAG_HURTS_S = 0.05, 0.25
_ERRORS_HURT = 0.01
_QUERY_WORRIES_S = 0.05
_FAILURE_WORRIES_S = 300.0
_MEMORY_NEARLY = 0.92
_ALERTS_NAMED = 2
_RANK: Mapping[State, int] = {"live": 0, "late": 1, "stale": 2}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that has to be well."""

    name: str
    state: State
    text: str


@dataclass(frozen=True, slots=True)
class Health:
    """The worst of the checks, in words."""

    state: State
    text: str
    checks: tuple[Check, ...]


def health(
    now: Minute,
    broken: Sequence[Breach],
    metrics: Mapping[str, Any],
    *,
    memory_limit_percent: float,
    alerts: Sequence[str] = (),
) -> Health:
    """From the last five minutes, and from what the parts report at this moment; `alerts` are those that are open."""
    sources = metrics.get("sources", {})
    process = metrics.get("process") or {}
    checks = (
        _answers(now, broken),
        _errors(now),
        _streams(sources.get("feed", {})),
        *_markets(sources.get("market") or {}),
        _exchange(sources.get("exchange", {}), metrics.get("at_ms", 0)),
        _memory(process, memory_limit_percent, sources.get("memory_guard") or {}),
        _cpu(process),
        _loop(sources.get("exchange", {})),
        _database(sources.get("database", {})),
        *_shared_cache(sources.get("redis") or {}),
        *_assets(sources.get("asset_host") or {}),
        _alerts(alerts),
    )
    worst: State = max((check.state for check in checks), key=_RANK.__getitem__)
    return Health(worst, _sentence(worst, checks), checks)


def _sentence(worst: State, checks: Sequence[Check]) -> str:
    if worst == "live":
        return "Fast and healthy"
    names = [check.name.lower() for check in checks if check.state == worst]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return f"In trouble: {listed}" if worst == "stale" else f"Running; worth a look: {listed}"


def _answers(now: Minute, broken: Sequence[Breach]) -> Check:
    whole = now.all_routes
    if not whole.count:
        return Check("Answers", "live", "nothing was asked in the last minutes")
    told = f"p95 {seconds_text(whole.percentile_s(0.95))} over {count(whole.count)} requests"
    routes = len({one.route for one in broken})
    if not routes:
        return Check("Answers", "live", f"{told}, every route within its budget")
    return Check("Answers", "late", f"{told}, {routes} route{'' if routes == 1 else 's'} over budget")


def _errors(now: Minute) -> Check:
    whole = now.judged_by_errors
    if not whole.errors:
        return Check("Errors", "live", "none in the last minutes")
    share = whole.errors / whole.count
    state: State = "stale" if share >= _ERRORS_HURT else "late"
    return Check(
        "Errors", state, f"{count(whole.errors)} of {count(whole.count)} requests ({wording.percent(share, 1)})"
    )


def _streams(feed: Mapping[str, Any]) -> Check:
    states: Mapping[str, State] = {"live": "live", "polling": "late", "starting": "late"}
    if feed.get("streams") == 0 and feed.get("last_event_ms") is None:
        return Check("Streams", "late", "not opened yet")
    state = str(feed.get("state", "starting"))
    return Check("Streams", states.get(state, "stale"), str(feed.get("text") or state))


def _markets(market: Mapping[str, Any]) -> tuple[Check, ...]:
    """Of those that the exchange has no answer for, the first one's reason."""
    if not market:
        return ()
    problems: Mapping[str, str] = market["problems"]
    if not problems:
        return (Check("Markets", "live", f"{count(market['symbols'])} followed, none refused by the exchange"),)
    more = f"; and {len(problems) - 1} more of {count(market['symbols'])}" if len(problems) > 1 else ""
    return (Check("Markets", "late", f"{next(iter(problems.values()))}{more}"),)


def _exchange(exchange: Mapping[str, Any], now_ms: int) -> Check:
    if not exchange.get("weight_limit"):
        return Check("Exchange", "late", "not asked yet")
    if (exchange.get("banned_until_ms") or 0) > now_ms:
        return Check(
            "Exchange", "stale", f"this address is banned until {wording.utc(exchange['banned_until_ms'])} UTC"
        )
    share = exchange["used_weight"] / exchange["weight_limit"] * 100
    text = f"{exchange['used_weight']:,} of {exchange['weight_limit']:,} weight used this minute"
    return Check("Exchange", "late" if share > _WEIGHT_WORRIES else "live", text)


def _memory(process: Mapping[str, Any], limit_percent: float, guard: Mapping[str, Any]) -> Check:
    if not process:
        return Check("Memory", "live", "not read yet")
    used = float(process["memory_percent"])
    text = (
        f"{wording.size(process['rss_bytes'])} here, {used:.0f} % of the machine (trimmed above {limit_percent:.0f} %)"
    )
    if guard.get("in_vain") and guard["max_rss_bytes"]:
        told = f"above MAX_RSS_MB {guard['max_rss_bytes'] / 1e6:,.0f} even with nothing kept: give it more"
        return Check("Memory", "late", f"{wording.size(process['rss_bytes'])} here, {told}")
    state: State = "stale" if used > limit_percent else "late" if used > limit_percent * _MEMORY_NEARLY else "live"
    return Check("Memory", state, text)


def _cpu(process: Mapping[str, Any]) -> Check:
    if not process:
        return Check("Processor", "live", "not read yet")
    own, machine = process["cpu_percent"], process["system_cpu_percent"]
    if own is None or machine is None:
        return Check("Processor", "live", "not measured yet")
    text = f"{percent(own)} of a core here, {percent(machine)} of the machine"
    return Check("Processor", "late" if machine > _CPU_WORRIES else "live", text)


def _loop(exchange: Mapping[str, Any]) -> Check:
    lag_s = float(exchange.get("loop_lag_max_s") or 0.0)
    if not lag_s:
        return Check("Event loop", "live", "not measured yet")
    state = _beyond(lag_s, _LAG_WORRIES_S, _LAG_HURTS_S)
    return Check("Event loop", state, f"at most {seconds_text(lag_s)} late in the last minute")


def _database(database: Mapping[str, Any]) -> Check:
    if not database.get("count"):
        return Check("Database", "live", "not asked yet")
    mean_s = database["total_s"] / database["count"]
    failed = f"{count(database['errors'])} failed since the start"
    if database.get("failing"):
        return Check("Database", "stale", f"cannot be used now; {failed}")
    since_s = database.get("since_error_s")
    lately = since_s is not None and since_s < _FAILURE_WORRIES_S
    newest = f", the newest {wording.age(since_s)}" if lately else ""
    worries = lately or mean_s > _QUERY_WORRIES_S
    return Check("Database", "late" if worries else "live", f"{seconds_text(mean_s)} per statement, {failed}{newest}")


def _shared_cache(redis: Mapping[str, Any]) -> tuple[Check, ...]:
    """Only where there is to be one. Without it everything works, slower."""
    if "breaker" not in redis:
        return ()
    words = redis_words(redis)
    return (Check("Shared cache", "live" if words == "in use" else "late", words),)


def _assets(host: Mapping[str, Any]) -> tuple[Check, ...]:
    """Only where they lie elsewhere. Without that host pages name the files here, and nothing is lacking."""
    if "usable" not in host:
        return ()
    if host["usable"] and not host["problem"]:
        return (Check("Assets", "live", f"{host['address']} gives them"),)
    told = str(host["problem"]) or "answers again"
    now = "" if host["usable"] else "; pages take them from here"
    return (Check("Assets", "late", f"{told}{now}"),)


def _alerts(alerts: Sequence[str]) -> Check:
    if not alerts:
        return Check("Alerts", "live", "none raised")
    more = f" and {len(alerts) - _ALERTS_NAMED} more" if len(alerts) > _ALERTS_NAMED else ""
    return Check("Alerts", "late", f"{len(alerts)} raised: {', '.join(alerts[:_ALERTS_NAMED])}{more}")


def _beyond(value: float, worries: float, hurts: float) -> State:
    return "stale" if value > hurts else "late" if value > worries else "live"
