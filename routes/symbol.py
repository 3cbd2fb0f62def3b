"""Symbol: the page of one market, its living fragment, its chart's data and its tables as CSV."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, render_template, request, url_for
from markupsafe import Markup

from data.interval import Interval
from data.symbol import Symbol
from routes import tables, wording
from routes.budgets import budget
from routes.chart_choices import DEFAULT_SHOWN, choice_ids, choices
from routes.chart_data import chart_data, parse_span
from routes.forms import NOTHING, Zone, parse_choices, parse_interval, parse_model, parse_symbol, parse_zone, theme_of
from routes.gathered import MOMENT_S, chart_version, forming_bar, gather, symbol_version
from routes.market_view import known_markets
from routes.services import Services, services
from routes.strict_json import JSON, dumps
from routes.svg import CHART_HEIGHT, CHART_WIDTH
from routes.symbol_page import symbol_page
from utils.dictionaries import below_path

bp = Blueprint("symbol", __name__, url_prefix="/symbol")

_OTHERS = 30
_KEPT_S = 900.0
_ANY = "any-market"
"""Stands for the market in an address, so that many like it are made at the price of one."""
_TABLES: dict[str, Callable[..., str]] = {
    "candles": tables.candles_csv,
    "indicators": tables.indicators_csv,
    "forecast": tables.forecast_csv,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address asks for, parsed."""

    symbol: Symbol
    interval: Interval
    shown: tuple[str, ...]
    zone: Zone
    model: str | None

    def arguments(self) -> dict[str, Any]:
        """The same again, for an address."""
        there = {"symbol": self.symbol, "interval": str(self.interval), "show": list(self.shown) or NOTHING}
        return there | ({"model": self.model} if self.model else {})


@bp.get("/<symbol>")
@budget(p95_ms=50, size_bytes=60_000, weight=2, queries=20)
def page(symbol: str) -> Response:
    parts, asked, theme = services(), _asked(symbol), theme_of(request)
    return parts.pages.respond(
        request,
        key=("symbol", asked.symbol, asked.interval, asked.shown, asked.zone, asked.model, theme),
        version=lambda: symbol_version(parts, asked.symbol, asked.interval),
        render=lambda: render_template("symbol.html", **symbol_context(parts, asked), **_frame(parts, asked)),
        stale_s=MOMENT_S,
    )


@bp.get("/<symbol>/live")
@budget(p95_ms=50, size_bytes=40_000, weight=2, queries=20)
def live(symbol: str) -> Response:
    """The changing part alone; 204 while `version` still names what the reader has."""
    parts, asked = services(), _asked(symbol)
    if request.args.get("version") == symbol_version(parts, asked.symbol, asked.interval):
        return Response(status=204)
    return parts.pages.respond(
        request,
        key=("symbol-live", asked.symbol, asked.interval, asked.shown, asked.model),
        version=lambda: symbol_version(parts, asked.symbol, asked.interval),
        render=lambda: render_template("_symbol_live.html", **symbol_context(parts, asked)),
        stale_s=MOMENT_S,
    )


@bp.get("/<symbol>/chart.json")
@budget(p95_ms=50, size_bytes=60_000, weight=2, queries=20)
def chart(symbol: str) -> Response:
    """What the drawn chart needs, and nothing else."""
    parts, asked, span = services(), _asked(symbol), parse_span(request.args)
    return parts.pages.respond(
        request,
        key=("chart", asked.symbol, asked.interval, asked.shown, asked.model, span),
        version=lambda: chart_version(parts, asked.symbol, asked.interval),
        render=lambda: dumps(
            chart_data(parts, gather(parts, asked.symbol, asked.interval, asked.model), asked.shown, span)
        ),
        stale_s=MOMENT_S,
        mimetype=JSON,
        dictionary_for=below_path(request.path),
    )


@bp.get("/<symbol>/<any(candles, indicators, forecast):table>.csv")
@budget(p95_ms=100, size_bytes=120_000, weight=2, queries=20)
def csv(symbol: str, table: str) -> Response:
    parts, asked = services(), _asked(symbol)
    file = f"{quote(asked.symbol, safe='')}-{asked.interval}-{table}.csv"
    return parts.pages.respond(
        request,
        key=("csv", table, asked.symbol, asked.interval, asked.model),
        version=lambda: chart_version(parts, asked.symbol, asked.interval),
        render=lambda: _TABLES[table](gather(parts, asked.symbol, asked.interval, asked.model)),
        mimetype="text/csv",
        headers=[("Content-Disposition", f"attachment; filename*=UTF-8''{file}")],
    )


def _asked(symbol: str) -> Asked:
    market = services().market
    show = request.args.getlist("show")
    return Asked(
        symbol=parse_symbol(symbol, market),
        interval=parse_interval(request.args.get("interval"), market),
        shown=parse_choices("show", show or DEFAULT_SHOWN, choice_ids()),
        zone=parse_zone(request.args.get("tz")),
        model=parse_model(request.args.get("model")),
    )


def symbol_context(parts: Services, asked: Asked) -> dict[str, Any]:
    """What the templates of page and living part are given: the page value, the addresses that lead on from it."""
    started_s = perf_counter()
    value = symbol_page(parts, asked.symbol, asked.interval, asked.model)
    there = asked.arguments()
    closed = (value.symbol, value.interval, value.candles_digest, value.quote.decimals)
    return {
        "page": value,
        "made": wording.milliseconds((perf_counter() - started_s) * 1000),
        "here": url_for("symbol.page", tz=asked.zone, **there),
        "zone": asked.zone,
        "live_url": url_for("symbol.live", **there),
        "chart_url": url_for("symbol.chart", **there),
        "forming_bar": dumps(forming_bar(value.forming)).decode() if value.forming else "",
        "model_urls": {
            row.model_id: url_for(
                "symbol.page", tz=asked.zone, **(there | {"model": None if row.serves else row.model_id})
            )
            for row in value.models
        },
        "readings": _kept(parts, "_symbol_readings.html", closed, lambda: {"page": value}),
        "chart_width": CHART_WIDTH,
        "chart_height": CHART_HEIGHT,
    }


def _frame(parts: Services, asked: Asked) -> dict[str, Any]:
    """What the whole page has beside its living part, and what follows from the address alone."""
    intervals, count = tuple(parts.market.intervals), len(parts.market.symbols)
    known = set(known_markets(parts.market))
    around = _around([one for one in parts.market.symbols if one in known or one == asked.symbol], asked.symbol)
    return {
        "bar": _kept(parts, "_symbol_bar.html", (asked, intervals), lambda: _bar(asked, intervals)),
        "beside": _kept(parts, "_symbol_beside.html", (asked, around, count), lambda: _beside(asked, around, count)),
    }


def _kept(parts: Services, template: str, key: tuple[Hashable, ...], values: Callable[[], dict[str, Any]]) -> Markup:
    """A part of pages that follows neither price nor time: rendered once for all pages that it is in."""
    return parts.data_cache.get_or_load(
        ("page parts", template, request.root_path, *key),
        lambda: Markup(render_template(template, **values())),  # noqa: S704 - a template's own escaped output
        ttl_s=_KEPT_S,
    )


def _bar(asked: Asked, intervals: Sequence[Interval]) -> dict[str, Any]:
    there = asked.arguments()
    return {
        "symbol": asked.symbol,
        "interval": asked.interval,
        "zone": asked.zone,
        "shown": asked.shown,
        "choices": choices(),
        "interval_tabs": _tabs(intervals, asked),
        "zone_tabs": [
            {"text": text, "href": url_for("symbol.page", tz=zone, **there), "current": asked.zone == zone}
            for zone, text in (("utc", "UTC"), ("local", "Local"))
        ],
    }


def _beside(asked: Asked, around: Sequence[Symbol], count: int) -> dict[str, Any]:
    return {
        "symbol": asked.symbol,
        "interval": asked.interval,
        "downloads": _downloads(asked),
        "market_urls": _addresses(around, asked),
        "market_count": count,
    }


def _tabs(intervals: Sequence[Interval], asked: Asked) -> list[dict[str, Any]]:
    there = asked.arguments()
    return [
        {
            "text": str(interval),
            "href": url_for("symbol.page", tz=asked.zone, **(there | {"interval": str(interval), "model": None})),
            "current": interval == asked.interval,
        }
        for interval in intervals
    ]


def _around(symbols: Sequence[Symbol], symbol: Symbol) -> tuple[Symbol, ...]:
    """The markets around this one in their configured order: a page does not grow with the number of markets."""
    place = symbols.index(symbol) - _OTHERS // 2
    first = max(0, min(place, len(symbols) - _OTHERS))
    return tuple(symbols[first : first + _OTHERS])


def _addresses(markets: Sequence[Symbol], asked: Asked) -> list[dict[str, str]]:
    before, _, after = url_for("symbol.page", **(asked.arguments() | {"symbol": _ANY})).partition(_ANY)
    return [{"symbol": other, "href": f"{before}{quote(other, safe='')}{after}"} for other in markets]


def _downloads(asked: Asked) -> list[dict[str, str]]:
    there: dict[str, Any] = {"symbol": asked.symbol, "interval": str(asked.interval), "model": asked.model}
    return [
        {"table": table, "csv": url_for("symbol.csv", table=table, **there), "json": url_for(f"api.{table}", **there)}
        for table in _TABLES
    ]
