"""Performance: what the dashboard itself costs, on a page."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from flask import Blueprint, Response, render_template, request

from routes import wording
from routes.alerts import raised_alerts
from routes.budgets import LEAST_REQUESTS, budget
from routes.forms import theme_of
from routes.performance_history import CHART_HEIGHT, CHART_WIDTH
from routes.performance_page import performance_page, performance_version
from routes.performance_routes import REST
from routes.rate_limits import dear
from routes.services import Services, services
from routes.svg import SPARK_HEIGHT, SPARK_WIDTH
from utils.request_trace import STAGES

bp = Blueprint("performance", __name__, url_prefix="/performance")


@bp.get("")
@budget(p95_ms=100, size_bytes=60_000, queries=10)
def page() -> Response:
    return _respond("performance.html", theme_of(request))


@bp.get("/live")
@budget(p95_ms=100, size_bytes=60_000, queries=10)
def live() -> Response:
    """The changing part alone; 204 while `version` still names what the reader has."""
    if request.args.get("version") == performance_version(services()):
        return Response(status=204)
    return _respond("_performance_live.html", "")


@bp.post("/caches/<name>/clear")
@budget(p95_ms=250, size_bytes=2_000)
@dear
def clear(name: str) -> Response:
    """Empties one cache; everything in it is loaded or computed again when it is next asked for."""
    services().clearing.clear(name)
    return Response(status=303, headers={"Location": f"{bp.url_prefix}#caches"})


def _respond(template: str, theme: str) -> Response:
    parts = services()
    return parts.pages.respond(
        request,
        key=(template, theme),
        version=performance_version(parts),
        render=lambda: render_template(template, **performance_context(parts)),
    )


def performance_context(parts: Services) -> dict[str, Any]:
    started_s = perf_counter()
    value = performance_page(parts, raised_alerts())
    made = wording.milliseconds((perf_counter() - started_s) * 1000)
    return {
        "page": value,
        "made": made,
        "spark_width": SPARK_WIDTH,
        "spark_height": SPARK_HEIGHT,
        "chart_width": CHART_WIDTH,
        "chart_height": CHART_HEIGHT,
        "least_requests": LEAST_REQUESTS,
        "stages": (*STAGES, REST),
    }
