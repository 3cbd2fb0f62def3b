"""PostgreSQL connection: a psycopg connection on which no wait for the server is endless, and a ping is short.

The server ends long statements itself (`statement_timeout`), but one that is frozen, or behind a wall that drops
packets, ends nothing: its connections stay open, and who waits for an answer on one would wait for ever. Import this
where PostgreSQL is used: it imports psycopg.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.errors import ConnectionTimeout, _WaitTimeout  # what `wait` raises; the version is pinned

RV = TypeVar("RV")

SILENT_S = 65.0
"""Longer than the server lets any statement or transaction of ours last: after that nobody is there."""
PING_S = 2.0
"""How long a pooled connection has to show that it lives, before a new one is opened."""
_LOOK_S = 0.1
"""How often psycopg looks up from waiting, as by itself."""


class TimedConnection(psycopg.Connection[Any]):
    """Closes itself, and raises OperationalError, where the server says nothing for SILENT_S, or for PING_S while
    `pinging`."""

    pinging = False

    def wait(self, gen: PQGen[RV], interval: float = _LOOK_S, timeout: float | None = None) -> RV:
        patience_s = PING_S if self.pinging else SILENT_S
        try:
            return super().wait(gen, interval, patience_s if timeout is None else timeout)
        except _WaitTimeout:
            if timeout is not None:
                raise
            self.close()  # what would come of the question, nobody could tell from the answer to the next one
            raise psycopg.OperationalError(f"the server has not answered for {patience_s:g} s") from None


def pinged(ping: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """The same question of whether a connection lives, which has to be answered within PING_S."""

    def timed(connection: TimedConnection) -> bool:
        connection.pinging = True
        try:
            return ping(connection)
        finally:
            connection.pinging = False

    return timed


class Door:
    """Where connections are opened. After one that nobody answered in time, one at a time knocks, and everybody else is
    told so at once: of many readers who each wait for seconds no thread would be left for pages that need no database.
    """

    def __init__(self) -> None:
        self._silent = False
        self._knocking = threading.Lock()

    def open(self, arguments: Any, options: Any) -> TimedConnection:
        """With the arguments of `psycopg.connect`. OperationalError where nobody opens."""
        if not self._silent:
            return self._knock(arguments, options)
        if not self._knocking.acquire(blocking=False):
            raise psycopg.OperationalError("the server has not answered yet, and is being asked")
        try:
            return self._knock(arguments, options)
        finally:
            self._knocking.release()

    def _knock(self, arguments: Any, options: Any) -> TimedConnection:
        try:
            opened = TimedConnection.connect(*arguments, **options)
        except psycopg.OperationalError as error:
            self._silent = isinstance(error, ConnectionTimeout)
            raise
        self._silent = False
        return opened
