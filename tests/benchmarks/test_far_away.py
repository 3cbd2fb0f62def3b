"""Far away: bytes are late once per direction, handshakes come before the first of them, and the whole body arrives."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.far_away import HANDSHAKES, NAME, far_away

DELAY_S = 0.03
BODY = bytes(range(256)) * 1000


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def asked(connection: http.client.HTTPConnection) -> float:
    """Seconds until the whole answer is there."""
    started_s = time.perf_counter()
    connection.request("GET", "/")
    assert connection.getresponse().read() == BODY
    return time.perf_counter() - started_s


def test_a_line_costs_round_trips_and_not_more(port: int) -> None:
    round_trip_s = 2 * DELAY_S
    with far_away(port, DELAY_S) as far:
        connection = http.client.HTTPConnection("127.0.0.1", far, timeout=20)
        first_s = asked(connection)
        later_s = min(asked(connection) for _ in range(4))
        connection.close()
    assert first_s >= (NAME + HANDSHAKES + 1) * round_trip_s
    assert round_trip_s <= later_s < (NAME + HANDSHAKES + 1) * round_trip_s


def test_who_leaves_early_leaves_nothing_behind(port: int) -> None:
    before = threading.active_count()
    with far_away(port, DELAY_S) as far:
        connection = http.client.HTTPConnection("127.0.0.1", far, timeout=20)
        connection.request("GET", "/")
        connection.close()
    assert threading.active_count() <= before + 1, "but for the server's own"
