"""The JSON interface, version 1: closed candles, indicators, forecasts and performance; see docs/api.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from flask import Blueprint, Response, request

from data.candles import Candle, Candles
from data.indicator_catalogue import CATALOGUE
from data.interval import Interval
from data.symbol import Symbol
from routes.budgets import budget
from routes.digits import computed, significant, significant_or_none
from routes.forecast_score import calibrated, shown_horizons
from routes.forms import parse_interval, parse_limit, parse_model, parse_names, parse_symbol
from routes.gathered import MOMENT_S, Gathered, chart_version, forming_bar, gather, symbol_version
from routes.parameters import takes
from routes.performance_page import performance_json, performance_version
from routes.services import ForecastFace, Services, SkillFace, services
from routes.strict_json import JSON, dumps
from utils.errors import NotReady

bp = Blueprint("api", __name__, url_prefix="/api/v1")

DEFAULT_ROWS = 500
MOST_ROWS = 5_000
CANDLE_COLUMNS = ("open_time_ms", "open", "high", "low", "close", "volume")


@bp.get("/candles/<symbol>")
@budget(p95_ms=50, size_bytes=250_000, weight=2, queries=20)
@takes("interval", "limit")
def candles(symbol: str) -> Response:
    parts = services()
    limit = parse_limit(request.args.get("limit"), default=DEFAULT_ROWS, most=MOST_ROWS)
    return _market(
        "candles",
        symbol,
        (limit,),
        lambda name, interval: candles_json(
            parts.market.candles(name, interval, limit), parts.market.forming(name, interval), parts.clock.now_ms()
        ),
        symbol_version,
    )


@bp.get("/indicators/<symbol>")
@budget(p95_ms=100, size_bytes=500_000, weight=2, queries=20)
@takes("interval", "limit", "names")
def indicators(symbol: str) -> Response:
    parts = services()
    limit = parse_limit(request.args.get("limit"), default=DEFAULT_ROWS, most=MOST_ROWS)
    names = parse_names(request.args.get("names"), [indicator.name for indicator in CATALOGUE])
    return _market(
        "indicators",
        symbol,
        (limit, names),
        lambda name, interval: indicators_json(parts, name, interval, names, limit),
    )


@bp.get("/forecast/<symbol>")
@budget(p95_ms=50, size_bytes=20_000, weight=2, queries=20)
@takes("interval", "model")
def forecast(symbol: str) -> Response:
    parts, model_id = services(), parse_model(request.args.get("model"))
    return _market(
        "forecast",
        symbol,
        (model_id,),
        lambda name, interval: forecast_json(parts, gather(parts, name, interval, model_id)),
    )


@bp.get("/performance")
@budget(p95_ms=100, size_bytes=120_000, queries=10)
@takes()
def performance() -> Response:
    parts = services()
    return parts.pages.respond(
        request,
        key=("api-performance",),
        version=lambda: performance_version(parts),
        render=lambda: dumps(performance_json(parts)),
        mimetype=JSON,
    )


def candles_json(candles: Candles, forming: Candle | None, as_of_ms: int) -> dict[str, Any]:
    """Closed rows, oldest first; the forming candle apart."""
    columns = [getattr(candles, name).tolist() for name in CANDLE_COLUMNS]
    return {
        "symbol": candles.symbol,
        "interval": str(candles.interval),
        "as_of_ms": as_of_ms,
        "columns": CANDLE_COLUMNS,
        "rows": list(zip(*columns, strict=True)),
        "forming": None if forming is None else forming_bar(forming),
    }


def indicators_json(
    parts: Services, symbol: Symbol, interval: Interval, names: tuple[str, ...], limit: int
) -> dict[str, Any]:
    """The newest `limit` rows, computed from the whole history; null while an indicator warms up."""
    candles = parts.market.candles(symbol, interval)
    values = parts.indicators(candles)
    columns = significant([values.column(name)[-limit:] for name in names]).tolist()
    times = candles.open_time_ms[-limit:].tolist()
    return {
        "symbol": symbol,
        "interval": str(interval),
        "columns": ("open_time_ms", *names),
        "rows": list(zip(times, *columns, strict=True)),
    }


def forecast_json(parts: Services, gathered: Gathered) -> dict[str, Any]:
    """Prices per horizon and quantile; NotReady, with the reason, while there is no forecast."""
    forecast = gathered.forecast
    if forecast is None:
        raise NotReady(f"no forecast for {gathered.candles.symbol}: {gathered.reason}", retry_after_s=60)
    return {
        "symbol": forecast.symbol,
        "interval": str(forecast.interval),
        "model": forecast.model_id,
        "model_digest": forecast.model_digest,
        "models": [entry.id for entry in parts.forecaster.models(forecast.interval, forecast.symbol)],
        "made_at_ms": forecast.made_at_ms,
        "last_open_time_ms": forecast.last_open_time_ms,
        "last_close": forecast.last_close,
        "quantiles": [float(level) for level in forecast.quantiles],
        "horizons": [int(ahead) for ahead in forecast.horizons],
        "prices": significant(forecast.prices),
        "baseline_prices": significant(forecast.baseline_prices),
        "calibration": calibration_json(parts, forecast),
        "novelty": None if forecast.novelty is None else computed(asdict(forecast.novelty)),
        "mix": mix_json(forecast),
        "score": score_json(gathered.scores[forecast.symbol, int(forecast.horizons[-1])]),
        "scores": {
            ahead: score_json(skill) for (symbol, ahead), skill in gathered.scores.items() if symbol is not None
        },
    }


def calibration_json(parts: Services, forecast: ForecastFace) -> dict[str, Any] | None:
    """By which factors the bands were stretched, and coverage with and without; null where they are the model's own."""
    stretch = forecast.stretch
    if stretch is None:
        return None
    raw = forecast.last_close * np.exp(stretch.answer.astype(np.float64) * forecast.sigma)
    horizons = shown_horizons(forecast.horizons)
    found = calibrated(parts, forecast, horizons)
    return {
        "factors": significant(stretch.factors),
        "outcomes_of_training": stretch.split,
        "outcomes_since": stretch.outcomes,
        "uncalibrated_prices": significant(raw),
        "coverage": {ahead: computed(asdict(found[ahead])) for ahead in horizons},
    }


def mix_json(forecast: ForecastFace) -> dict[str, Any] | None:
    """By which members and weights an ensemble's forecast was made; null where one model alone made it."""
    mix = forecast.mix
    if mix is None:
        return None
    return {
        "weights": computed(dict(mix.weights)),
        "digests": dict(zip(dict(mix.weights), mix.digests, strict=True)),
        "version": mix.version,
        "weighed_ms": mix.weighed_ms,
        "left_out": mix.left_out,
    }


def score_json(skill: SkillFace) -> dict[str, Any] | None:
    """Null until the first forecast has met its outcome."""
    if skill.count == 0:
        return None
    return {
        "count": skill.count,
        "skill_fraction": significant_or_none(skill.skill_fraction),
        "skill_standard_error": significant_or_none(skill.skill_standard_error),
        "blocks": skill.blocks,
        "coverage_50": significant_or_none(skill.coverage_50),
        "coverage_90": significant_or_none(skill.coverage_90),
    }


def _market(
    name: str,
    text: str,
    more: tuple[object, ...],
    make: Callable[[Symbol, Interval], dict[str, Any]],
    version: Callable[[Services, Symbol, Interval], str] = chart_version,
) -> Response:
    """What follows from closed candles alone is made once between two closes; the rest takes `symbol_version`."""
    parts = services()
    symbol = parse_symbol(text, parts.market)
    interval = parse_interval(request.args.get("interval"), parts.market)
    return parts.pages.respond(
        request,
        key=("api", name, symbol, interval, *more),
        version=lambda: version(parts, symbol, interval),
        render=lambda: dumps(make(symbol, interval)),
        stale_s=MOMENT_S,
        mimetype=JSON,
    )
