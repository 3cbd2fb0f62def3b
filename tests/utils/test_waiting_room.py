"""Waiting room: real sockets are answered, whatever they send, until it is over."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from http import HTTPStatus

import pytest

from utils.waiting_room import Answer, WaitingRoom

TIMEOUT_S = 60.0


def answer(path: str) -> Answer:
    return Answer(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", f"wait for {path}".encode(), retry_after_s=2)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def ask(listener: socket.socket, method: str, path: str, body: bytes | None = None) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", listener.getsockname()[1], timeout=TIMEOUT_S)
    try:
        connection.request(method, path, body)
        got = connection.getresponse()
        assert got.headers["Connection"] == "close"
        assert got.headers["Cache-Control"] == "no-store"
        return got.status, got.headers["Retry-After"], got.read()
    finally:
        connection.close()


def test_every_kind_of_request_is_answered(listener: socket.socket) -> None:
    with WaitingRoom(listener, answer):
        assert ask(listener, "GET", "/symbol/BTCUSDT?interval=1h") == (503, "2", b"wait for /symbol/BTCUSDT")
        assert ask(listener, "HEAD", "/") == (503, "2", b"")
        assert ask(listener, "POST", "/login", b"a" * 300_000) == (503, "2", b"wait for /login")


def test_who_says_nothing_holds_up_nobody(listener: socket.socket) -> None:
    with (
        socket.create_connection(listener.getsockname()),
        socket.create_connection(listener.getsockname()) as babbler,
        WaitingRoom(listener, answer),
    ):
        babbler.sendall(b"\x16\x03\x01\r\n\r\n")
        assert ask(listener, "GET", "/")[0] == 503
        babbler.settimeout(TIMEOUT_S)
        assert babbler.recv(100) == b"", "that was no request"


def test_who_has_better_answers_is_left_to_answer(listener: socket.socket) -> None:
    """As a worker that is whole, on the same socket."""
    asked = threading.Event()

    def leave() -> bool:
        asked.set()
        return False

    with socket.create_connection(listener.getsockname()), WaitingRoom(listener, answer, answers=leave):
        assert asked.wait(TIMEOUT_S)
        listener.accept()[0].close()


def test_who_was_taken_is_answered_before_it_ends(listener: socket.socket) -> None:
    taken, go = threading.Event(), threading.Event()

    def slow(path: str) -> Answer:
        taken.set()
        assert go.wait(TIMEOUT_S)
        return answer(path)

    with socket.create_connection(listener.getsockname(), TIMEOUT_S) as caller:
        with WaitingRoom(listener, slow):
            caller.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            assert taken.wait(TIMEOUT_S)
            go.set()
        assert caller.recv(12) == b"HTTP/1.1 503"
