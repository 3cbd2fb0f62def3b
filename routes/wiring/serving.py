"""Serving: one process that answers, or the one that starts several; both until they are asked to end."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

from flask import Flask

from config import Settings
from routes.security import MAX_REQUEST_BYTES
from routes.wiring.database_wait import wait_for_database
from routes.wiring.parts import PARTS, Parts, Worker, background, leading
from routes.wiring.private_logs import log_folder, secrets_of
from routes.wiring.workers import lead_or_follow, shared_sessions, worker_processes
from utils.clock import SystemClock
from utils.errors import ConfigError
from utils.leadership import Part
from utils.listener import address_of
from utils.logs import start_logging
from utils.run_folder import run_folder

AT_ONCE = "at-once"
"""The key in `app.extensions` of the question whether a request can be answered from stored bytes."""
SWITCH_S = 0.0003
"""How long a thread that makes a page may keep one waiting that has an answer to give; Python's own is 5 ms."""


def serve(settings: Settings, listener: socket.socket, make: Callable[[], Flask], worker: Worker | None = None) -> None:
    """Serves what `make` builds until the process is asked to end, then ends every part, the latest first."""
    with ExitStack() as running:
        logs = start_logging(
            level=settings.log_level,
            secrets=secrets_of(settings),
            folder=log_folder(settings, worker),
            worker=worker.number if worker else None,
        )
        running.callback(logs.close)
        wait_for_database(settings, listener, worker)
        app = make()
        parts: Parts = app.extensions[PARTS]
        running.callback(parts.database.close)
        if parts.services.speeds is not None:
            running.callback(parts.services.speeds.close)
        if worker is None:
            say_where(listener)
        for part in [*background(settings, parts), *_role(app, settings, worker)]:
            part.start()
            running.callback(part.close)
        run_server(settings, app, listener)


def _role(app: Flask, settings: Settings, worker: Worker | None) -> list[Part]:
    """What this process does beside answering: alone it leads at once."""
    parts: Parts = app.extensions[PARTS]
    if worker is None:
        return leading(settings, parts)
    files = [] if parts.worker_files is None else [parts.worker_files]
    return [lead_or_follow(app, settings, worker), *files]


def supervise(settings: Settings, listener: socket.socket, program: Path) -> int:
    """Several workers on one socket, each running `program`, until this process is asked to end; or their exit code
    where none can start."""
    if os.name != "posix":
        raise ConfigError(f"WORKERS is {settings.workers}; more than one process needs a Unix: set WORKERS=1")
    sessions = shared_sessions(settings, SystemClock())
    if sessions is not None:
        sessions.clear()
    with run_folder("dashboard-workers-") as folder:
        processes = worker_processes(
            settings,
            program=program,
            handles=(listener.fileno(), folder.handle),
            channel=folder.path / "feed",
            say=lambda words: print(words, file=sys.stderr, flush=True),
        )
        say_where(listener)
        return processes.run()


def run_server(settings: Settings, app: Flask, listener: socket.socket) -> None:
    """Answers requests until this thread is interrupted, with the server that is chosen; its library is loaded here."""
    if chosen_server(settings.server) == "granian":
        from utils.web_server import WebServer

        sys.setswitchinterval(SWITCH_S)
        WebServer(
            app,
            listener,
            threads=settings.max_workers,
            most_body_bytes=MAX_REQUEST_BYTES,
            at_once=app.extensions[AT_ONCE],
        ).run()
        return
    import waitress

    waitress.serve(
        app,
        sockets=[listener],
        threads=settings.max_workers,
        max_request_body_size=MAX_REQUEST_BYTES,
        ident=None,
        clear_untrusted_proxy_headers=True,
        _quiet=True,
    )


def chosen_server(asked: str) -> str:
    """`auto`: granian where there is a Unix and it is installed; on Windows our way of using it has not been tried."""
    if asked != "auto":
        return asked
    return "granian" if os.name == "posix" and find_spec("granian") is not None else "waitress"


def say_where(listener: socket.socket) -> None:
    print(f"Serving on {address_of(listener)} (Ctrl+C ends it)", flush=True)
