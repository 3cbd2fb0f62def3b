"""Overview: all followed markets on one page."""

from __future__ import annotations

from time import perf_counter
from typing import Any, NamedTuple

from flask import Blueprint, Response, render_template, request, url_for
from markupsafe import Markup

from data.interval import Interval
from routes import wording
from routes.budgets import budget
from routes.forms import parse_interval, parse_limit, parse_search, theme_of
from routes.gathered import MOMENT_S
from routes.overview_columns import parse_sort
from routes.overview_page import overview_page, overview_version
from routes.overview_settled import Settled
from routes.services import Services, services
from routes.svg import SPARK_HEIGHT, SPARK_WIDTH

bp = Blueprint("overview", __name__)

_BURST_S = 0.1
"""A burst of readers asks all markets for their versions once in this time."""
_MOST_PAGES = 1_000
_KEPT_S = 3_600.0


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
    if request.args.get("version") == _version(parts, interval):
        return Response(status=204)
    return _respond("_overview_live.html", "")


def _respond(template: str, theme: str) -> Response:
    parts = services()
    interval = parse_interval(request.args.get("interval"), parts.market)
    asked = Asked(
        interval,
        parse_sort(request.args.get("sort")),
        parse_search(request.args.get("q")),
        parse_limit(request.args.get("page"), default=1, most=_MOST_PAGES, name="page"),
    )
    return parts.pages.respond(
        request,
        key=(template, asked, theme),
        version=lambda: _version(parts, interval),
        render=lambda: render_template(template, **overview_context(parts, asked)),
        stale_s=MOMENT_S,
    )


def _version(parts: Services, interval: Interval) -> str:
    return parts.pages.version_of(("overview version", interval), lambda: overview_version(parts, interval), _BURST_S)


class Asked(NamedTuple):
    """What the address asks for, parsed."""

    interval: Interval
    sort: str
    search: str
    number: int

    def address(self, **changed: Any) -> str:
        """The same again but for what is changed; what is as it would be anyway is left out."""
        asked = {"interval": str(self.interval), "q": self.search or None, "sort": self.sort or None, **changed}
        return url_for("overview.page", **asked)


def overview_context(parts: Services, asked: Asked) -> dict[str, Any]:
    """What the template is given: the page value, and the addresses that lead on from it."""
    started_s = perf_counter()
    interval = asked.interval
    value = overview_page(
        parts,
        interval,
        sort=asked.sort,
        search=asked.search,
        number=asked.number,
        version=_version(parts, interval),
    )
    near = {"previous": value.number - 1, "next": value.number + 1 if value.number < value.last else 0}
    return {
        "page": value,
        "made": wording.milliseconds((perf_counter() - started_s) * 1000),
        "here": asked.address(page=value.number if value.number > 1 else None),
        "live_url": url_for(
            "overview.live",
            interval=str(interval),
            q=asked.search or None,
            sort=asked.sort or None,
            page=value.number if value.number > 1 else None,
        ),
        "sort_urls": {c.key: asked.address(sort=c.sort) for c in value.columns if c.sort},
        "page_urls": {name: asked.address(page=number) for name, number in near.items() if number},
        "symbol_urls": {
            row.symbol: url_for("symbol.page", symbol=row.symbol, interval=str(interval)) for row in value.rows
        },
        "interval_tabs": [
            {
                "text": str(other),
                "href": asked.address(interval=str(other)),
                "current": other == interval,
            }
            for other in value.intervals
        ],
        "cells": {row.symbol: _cells(parts, row.settled) for row in value.rows if row.settled},
    }


def _cells(parts: Services, settled: Settled) -> Markup:
    """The cells of a row that no price changes, rendered once for all pages until one of them does."""
    return parts.data_cache.get_or_load(
        ("page parts", "_overview_settled.html", *settled.key),
        lambda: Markup(  # noqa: S704 - a template's own escaped output
            render_template(
                "_overview_settled.html", settled=settled, spark_width=SPARK_WIDTH, spark_height=SPARK_HEIGHT
            )
        ),
        ttl_s=_KEPT_S,
        lane=(("page parts", "overview", settled.symbol, settled.interval), settled.last_open_time_ms),
    )
