"""Forecasts: every model's forecasts of every market and their scores on a page, as CSV and as JSON."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from flask import Blueprint, Response, render_template, request, url_for

from data.interval import Interval
from routes import wording
from routes.budgets import budget
from routes.forecast_table import chain_json, forecast_tables, forecasts_csv, forecasts_json, whole_chain
from routes.forecasts_page import ForecastsPage, forecasts_page, forecasts_version
from routes.forms import parse_interval, parse_limit, parse_search, theme_of
from routes.parameters import takes
from routes.rate_limits import dear
from routes.score_charts import HEIGHT, WIDTH
from routes.services import Services, services
from routes.strict_json import JSON, dumps

bp = Blueprint("forecasts", __name__)

_BURST_S = 0.2
"""A burst of readers asks for the version once in this time."""
_LONGEST_NAME = 64
_FARTHEST = 999
_TABLE_NOTE = (
    "median move and 90 % band from the last close, skill against no change, outcomes in the 90 % band, number scored"
)
_INTERVAL_TITLE = "95 % interval"


@bp.get("/forecasts")
@budget(p95_ms=250, size_bytes=80_000, weight=2, queries=40)
def page() -> Response:
    parts, interval = services(), _interval()
    model_id, search = (request.args.get("model") or "")[:_LONGEST_NAME], parse_search(request.args.get("q"))
    horizon = parse_limit(request.args.get("horizon"), default=0, most=_FARTHEST, name="horizon")
    return parts.pages.respond(
        request,
        key=("forecasts", interval, model_id, horizon, search, theme_of(request)),
        version=lambda: forecasts_version(parts),
        version_age_s=_BURST_S,
        render=lambda: render_template(
            "forecasts.html", **forecasts_context(parts, interval, model_id, horizon, search)
        ),
    )


@bp.get("/forecasts.csv")
@budget(p95_ms=250, size_bytes=120_000, weight=2, queries=40)
def csv() -> Response:
    """The table alone, one row per market, model and horizon."""
    parts, interval = services(), _interval()
    return parts.pages.respond(
        request,
        key=("forecasts-csv", interval),
        version=lambda: forecasts_version(parts),
        render=lambda: forecasts_csv(forecast_tables(parts, interval)),
        mimetype="text/csv",
        headers=[("Content-Disposition", f"attachment; filename=forecasts-{interval}.csv")],
    )


@bp.get("/api/v1/forecasts")
@budget(p95_ms=250, size_bytes=120_000, weight=2, queries=40)
@takes("interval")
def json() -> Response:
    parts, interval = services(), _interval()
    return parts.pages.respond(
        request,
        key=("api-forecasts", interval),
        version=lambda: forecasts_version(parts),
        render=lambda: dumps(forecasts_json(parts, interval)),
        mimetype=JSON,
    )


@bp.get("/api/v1/ledger/chain")
@budget(p95_ms=1000, size_bytes=10_000, queries=60)
@dear
@takes()
def chain() -> Response:
    """The whole hash chain, walked from its first row."""
    parts = services()
    return parts.pages.respond(
        request,
        key=("api-chain",),
        version=forecasts_version(parts),
        render=lambda: dumps(chain_json(whole_chain(parts))),
        mimetype=JSON,
    )


def forecasts_context(parts: Services, interval: Interval, model_id: str, horizon: int, search: str) -> dict[str, Any]:
    """What the template is given: the page value, and the addresses that lead on from it."""
    started_s = perf_counter()
    value = forecasts_page(parts, interval, model_id=model_id, horizon=horizon, search=search)
    asked: dict[str, Any] = {"interval": str(interval), "q": search or None}
    return {
        "page": value,
        "made": wording.milliseconds((perf_counter() - started_s) * 1000),
        "here": url_for("forecasts.page", model=value.model or None, horizon=value.horizon or None, **asked),
        "csv_url": url_for("forecasts.csv", interval=str(interval)),
        "json_url": url_for("forecasts.json", interval=str(interval)),
        "chain_url": url_for("forecasts.chain"),
        "interval_tabs": [
            {
                "text": str(other),
                "href": url_for("forecasts.page", **(asked | {"interval": str(other)})),
                "current": other == interval,
            }
            for other in value.intervals
        ],
        "model_tabs": _model_tabs(value, asked),
        "horizon_tabs": [
            {
                "text": text,
                "href": url_for("forecasts.page", model=value.model, horizon=ahead, **asked) + "#score",
                "current": ahead == value.horizon,
            }
            for ahead, text in value.horizons
        ],
        "symbol_urls": {
            row.symbol: url_for("symbol.page", symbol=row.symbol, interval=str(interval)) for row in value.rows
        },
        "table_note": _TABLE_NOTE,
        "interval_title": _INTERVAL_TITLE,
        "chart_width": WIDTH,
        "chart_height": HEIGHT,
    }


def _model_tabs(value: ForecastsPage, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """None where there is nothing to choose."""
    if len(value.models) < 2:
        return []
    return [
        {
            "text": name,
            "href": url_for("forecasts.page", model=name, horizon=value.horizon, **asked) + "#score",
            "current": name == value.model,
        }
        for name in value.models
    ]


def _interval() -> Interval:
    return parse_interval(request.args.get("interval"), services().market)
