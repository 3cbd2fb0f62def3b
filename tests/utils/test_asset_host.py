"""AssetHost: real answers of real sockets, right, wrong, slow and none; what it takes to be given up and taken back."""

from __future__ import annotations

import hashlib
import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from utils.asset_host import AssetHost, fetch_file

BODY = b"body { color: black }"
INTEGRITY = "sha384-" + b64encode(hashlib.sha384(BODY).digest()).decode()


class Server:
    """Answers `/own/page.css` as it is told to."""

    def __init__(self) -> None:
        self.status, self.body, self.cross_origin, self.pause_s = 200, BODY, "*", 0.0
        server, self.over = self, threading.Event()

        class Files(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(server.status if self.path == "/own/page.css" else 404)
                if server.cross_origin:
                    self.send_header("Access-Control-Allow-Origin", server.cross_origin)
                self.end_headers()
                for place in range(len(server.body)):
                    if server.over.wait(server.pause_s):
                        return
                    self.wfile.write(server.body[place : place + 1])
                    self.wfile.flush()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing to say."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def host_at(address: str, turns: list[bool] | None = None, deadline_s: float = 2.0) -> AssetHost:
    host = AssetHost(
        address,
        changed=lambda: turns.append(host.usable) if turns is not None else None,
        fetch=lambda file, _: fetch_file(file, deadline_s),
    )
    host.expect("own/page.css", INTEGRITY)
    return host


def test_the_right_file_is_the_only_one_that_will_do(server: Server) -> None:
    host = host_at(server.address)
    assert host.look() == ""
    server.body = BODY + b"\n"
    assert "another file than this version's" in host.look()
    server.body, server.cross_origin = BODY, ""
    assert "without Access-Control-Allow-Origin" in host.look()
    server.status = 502
    assert "502" in host.look()


def test_nobody_listens_and_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        host = host_at(address, deadline_s=0.05)
        assert "timed out" in host.look()
        assert not host.usable, "the first look is believed"
    assert "refused" in host_at(address).look()


def test_a_file_that_drips_is_too_late(server: Server) -> None:
    server.pause_s = 0.02
    assert "not whole within" in host_at(server.address, deadline_s=0.05).look()


def test_what_does_not_speak_http_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as babble:

        def answer() -> None:
            caller, _ = babble.accept()
            with caller:
                caller.recv(4096)
                caller.sendall(b"220 mail.example ESMTP\r\n")

        threading.Thread(target=answer, daemon=True).start()
        assert "no answer of HTTP" in host_at(f"http://127.0.0.1:{babble.getsockname()[1]}").look()


def test_one_look_that_fails_is_no_outage_and_each_turn_is_told_once(server: Server) -> None:
    turns: list[bool] = []
    host = host_at(server.address, turns)
    looks = ((200, True, 10), (503, True, 1), (200, True, 10), (503, True, 1), (503, False, 10), (503, False, 10))
    for status, usable, pause_s in looks:
        server.status = status
        host.look()
        assert (host.usable, host.pause_s) == (usable, pause_s), "in doubt the next look comes soon"
    server.status = 200
    host.look()
    assert not host.stats().usable
    assert host.pause_s == 1
    host.look()
    assert host.stats().usable
    assert host.pause_s == 10
    assert turns == [False, True]
    assert (host.stats().looks, host.stats().failures) == (8, 4)
