"""Warming: once the market is there, scores what was missed, forecasts, and warms models and pages."""

from __future__ import annotations

import logging

from flask import Flask

from data.data_processor import indicators
from routes.assets import EXTENSION, Assets
from routes.warm_pages import page_renderer
from routes.wiring.parts import PARTS, Parts
from startup_optimizer import Parts as Warm
from startup_optimizer import optimize
from utils.memory_return import give_back

log = logging.getLogger(__name__)


def warm_up(app: Flask) -> None:
    """Scores and forecasts are the scorekeeper's, in its own thread; models and pages are warmed in this one."""
    parts: Parts = app.extensions[PARTS]
    settings, market = parts.services.settings, parts.market
    for interval in market.intervals:
        for symbol in market.known:
            parts.scorekeeper.notice(symbol, interval)
    if not settings.enable_model_preloading:
        return
    files: Assets = app.extensions[EXTENSION]
    files.warm()
    steps = optimize(
        Warm(
            registry=parts.services.registry,
            market=market,
            indicators=indicators,
            forecaster=parts.services.forecaster,
            render=page_renderer(app, host=settings.trusted_hosts[0]),
        )
    )
    if parts.services.speeds is not None:
        for entry in parts.services.registry.usable():
            parts.services.speeds.known(entry)
    give_back()
    for step in steps:
        log.info("warmed %s: %s, %s (%.0f ms)", step.name, step.result, step.detail, step.took_ms)
