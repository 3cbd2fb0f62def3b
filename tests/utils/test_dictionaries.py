"""Dictionaries through a real Flask application: what differs from what a reader holds, and never anything else."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import pytest
from backports import zstd
from flask import Flask, Response, request
from werkzeug.test import TestResponse

from utils.content_encoding import EncodingStats, compression
from utils.dictionaries import Dictionaries, below_path, below_route, name_of
from utils.reader import Reader, reader_of
from utils.response_cache import ADDRESS, ResponseCache

LONG = "".join(f"<tr><td>COIN{number}USDT<td>{number * 7919 % 1000 / 7:.6f}\n" for number in range(300))
JSON = "application/json"
WINDOW, MOST_WINDOW = int(zstd.DecompressionParameter.window_log_max), 23
"""8 MB: what every reader of dcz must be able to hold (RFC 9842 §5)."""
HINT = '"Not)A;Brand";v="8", "Chromium";v="156"'
CHROMIUM = {
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Sec-CH-UA": HINT,
    "Sec-Fetch-Site": "same-origin",
    "Sec-Fetch-Dest": "document",
}


class Site:
    """A page, its news and some numbers, whose text and version the test sets."""

    def __init__(self, *, enabled: bool = True, max_bytes: int = 8_000_000) -> None:
        self.cache = ResponseCache(dictionaries=Dictionaries(max_bytes=max_bytes), enabled=enabled)
        self.text, self.version, self.renders = LONG, 1, 0
        self.app = Flask("site")
        self.app.add_url_rule("/page/<name>", "page", lambda name: self.answer(name))
        self.app.add_url_rule(
            "/page/<name>/numbers", "numbers", lambda name: self.answer(name, "application/json", "/*")
        )
        self.app.add_url_rule("/api/<name>", "api", lambda name: self.answer(name, JSON))

    @property
    def dictionaries(self) -> Dictionaries:
        assert self.cache.dictionaries is not None
        return self.cache.dictionaries

    def answer(self, name: str, mimetype: str = "text/html", dictionary_for: str | None = None) -> Response:
        def render() -> str:
            self.renders += 1
            return f"<p>{name} {self.version}</p>{self.text}"

        return self.cache.respond(
            request,
            key=(name, mimetype),
            version=str(self.version),
            render=render,
            mimetype=mimetype,
            dictionary_for=dictionary_for,
        )

    def ask(self, path: str = "/page/a", method: str = "GET", **more: str | None) -> TestResponse:
        """As a Chromium would; a header that is None is left out."""
        named = {name.replace("_", "-"): text for name, text in more.items()}
        headers = {name: text for name, text in {**CHROMIUM, **named}.items() if text is not None}
        return self.app.test_client(use_cookies=False).open(path, method=method, headers=headers)

    def ask_holding(self, body: bytes, path: str = "/page/a", method: str = "GET", **more: str | None) -> TestResponse:
        given = {"Accept_Encoding": "gzip, br, zstd, dcb, dcz", "Available_Dictionary": named(body), **more}
        return self.ask(path, method, **given)


def named(body: bytes) -> str:
    return f":{b64encode(hashlib.sha256(body).digest()).decode()}:"


def unpacked(answer: TestResponse, dictionary: bytes) -> bytes:
    """As RFC 9842 §5 says it, by the library's own decoder."""
    assert answer.headers["Content-Encoding"] == "dcz"
    assert answer.data[:8] == b"\x5e\x2a\x4d\x18\x20\x00\x00\x00"
    assert answer.data[8:40] == hashlib.sha256(dictionary).digest()
    return undone(answer.get_data()[40:], dictionary)


def undone(frame: bytes, dictionary: bytes) -> bytes:
    prefix = zstd.ZstdDict(dictionary, is_raw=True).as_prefix
    made: bytes = zstd.decompress(frame, zstd_dict=prefix, options={WINDOW: MOST_WINDOW})
    return made


def plain(site: Site, path: str = "/page/a") -> bytes:
    made: bytes = site.app.test_client().get(path, headers={"Accept-Encoding": "identity"}).data
    return made


def lines(answer: TestResponse) -> Mapping[str, str]:
    return dict(answer.headers)


def test_a_browser_that_keeps_the_page_is_then_sent_what_differs() -> None:
    site = Site()
    first = site.ask()
    kept = plain(site)
    assert first.headers["Content-Encoding"] == "br"
    assert first.headers["Use-As-Dictionary"] == 'match="/page/*"'
    assert first.headers["Cache-Control"] == "private, max-age=0, stale-while-revalidate=3600"
    assert first.headers["Vary"] == "Accept-Encoding, Cookie, Available-Dictionary"
    site.version = 2
    second = site.ask_holding(kept)
    assert unpacked(second, kept) == plain(site) != kept
    assert len(second.data) < 100
    assert second.headers["Content-Length"] == str(len(second.data))
    assert second.headers["Vary"] == "Accept-Encoding, Cookie, Available-Dictionary"
    assert "Use-As-Dictionary" not in second.headers, "the one it has is still good"
    assert second.headers["Cache-Control"] == "private, no-cache"


def test_the_page_becomes_the_next_dictionary_when_much_has_changed() -> None:
    site = Site()
    site.ask()
    kept = plain(site)
    site.version, site.text = 2, LONG[::-1]
    second = site.ask_holding(kept)
    assert second.headers["Use-As-Dictionary"] == 'match="/page/*"'
    new = plain(site)
    assert new == (unpacked(second, kept) if second.headers["Content-Encoding"] == "dcz" else new)
    site.version = 3
    assert unpacked(site.ask_holding(new), new) == plain(site)


def test_a_large_body_stays_within_the_window_that_browsers_allow() -> None:
    site = Site()
    site.text = LONG * 100
    site.ask()
    kept = plain(site)
    site.version = 2
    answer = site.ask_holding(kept)
    assert unpacked(answer, kept) == plain(site)


def test_a_name_that_is_not_known_is_answered_as_if_there_were_none() -> None:
    here, other = Site(), Site()
    here.ask()
    kept = plain(here)
    answer = other.ask_holding(kept)  # another worker, or a browser that comes back late
    assert answer.headers["Content-Encoding"] == "br"
    assert answer.headers["Use-As-Dictionary"] == 'match="/page/*"'
    assert other.dictionaries.stats().unknown == 1
    here.cache.clear()
    assert here.ask_holding(kept).headers["Content-Encoding"] == "br"


@pytest.mark.parametrize(
    "changed",
    [
        {"Sec_CH_UA": None},
        {"Sec_CH_UA": '"Chromium";v="129"'},
        {"Sec_CH_UA": '"Firefox";v="156"'},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": None},
        {"Sec_Fetch_Dest": "empty"},
    ],
)
def test_whoever_is_not_known_to_ask_again_is_answered_as_ever(changed: dict[str, Any]) -> None:
    site = Site()
    answer = site.ask(**changed)
    ever = site.app.test_client().get("/page/a", headers={"Accept-Encoding": CHROMIUM["Accept-Encoding"]})
    assert lines(answer) == lines(ever)
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers["Vary"] == "Accept-Encoding, Cookie"
    assert site.dictionaries.stats().entries == 0


def test_a_script_that_asks_anew_is_offered_one_and_another_is_only_sent_what_differs() -> None:
    site = Site()
    assert "Use-As-Dictionary" in site.ask(Sec_Fetch_Dest="empty", Cache_Control="max-age=0").headers
    kept = plain(site)
    site.version, site.text = 2, LONG[2000:]
    answer = site.ask_holding(kept, Sec_Fetch_Dest="empty")
    assert unpacked(answer, kept) == plain(site)
    assert answer.headers["Cache-Control"] == "private, no-cache"


def test_what_another_site_makes_a_browser_ask_for_is_never_told_as_a_difference() -> None:
    site = Site()
    site.ask()
    assert site.ask_holding(plain(site), Sec_Fetch_Site="cross-site").headers["Content-Encoding"] == "br"


def test_who_does_not_read_dcz_is_not_sent_it() -> None:
    site = Site()
    site.ask()
    kept = plain(site)
    for accepted in ("gzip, br", "dcz;q=0, br", "*", "dcb, br"):
        assert site.ask_holding(kept, Accept_Encoding=accepted).headers["Content-Encoding"] != "dcz"
    only = site.ask_holding(kept, Accept_Encoding="dcz")
    assert unpacked(only, kept) == kept


def test_the_tag_says_what_the_page_says_whatever_its_bytes_are() -> None:
    site = Site()
    first = site.ask()
    kept, tag = plain(site), first.headers["ETag"]
    assert tag.startswith('W/"')
    again = site.ask_holding(kept, If_None_Match=tag)
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag)
    site.version = 2
    changed = site.ask_holding(kept, If_None_Match=tag)
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag
    assert site.ask_holding(kept, If_None_Match=changed.headers["ETag"]).status_code == 304


def test_the_head_is_that_of_the_body_and_a_range_is_the_whole() -> None:
    site = Site()
    site.ask()
    kept = plain(site)
    site.version = 2
    got, head = site.ask_holding(kept), site.ask_holding(kept, method="HEAD")
    assert lines(head) == lines(got)
    assert head.data == b""
    ranged = site.ask_holding(kept, Range="bytes=0-9")
    assert (ranged.status_code, ranged.data) == (200, got.data)


def test_each_difference_is_made_once_and_the_page_too() -> None:
    site = Site()
    site.ask()
    kept = plain(site)
    site.version = 2
    before = compression.stats().encodings.get("dcz", EncodingStats())
    (answer,) = {site.ask_holding(kept).data for _ in range(20)}
    made = compression.stats().encodings["dcz"]
    assert (site.renders, made.count - before.count) == (2, 1)
    assert made.out_bytes - before.out_bytes == len(answer)
    assert site.dictionaries.stats().found == 20


def test_numbers_are_not_told_by_a_page_and_the_api_offers_nothing() -> None:
    site = Site()
    site.ask()
    kept = plain(site)
    assert site.ask_holding(kept, "/page/a/numbers").headers["Content-Encoding"] == "br"
    for answer in (site.ask("/api/a"), site.ask_holding(kept, "/api/a")):
        assert answer.headers["Content-Encoding"] == "br"
        assert answer.headers["Cache-Control"] == "private, no-cache"
        assert "Use-As-Dictionary" not in answer.headers


def test_what_is_held_tells_how_old_it_is_and_what_had_to_go() -> None:
    now = [100.0]
    held = Dictionaries(max_bytes=3, timer=lambda: now[0])
    assert (held.stats().age_median_s, held.stats().age_oldest_s) == (None, None)
    for second, name in enumerate("abc"):
        now[0] = 100.0 + second
        held.keep(name, JSON, name.encode())
    now[0] = 110.0
    held.keep("a", JSON, b"a")
    told = held.stats()
    assert (told.age_median_s, told.age_oldest_s) == (9.0, 10.0), "asked for again it is no younger"
    assert (told.taken, told.evictions) == (3, 0)
    held.keep("d", JSON, b"d")
    assert "b" not in held, "nobody used it for the longest time"
    assert (held.stats().taken, held.stats().evictions) == (4, 1)
    held.clear()
    told = held.stats()
    assert (told.entries, told.size_bytes, told.evictions, told.age_oldest_s) == (0, 0, 1, None)


def test_what_is_held_is_bounded_and_goes_when_memory_is_short() -> None:
    size = len(f"<p>a 1</p>{LONG}")
    site = Site(max_bytes=10 * size)
    for version in range(1, 40):
        site.version = version
        site.ask()
    stats = site.dictionaries.stats()
    assert stats.entries in (9, 10)
    assert stats.size_bytes <= 10 * size
    assert site.cache.trim(0.5) > 4 * size
    site.cache.trim(1.0)
    assert site.dictionaries.stats().size_bytes == 0
    assert site.ask().headers["Use-As-Dictionary"], "and the same page is kept again when it is asked for"
    assert site.dictionaries.stats().entries == 1


def test_a_body_too_long_to_be_kept_is_sent_as_ever() -> None:
    site = Site(max_bytes=len(LONG))
    assert "Use-As-Dictionary" not in site.ask().headers


def test_a_page_keeps_a_bounded_number_of_differences() -> None:
    site = Site()
    bodies = []
    for version in range(1, 80):
        site.version = version
        site.ask()
        bodies.append(plain(site))
    before = site.cache.stats().size_bytes
    for body in bodies:
        assert unpacked(site.ask_holding(body), body) == bodies[-1]
    assert site.cache.stats().size_bytes - before < 64 * 200


def test_without_a_cache_nothing_is_kept() -> None:
    site = Site(enabled=False)
    answer = site.ask()
    assert site.cache.dictionaries is None
    assert "Use-As-Dictionary" not in answer.headers


def test_a_stored_answer_is_the_same() -> None:
    site = Site()
    reader = Reader("gzip, br", None, "", keeps=True)
    version = [1]

    def respond() -> Response:
        return site.cache.respond(
            request, key=("k",), version=lambda: str(version[0]), render=lambda: f"{version[0]} {LONG}"
        )

    site.app.add_url_rule("/known", "known", respond)
    client = site.app.test_client()
    client.get("/known", headers=CHROMIUM, environ_overrides={ADDRESS: "here"})
    found = site.cache.stored("here", reader)
    assert found is not None
    assert dict(found.headers)["Use-As-Dictionary"] == 'match="/known*"'
    kept = f"1 {LONG}".encode()
    version[0] = 2
    client.get("/known", environ_overrides={ADDRESS: "here"})
    found = site.cache.stored("here", reader._replace(accept_encoding="dcz", dictionary=named(kept)))
    assert found is not None
    assert dict(found.headers)["Content-Encoding"] == "dcz"
    assert (
        zstd.decompress(found.body[40:], zstd_dict=zstd.ZstdDict(kept, is_raw=True).as_prefix) == f"2 {LONG}".encode()
    )


def test_names_and_patterns() -> None:
    assert name_of(b"abc") == ":ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:"
    assert [below_route(rule) for rule in ("/", "/forecasts", "/symbol/<symbol>", "/symbol/<symbol>/live")] == [
        *("/*", "/forecasts*", "/symbol/*", "/symbol/*/live*")
    ]
    assert below_path("/symbol/币安(x):*?/chart.json") == "/symbol/%E5%B8%81%E5%AE%89%28x%29%3A%2A%3F/chart.json*"


def test_invented_headers_are_not_remembered() -> None:
    environ = {"HTTP_SEC_FETCH_SITE": "none", "HTTP_SEC_FETCH_DEST": "document", "HTTP_ACCEPT_ENCODING": "dcz"}
    assert reader_of({**environ, "HTTP_SEC_CH_UA": f"{HINT}{'x' * 400}"}) == Reader("dcz")
    assert reader_of({**environ, "HTTP_AVAILABLE_DICTIONARY": "x" * 65}) == Reader("dcz")
    assert reader_of({**environ, "HTTP_AVAILABLE_DICTIONARY": ":x:"}) == Reader("dcz", None, ":x:")
