"""Metrics: `/metrics` for Prometheus, with what only the whole application knows: freshness, readiness, skill."""

from __future__ import annotations

import hmac
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from flask import Blueprint, Flask, Response, current_app, request
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from werkzeug.exceptions import Unauthorized

from models.champions import interval_of
from routes.budgets import budget
from routes.services import Services
from utils.last_known import Known
from utils.metric_families import gauge, labelled
from utils.metrics_export import MetricsExport, method_and_route
from utils.metrics_workers import WorkerMetrics
from utils.performance_monitor import PerformanceMonitor
from utils.worker_files import WorkerFiles

bp = Blueprint("metrics", __name__)

EXTENSION = "metrics"
"""The key in `app.extensions` of what `install` put there."""
FRESHNESS = ("live", "late", "stale", "empty")
_SKILL_TTL_S = 60.0
_BUDGET = "The p95 that a route is allowed."
_FEED_AGE = "Since the newest stream event; before the first, since the start."


@dataclass(frozen=True, slots=True)
class Scraped:
    """`token` is asked as `Authorization: Bearer …` where `guarded`; without one nobody is let in then."""

    page: Callable[[str], tuple[bytes, str]]
    token: str
    guarded: bool


@dataclass(frozen=True, slots=True)
class ModelSkill:
    """The live score of one model; `skill_fraction` None while nothing was scored."""

    model: str
    interval: str
    scored: int
    skill_fraction: float | None
    standard_error: float | None


@bp.get("/metrics")
@budget(p95_ms=150, size_bytes=120_000, queries=60)
def scrape() -> Response:
    """The text format that Prometheus reads, never stored."""
    scraped = cast(Scraped, current_app.extensions[EXTENSION])
    if scraped.guarded and not _knows(scraped.token, request.headers.get("Authorization", "")):
        raise Unauthorized("send METRICS_TOKEN as `Authorization: Bearer …`; it must be set where a password is")
    body, content_type = scraped.page(request.headers.get("Accept", ""))
    return Response(body, content_type=content_type, headers={"Cache-Control": "no-store"})


def install(
    app: Flask,
    monitor: PerformanceMonitor,
    services: Services,
    *,
    token: str = "",
    guarded: bool = False,
    files: WorkerFiles | None = None,
) -> None:
    """Gives the application what `/metrics` answers; `guarded` (a password is set, or a token) asks for the token.

    With `files`, which all worker processes share, any of them answers for all while these are started.
    """
    skills, started_s = SkillReader(services), time.monotonic()
    export = MetricsExport(
        monitor, more=lambda: application_metrics(services, skills, running_s=time.monotonic() - started_s)
    )
    page = export.page if files is None else WorkerMetrics(files, export.collect).page
    app.extensions[EXTENSION] = Scraped(page, token, guarded or bool(token))


def _knows(token: str, header: str) -> bool:
    scheme, _, given = header.partition(" ")
    return bool(token) and scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


class SkillReader:
    """The live score of every usable model, asked of the ledger once a minute at most; the last while it is silent."""

    def __init__(self, services: Services, timer: Callable[[], float] = time.monotonic) -> None:
        self._services = services
        self._timer = timer
        self._known: tuple[ModelSkill, ...] = ()
        self._good_until_s = float("-inf")

    def __call__(self) -> tuple[ModelSkill, ...]:
        if self._timer() >= self._good_until_s:
            promotion = self._services.promotion
            entries = promotion.champions.all() if promotion is not None else ()
            known: Known[tuple[ModelSkill, ...]] = self._services.known.read(
                "model skills", lambda: tuple(_skill(self._services, entry) for entry in entries)
            )
            self._known = known.value or ()
            self._good_until_s = self._timer() + _SKILL_TTL_S
        return self._known


def _skill(services: Services, entry: Any) -> ModelSkill:
    interval = interval_of(entry)
    skill: Any = services.ledger.skill(model_id=entry.id, interval=interval, digest=entry.record)
    return ModelSkill(entry.id, str(interval), skill.count, skill.skill_fraction, skill.skill_standard_error)


def application_metrics(
    services: Services, skills: Callable[[], tuple[ModelSkill, ...]], *, running_s: float
) -> Iterator[Metric]:
    """What the monitor does not count: readiness, freshness, the feed, and skill; `running_s` since the start."""
    version = {"version": services.app_version, "exchange": services.exchange.name}
    yield InfoMetricFamily("dashboard_build", "What runs here.", value=version)
    yield gauge("dashboard_ready", "1 once the market is there.", float(services.connection.ready))
    yield _budgets(services)
    yield from _freshness(services)
    if services.feed is not None:
        yield gauge("dashboard_feed_event_age_seconds", _FEED_AGE, feed_age_s(services, running_s))
    yield from _skill_metrics(skills())


def _budgets(services: Services) -> Metric:
    found = GaugeMetricFamily("dashboard_http_request_budget_seconds", _BUDGET, labels=("method", "route"))
    for name, one in services.budgets.items():
        found.add_metric(method_and_route(name), one.p95_ms / 1000)
    return found


def _freshness(services: Services) -> Iterator[Metric]:
    market = services.market
    series = GaugeMetricFamily(
        "dashboard_market_series", "Followed series by interval and freshness.", labels=("interval", "state")
    )
    oldest: list[tuple[str, float]] = []
    for interval in market.intervals:
        fresh = [market.freshness(symbol, interval) for symbol in market.symbols]
        states = Counter(one.state for one in fresh)
        for state in FRESHNESS:
            series.add_metric((str(interval), state), states[state])
        oldest.append((str(interval), max((one.age_s for one in fresh if one.age_s is not None), default=0.0)))
    yield series
    text = "Age of the news of the series that waits longest."
    yield labelled("gauge", "dashboard_market_oldest_news_age_seconds", text, "interval", oldest)


def feed_age_s(services: Services, running_s: float) -> float:
    """Seconds of the exchange's clock since the newest stream event; how long we run, before the first."""
    last_ms = services.feed.status().last_event_ms if services.feed is not None else None
    return running_s if last_ms is None else max(0.0, (services.clock.now_ms() - last_ms) / 1000)


def _skill_metrics(skills: tuple[ModelSkill, ...]) -> Iterator[Metric]:
    labels = ("model", "interval")
    scored = GaugeMetricFamily("dashboard_model_scored_forecasts", "Forecast horizons scored live.", labels=labels)
    text = "How much better than no change, by live score; below 0 is worse."
    ratio = GaugeMetricFamily("dashboard_model_skill_ratio", text, labels=labels)
    error = GaugeMetricFamily("dashboard_model_skill_standard_error", "Of the skill, by days.", labels=labels)
    for one in skills:
        place = (one.model, one.interval)
        scored.add_metric(place, one.scored)
        if one.skill_fraction is not None:
            ratio.add_metric(place, one.skill_fraction)
        if one.standard_error is not None:
            error.add_metric(place, one.standard_error)
    yield from (scored, ratio, error)
