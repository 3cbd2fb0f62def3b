"""Overview: all followed markets on one page."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from flask import Blueprint, Response, render_template, request, url_for

from data.interval import Interval
from routes import wording
from routes.budgets import budget
from routes.forms import parse_interval, parse_search, theme_of
from routes.overview_page import overview_page, overview_version, parse_sort
from routes.services import Services, services
from routes.svg import SPARK_HEIGHT, SPARK_WIDTH

bp = Blueprint("overview", __name__)

_BURST_S = 0.25
"""A burst of readers asks all markets for their versions once in this time."""


@bp.get("/")
@budget(p95_ms=50, size_bytes=40_000, weight=2, queries=20)
def page() -> Response:
    return _respond("overview.html", theme_of(request))


@bp.get("/live")
@budget(p95_ms=50, size_bytes=30_000, weight=2, queries=20)
def live() -> Response:
    """The changing part alone; 204 while `version` still names what the reader has."""
    parts = services()
    interval = parse_interval(request.args.get("interval"), parts.market)
    if request.args.get("version") == overview_version(parts, interval):
        return Response(status=204)
    return _respond("_overview_live.html", "")


def _respond(template: str, theme: str) -> Response:
    parts = services()
    interval = parse_interval(request.args.get("interval"), parts.market)
    sort, search = parse_sort(request.args.get("sort")), parse_search(request.args.get("q"))
    return parts.pages.respond(
        request,
        key=(template, interval, sort, search, theme),
        version=lambda: overview_version(parts, interval),
        version_age_s=_BURST_S,
        render=lambda: render_template(template, **overview_context(parts, interval, sort, search)),
    )


def overview_context(parts: Services, interval: Interval, sort: str, search: str) -> dict[str, Any]:
    """What the template is given: the page value, and the addresses that lead on from it."""
    started_s = perf_counter()
    value = overview_page(parts, interval, sort=sort, search=search)
    asked: dict[str, Any] = {"interval": str(interval), "q": search or None}
    return {
        "page": value,
        "made": wording.milliseconds((perf_counter() - started_s) * 1000),
        "here": url_for("overview.page", sort=sort or None, **asked),
        "live_url": url_for("overview.live", sort=sort or None, **asked),
        "sort_urls": {c.key: url_for("overview.page", sort=c.sort, **asked) for c in value.columns if c.sort},
        "symbol_urls": {
            row.symbol: url_for("symbol.page", symbol=row.symbol, interval=str(interval)) for row in value.rows
        },
        "interval_tabs": [
            {
                "text": str(other),
                "href": url_for("overview.page", interval=str(other), q=search or None, sort=sort or None),
                "current": other == interval,
            }
            for other in value.intervals
        ],
        "spark_width": SPARK_WIDTH,
        "spark_height": SPARK_HEIGHT,
    }
