"""Redis sockets: connections whose every wait, for a name, handshake or answer, ends with the question's deadline."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable
from typing import Any

from redis.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection

from utils.clock import SystemClock

CONNECTING_S = 3.0
"""How long a connection may take in all, in the background: for the next question, this one has long gone without."""
_MOST_CONNECTING = 4
"""Threads that may hang at once in a name server that does not answer, which no deadline of ours ends."""
_PARKED_S = 10.0
_LEAST_S = 0.001
"""Zero would make a socket that never waits."""
_REAL = SystemClock()
"""Sockets live in real time, whatever clock the rest is given."""


class _Deadline(threading.local):
    """Until when the question of this thread may take."""

    until = float("inf")


_deadline = _Deadline()


def hurry_until(until_s: float) -> None:
    """What this thread asks of Redis from now on ends then (monotonic seconds); infinity ends the hurry."""
    _deadline.until = until_s


def _left_s() -> float:
    return max(_LEAST_S, _deadline.until - _REAL.monotonic())


class _TimedSocket:
    """A socket whose every wait ends at the deadline of the question, however slowly the bytes drip."""

    def __init__(self, plain: socket.socket) -> None:
        self._plain = plain
        self._timeout_s = plain.gettimeout()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)

    def settimeout(self, seconds: float | None) -> None:
        self._timeout_s = seconds

    def recv(self, *arguments: Any) -> bytes:
        self._hurry()
        return self._plain.recv(*arguments)

    def recv_into(self, *arguments: Any) -> int:
        self._hurry()
        return self._plain.recv_into(*arguments)

    def sendall(self, *arguments: Any) -> None:
        self._hurry()
        self._plain.sendall(*arguments)

    def _hurry(self) -> None:
        left_s = _deadline.until - _REAL.monotonic()
        if left_s <= 0:
            raise TimeoutError("the time of this question is over")
        self._plain.settimeout(left_s if self._timeout_s is None else min(left_s, self._timeout_s))


class _Attempt:
    """One connection on its way: who waits for it, and what became of it."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.abandoned = False
        self.made: socket.socket | None = None
        self.error: Exception | None = None


class Connector:
    """Connects in threads, since neither the look-up of a name nor all of a TLS handshake can be given a deadline.

    Whoever asks waits until the deadline of its question at most. A connection that comes later is kept for the next.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connecting = 0
        self._parked: list[tuple[socket.socket, float]] = []
        self._closed = False

    def connect(self, make: Callable[[], socket.socket]) -> socket.socket:
        """TimeoutError where it takes too long, or too many are under way; else what `make` answers or raises."""
        attempt = _Attempt()
        with self._lock:
            if (parked := self._take_parked()) is not None:
                return parked
            if self._connecting >= _MOST_CONNECTING:
                raise TimeoutError("connections that were begun before are still not there")
            self._connecting += 1
        threading.Thread(target=self._run, args=(make, attempt), name="redis-connect", daemon=True).start()
        attempt.over.wait(_left_s())
        with self._lock:
            attempt.abandoned = True
            if attempt.made is not None:
                return attempt.made
        if attempt.error is not None:
            raise attempt.error
        raise TimeoutError("the connection took longer than the question may")

    def close(self) -> None:
        with self._lock:
            self._closed = True
            parked, self._parked = self._parked, []
        for one, _ in parked:
            one.close()

    def _run(self, make: Callable[[], socket.socket], attempt: _Attempt) -> None:
        hurry_until(_REAL.monotonic() + CONNECTING_S)
        made: socket.socket | None = None
        try:
            made = make()
        except Exception as error:  # noqa: BLE001 - whoever waits is given it
            attempt.error = error
        with self._lock:
            self._connecting -= 1
            if made is not None and not attempt.abandoned:
                attempt.made, made = made, None
            elif made is not None and not self._closed and len(self._parked) < _MOST_CONNECTING:
                self._parked.append((made, _REAL.monotonic()))
                made = None
        if made is not None:
            made.close()
        attempt.over.set()

    def _take_parked(self) -> socket.socket | None:
        """The newest; one that has waited long has probably been closed by the server."""
        while self._parked:
            parked, since_s = self._parked.pop()
            if _REAL.monotonic() - since_s < _PARKED_S:
                return parked
            parked.close()
        return None


class _Hurried(AbstractConnection):
    """A connection whose attempts, however many addresses its host has, end with the question they are made for."""

    @property
    def socket_connect_timeout(self) -> float | None:
        whole_s = super().socket_connect_timeout
        return whole_s if _deadline.until == float("inf") else _left_s()

    @socket_connect_timeout.setter
    def socket_connect_timeout(self, value: float | None) -> None:
        self._socket_connect_timeout = value


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class _TimedConnection(_Hurried, Connection):
    def __init__(self, *arguments: Any, connector: Connector, **options: Any) -> None:
        self._connector = connector
        super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]  # untyped in redis-py

    def _connect(self) -> Any:
        if _is_address(self.host):  # neither a name nor a handshake to wait for, and a thread may come late
            return _TimedSocket(super()._connect())  # type: ignore[no-untyped-call]  # untyped in redis-py
        return _TimedSocket(self._connector.connect(super()._connect))


class _TimedTlsConnection(_Hurried, SSLConnection):
    def __init__(self, *arguments: Any, connector: Connector, **options: Any) -> None:
        self._connector = connector
        super().__init__(*arguments, **options)

    def _connect(self) -> Any:
        return _TimedSocket(self._connector.connect(super()._connect))

    def _wrap_socket_with_ssl(self, sock: Any) -> Any:
        """The handshake has what is left of the attempt, not the time of one question."""
        sock.settimeout(_left_s())
        wrapped = super()._wrap_socket_with_ssl(sock)  # type: ignore[no-untyped-call]  # untyped in redis-py
        wrapped.settimeout(self.socket_timeout)
        return wrapped


class _TimedUnixConnection(_Hurried, UnixDomainSocketConnection):
    """There is neither a name nor a handshake to wait for."""

    def __init__(self, *arguments: Any, connector: Connector, **options: Any) -> None:
        super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]  # untyped in redis-py

    def _connect(self) -> Any:
        return _TimedSocket(super()._connect())  # type: ignore[no-untyped-call]  # untyped in redis-py


TIMED = {"redis": _TimedConnection, "rediss": _TimedTlsConnection, "unix": _TimedUnixConnection}
"""By the scheme of the URL."""
