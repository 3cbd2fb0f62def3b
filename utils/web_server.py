"""Web server: granian's HTTP in this process; answers that are there at once are given at once, threads make the rest.

granian's own start-up would put the application into a second process and hand it every request on many threads that
hinder each other (Python's lock passes from one to the next). Here its worker runs in the process that calls `run`:
one thread takes requests and gives what `at_once` says is there; everything else is made by a few threads of ours.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Any

from granian._futures import _new_cbscheduler
from granian._granian import SocketHolder, WorkerSignal, WSGIWorker
from granian.http import HTTP1Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

_HEADER_TIMEOUT_MS = 30_000
"""Also how long a connection may stay open without a question."""
_MOST_HEADER_BYTES = 64 * 1024
_MOST_AT_ONCE = 1_000
"""Requests under way, over all connections; the next ones wait in the kernel."""
_MOST_WAITING = 500
_BACKLOG = 1_024
_BODY_READERS = 3
"""Bodies that are read at the same time. Each takes one of granian's threads for as long as its sender likes, and one
thread more than that always remains for everything else."""
_IN_MEMORY_BYTES = 512 * 1024
_CHUNK_BYTES = 64 * 1024
_WHOLE_BYTES = 8 * 1024 * 1024
_GRACE_S = 5.0
_LOOK_UP_S = 1.0
"""A wait without an end can miss a signal that comes just before it or wakes another thread: Python's handler runs in
this thread alone, when it looks up."""
_EMPTY = ("", "0")

log = logging.getLogger("web")


class WebServer:
    """Serves a WSGI application on a socket that listens, until `run` is interrupted."""

    def __init__(
        self,
        app: WSGIApplication,
        listener: socket.socket,
        *,
        threads: int,
        most_body_bytes: int,
        at_once: Callable[[WSGIEnvironment], bool],
    ) -> None:
        """`at_once` says whether the application can answer without making anything: then it is not given a thread.

        It may put what it found into the environment. Longer bodies than `most_body_bytes` are refused with 413.
        """
        host, port = listener.getsockname()[:2]
        self._app = app
        self._listener = listener
        self._at_once = at_once
        self._most_body_bytes = most_body_bytes
        self._makers = ThreadPoolExecutor(threads, thread_name_prefix="web")
        self._readers = threading.Semaphore(_BODY_READERS)
        self._over = threading.Event()
        self._places = threading.Semaphore(_MOST_WAITING)
        self._base: dict[str, Any] = {
            "SCRIPT_NAME": "",
            "SERVER_SOFTWARE": "",
            "SERVER_NAME": str(host),
            "SERVER_PORT": str(port),
            "wsgi.version": (1, 0),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
        }

    def run(self) -> None:
        """Until `stop` is called or this thread is interrupted (SystemExit); answers under way are then given."""
        logging.getLogger("_granian").setLevel(logging.CRITICAL)  # what it says of hung-up readers is of no use
        self._listener.setblocking(False)
        over = WorkerSignal()
        loop = asyncio.new_event_loop()  # never run: the worker wants to be given one
        try:
            calls: Any = _new_cbscheduler(loop, self.answer, impl_asyncio=True)  # type: ignore[no-untyped-call]  # theirs
            _worker(self._listener).serve_mtr(calls, loop, over)
            while not self._over.wait(_LOOK_UP_S):
                pass
        finally:
            over.set()
            self._end()
            loop.close()

    def stop(self) -> None:
        self._over.set()

    def _end(self) -> None:
        """Waits for answers under way, but not for ever."""
        over = threading.Thread(target=self._makers.shutdown, kwargs={"cancel_futures": True}, daemon=True)
        over.start()
        over.join(_GRACE_S)

    def answer(self, proto: Any, scope: dict[str, Any]) -> int:
        """What granian calls for each request, on a thread of its own; `proto` may be answered later, on another."""
        environ: WSGIEnvironment = {**self._base, **scope}
        if _has_body(environ):
            return self._take_body(proto, environ)
        environ["wsgi.input"] = BytesIO()
        if self._at_once(environ):
            return self._give(proto, environ)
        return self._later(proto, environ)

    def _take_body(self, proto: Any, environ: WSGIEnvironment) -> int:
        """A body must be read before granian is answered, which takes the rest away.

        One whose length is not told is refused: of a sender that breaks off one could not tell that it did.
        """
        told = environ.get("CONTENT_LENGTH", "")
        if "HTTP_TRANSFER_ENCODING" in environ or not told.isdecimal():
            return _refuse(proto, 411)
        if int(told) > self._most_body_bytes:
            return _refuse(proto, 413)
        if not self._readers.acquire(blocking=False):
            return _refuse(proto, 503)
        try:
            environ["wsgi.input"] = body = _read(environ["wsgi.input"], int(told))
        finally:
            self._readers.release()
        return _refuse(proto, 400) if body is None else self._later(proto, environ)

    def _later(self, proto: Any, environ: WSGIEnvironment) -> int:
        if self._places.acquire(blocking=False):
            with suppress(RuntimeError):  # the process ends
                self._makers.submit(self._made, proto, environ)
                return 0
        environ["wsgi.input"].close()
        return _refuse(proto, 503)

    def _made(self, proto: Any, environ: WSGIEnvironment) -> None:
        self._places.release()
        try:
            self._give(proto, environ)
        except Exception:
            log.exception("%s %s could not be answered", environ["REQUEST_METHOD"], environ["PATH_INFO"])
            _refuse(proto, 500)
        finally:
            environ["wsgi.input"].close()

    def _give(self, proto: Any, environ: WSGIEnvironment) -> int:
        start = _Start()
        body = self._app(environ, start)
        if type(body) is list:
            proto.response_bytes(start.status, start.headers, body[0] if len(body) == 1 else b"".join(body))
        else:
            _send(proto, start, body)
        return start.status


class _Start:
    """WSGI's `start_response` for one answer."""

    __slots__ = ("headers", "status")

    def __init__(self) -> None:
        self.status = 500
        self.headers: list[tuple[str, str]] = []

    def __call__(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        self.status, self.headers = int(status[:3]), headers
        return _no_write

    @property
    def length(self) -> int | None:
        return next((int(value) for name, value in self.headers if name.lower() == "content-length"), None)


def _no_write(_data: bytes) -> None:
    raise NotImplementedError("WSGI's write() is not served; return the body instead")


def _send(proto: Any, start: _Start, body: Iterable[bytes]) -> None:
    """In one piece where its length is known and moderate; else as it is made."""
    length = start.length
    if length is None or length > _WHOLE_BYTES:
        proto.response_iter(start.status, start.headers, _Pieces(body))
        return
    try:
        whole = b"".join(body)
    finally:
        getattr(body, "close", _nothing)()
    proto.response_bytes(start.status, start.headers, whole)


class _Pieces:
    """An iterable body as granian takes it: it asks for `__next__` and `close`."""

    def __init__(self, body: Iterable[bytes]) -> None:
        self._pieces = iter(body)
        self.close = getattr(body, "close", _nothing)

    def __next__(self) -> bytes:
        return next(self._pieces)


def _nothing() -> None:
    pass


def _worker(listener: socket.socket) -> Any:
    """By position: their type stub is behind their code. A test asks for what we rely on."""
    make: Any = WSGIWorker
    hold: Any = SocketHolder
    plain: tuple[Any, ...] = (False, None, None, None, "tls1.3", None, [], False)
    settings = HTTP1Settings(header_read_timeout=_HEADER_TIMEOUT_MS, max_buffer_size=_MOST_HEADER_BYTES)
    place = (None, hold(os.dup(listener.fileno()), False, _BACKLOG))
    threads = (1, 1, 1 + _BODY_READERS, 30)
    return make(1, place, None, *threads, _MOST_AT_ONCE, "1", settings, None, None, *plain, (None, None))


def _has_body(environ: WSGIEnvironment) -> bool:
    return environ.get("CONTENT_LENGTH", "") not in _EMPTY or "HTTP_TRANSFER_ENCODING" in environ


def _read(body: Any, length: int) -> IO[bytes] | None:
    """The body, in memory or, if it is long, in a file; None where its sender broke off."""
    file: IO[bytes] = SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115 - closed when its request is answered
    while length > 0 and (chunk := body.read(min(length, _CHUNK_BYTES))):
        length -= file.write(chunk)
    if length > 0:
        file.close()
        return None
    file.seek(0)
    return file


_WORDS = {
    400: b"the body is shorter than was said\n",
    411: b"a body needs a Content-Length\n",
    413: b"the body is too long\n",
    500: b"this could not be answered\n",
    503: b"busy; try again in a moment\n",
}


def _refuse(proto: Any, status: int) -> int:
    """Nothing happens where an answer has already begun."""
    words = _WORDS[status]
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(words)))]
    proto.response_bytes(status, [*headers, ("Retry-After", "1")] if status == 503 else headers, words)
    return status
