"""Blueprints: everything the web consists of, put into an application by one call."""

from __future__ import annotations

from typing import Any

from flask import Flask, current_app, request

from routes import (
    alerts,
    api,
    assets,
    errors,
    forecasts,
    health,
    metrics,
    models,
    overview,
    performance,
    profiling,
    symbol,
    theme,
    training,
    wording,
)
from routes.forms import theme_of
from routes.performance_routes import split_so_far
from routes.services import EXTENSION
from utils.asset_host import AssetHost

PRODUCT = "Binance AI Dashboard"
_BANNER = "Simulated market"
_BLUEPRINTS = (
    overview.bp,
    symbol.bp,
    forecasts.bp,
    models.bp,
    training.bp,
    performance.bp,
    profiling.bp,
    alerts.bp,
    metrics.bp,
    api.bp,
    health.bp,
    theme.bp,
)


def register(app: Flask, *, asset_host: AssetHost | None = None) -> None:
    """Pages, JSON, files and error pages. `app.extensions["services"]` must be there before the first request."""
    assets.install(app, host=asset_host)
    for blueprint in _BLUEPRINTS:
        app.register_blueprint(blueprint)
    errors.register_errors(app)
    app.context_processor(_shared)
    app.jinja_env.filters |= {
        "iso": wording.iso,
        "utc": wording.utc,
        "utc_second": wording.utc_second,
        "size": wording.size,
        "milliseconds": wording.milliseconds,
        "percent": wording.percent,
        "compact": wording.compact,
        "duration": wording.duration,
        "sentence": wording.sentence,
    }
    app.jinja_env.globals |= {
        "split_so_far": split_so_far,
        "product": PRODUCT,
        "banner": _BANNER,
        "shapes": wording.SHAPES,
    }
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True


def _shared() -> dict[str, Any]:
    parts = current_app.extensions.get(EXTENSION)
    exchange = parts.exchange if parts else None
    return {
        "theme": theme_of(request),
        "here": request.path,
        "exchange": exchange,
        "notice": _notice(exchange.notice) if exchange else "",
        "app_version": parts.app_version if parts else "",
    }


def _notice(text: str) -> str:
    """Without the words that the banner begins with anyway."""
    first, colon, rest = text.partition(": ")
    return wording.sentence(rest) if colon and first.casefold() == _BANNER.casefold() else text
