"""ResponseCache through a real Flask application: versions, encodings, 304, one render for many, bounds."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import brotli
import pytest
from backports import zstd
from flask import Flask, Response, request
from flask.testing import FlaskClient
from flask_compress import Compress

from utils.content_encoding import choose_encoding
from utils.reader import Reader
from utils.response_cache import ADDRESS, ResponseCache

LONG = "<p>closed candles, oldest first</p>\n" * 200
DECODE: dict[str, Callable[[bytes], bytes]] = {
    "br": brotli.decompress,
    "gzip": gzip.decompress,
    "zstd": zstd.decompress,
    "identity": bytes,
}


class Site:
    """One page whose text, version and failures the test sets."""

    def __init__(self, **options: object) -> None:
        self.cache = ResponseCache(**options)  # type: ignore[arg-type]  # passed on as given
        self.version = "1"
        self.text = LONG
        self.rendered: list[str] = []
        self.app = Flask("site")
        self.app.add_url_rule("/page/<name>", view_func=self.page, methods=["GET", "POST"])
        Compress(self.app)

    @property
    def client(self) -> FlaskClient:
        return self.app.test_client()

    def page(self, name: str) -> Response:
        return self.cache.respond(request, key=("page", name), version=self.version, render=lambda: self.render(name))

    def render(self, name: str) -> str:
        self.rendered.append(name)
        return f"{name} {self.version} {self.text}"


@pytest.mark.parametrize("encoding", list(DECODE))
def test_each_encoding_decodes_to_the_same_page_and_has_a_tag_of_its_own(encoding: str) -> None:
    site = Site()
    plain = site.client.get("/page/a", headers={"Accept-Encoding": "identity"})
    answer = site.client.get("/page/a", headers={"Accept-Encoding": encoding})
    assert DECODE[encoding](answer.data) == plain.data == f"a 1 {LONG}".encode()
    assert answer.headers.get("Content-Encoding", "identity") == encoding
    assert answer.headers["ETag"].endswith(f'-{encoding}"')
    assert answer.headers["Vary"] == "Accept-Encoding, Cookie"
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers["Content-Length"] == str(len(answer.data))
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert site.rendered == ["a"]


def test_flask_compress_leaves_the_stored_bytes_alone() -> None:
    site = Site()
    first = site.client.get("/page/a", headers={"Accept-Encoding": "gzip, br"})
    assert first.headers.getlist("Content-Encoding") == ["br"]
    assert brotli.decompress(first.data).decode().startswith("a 1")


def test_a_short_page_is_sent_as_it_is() -> None:
    site = Site()
    site.text = "short"
    answer = site.client.get("/page/a", headers={"Accept-Encoding": "br"})
    assert "Content-Encoding" not in answer.headers
    assert answer.data == b"a 1 short"


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "*"])
def test_a_reader_who_has_the_page_gets_304_without_a_body(form: str) -> None:
    site = Site()
    tag = site.client.get("/page/a", headers={"Accept-Encoding": "br"}).headers["ETag"]
    answer = site.client.get("/page/a", headers={"Accept-Encoding": "br", "If-None-Match": form.format(tag)})
    assert answer.status_code == 304
    assert answer.data == b""
    assert answer.headers["ETag"] == tag
    assert answer.headers["Vary"] == "Accept-Encoding, Cookie"
    assert site.cache.stats().not_modified == 1


def test_the_tag_of_another_encoding_or_version_is_not_a_match() -> None:
    site = Site()
    tag = site.client.get("/page/a", headers={"Accept-Encoding": "br"}).headers["ETag"]
    assert site.client.get("/page/a", headers={"If-None-Match": tag}).status_code == 200
    site.version = "2"
    assert site.client.get("/page/a", headers={"Accept-Encoding": "br", "If-None-Match": tag}).status_code == 200


def test_a_version_whose_bytes_are_the_same_keeps_its_tag() -> None:
    cache, app = ResponseCache(), Flask("site")
    with app.test_request_context("/"):
        tags = [
            cache.respond(request, key=("a",), version=version, render=lambda: LONG).headers["ETag"]
            for version in ("1", "2")
        ]
    assert tags[0] == tags[1]


def test_only_reading_methods_get_304() -> None:
    site = Site()
    tag = site.client.get("/page/a").headers["ETag"]
    assert site.client.post("/page/a", headers={"If-None-Match": tag}).status_code == 200


def test_head_has_the_headers_of_get_and_no_body() -> None:
    site = Site()
    get = site.client.get("/page/a")
    head = site.client.head("/page/a")
    assert head.data == b""
    assert head.headers["Content-Length"] == get.headers["Content-Length"]


def test_a_new_version_replaces_the_old_one() -> None:
    site = Site()
    site.client.get("/page/a")
    size = site.cache.stats().size_bytes
    site.version = "2"
    assert b"a 2" in site.client.get("/page/a").data
    stats = site.cache.stats()
    assert (stats.entries, stats.renders, stats.size_bytes) == (1, 2, size)


def test_sixteen_readers_of_a_cold_page_cost_one_render() -> None:
    cache, app = ResponseCache(), Flask("site")
    entered, go_on = threading.Event(), threading.Event()
    renders = []

    def render() -> str:
        renders.append(1)
        entered.set()
        assert go_on.wait(90)
        return LONG

    def ask() -> bytes:
        with app.test_request_context("/"):
            return cache.respond(request, key=("a",), version="1", render=render).get_data()

    with ThreadPoolExecutor(16) as pool:
        answers = [pool.submit(ask) for _ in range(16)]
        assert entered.wait(90)
        while cache.stats().misses < 16:
            threading.Event().wait(0.001)  # the other threads are on their way into the queue
        go_on.set()
        assert {answer.result(90) for answer in answers} == {LONG.encode()}
    assert len(renders) == 1


def test_a_failing_render_fails_everybody_who_waited_and_is_tried_again() -> None:
    cache, app = ResponseCache(), Flask("site")
    entered, go_on = threading.Event(), threading.Event()

    def fail() -> str:
        entered.set()
        assert go_on.wait(90)
        raise LookupError("no candles yet")

    def ask(render: Callable[[], str]) -> bytes:
        with app.test_request_context("/"):
            return cache.respond(request, key=("a",), version="1", render=render).get_data()

    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(ask, fail) for _ in range(4)]
        assert entered.wait(90)
        while cache.stats().misses < 4:
            threading.Event().wait(0.001)
        go_on.set()
        errors = [answer.exception(10) for answer in answers]
    assert all(isinstance(error, LookupError) for error in errors)
    assert ask(lambda: "there") == b"there"
    assert cache.stats().render_errors == 1


def test_a_version_given_as_a_function_is_asked_once_for_a_burst() -> None:
    now_s, asked = [100.0], []
    cache, app = ResponseCache(timer=lambda: now_s[0]), Flask("site")

    def version() -> str:
        asked.append(now_s[0])
        return f"v{len(asked)}"

    def ask() -> bytes:
        with app.test_request_context("/"):
            return cache.respond(
                request, key=("a",), version=version, version_age_s=0.25, render=lambda: f"page {len(asked)}"
            ).get_data()

    assert [ask() for _ in range(5)] == [b"page 1"] * 5
    now_s[0] += 0.24
    assert ask() == b"page 1"
    now_s[0] += 0.01
    assert ask() == b"page 2"
    assert asked == [100.0, 100.25]
    cache.clear()
    assert ask() == b"page 3"


def test_a_slow_render_of_an_old_version_does_not_displace_the_new_one() -> None:
    cache, app = ResponseCache(), Flask("site")
    entered, go_on = threading.Event(), threading.Event()

    def slow() -> str:
        entered.set()
        assert go_on.wait(90)
        return "old"

    def ask(version: str, render: Callable[[], str]) -> bytes:
        with app.test_request_context("/"):
            return cache.respond(request, key=("a",), version=version, render=render).get_data()

    def unexpected() -> str:
        raise AssertionError("the new version should have been kept")

    with ThreadPoolExecutor(1) as pool:
        old = pool.submit(ask, "1", slow)
        assert entered.wait(90)
        assert ask("2", lambda: "new") == b"new"
        go_on.set()
        assert old.result(90) == b"old"
    assert ask("2", unexpected) == b"new"


def test_pages_cleared_during_a_render_are_not_kept() -> None:
    cache, app = ResponseCache(), Flask("site")

    def render() -> str:
        cache.clear()
        return LONG

    with app.test_request_context("/"):
        cache.respond(request, key=("a",), version="1", render=render)
    assert cache.stats().entries == 0


def test_the_bytes_are_bounded_and_the_least_recently_read_page_goes_first() -> None:
    alone = Site()
    alone.client.get("/page/a")
    one_page = alone.cache.stats().size_bytes
    site = Site(max_bytes=2 * one_page + 100)
    for name in ("a", "b", "a", "c"):
        site.client.get(f"/page/{name}")
    site.client.get("/page/a")
    assert site.rendered == ["a", "b", "c"]
    site.client.get("/page/b")
    assert site.rendered == ["a", "b", "c", "b"]
    stats = site.cache.stats()
    assert stats.size_bytes <= stats.max_bytes
    assert stats.evictions == 2


def test_compressed_variants_count_too() -> None:
    site = Site()
    site.client.get("/page/a")
    before = site.cache.stats().size_bytes
    compressed = site.client.get("/page/a", headers={"Accept-Encoding": "gzip"}).data
    assert site.cache.stats().size_bytes == before + len(compressed)


def test_trim_drops_a_part_and_clear_everything() -> None:
    site = Site()
    for number in range(10):
        site.client.get(f"/page/{number}")
    size = site.cache.stats().size_bytes
    assert site.cache.trim(0.5) == size // 2
    assert site.cache.stats().entries == 5
    site.client.get("/page/9")
    assert site.cache.stats().hits == 1, "the newest pages stay"
    site.cache.clear()
    assert (site.cache.stats().entries, site.cache.stats().size_bytes) == (0, 0)


def test_disabled_it_renders_each_time_with_the_same_headers() -> None:
    site = Site(enabled=False)
    tag = site.client.get("/page/a").headers["ETag"]
    assert site.client.get("/page/a", headers={"If-None-Match": tag}).status_code == 304
    assert site.rendered == ["a", "a"]
    assert site.cache.stats().hits == 0


def test_statistics_say_what_a_reader_would_count() -> None:
    ticks = iter([9.0, 10.0, 10.5, 13.5])
    site = Site(timer=lambda: next(ticks))
    assert site.cache.stats().hit_rate_fraction is None
    for _ in range(4):
        site.client.get("/page/a")
    stats = site.cache.stats()
    assert (stats.hits, stats.misses, stats.renders) == (3, 1, 1)
    assert stats.hit_rate_fraction == 0.75
    assert stats.render_time_s == 0.5
    assert (stats.age_median_s, stats.age_oldest_s) == (3.0, 3.0)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", "identity"),
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, zstd", "zstd"),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("br;q=0.5, gzip;q=0.9", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("br;q=0.000, gzip;q=0", "identity"),
        ("*", "br"),
        ("*;q=0", "identity"),
        ("identity;q=1, br;q=0.5", "identity"),
        ("identity;q=0.5, br;q=0.5", "br"),
        ("*;q=0.3, br;q=0", "zstd"),
        ("deflate, compress", "identity"),
        ("br;q=strange", "br"),
        ("br;q=7", "br"),
        (", ,;", "identity"),
        ("gzip" + ", x" * 200, "gzip"),
    ],
)
def test_the_encoding_is_what_the_reader_prefers(header: str, expected: str) -> None:
    assert choose_encoding(header) == expected


def test_a_page_is_kept_packed_and_a_large_one_is_unpacked_for_whoever_wants_it_plain() -> None:
    cache, app = ResponseCache(), Flask("site")
    large = "0123456789 candle\n" * 20_000

    def ask(encoding: str) -> bytes:
        with app.test_request_context("/", headers={"Accept-Encoding": encoding}):
            return cache.respond(request, key=("a",), version="1", render=lambda: large).get_data()

    assert ask("identity") == ask("identity") == large.encode()
    assert zstd.decompress(ask("zstd")) == large.encode()
    assert cache.stats().renders == 1
    assert cache.stats().size_bytes < len(large) / 10


def test_the_page_before_is_there_for_a_moment_after_it_was_the_newest_and_only_for_who_takes_it() -> None:
    now_s = [100.0]
    cache, version = ResponseCache(timer=lambda: now_s[0]), ["1"]
    app = Flask("moment")

    def page() -> Response:
        request.environ[ADDRESS] = "/page"
        return cache.respond(
            request, key=("page",), version=lambda: version[0], render=lambda: version[0] * 600, stale_s=0.5
        )

    app.add_url_rule("/page", view_func=page)
    app.test_client().get("/page")

    def stored(*, stale: bool) -> tuple[bytes, bool] | None:
        found = cache.stored("/page", Reader("identity"), stale=stale)
        return None if found is None else (found.body[:1], found.stale)

    now_s[0] += 60
    assert stored(stale=True) == (b"1", False)
    version[0] = "2"
    now_s[0] += 0.4
    assert stored(stale=False) is None
    assert stored(stale=True) == (b"1", True)
    now_s[0] += 0.2
    assert stored(stale=True) is None, "0.6 s after it was last known to be the newest"
    app.test_client().get("/page")
    assert stored(stale=True) == (b"2", False)
