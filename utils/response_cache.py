"""ResponseCache: rendered, compressed page bytes, kept until the page's version changes, with their ETag and 304."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from http import HTTPStatus
from typing import NamedTuple

from flask import Request, Response
from werkzeug.datastructures import Headers

from utils.content_encoding import ZSTD, choose_encoding
from utils.dictionaries import Dictionaries, below_route
from utils.entry_ages import entry_ages
from utils.page_bytes import Form, HeaderList, Page
from utils.page_shortcuts import PageShortcuts, Shortcut
from utils.page_variants import PageVariants
from utils.reader import Reader, reader_of
from utils.recent_versions import RecentVersions
from utils.request_trace import traced
from utils.response_stats import ResponseCacheStats

Key = tuple[Hashable, ...]
Render = Callable[[], str | bytes]

ADDRESS = "dashboard.address"
"""The key in a WSGI environment under which whoever may answer from `ResponseCache.stored` says for what it would."""
_MAX_WAIT_S = 60.0


_ANEW: ContextVar[bool] = ContextVar("rendering_anew", default=False)


@contextmanager
def rendering_anew() -> Iterator[None]:
    """Inside, in this context alone, pages are rendered although they are stored, and nothing is kept of it."""
    token = _ANEW.set(True)
    try:
        yield
    finally:
        _ANEW.reset(token)


class StoredAnswer(NamedTuple):
    """What is sent: `headers` is the caller's to change. `rule` is the route that answered this address before.

    `stale`: there is a newer version, and nobody has rendered it yet.
    """

    status: str
    headers: HeaderList
    body: bytes
    rule: str
    stale: bool


class ResponseCache:
    """Page bytes by key and version: rendered once however many threads ask, compressed when first asked for.

    Only the newest version of a key is kept. Bounded by `max_bytes` (every encoding that is kept), least
    recently used pages go first. `enabled=False` renders every time, with the same headers and 304s.
    Given `dictionaries`, a reader who holds an earlier answer is sent what differs from it.
    """

    def __init__(
        self,
        *,
        max_bytes: int = 64 * 1024 * 1024,
        enabled: bool = True,
        timer: Callable[[], float] = time.perf_counter,
        dictionaries: Dictionaries | None = None,
    ) -> None:
        self.enabled = enabled
        self.dictionaries = dictionaries if enabled else None
        self.max_bytes = max_bytes
        self._variants = PageVariants(self.dictionaries, grown=self._grow)
        self._timer = timer
        self._lock = threading.Lock()
        self._pages: OrderedDict[Key, Page] = OrderedDict()
        self._flights: dict[tuple[Key, str], Future[Page]] = {}
        self._newest: dict[Key, str] = {}
        self._versions = RecentVersions(timer)
        self._shortcuts = PageShortcuts()
        self._size_bytes = 0
        self._hits = self._misses = self._not_modified = self._renders = self._render_errors = self._evictions = 0
        self._render_time_s = 0.0

    def respond(
        self,
        request: Request,
        *,
        key: Key,
        version: str | Callable[[], str],
        render: Render,
        version_age_s: float = 0.0,
        stale_s: float = 0.0,
        mimetype: str = "text/html",
        max_age: int = 0,
        vary: str = "Accept-Encoding, Cookie",
        headers: Sequence[tuple[str, str]] = (),
        dictionary_for: str | None = None,
    ) -> Response:
        """The page as an answer to this request: 200 in the encoding it accepts best, or 304 when it has it already.

        `key` names everything the bytes depend on beside the version (route, symbol, interval, theme, …); `max_age` in
        seconds, 0 asks the reader to revalidate each time. What `render` raises is raised here, for every thread that
        waited for it, and nothing is kept.

        A `version` given as a function may be asked outside of a request: from then on `stored` answers the address. If
        it costs something to know, it is asked again for that key only after `version_age_s` seconds: a burst of
        readers asks once, and nobody sees a page older than that. For `stale_s` seconds after a page was last known to
        be of its newest version, `stored` may send it to those who take one that is a moment old.

        `dictionary_for`: the pattern of the addresses that the answer may be a dictionary for, empty for none; HTML is
        by itself one for its route. Only for what our own pages ask for, which never take it from a copy unasked.
        """
        if dictionary_for is None:
            dictionary_for = below_route(request.url_rule.rule) if mimetype == "text/html" and request.url_rule else ""
        reader, form = reader_of(request.environ), Form(mimetype, max_age, vary, tuple(headers), dictionary_for)
        if not isinstance(version, str):
            self._learn(request, Shortcut(key, version, version_age_s, stale_s, form, ""))
            version = self.version_of(key, version, version_age_s)
        page = self._page(key, version, render, reader)
        variant = self._variants.of(key, page, reader, form)
        known = reader.if_none_match
        if known is not None and request.method in ("GET", "HEAD") and variant.matches(known):
            self._not_modified += 1
            return _answer(b"", variant.unmodified_headers, HTTPStatus.NOT_MODIFIED)
        return _answer(variant.body, variant.headers, HTTPStatus.OK)

    def stored(self, address: Hashable, reader: Reader, *, stale: bool = False) -> StoredAnswer | None:
        """The answer to an address that `respond` has answered, if the page of its present version is there.

        `stale` takes the page before that too, within what `respond` allowed: whoever takes it sees to it that the
        new one is rendered. None sends the caller the long way, which renders what is missing, or tells what went
        wrong.
        """
        shortcut = self._shortcuts.get(address)
        if shortcut is None or not self.enabled:
            return None
        key, version, version_age_s, stale_s, form, rule = shortcut
        try:
            current = self.version_of(key, version, version_age_s)
        except Exception:  # noqa: BLE001 - whatever it is, the long way meets it again and has the words for it
            return None
        page = self._found(key, current, stale_s if stale else 0.0)
        if page is None:
            return None
        old = page.version != current
        variant = self._variants.of(key, page, reader, form)
        if reader.if_none_match is not None and variant.matches(reader.if_none_match):
            self._not_modified += 1
            return StoredAnswer("304 NOT MODIFIED", variant.unmodified_headers.copy(), b"", rule, old)
        return StoredAnswer("200 OK", variant.headers.copy(), variant.body, rule, old)

    def _found(self, key: Key, version: str, stale_s: float) -> Page | None:
        """The stored page of that version; or of the one that was the newest until `stale_s` ago."""
        now_s = self._timer()
        with self._lock:
            page = self._pages.get(key)
            if page is None:
                return None
            if page.version == version:
                page.current_s = now_s
            elif now_s - page.current_s > stale_s:
                return None
            self._pages.move_to_end(key)
            self._hits += 1
            return page

    def clear(self) -> None:
        """Forgets every page and dictionary; renders under way are delivered but not kept."""
        with self._lock:
            self._pages.clear()
            self._newest.clear()
            self._size_bytes = 0
        self._versions.clear()
        self._shortcuts.clear()
        if self.dictionaries is not None:
            self.dictionaries.clear()

    def trim(self, fraction: float) -> int:
        """Drops that part of the bytes (0 … 1), least recently used first, of dictionaries too; how many bytes went."""
        with self._lock:
            before = self._size_bytes
            self._evict(before - int(before * min(max(fraction, 0.0), 1.0)))
            dropped = before - self._size_bytes
        return dropped + (self.dictionaries.trim(fraction) if self.dictionaries is not None else 0)

    def stats(self) -> ResponseCacheStats:
        with self._lock:
            ages = entry_ages((page.made_at_s for page in self._pages.values()), self._timer())
            return ResponseCacheStats(
                hits=self._hits,
                misses=self._misses,
                not_modified=self._not_modified,
                renders=self._renders,
                render_errors=self._render_errors,
                evictions=self._evictions,
                entries=len(self._pages),
                size_bytes=self._size_bytes,
                max_bytes=self.max_bytes,
                render_time_s=self._render_time_s,
                age_median_s=ages.median_s,
                age_oldest_s=ages.oldest_s,
            )

    def version_of(self, key: Key, version: Callable[[], str], age_s: float) -> str:
        """What `version` answers, asked again only after `age_s` seconds, whatever the number of readers."""
        return self._versions.of(key, version, age_s)

    def _learn(self, request: Request, shortcut: Shortcut) -> None:
        """Only what came with an ADDRESS."""
        address, rule = request.environ.get(ADDRESS), request.url_rule
        if address is not None and rule is not None and address not in self._shortcuts:
            self._shortcuts.learn(address, shortcut._replace(rule=rule.rule))

    def _page(self, key: Key, version: str, render: Render, reader: Reader) -> Page:
        if not self.enabled or _ANEW.get():
            self._misses += 1
            return self._render(version, render, reader)
        with self._lock:
            page = self._pages.get(key)
            if page is not None and page.version == version:
                self._pages.move_to_end(key)
                self._hits += 1
                return page
            self._misses += 1
            flight = self._flights.get((key, version))
            leads = flight is None
            if flight is None:
                flight = self._flights[key, version] = Future()
                self._newest[key] = version
        if leads:
            self._lead(key, version, partial(self._render, version, render, reader), flight)
        return flight.result(_MAX_WAIT_S)

    def _lead(self, key: Key, version: str, make: Callable[[], Page], flight: Future[Page]) -> None:
        try:
            page = make()
        except BaseException as error:  # whatever it was, the threads that wait must hear of it
            with self._lock:
                self._flights.pop((key, version), None)
                if self._newest.get(key) == version and key not in self._pages:
                    del self._newest[key]
            flight.set_exception(error)
            raise
        with self._lock:
            self._flights.pop((key, version), None)
            if self._newest.get(key) == version:  # a page overtaken by a newer version, or cleared, is not kept
                self._keep(key, page)
        flight.set_result(page)

    def _render(self, version: str, render: Render, reader: Reader) -> Page:
        started = self._timer()
        try:
            with traced("render"):
                body = render()
        except BaseException:
            self._render_errors += 1
            raise
        self._renders += 1
        made_at_s = self._timer()
        self._render_time_s += made_at_s - started
        page = Page(version, body.encode() if isinstance(body, str) else body, self._packing(reader), made_at_s)
        page.current_s = started
        return page

    def _packing(self, reader: Reader) -> str:
        """As its first reader wants the page; in little time where it will be sent something else anyway."""
        differs = self.dictionaries is not None and reader.dictionary in self.dictionaries
        return ZSTD if differs else choose_encoding(reader.accept_encoding)

    def _keep(self, key: Key, page: Page) -> None:
        old = self._pages.pop(key, None)
        if old is not None:
            self._size_bytes -= old.size_bytes
        self._pages[key] = page
        self._size_bytes += page.size_bytes
        self._evict(self.max_bytes)

    def _evict(self, limit_bytes: int) -> None:
        while self._size_bytes > limit_bytes and self._pages:
            key, page = self._pages.popitem(last=False)
            self._newest.pop(key, None)
            self._size_bytes -= page.size_bytes
            self._evictions += 1

    def _grow(self, key: Key, page: Page, size_bytes: int) -> None:
        with self._lock:
            page.size_bytes += size_bytes
            if self._pages.get(key) is page:
                self._size_bytes += size_bytes
                self._evict(self.max_bytes)


def _answer(body: bytes, pairs: HeaderList, status: HTTPStatus) -> Response:
    headers = Headers()
    headers._list = pairs.copy()  # one list copy where the constructor would add and check each pair again
    response = Response(None, status, headers, direct_passthrough=True)
    response.response = [body] if body else []
    return response
