"""The whole application as `create_app` wires it, in a folder of its own, without threads or network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flask import Flask
from werkzeug.routing import Rule

import app as application
from config import Settings, load_settings
from utils.clock import Clock
from utils.performance_monitor import performance_monitor

_VALUES = {
    "symbol": "BTCUSDT",
    "model_id": "x",
    "job_id": "1",
    "interval": "1h",
    "digest": "0" * 16,
    "name": "x",
    "file": "x.css",
    "path": "x.css",
}
"""What stands for the variable parts of an address."""


def settings_in(folder: Path, **overrides: str) -> Settings:
    """The defaults, with everything that is written below `folder`."""
    given = {"instance_path": str(folder / "instance"), "models_path": str(folder / "models"), **overrides}
    return load_settings(environ={}, env_file=None, **given)


@contextmanager
def whole_app(folder: Path, clock: Clock | None = None, /, **overrides: str) -> Iterator[Flask]:
    """Built, and closed again afterwards."""
    app = application.create_app(settings_in(folder, **overrides), clock=clock)
    try:
        yield app
    finally:
        app.extensions["parts"].database.close()
        performance_monitor.configure(enabled=False)


def address(rule: Rule) -> str:
    """An address that the rule answers."""
    return re.sub(
        r"<(?:any\((\w+)[^)]*\):|\w+:)?(\w+)>", lambda found: found[1] or _VALUES.get(found[2], "x"), rule.rule
    )


def every_address(app: Flask) -> list[tuple[str, str]]:
    """(method, address) of everything in the map, and of something that is not."""
    known = [
        (method, address(rule))
        for rule in app.url_map.iter_rules()
        for method in sorted((rule.methods or set()) - {"HEAD"})
    ]
    return [*known, ("GET", "/no/such/page"), ("DELETE", "/health")]
