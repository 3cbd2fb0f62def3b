"""Health: whether the process lives, and whether it has everything it needs to be worth asking."""

from __future__ import annotations

from flask import Blueprint, Response

from routes.budgets import budget
from routes.services import Services, services
from routes.strict_json import JSON, dumps
from utils.minutes import READY_ROUTE

bp = Blueprint("health", __name__)

_RETRY_S = 2
_SHOWN_SERIES = 20


@bp.get("/health")
@budget(p95_ms=10, size_bytes=1_000)
def health() -> Response:
    """200 as long as the process answers at all."""
    parts = services()
    return _answer({"status": "ok", "version": parts.app_version, "started_at_ms": parts.started_at_ms}, 200)


@bp.get(READY_ROUTE)
@budget(p95_ms=25, size_bytes=2_000)
def ready() -> Response:
    """200 once every followed market has candles and every part is in place, else 503 with what is waited for."""
    waiting = waiting_for(services())
    response = _answer({"ready": not waiting, "waiting_for": waiting}, 503 if waiting else 200)
    if waiting:
        response.headers["Retry-After"] = str(_RETRY_S)
    return response


def waiting_for(parts: Services) -> list[str]:
    """What is not in place yet, in words."""
    market = parts.market
    empty = [
        f"candles of {symbol} {interval}"
        for symbol in market.symbols
        for interval in market.intervals
        if market.freshness(symbol, interval).state == "empty"
    ]
    start = [parts.connection.waiting_for] if parts.connection.waiting_for else []
    if len(empty) > _SHOWN_SERIES:
        empty = [f"{', '.join(empty[:_SHOWN_SERIES])}, and of {len(empty) - _SHOWN_SERIES} more"]
    return [*start, *parts.waiting(), *empty]


def _answer(value: object, status: int) -> Response:
    response = Response(dumps(value), status, content_type=JSON)
    response.headers["Cache-Control"] = "no-store"
    return response
