"""Waiting room: answers whoever calls while the application cannot be made yet, so that nobody waits without a word."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Self

_LOOK_S = 0.25
"""How often it looks whether it is still to answer."""
_HEAD_S = 5.0
"""So long a head may take to arrive: browsers open connections that they may never use."""
_LINGER_S = 1.0
"""So long what else the asker sends is read: closed before, the answer would be lost on its way."""
_MOST_HEAD_BYTES = 64 * 1024
_CHUNK_BYTES = 16 * 1024
_THREADS = 32


@dataclass(frozen=True, slots=True)
class Answer:
    status: HTTPStatus
    content_type: str
    body: bytes
    retry_after_s: int | None = None

    def head(self) -> bytes:
        """Nothing of it may be kept, and it needs nothing from anywhere."""
        lines = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            "Cache-Control: no-store",
            "Connection: close",
            "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'",
            "X-Content-Type-Options: nosniff",
            *([] if self.retry_after_s is None else [f"Retry-After: {self.retry_after_s}"]),
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


class WaitingRoom:
    """Owns a thread from `with` to its end. Takes callers from `listener` while `answers()` says so: another process
    on the same socket may have better answers to give.

    `answer(path)` is called by several threads at once.
    """

    def __init__(
        self,
        listener: socket.socket,
        answer: Callable[[str], Answer],
        *,
        answers: Callable[[], bool] = lambda: True,
    ) -> None:
        self._listener = listener
        self._answer = answer
        self._answers = answers
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._receive, name="waiting-room", daemon=True)
        self._callers = ThreadPoolExecutor(_THREADS, thread_name_prefix="waiting-room")

    def __enter__(self) -> Self:
        self._listener.setblocking(False)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Returns when whoever was taken has been answered, or has not asked for anything in time."""
        self._over.set()
        self._thread.join()
        self._callers.shutdown()

    def _receive(self) -> None:
        while not self._over.is_set():
            if not self._answers():
                self._over.wait(_LOOK_S)
            elif select.select([self._listener], [], [], _LOOK_S)[0]:
                with suppress(OSError):  # another process was faster, or the caller has gone
                    self._callers.submit(self._serve, self._listener.accept()[0])

    def _serve(self, caller: socket.socket) -> None:
        with caller, suppress(OSError):
            head = self._head_of(caller)
            method, _, rest = head.partition(b" ")
            if not rest:
                return
            answer = self._answer(rest.partition(b" ")[0].partition(b"?")[0].decode("latin-1"))
            caller.settimeout(_HEAD_S)
            caller.sendall(answer.head() + (b"" if method == b"HEAD" else answer.body))
            caller.shutdown(socket.SHUT_WR)
            until_s = time.monotonic() + _LINGER_S
            while self._some(caller, until_s):
                pass

    def _head_of(self, caller: socket.socket) -> bytes:
        """What arrived of it up to its end; nothing where it does not come in time."""
        head, until_s = b"", time.monotonic() + _HEAD_S
        while b"\r\n\r\n" not in head:
            part = self._some(caller, until_s)
            if not part or len(head) > _MOST_HEAD_BYTES:
                return b""
            head += part
        return head

    def _some(self, caller: socket.socket, until_s: float) -> bytes:
        """What comes next; nothing at its end, or where it does not come in time. When all is over it still has a
        moment: whoever was taken has most likely asked already."""
        while (left_s := until_s - time.monotonic()) > 0:
            caller.settimeout(min(left_s, _LOOK_S))
            with suppress(TimeoutError):
                return caller.recv(_CHUNK_BYTES)
            if self._over.is_set():
                break
        return b""
