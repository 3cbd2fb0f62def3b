"""The HTTP server with a small WSGI application: what is there at once, what is made, bodies, ends, and refusals."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from utils.web_server import WebServer

_MOST_BODY_BYTES = 600_000


class Application:
    """Says what it was asked, and on which thread; `/wait` answers when it may."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.environ: dict[str, Any] = {}
        self.closed: list[str] = []

    def at_once(self, environ: dict[str, Any]) -> bool:
        return str(environ["PATH_INFO"]) == "/there"

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        self.environ = environ
        if path == "/wait":
            assert self.may_answer.wait(10)
        if path == "/fault":
            raise RuntimeError("meant to happen")
        if path == "/stream":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return Stream(self)
        words = f"{path} {threading.current_thread().name} {len(environ['wsgi.input'].read())}".encode()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(words)))])
        return [words] if environ["REQUEST_METHOD"] != "HEAD" else []


class Stream:
    """A body whose length is not known before it is over."""

    def __init__(self, owner: Application) -> None:
        self._owner = owner

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"one ", b"two"])

    def close(self) -> None:
        self._owner.closed.append("stream")


@pytest.fixture
def app() -> Application:
    return Application()


@pytest.fixture
def port(app: Application) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = WebServer(app, listener, threads=2, most_body_bytes=_MOST_BODY_BYTES, at_once=app.at_once)
        running = threading.Thread(target=server.run)
        running.start()
        yield listener.getsockname()[1]
        app.may_answer.set()
        server.stop()
        running.join(10)
        assert not running.is_alive()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 10)


def ask(port: int, question: str, body: bytes = b"") -> tuple[int, str, bytes]:
    """(status, head, body) of a question on a connection of its own."""
    with connect(port) as connection:
        connection.sendall(f"{question} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n".encode() + (body or b"\r\n"))
        received = b"".join(iter(lambda: connection.recv(65_536), b""))
    head, _, rest = received.partition(b"\r\n\r\n")
    return int(head[9:12]), head.decode().lower(), rest


def with_length(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


def test_what_is_there_is_given_by_the_thread_that_took_the_question_and_what_is_made_by_another(port: int) -> None:
    there, made = ask(port, "GET /there")[2].split(), ask(port, "GET /made")[2].split()
    assert made[1].startswith(b"web_")
    assert not there[1].startswith(b"web_")


def test_all_threads_that_make_answers_being_busy_what_is_there_is_given(app: Application, port: int) -> None:
    with connect(port) as first, connect(port) as second, connect(port) as third:
        for connection in (first, second, third):
            connection.sendall(b"GET /wait HTTP/1.1\r\nHost: here\r\n\r\n")
        assert ask(port, "GET /there")[0] == 200
        app.may_answer.set()
        for connection in (first, second, third):
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("size", [1, 100_000, _MOST_BODY_BYTES])
def test_a_body_arrives_whole_though_it_comes_in_pieces(port: int, size: int) -> None:
    with connect(port) as connection:
        connection.sendall(b"POST /made HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n" % size)
        assert ask(port, "GET /there")[0] == 200  # meanwhile
        connection.sendall(b"x" * (size // 2))
        assert ask(port, "GET /made")[0] == 200
        connection.sendall(b"x" * (size - size // 2))
        assert connection.recv(65_536).endswith(b" %d" % size)


def test_a_body_whose_length_is_not_told_is_refused_and_so_is_one_that_breaks_off(app: Application, port: int) -> None:
    chunked = b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    assert ask(port, "POST /made", chunked)[0] == 411
    with connect(port) as connection:
        connection.sendall(b"POST /made HTTP/1.1\r\nHost: here\r\nContent-Length: 10\r\n\r\nabc")
        connection.shutdown(socket.SHUT_WR)
        connection.recv(65_536)
    assert not app.environ


def test_senders_that_never_finish_hold_up_nobody_but_senders(port: int) -> None:
    slow = [connect(port) for _ in range(3)]
    for connection in slow:
        connection.sendall(b"POST /made HTTP/1.1\r\nHost: here\r\nContent-Length: 10\r\n\r\nabc")
    while ask(port, "POST /made", with_length(b"abc"))[0] != 503:  # until the three are being read
        pass
    assert [ask(port, f"GET {path}")[0] for path in ("/there", "/made")] == [200, 200]
    for connection in slow:
        connection.close()
    while ask(port, "POST /made", with_length(b"abc"))[0] != 200:
        pass


def test_a_longer_body_than_is_allowed_is_refused(port: int) -> None:
    status, head, body = ask(port, "POST /made", with_length(b"x" * (_MOST_BODY_BYTES + 1)))
    assert (status, body) == (413, b"the body is too long\n")
    assert "content-length: 21" in head


def test_head_tells_the_length_and_sends_nothing(port: int) -> None:
    status, head, body = ask(port, "HEAD /made")
    assert (status, body) == (200, b"")
    assert "content-length: 13" in head


def test_a_stream_is_sent_as_it_is_made_and_closed(app: Application, port: int) -> None:
    status, head, body = ask(port, "GET /stream")
    assert status == 200
    assert "transfer-encoding: chunked" in head
    assert b"one " in body
    assert b"two" in body
    assert app.closed == ["stream"]


def test_a_fault_is_logged_and_told(port: int, caplog: pytest.LogCaptureFixture) -> None:
    assert ask(port, "GET /fault")[0] == 500
    assert "GET /fault could not be answered" in caplog.text
    assert ask(port, "GET /made")[0] == 200


def test_the_environment_of_the_process_is_not_in_that_of_a_request(
    app: Application, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BINANCE_API_SECRET", "not for readers")
    ask(port, "GET /made/%C3%A4?a=%41")
    assert "BINANCE_API_SECRET" not in app.environ
    assert app.environ["PATH_INFO"] == "/made/\xc3\xa4"
    assert app.environ["QUERY_STRING"] == "a=%41"
    assert app.environ["REMOTE_ADDR"] == "127.0.0.1"


def test_heads_that_are_too_long_or_say_two_lengths_are_refused(port: int) -> None:
    assert ask(port, "GET /made", b"X-Long: " + b"a" * 1_000_000 + b"\r\n\r\n")[0] == 431
    assert ask(port, "POST /made", b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab")[0] == 400
