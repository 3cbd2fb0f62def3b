"""Minute codec: a minute as a few hundred bytes and back; what another version wrote in another way is not read."""

from __future__ import annotations

from typing import Any

import orjson
from backports import zstd

from utils.minutes import Minute, RouteMinute

FORM = 1
_LEVEL = 6


def pack(minute: Minute) -> bytes:
    """Strict JSON, compressed."""
    return zstd.compress(orjson.dumps(words_of(minute)), _LEVEL)


def unpack(content: bytes, at_ms: int) -> Minute | None:
    """None where it is of another form, or damaged: a gap in a history is better than no history."""
    try:
        return minute_of(orjson.loads(zstd.decompress(content)), at_ms)
    except (zstd.ZstdError, ValueError):
        return None


def words_of(minute: Minute) -> dict[str, Any]:
    """As JSON can say it, without when it was."""
    routes = {name: _route(one) for name, one in minute.routes.items()}
    return {"form": FORM, "seconds": minute.seconds, "routes": routes, "gauges": dict(minute.gauges)}


def minute_of(read: Any, at_ms: int) -> Minute | None:
    """The same again as a value; None where it is of another form."""
    try:
        if read["form"] != FORM:
            return None
        routes = {name: _unrouted(one) for name, one in read["routes"].items()}
        return Minute(at_ms, float(read["seconds"]), routes, read["gauges"])
    except (ValueError, KeyError, TypeError, IndexError):
        return None


def _route(one: RouteMinute) -> list[Any]:
    return [
        list(one.buckets),
        list(one.buckets.values()),
        round(one.total_s, 6),
        one.errors,
        one.size_bytes,
        one.worked,
        round(one.worked_s, 6),
        {name: round(seconds, 6) for name, seconds in one.stages_s.items()},
        [one.peak_bytes, one.peak_queries, one.peak_weight],
    ]


def _unrouted(read: list[Any]) -> RouteMinute:
    places, counts, total_s, errors, size_bytes, worked, worked_s, stages, peaks = read
    buckets = dict(zip(map(int, places), map(int, counts), strict=True))
    return RouteMinute(buckets, total_s, errors, size_bytes, worked, worked_s, stages, *map(int, peaks))
