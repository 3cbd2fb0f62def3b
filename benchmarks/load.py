"""Load: keep-alive connections over plain sockets, each asking again as soon as it is answered."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, takewhile

_HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Load:
    """What a run of it showed. Latencies in seconds, sorted."""

    requests: int
    took_s: float
    latencies_s: Sequence[float]
    statuses: dict[int, int]
    bytes_per_answer: float

    @property
    def per_second(self) -> float:
        return self.requests / self.took_s

    def latency_ms(self, fraction: float) -> float:
        index = min(int(fraction * len(self.latencies_s)), len(self.latencies_s) - 1)
        return self.latencies_s[index] * 1e3


@dataclass(slots=True)
class _Connection:
    socket: socket.socket
    asked_s: float = 0.0
    received: bytearray = field(default_factory=bytearray)
    wanted: int = -1


def load(port: int, path: str, *, seconds: float, connections: int = 16, headers: str = "") -> Load:
    """Asks 127.0.0.1:`port` for `path` during `seconds`; ConnectionError if the server hangs up."""
    question = _question(port, path, headers)
    latencies: list[float] = []
    statuses: dict[int, int] = {}
    received_bytes = 0
    with selectors.DefaultSelector() as selector:
        opened = [_Connection(socket.create_connection(("127.0.0.1", port))) for _ in range(connections)]
        for connection in opened:
            connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            _ask(connection, question)
        started_s = time.perf_counter()
        end_s = started_s + seconds
        waiting = connections
        while waiting:  # answers owed at the end are taken, not counted, so that the next run does not pay for them
            for key, _ in selector.select(1.0):
                status = _receive(key.data)
                if not status:
                    continue
                now = time.perf_counter()
                if now >= end_s:
                    waiting -= 1
                    continue
                latencies.append(now - key.data.asked_s)
                statuses[status] = statuses.get(status, 0) + 1
                received_bytes += key.data.wanted
                _ask(key.data, question)
        for connection in opened:
            connection.socket.close()
    return Load(len(latencies), seconds, sorted(latencies), statuses, received_bytes / max(1, len(latencies)))


def load_each(
    port: int, paths: Iterable[str], *, connections: int = 16, headers: str = "", seconds: float | None = None
) -> Load:
    """Asks each of the paths once, or over and over during `seconds`; `connections` at a time, each connection taking
    the next as soon as it is free."""
    once = [_question(port, path, headers) for path in paths]
    questions = iter(once) if seconds is None else _until(time.perf_counter() + seconds, once)
    latencies: list[float] = []
    statuses: dict[int, int] = {}
    received_bytes = 0
    with selectors.DefaultSelector() as selector:
        started_s = time.perf_counter()
        waiting = sum(_open(port, selector, questions) for _ in range(connections))
        while waiting:
            for key, _ in selector.select(1.0):
                status = _receive(key.data)
                if not status:
                    continue
                latencies.append(time.perf_counter() - key.data.asked_s)
                statuses[status] = statuses.get(status, 0) + 1
                received_bytes += key.data.wanted
                waiting -= not _ask_next(key.data, selector, questions)
        took_s = time.perf_counter() - started_s
    return Load(len(latencies), took_s, sorted(latencies), statuses, received_bytes / max(1, len(latencies)))


def _until(end_s: float, questions: Sequence[bytes]) -> Iterator[bytes]:
    return takewhile(lambda _: time.perf_counter() < end_s, cycle(questions))


def _open(port: int, selector: selectors.BaseSelector, questions: Iterator[bytes]) -> bool:
    connection = _Connection(socket.create_connection(("127.0.0.1", port)))
    connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    selector.register(connection.socket, selectors.EVENT_READ, connection)
    return _ask_next(connection, selector, questions)


def _ask_next(connection: _Connection, selector: selectors.BaseSelector, questions: Iterator[bytes]) -> bool:
    """Whether there was something left to ask; if not, the connection is closed."""
    question = next(questions, None)
    if question is None:
        selector.unregister(connection.socket)
        connection.socket.close()
        return False
    _ask(connection, question)
    return True


def _question(port: int, path: str, headers: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept-Encoding: br, gzip\r\n{headers}\r\n".encode()


def fetch(port: int, path: str, timeout_s: float = 10.0) -> tuple[int, bytes]:
    """One answer: (status, head and body as they came)."""
    with socket.create_connection(("127.0.0.1", port), timeout_s) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        received = b"".join(iter(lambda: connection.recv(65_536), b""))
    return int(received[9:12] or b"0"), received


def _ask(connection: _Connection, question: bytes) -> None:
    connection.received.clear()
    connection.wanted = -1
    connection.asked_s = time.perf_counter()
    connection.socket.sendall(question)


def _receive(connection: _Connection) -> int:
    """The status once the answer is whole, else 0."""
    chunk = connection.socket.recv(262_144)
    if not chunk:
        raise ConnectionError("the server closed a connection that was to be kept")
    connection.received += chunk
    if connection.wanted < 0:
        head_end = connection.received.find(_HEAD_END)
        if head_end < 0:
            return 0
        head = bytes(connection.received[:head_end]).lower()
        length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
        connection.wanted = head_end + len(_HEAD_END) + int(length or 0)
    return int(connection.received[9:12]) if len(connection.received) >= connection.wanted else 0
