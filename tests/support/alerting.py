"""What the tests of alerts share: real receivers on this machine, readings that a test sets, a wired application."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message as Mail
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MailHandler
from flask import Flask

from routes import alerts, metrics
from utils.performance_monitor import performance_monitor

OURS = {"Sec-Fetch-Site": "same-origin"}
FORM = {"title": "Many pages", "reading": "p95_ms", "comparison": ">", "threshold": "1", "minutes": "0", "subject": ""}
"""Headers and fields of a form that our own page sends."""


def equip(app: Flask, *, targets: tuple[str, ...] = (), **options: Any) -> alerts.Watch:
    """What `create_app` does for these pages, where it does not yet."""
    for blueprint in (alerts.bp, metrics.bp):
        if blueprint.name not in app.blueprints:
            app.register_blueprint(blueprint)
    parts = app.extensions["parts"]
    watch = alerts.make_watch(
        database=parts.database,
        services=parts.services,
        monitor=performance_monitor,
        clock=parts.services.clock,
        targets=targets,
        **options,
    )
    alerts.install(app, watch)
    return watch


@dataclass
class Receiver:
    """An HTTP server that keeps what it was sent and answers the next of `statuses` (200 when there are no more)."""

    url: str = ""
    requests: list[tuple[str, Any]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)


@contextmanager
def receiver() -> Iterator[Receiver]:
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            kept.requests.append((self.path, json.loads(body)))
            self.send_response(kept.statuses.pop(0) if kept.statuses else 200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"ok":true,"result":{"message_id":1}}')

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, name="alert-receiver")
    thread.start()
    kept.url = f"127.0.0.1:{server.server_port}"
    try:
        yield kept
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Kept(MailHandler):
    def __init__(self) -> None:
        super().__init__()
        self.mails: list[Mail] = []

    def handle_message(self, message: Mail) -> None:
        self.mails.append(message)


@contextmanager
def mail_server() -> Iterator[tuple[str, list[Mail]]]:
    """A real SMTP server; its address and the mails it took."""
    handler = _Kept()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield f"127.0.0.1:{port}", handler.mails
    finally:
        controller.stop()
