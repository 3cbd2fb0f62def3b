"""Scraping: the pages of `/metrics` on an application, what a scrape holds, and promtool's word on it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families as parse

from routes import metrics
from utils.performance_monitor import performance_monitor


def promtool(*arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """Runs it, or skips with the reason (fails where REQUIRE_PROMTOOL=1)."""
    path = shutil.which("promtool")
    if path is None:
        message = "no promtool on this machine: apt install prometheus"
        if os.environ.get("REQUIRE_PROMTOOL") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return subprocess.run([path, *arguments], input=given, capture_output=True, text=True, timeout=400, check=False)


def equip(app: Flask, **options: Any) -> None:
    """What `create_app` does for these pages, where it does not yet."""
    if "metrics" not in app.blueprints:
        app.register_blueprint(metrics.bp)
    parts = app.extensions["services"]
    metrics.install(app, performance_monitor, parts, **options)


@contextmanager
def equipped_anew(app: Flask, **options: Any) -> Iterator[None]:
    """With other options, until the block ends."""
    before = app.extensions[metrics.EXTENSION]
    equip(app, **options)
    try:
        yield
    finally:
        app.extensions[metrics.EXTENSION] = before


def families(text: str) -> dict[str, Metric]:
    return {family.name: family for family in parse(text)}


def value(text: str, name: str, **labels: str) -> float:
    (found,) = [
        sample.value
        for family in parse(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return float(found)


def sample_names(text: str) -> set[str]:
    return {sample.name for family in parse(text) for sample in family.samples}
