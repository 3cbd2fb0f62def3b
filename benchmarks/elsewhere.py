"""Elsewhere: the application behind two small servers, so that its pages' assets come from itself or from afar.

Both variants pass through the same kind of front, so that only the place of the assets differs.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from benchmarks.far_away import far_away

_PASSED_ON = ("Content-Type", "Content-Encoding", "Cache-Control", "ETag", "Vary", "Content-Security-Policy")


class _Server(ThreadingHTTPServer):
    """`asset_host` is written into pages in place of the own one."""

    daemon_threads = True

    def __init__(self, app_port: int, *, asset_host: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.app_port = app_port
        self.asset_host = asset_host
        self.kept: dict[tuple[str, str], tuple[int, dict[str, str], bytes]] = {}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that leaves breaks its connections: nothing to tell."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        status, headers, body = self._answer()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def _answer(self) -> tuple[int, dict[str, str], bytes]:
        """From the application; its assets are asked for once and kept, as a content network would."""
        host = self.server.asset_host
        wanted = "identity" if host and "/assets/" not in self.path else self.headers.get("Accept-Encoding", "")
        kept = self.server.kept.get((self.path, wanted))
        if kept is not None:
            return kept
        status, headers, body = _fetched(self.server.app_port, self.path, wanted)
        if host and headers.get("Content-Type", "").startswith("text/html"):
            body = _moved(body, host)
            headers["Content-Security-Policy"] = headers["Content-Security-Policy"].replace("'self'", f"'self' {host}")
        if "/assets/" in self.path:
            self.server.kept[self.path, wanted] = (status, headers, body)
        return status, headers, body


def _fetched(port: int, path: str, encoding: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path, headers={"Accept-Encoding": encoding, "Accept": "text/html, */*"})
        answer = connection.getresponse()
        given = {name: value for name in _PASSED_ON if (value := answer.getheader(name)) is not None}
        return answer.status, given, answer.read()
    finally:
        connection.close()


def _moved(page: bytes, host: str) -> bytes:
    """The page with every asset's address on the other host; what is verified is asked for across origins."""
    text = page.decode().replace('="/assets/', f'="{host}/assets/')
    for tag in ("<script ", "<link "):
        text = text.replace(tag, f'{tag}crossorigin="anonymous" ')
    return text.encode()


@contextmanager
def fronts(app_port: int, *, delay_s: float) -> Iterator[tuple[str, str]]:
    """Two addresses of the same application: with its own assets, and with assets from a host `delay_s` away."""
    with (
        _running(_Server(app_port)) as near_port,
        _running(_Server(app_port)) as there_port,
        far_away(there_port, delay_s) as far_port,
        _running(_Server(app_port, asset_host=f"http://localhost:{far_port}")) as remote_port,
    ):
        yield f"http://127.0.0.1:{near_port}", f"http://127.0.0.1:{remote_port}"


@contextmanager
def _running(server: _Server) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
