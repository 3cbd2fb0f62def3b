"""Stored answers: the same as Flask's, header by header, never past the walls, never a moment older than the data."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import EnvironBuilder, TestResponse, run_wsgi_app

from routes.login import COOKIE
from routes.performance_page import _EACH_MS
from routes.stored_answers import StoredAnswers
from routes.wiring.serving import AT_ONCE
from tests.support.browser import Replay, replayed_app
from tests.support.pages import THREE
from utils.dictionaries import name_of
from utils.performance_monitor import performance_monitor
from utils.response_cache import ResponseCache

PASSWORD = "correct horse battery"
STORED = (
    "/",
    "/?interval=1h&sort=-change&q=B",
    "/live",
    "/symbol/BTCUSDT",
    "/symbol/BTCUSDT?interval=1h&tz=local&show=rsi&show=macd",
    "/symbol/BTCUSDT/live?interval=1h&version=old",
    "/symbol/BTCUSDT/chart.json?interval=1h",
    "/symbol/BTCUSDT/candles.csv?interval=1h",
    "/forecasts",
    "/forecasts.csv",
    "/api/v1/forecasts",
    "/api/v1/candles/BTCUSDT?interval=1h&limit=500",
    "/api/v1/indicators/BTCUSDT?names=rsi_14",
    "/api/v1/forecast/BTCUSDT",
)
CHROMIUM = {
    "Accept_Encoding": "gzip, br, zstd",
    "Sec_CH_UA": '"Chromium";v="156"',
    "Sec_Fetch_Site": "same-origin",
    "Sec_Fetch_Dest": "document",
}
OF_EACH_REQUEST = ("X-Request-ID", "Server-Timing")


class Door:
    """Asks the application, and knows which answers Flask gave."""

    def __init__(self, replay: Replay) -> None:
        self.replay = replay
        self.app: Flask = replay.app
        self.through_flask = 0
        inner = self.app.full_dispatch_request

        def counted() -> Any:
            self.through_flask += 1
            return inner()

        self.app.full_dispatch_request = counted  # type: ignore[method-assign]  # to see who answers

    def ask(self, path: str, method: str = "GET", **headers: str) -> TestResponse:
        fields = {name.replace("_", "-"): text for name, text in headers.items()}
        return self.app.test_client(use_cookies=False).open(path, method=method, headers=fields)

    def both(self, path: str, method: str = "GET", **headers: str) -> tuple[TestResponse, TestResponse]:
        """(Flask's answer, the stored one); fails where the second was not stored."""
        pages = self.app.extensions["services"].pages
        self.ask(path, **headers)
        pages._shortcuts.clear()  # the bytes stay, the way past Flask is forgotten
        before = self.through_flask
        flasks = self.ask(path, method, **headers)
        assert self.through_flask == before + 1
        stored = self.ask(path, method, **headers)
        assert self.through_flask == before + 1, f"{path} was answered by Flask again"
        return flasks, stored


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with replayed_app(tmp_path_factory.mktemp("stored"), THREE) as made:
        yield Door(made)


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with replayed_app(tmp_path_factory.mktemp("locked"), THREE, dashboard_password=PASSWORD) as made:
        yield Door(made)


def lines(answer: TestResponse) -> list[tuple[str, str]]:
    return [(name, "" if name in OF_EACH_REQUEST else text) for name, text in answer.headers]


def assert_same(flasks: TestResponse, stored: TestResponse) -> None:
    assert stored.status == flasks.status
    assert sorted(lines(stored)) == sorted(lines(flasks))
    assert stored.data == flasks.data


def test_every_stored_route_answers_as_flask_does_in_every_encoding(door: Door) -> None:
    for path in STORED:
        for encoding in ("zstd", "br", "gzip", "identity", "gzip, deflate, br, zstd"):
            flasks, stored = door.both(path, Accept_Encoding=encoding)
            assert flasks.status_code == 200, path
            assert_same(flasks, stored)
            assert stored.headers["Content-Security-Policy"]


def test_who_keeps_pages_is_answered_alike_too(door: Door) -> None:
    """And sent what differs: from what this reader proves to hold, whatever the theme of either page is."""
    for path in ("/", "/live", "/symbol/BTCUSDT", "/symbol/BTCUSDT/chart.json?interval=1h", "/forecasts"):
        flasks, stored = door.both(path, **CHROMIUM)
        assert_same(flasks, stored)
        assert stored.headers["Use-As-Dictionary"]
        kept = name_of(door.ask(path, Accept_Encoding="identity").data)
        holding = {**CHROMIUM, "Accept_Encoding": "br, dcz", "Available_Dictionary": kept}
        for method in ("GET", "HEAD"):
            flasks, stored = door.both(path, method, Cookie="theme=dark", **holding)
            assert stored.headers["Content-Encoding"] == "dcz", path
            assert_same(flasks, stored)
            assert int(stored.headers["Content-Length"]) < 300


def test_a_reader_who_has_the_page_and_one_who_asks_for_the_head_are_answered_alike(door: Door) -> None:
    for path in STORED:
        etag = door.ask(path, Accept_Encoding="br").headers["ETag"]
        flasks, stored = door.both(path, Accept_Encoding="br", If_None_Match=etag)
        assert (stored.status_code, stored.data) == (304, b"")
        assert_same(flasks, stored)
        assert_same(*door.both(path, "HEAD", Accept_Encoding="br"))


def test_they_are_counted_and_named_like_any_other(door: Door) -> None:
    def seen() -> dict[str, int]:
        return {entry["name"]: entry["count"] for entry in performance_monitor.get_metrics()["routes"]}

    door.ask("/symbol/BTCUSDT")
    before, flask_before = seen()["/symbol/<symbol>"], door.through_flask
    ids = {door.ask("/symbol/BTCUSDT").headers["X-Request-ID"] for _ in range(5)}
    assert (seen()["/symbol/<symbol>"], door.through_flask, len(ids)) == (before + 5, flask_before, 5)


def test_another_host_is_refused_at_a_stored_address_too(door: Door) -> None:
    door.ask("/")
    for host in ("evil.example", "127.0.0.1.evil.example", ""):
        assert door.ask("/", Host=host).status_code == 400


def test_a_change_of_the_market_is_seen_by_the_next_reader(door: Door) -> None:
    path = "/api/v1/candles/BTCUSDT?interval=1h&limit=5"
    old = door.ask(path).get_json()
    assert door.ask(path).get_json() == old
    door.replay.tell_forming(0.6)
    formed = door.ask(path).get_json()
    assert formed["forming"] != old["forming"]
    door.replay.close_candle()
    closed = door.ask(path).get_json()
    assert closed["rows"][-1][0] == old["forming"][0]
    door.replay.tell_forming(0.2)


def environ(path: str, **more: str) -> dict[str, Any]:
    address, _, query = path.partition("?")
    return EnvironBuilder(address, query_string=query, environ_overrides=more).get_environ()


@pytest.mark.parametrize(
    ("path", "formed"),
    [
        ("/api/v1/candles/BTCUSDT?interval=1h&limit=6", 0.65),
        ("/symbol/BTCUSDT/live?interval=1h", 0.7),
        ("/symbol/BTCUSDT", 0.75),
        ("/", 0.8),
    ],
)
def test_the_server_gives_the_page_before_at_once_while_the_new_one_is_made(
    door: Door, path: str, formed: float
) -> None:
    served: StoredAnswers = door.app.extensions[AT_ONCE].__self__
    old = door.ask(path, Accept_Encoding="identity").data
    door.replay.tell_forming(formed)
    time.sleep(0.11)  # the overview asks for its version ten times a second
    asked = environ(path)
    assert served.at_once(asked)
    before = door.through_flask
    body, status, _ = run_wsgi_app(door.app, asked)
    assert (status, b"".join(body)) == ("200 OK", old)
    served.settle()
    assert door.through_flask == before + 1, "made once, behind"
    asked = environ(path)
    assert served.at_once(asked)
    new = b"".join(run_wsgi_app(door.app, asked)[0])
    assert new != old
    assert new == door.ask(path, Accept_Encoding="identity").data
    assert door.through_flask == before + 1


def test_what_follows_an_action_and_what_has_no_page_before_is_not_given_at_once(door: Door) -> None:
    served: StoredAnswers = door.app.extensions[AT_ONCE].__self__
    door.app.extensions["services"].pages.clear()
    assert not served.at_once(environ("/"))
    for path in ("/forecasts", "/models"):
        door.ask(path)
    pages: ResponseCache = door.app.extensions["services"].pages
    assert {shortcut.stale_s for shortcut in pages._shortcuts.all()} == {0.0}


def test_themes_and_arguments_do_not_meet(door: Door) -> None:
    door.app.extensions["services"].pages.clear()
    themes = {theme: door.ask("/", Cookie=f"other=1; theme={theme}").text for theme in ("auto", "light", "dark")}
    again = {theme: door.ask("/", Cookie=f"other=2; theme={theme}").text for theme in themes}
    assert again == themes
    assert len(set(themes.values())) == 3
    assert door.ask("/", Cookie="theme=invented").text == themes["auto"] == door.ask("/").text
    assert len({door.ask(f"/symbol/{symbol}").text for symbol in THREE}) == 3
    assert door.ask("/symbol/BTCUSDT?tz=local").text != door.ask("/symbol/BTCUSDT").text


def test_what_may_change_something_or_brings_a_body_goes_through_flask(door: Door) -> None:
    door.ask("/")
    assert door.ask("/", "POST").status_code == 403
    before = door.through_flask
    door.app.test_client().get("/", data=b"x")
    assert door.through_flask == before + 1
    assert door.app.test_client().get("/", data=b"x" * 70_000).status_code == 413


def test_errors_and_pages_of_the_moment_are_not_stored(door: Door) -> None:
    for path, status in (("/symbol/NOPE", 404), ("/?interval=7h", 400), ("/no/such", 404), ("/health", 200)):
        before = door.through_flask
        assert [door.ask(path).status_code for _ in range(2)] == [status] * 2
        assert door.through_flask == before + 2, path


def test_figures_of_the_process_are_at_most_one_turn_old(door: Door) -> None:
    first = door.ask("/api/v1/performance").get_json()["metrics"]["at_ms"]
    door.replay.clock.set_wall(door.replay.clock.now_ms() + 2 * _EACH_MS)
    assert door.ask("/api/v1/performance").get_json()["metrics"]["at_ms"] > first


def test_with_a_password_only_who_is_logged_in_gets_stored_bytes(locked: Door) -> None:
    client = locked.app.test_client()
    ours = {"Origin": "http://localhost"}
    assert client.post("/login", data={"password": PASSWORD}, headers=ours).status_code == 303
    cookie = client.get_cookie(COOKIE)
    assert cookie is not None
    value = f"{COOKIE}={cookie.value}"
    for path in ("/", "/symbol/BTCUSDT", "/api/v1/candles/BTCUSDT"):
        flasks, stored = locked.both(path, Cookie=value, Accept_Encoding="br")
        assert stored.status_code == 200
        assert_same(flasks, stored)
    kept = name_of(locked.ask("/", Cookie=value, **CHROMIUM | {"Accept_Encoding": "identity"}).data)
    holding = {**CHROMIUM, "Accept_Encoding": "br, dcz", "Available_Dictionary": kept}
    assert locked.ask("/", Cookie=value, **holding).headers["Content-Encoding"] == "dcz"
    outside = locked.ask("/", Cookie="", **holding)
    assert (outside.status_code, outside.headers.get("Content-Encoding")) == (303, None), "the name of a page is no key"
    assert "Use-As-Dictionary" not in locked.ask("/login", **holding).headers
    forged = cookie.value[:-2] + ("AA" if not cookie.value.endswith("AA") else "BB")
    for wrong in ("", f"{COOKIE}=", f"{COOKIE}={forged}", "other=1", f"x{COOKIE}={cookie.value}"):
        assert locked.ask("/", Cookie=wrong).status_code == 303, wrong
        assert locked.ask("/api/v1/candles/BTCUSDT", Cookie=wrong).status_code == 401, wrong
    client.post("/logout", headers=ours)
    assert locked.ask("/", Cookie=value).status_code == 303, "a session that ended is not let in by its old cookie"


def test_a_session_left_idle_ends_at_the_stored_door_too(locked: Door) -> None:
    client = locked.app.test_client()
    client.post("/login", data={"password": PASSWORD}, headers={"Origin": "http://localhost"})
    assert [client.get("/forecasts").status_code for _ in range(2)] == [200, 200]
    locked.replay.clock.tick(13 * 3600)
    assert client.get("/forecasts").status_code == 303


def test_without_caching_there_is_nothing_to_send(tmp_path: Path) -> None:
    with replayed_app(tmp_path, THREE[:1], enable_data_caching="False") as made:
        door = Door(made)
        assert [door.ask("/").status_code for _ in range(3)] == [200] * 3
        assert door.through_flask == 3
