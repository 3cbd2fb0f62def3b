"""Health: whether the process lives, and whether it has everything it needs to be worth asking."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Blueprint, Response

from routes.budgets import budget
from routes.login import has_entered
from routes.services import Services, services
from routes.strict_json import JSON, dumps
from utils.minutes import READY_ROUTE
from utils.phrases import some

bp = Blueprint("health", __name__)

_RETRY_S = 2
_SHOWN_SERIES = 20
_SHOWN_WARNINGS = 5


@bp.get("/health")
@budget(p95_ms=10, size_bytes=1_000)
def health() -> Response:
    """200 as long as the process answers at all."""
    parts = services()
    return _answer({"status": "ok", "version": parts.app_version, "started_at_ms": parts.started_at_ms}, 200)


@bp.get(READY_ROUTE)
@budget(p95_ms=25, size_bytes=2_000)
def ready() -> Response:
    """200 once every followed market has candles and every part is in place, else 503 with what is waited for.

    A market that the exchange does not know, or has nothing of, is a warning: the others are not held up by it. Who
    has not logged in, where a password is asked for, hears whether it is ready and no more.
    """
    parts = services()
    waiting = waiting_for(parts)
    told = {"waiting_for": waiting, "warnings": warnings_of(parts)} if has_entered() else {}
    response = _answer({"ready": not waiting, **told}, 503 if waiting else 200)
    if waiting:
        response.headers["Retry-After"] = str(_RETRY_S)
    return response


def waiting_for(parts: Services) -> list[str]:
    """What is not in place yet, in words."""
    market = parts.market
    series = [(symbol, interval) for symbol in market.symbols for interval in market.intervals]
    empty = [pair for pair in series if market.freshness(*pair).state == "empty"]
    if len(empty) < len(series):
        empty = [pair for pair in empty if not market.problem(*pair)]
    told = [f"candles of {symbol} {interval}" for symbol, interval in empty]
    start = [parts.connection.waiting_for] if parts.connection.waiting_for else []
    if len(told) > _SHOWN_SERIES:
        told = [f"{', '.join(told[:_SHOWN_SERIES])}, and of {len(told) - _SHOWN_SERIES} more"]
    return [*start, *parts.waiting(), *told]


def warnings_of(parts: Services) -> list[str]:
    """Which followed markets the exchange has no answer for, and why; the unknown ones in one sentence.

    Before the first filling is done only those are final: by a clock that is not the exchange's, histories seem to be
    missing."""
    market = parts.market
    unknown = market.unknown
    others = [
        problem
        for symbol in market.symbols
        if symbol not in unknown
        for interval in market.intervals
        if parts.connection.ready and (problem := market.problem(symbol, interval))
    ]
    if len(others) > _SHOWN_WARNINGS:
        others = [*others[:_SHOWN_WARNINGS], f"and {len(others) - _SHOWN_WARNINGS} more of that kind"]
    return [*([unknown_sentence(unknown)] if unknown else []), *others]


def unknown_sentence(unknown: Sequence[str]) -> str:
    """What to do about markets that the exchange does not know."""
    return (
        f"the exchange does not know {some(unknown, _SHOWN_SERIES)}: look for a typo in SYMBOLS, or whether the market "
        "was delisted; all others are followed"
    )


def _answer(value: object, status: int) -> Response:
    response = Response(dumps(value), status, content_type=JSON)
    response.headers["Cache-Control"] = "no-store"
    return response
