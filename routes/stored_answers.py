"""Stored answers: a page that was asked for before is sent from its stored bytes, before Flask is entered at all.

It stands behind the host check and the measuring, so that both see every request, and it asks the login the same
question as Flask would. Whatever it does not know, it leaves to Flask: the answers are the same, header by header.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.http import parse_cookie

from routes.forms import THEME_COOKIE, THEMES
from routes.login import admission
from routes.observed import RULE
from utils.reader import reader_of
from utils.response_cache import ADDRESS, ResponseCache, StoredAnswer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_FOUND = "dashboard.found"
"""The key in a WSGI environment under which an answer that was found stored waits to be given."""
_OF_ITS_READER = (_FOUND, "HTTP_IF_NONE_MATCH", "HTTP_RANGE", "werkzeug.request", RULE)
_METHODS = frozenset({"GET", "HEAD"})
_LONGEST_REMEMBERED = 600
_NO_BODY = ("", "0")

log = logging.getLogger("web")


def answer_stored(app: Flask, pages: ResponseCache) -> StoredAnswers:
    """Puts the stored answers before Flask. Call it before the walls are put up, so that they stand around it."""
    stored = StoredAnswers(app, app.wsgi_app, pages)
    app.wsgi_app = stored  # type: ignore[method-assign]  # Flask's own door
    return stored


class StoredAnswers:
    """Between the walls and Flask. Who may be answered is asked of the login at the first request, when it is known."""

    def __init__(self, app: Flask, inner: WSGIApplication, pages: ResponseCache) -> None:
        self._flask = app
        self._inner = inner
        self._pages = pages
        self._admits: Callable[[str], bool] | None = None
        self._renewal = Renewal(inner)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        stored = environ.pop(_FOUND, None) or self._find(environ)
        if stored is None:
            return self._inner(environ, start_response)
        if stored.stale:
            self._renewal.ask(environ[ADDRESS], environ)
        environ[RULE] = stored.rule
        start_response(stored.status, stored.headers)
        return [stored.body] if stored.body and environ["REQUEST_METHOD"] == "GET" else []

    def at_once(self, environ: WSGIEnvironment) -> bool:
        """Whether this very request will be answered from stored bytes: what was found waits in the environment.

        That may be a page that was the newest until a moment ago: whoever is given it has the new one made.
        """
        found = self._find(environ, stale=True)
        if found is None:
            return False
        environ[_FOUND] = found
        return True

    def settle(self) -> None:
        """Returns when the pages that are being made anew are there."""
        self._renewal.settle()

    def _find(self, environ: WSGIEnvironment, *, stale: bool = False) -> StoredAnswer | None:
        """The stored answer; where there is none yet, the environment says for what address it could be stored."""
        address = environ.get(ADDRESS) or self._address(environ)
        if address is None:
            return None
        environ[ADDRESS] = address
        return self._pages.stored(address, reader_of(environ), stale=stale)

    def _address(self, environ: WSGIEnvironment) -> Hashable | None:
        """What the bytes of the answer may depend on; None where Flask is to decide what is answered."""
        if (
            environ["REQUEST_METHOD"] not in _METHODS
            or environ.get("SCRIPT_NAME")
            or environ.get("CONTENT_LENGTH", "") not in _NO_BODY
        ):
            return None
        cookie = environ.get("HTTP_COOKIE", "")
        if self._admits is None:
            self._admits = admission(self._flask)
        if not self._admits(cookie):
            return None
        return environ["PATH_INFO"], environ.get("QUERY_STRING", ""), _theme(cookie) if cookie else THEMES[0]


class Renewal:
    """Has pages that have become old made anew by one thread, each once however many readers met it."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        self._waiting: set[Hashable] = set()
        self._maker = ThreadPoolExecutor(1, thread_name_prefix="renewal")

    def ask(self, address: Hashable, environ: WSGIEnvironment) -> None:
        """`environ` is that of a request for the address; it is copied."""
        if address in self._waiting:
            return
        self._waiting.add(address)
        again = {name: value for name, value in environ.items() if name not in _OF_ITS_READER}
        again |= {"REQUEST_METHOD": "GET", "wsgi.input": BytesIO()}
        with suppress(RuntimeError):  # the process ends
            self._maker.submit(self._make, address, again)

    def settle(self) -> None:
        self._maker.submit(bytes).result()

    def _make(self, address: Hashable, environ: WSGIEnvironment) -> None:
        try:
            body = self._app(environ, _unsent)
            getattr(body, "close", bytes)()
        except Exception:
            log.exception("%s could not be made anew", environ.get("PATH_INFO"))
        finally:
            self._waiting.discard(address)


def _unsent(_status: str, _headers: object, _exc_info: object = None) -> Callable[[bytes], object]:
    return bytes


def _theme(cookie: str) -> str:
    return _remembered_theme(cookie) if len(cookie) <= _LONGEST_REMEMBERED else _read_theme(cookie)


def _read_theme(cookie: str) -> str:
    chosen = parse_cookie(cookie).get(THEME_COOKIE)
    return chosen if chosen in THEMES else THEMES[0]


_remembered_theme = lru_cache(maxsize=256)(_read_theme)
