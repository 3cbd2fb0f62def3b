"""The table of contents: what the application is made of, and how it is served.

`python app.py [--host H] [--port P]` serves; `create_app(settings)` builds the same application without starting it.
"""

from __future__ import annotations

import gc

if __name__ == "__main__":
    gc.disable()  # what is imported stays: looking through it again and again is a tenth of the start; `main` ends it

import argparse
import socket
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from flask import Flask
from flask_compress import Compress

from config import Settings, install_secret, load_settings
from routes import alerts, metrics, profiling, rate_limits
from routes.addresses import App
from routes.blueprints import register
from routes.budgets import budgets_of
from routes.observed import observe_requests
from routes.security import check_bind, secure
from routes.services import EXTENSION
from routes.stored_answers import answer_stored
from routes.wiring.assembly import assemble
from routes.wiring.monitor_sources import add_sources
from routes.wiring.parts import PARTS, Worker
from routes.wiring.serving import AT_ONCE, serve, supervise
from routes.wiring.warming import warm_up
from routes.wiring.workers import shared_sessions
from utils.clock import Clock, SystemClock
from utils.end_signals import EndSignals, leave_after
from utils.errors import ConfigError, DashboardError
from utils.listener import listen
from utils.memory_return import collect_later_objects, hold_less
from utils.performance_monitor import performance_monitor
from utils.worker_processes import end_with_parent

_LONGEST_END_S = 20.0
_SUPERVISOR_END_S = 60.0
"""It waits for its workers, whose end may take the former."""


def create_app(settings: Settings | None = None, *, clock: Clock | None = None, worker: Worker | None = None) -> Flask:
    """The whole application, wired once, with nothing running yet: no thread, no network."""
    settings = settings or load_settings()
    clock = clock or SystemClock()
    parts = assemble(settings, clock, worker)
    app = App(__name__, static_folder=None)
    app.extensions[EXTENSION] = parts.services
    app.extensions[PARTS] = parts
    add_sources(parts)
    app.config["COMPRESS_ALGORITHM"] = ["zstd", "br", "gzip"]
    app.config["COMPRESS_BR_LEVEL"] = 4
    app.config["COMPRESS_ZSTD_LEVEL"] = 3
    Compress(app)
    register(app, asset_host=parts.asset_host)
    alerts.install(app, parts.watch)
    metrics.install(
        app,
        performance_monitor,
        parts.services,
        token=settings.metrics_token,
        guarded=bool(settings.dashboard_password),
        files=parts.worker_files,
    )
    limits = rate_limits.install(
        app,
        clock,
        cheap_per_s=settings.rate_limit_per_second,
        dear_per_min=settings.rate_limit_dear_per_minute,
        workers=settings.workers,
    )
    performance_monitor.add_source("rate_limits", limits.stats)
    app.extensions[AT_ONCE] = answer_stored(app, parts.services.pages).at_once
    secure(
        app,
        secret_key=install_secret(settings),
        trusted_hosts=settings.trusted_hosts,
        password=settings.dashboard_password,
        clock=clock,
        sessions=shared_sessions(settings, clock),
        workers=settings.workers,
        asset_base_url=settings.asset_base_url,
    )
    profiling.install(app, parts.profiles)
    parts.services.budgets.update(budgets_of(app))
    parts.connection.when_ready(partial(warm_up, app))
    access_log = parts.access_log if settings.enable_performance_logging else None
    observe_requests(app, performance_monitor, access_log, ready=lambda: parts.connection.ready)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """The port is bound first, so that a wrong setting or a busy port is told at once: exit code 2; 1 for the rest."""
    options = _options(arguments)
    given = {name: text for name in ("host", "port") if (text := getattr(options, name)) is not None}
    try:
        settings = load_settings(**given)
        check_bind(settings.host, settings.dashboard_password)
        inherited = options.socket is not None
        listener = socket.socket(fileno=options.socket) if inherited else listen(settings.host, settings.port)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    supervises = settings.workers > 1 and options.worker is None
    EndSignals(within_s=_SUPERVISOR_END_S if supervises else _LONGEST_END_S).listen()
    hold_less()
    collect_later_objects()
    with listener:
        try:
            if options.worker is not None:
                end_with_parent(options.lifeline)
                worker = Worker(options.worker, options.channel)
                serve(settings, listener, partial(create_app, settings, worker=worker), worker)
            elif supervises:
                return supervise(settings, listener, program=Path(__file__).resolve())
            else:
                serve(settings, listener, partial(create_app, settings))
        except DashboardError as error:
            print(error, file=sys.stderr)
            return 2 if isinstance(error, ConfigError) else 1
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Serve the dashboard to a browser on this machine.")
    parser.add_argument("--host", help="address to serve on (HOST)")
    parser.add_argument("--port", help="port to serve on (PORT)")
    for name, kind in (("--socket", int), ("--worker", int), ("--lifeline", int), ("--channel", Path)):
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)  # said by ourselves, to a worker
    return parser.parse_args(arguments)


if __name__ == "__main__":
    leave_after(main)
