"""Errors: every one becomes a page, or JSON under /api, that says what happened, what fits and what to do."""

from __future__ import annotations

import logging
import math
from typing import Any

from flask import Flask, Response, render_template, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.exceptions import NotFound as WerkzeugNotFound

from routes.services import services
from routes.strict_json import JSON, dumps
from utils.errors import STATUS, Banned, DashboardError, FileError, InvalidInput, NotFound, StoreError
from utils.performance_monitor import current_trace
from utils.request_trace import traced

log = logging.getLogger(__name__)

_TITLES = {
    400: "That cannot be asked",
    401: "Log in first",
    403: "That is not allowed",
    404: "There is no such page",
    405: "That page cannot be used that way",
    413: "That is too much",
    429: "That is too often",
    500: "Something went wrong here",
    502: "The exchange gave no usable answer",
    503: "Not ready yet",
}
_NO_MARKET = "There is no such market here"
_DATABASE = "The database cannot be used"
_FILE = "A file cannot be used"
_UNEXPECTED = "An error that nobody foresaw. It has been written to the log, under the request's number below."
_LONGEST_PATH = 80
_JSON_PATHS = ("/api/", "/health", "/ready")


def register_errors(app: Flask) -> None:
    app.register_error_handler(DashboardError, _known)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unexpected)


def status_of(error: DashboardError) -> int:
    """By the nearest class that the table names."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def _known(error: DashboardError) -> Response:
    status = status_of(error)
    if status >= 500:
        log.warning("%s on %s: %s", type(error).__name__, request.endpoint, error)
    return _answer(status, type(error).__name__, str(error), retry_after_s=_retry_after_s(error), error=error)


def _http(error: HTTPException) -> Response:
    status = error.code or 500
    if isinstance(error.response, Response):
        return error.response
    response = _answer(status, error.name.replace(" ", ""), _told(error))
    if (valid := getattr(error, "valid_methods", None)) is not None:
        response.headers["Allow"] = ", ".join(sorted(valid))
    return response


def _told(error: HTTPException) -> str:
    """In our words where werkzeug has said it in its own."""
    path = request.path if len(request.path) <= _LONGEST_PATH else f"{request.path[:_LONGEST_PATH]}…"
    if isinstance(error, MethodNotAllowed):
        fits = " or ".join(sorted(set(error.valid_methods or ()) - {"HEAD", "OPTIONS"}))
        return f"{request.method[:_LONGEST_PATH]} is not answered at {path!r}; use {fits}"
    if isinstance(error, WerkzeugNotFound) and error.description == WerkzeugNotFound.description:
        return f"nothing is at {path!r}; look for it from the markets, or correct the address"
    return error.description or error.name


def _unexpected(error: Exception) -> Response:
    log.error("unforeseen error on %s", request.endpoint, exc_info=error)
    return _answer(500, "InternalError", _UNEXPECTED)


def _retry_after_s(error: DashboardError) -> int | None:
    seconds = getattr(error, "retry_after_s", None)
    if isinstance(error, Banned):
        seconds = (error.until_ms - services().clock.now_ms()) / 1000
    return None if seconds is None else max(1, math.ceil(seconds))


def _answer(
    status: int, kind: str, message: str, *, retry_after_s: int | None = None, error: DashboardError | None = None
) -> Response:
    trace = current_trace()
    request_id = trace.request_id if trace is not None else ""
    if _wants_json():
        body: dict[str, Any] = {"error": kind, "message": message, "status": status}
        if retry_after_s is not None:
            body["retry_after_s"] = retry_after_s
        if request_id:
            body["request_id"] = request_id
        response = Response(dumps(body), status, content_type=JSON)
    else:
        response = Response(_page(status, message, retry_after_s, request_id, error), status, mimetype="text/html")
    response.headers["Cache-Control"] = "no-store"
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(retry_after_s)
    return response


def _wants_json() -> bool:
    return request.path.startswith(_JSON_PATHS) or request.path.endswith(".json")


def _page(status: int, message: str, retry_after_s: int | None, request_id: str, error: DashboardError | None) -> str:
    market = services().market
    about_market = (request.endpoint or "").startswith("symbol.")
    asked_wrongly = about_market and isinstance(error, NotFound | InvalidInput)
    with traced("render"):
        return render_template(
            "error.html",
            status=status,
            title=_title(status, error, about_market=about_market),
            message=message,
            retry_after_s=retry_after_s,
            request_id=request_id,
            here=request.full_path if request.query_string else request.path,
            symbols=[symbol for symbol in market.symbols if symbol not in market.unknown] if asked_wrongly else (),
            intervals=market.intervals if isinstance(error, InvalidInput) and "interval" in request.args else (),
        )


def _title(status: int, error: DashboardError | None, *, about_market: bool) -> str:
    if isinstance(error, StoreError):
        return _FILE if isinstance(error, FileError) else _DATABASE
    if about_market and isinstance(error, NotFound):
        return _NO_MARKET
    return _TITLES.get(status, "That did not work")
