"""The login (S3, S4, S13): nothing without the password, sessions that rotate and end, guesses that run dry."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from routes.login import COOKIE, Login, safe_target
from routes.session_store import SessionStore
from tests.support.whole_app import every_address, whole_app
from utils.attempt_limit import AttemptLimit
from utils.clock import ManualClock

PASSWORD = "correct horse battery"
OURS = {"Origin": "http://localhost"}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def app(tmp_path: Path, clock: ManualClock) -> Iterator[Flask]:
    with whole_app(tmp_path, clock, dashboard_password=PASSWORD) as made:
        yield made


def log_in(client: FlaskClient, password: str = PASSWORD, **kwargs: str) -> TestResponse:
    return client.post("/login", data={"password": password, **kwargs}, headers=OURS)


def session_cookie(answer: TestResponse) -> str:
    (header,) = [value for value in answer.headers.getlist("Set-Cookie") if value.startswith(COOKIE)]
    return header


def test_nothing_but_login_health_theme_and_files_is_open(app: Flask) -> None:
    client = app.test_client()
    for method, address in every_address(app):
        answer = client.open(address, method=method, headers={"Sec-Fetch-Site": "same-origin"})
        if address.startswith("/assets/") or address in ("/login", "/health", "/theme"):
            assert answer.status_code not in (303, 401) or address == "/login", address
        elif address == "/ready":
            assert answer.status_code == (200 if method == "OPTIONS" else 503)
            assert method != "GET" or answer.json == {"ready": False}, "and nothing of what is followed here"
        elif address == "/metrics":  # has a token of its own, for a program that cannot log in
            assert answer.status_code == (200 if method == "OPTIONS" else 401), address
        elif address.startswith("/api/"):
            assert answer.status_code == 401, address
            assert answer.is_json
        else:
            assert (answer.status_code, answer.headers["Location"][:13]) == (303, "/login?next=%"), address


def test_the_login_page_is_readable_and_not_kept(app: Flask) -> None:
    answer = app.test_client().get("/login?next=/symbol/BTCUSDT")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    page = answer.get_data(as_text=True)
    assert 'type="password"' in page
    assert 'value="/symbol/BTCUSDT"' in page
    assert "/logout" not in page
    assert 'aria-label="Pages"' not in page, "each of them would lead back here"


def test_a_scripts_fetch_is_told_by_status(app: Flask) -> None:
    answer = app.test_client().get("/", headers={"Sec-Fetch-Dest": "empty"})
    assert answer.status_code == 401


def test_the_right_password_opens_and_leads_on(app: Flask) -> None:
    client = app.test_client()
    answer = log_in(client, next="/symbol/BTCUSDT?interval=1h")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/symbol/BTCUSDT?interval=1h")
    assert client.get("/performance").status_code == 200
    page = client.get("/performance").get_data(as_text=True)
    assert "/logout" in page
    assert 'aria-label="Pages"' in page


@pytest.mark.parametrize("password", ["", "wrong", PASSWORD + " ", PASSWORD.upper(), "\ud800", "é" * 500])
def test_any_other_does_not(app: Flask, password: str) -> None:
    client = app.test_client()
    body = b"password=" + password.encode("utf-8", "surrogatepass")
    answer = client.post("/login", data=body, content_type="application/x-www-form-urlencoded", headers=OURS)
    assert answer.status_code == 401
    assert "Set-Cookie" not in answer.headers
    assert client.get("/").status_code == 303


def test_the_cookie_cannot_be_read_by_scripts_or_sent_by_other_sites(app: Flask) -> None:
    cookie = SimpleCookie(session_cookie(log_in(app.test_client())))[COOKIE]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/")
    assert (cookie["secure"], cookie["domain"], cookie["max-age"]) == ("", "", "")
    answer = app.test_client().post(
        "/login", data={"password": PASSWORD}, base_url="https://localhost", headers={"Origin": "https://localhost"}
    )
    assert SimpleCookie(session_cookie(answer))[COOKIE]["secure"] is True


def test_logging_in_again_rotates_the_id_and_the_old_one_is_worth_nothing(app: Flask) -> None:
    client = app.test_client()
    log_in(client)
    old = client.get_cookie(COOKIE)
    log_in(client)
    new = client.get_cookie(COOKIE)
    assert old is not None
    assert new is not None
    assert old.value != new.value
    thief = app.test_client()
    thief.set_cookie(COOKIE, old.value)
    assert thief.get("/performance").status_code == 303
    thief.set_cookie(COOKIE, new.value)
    assert thief.get("/performance").status_code == 200


def test_an_id_planted_before_the_login_is_not_taken_over(app: Flask) -> None:
    victim = app.test_client()
    with victim.session_transaction() as planted:
        planted["id"] = "planted-by-an-attacker"
    before = victim.get_cookie(COOKIE)
    assert before is not None
    log_in(victim)
    attacker = app.test_client()
    attacker.set_cookie(COOKIE, before.value)
    assert attacker.get("/performance").status_code == 303


@pytest.mark.parametrize("value", ["", "x", "eyJpZCI6IngifQ.aaaa.bbbb", "." * 500])
def test_forged_cookies_open_nothing(app: Flask, value: str) -> None:
    client = app.test_client()
    client.set_cookie(COOKIE, value)
    assert client.get("/performance").status_code == 303


def test_a_session_signed_by_another_install_opens_nothing(app: Flask, tmp_path: Path) -> None:
    with whole_app(tmp_path / "other", dashboard_password=PASSWORD) as other:
        stranger = other.test_client()
        log_in(stranger)
        cookie = stranger.get_cookie(COOKIE)
    assert cookie is not None
    client = app.test_client()
    client.set_cookie(COOKIE, cookie.value)
    assert client.get("/performance").status_code == 303


def test_after_twelve_idle_hours_the_password_is_asked_again(app: Flask, clock: ManualClock) -> None:
    client = app.test_client()
    log_in(client)
    clock.tick(11.9 * 3600)
    assert client.get("/performance").status_code == 200
    clock.tick(11.9 * 3600)
    assert client.get("/performance").status_code == 200, "a request starts the idle time again"
    clock.tick(12.1 * 3600)
    assert client.get("/performance").status_code == 303


def test_logging_out_ends_the_session_on_the_server(app: Flask) -> None:
    client = app.test_client()
    log_in(client)
    cookie = client.get_cookie(COOKIE)
    assert cookie is not None
    assert client.post("/logout", headers=OURS).headers["Location"] == "/login"
    client.set_cookie(COOKIE, cookie.value)
    assert client.get("/performance").status_code == 303
    assert client.get("/logout").status_code in (303, 405)


def test_login_and_logout_from_another_site_are_refused(app: Flask) -> None:
    client = app.test_client()
    evil = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert client.post("/login", data={"password": PASSWORD}, headers=evil).status_code == 403
    log_in(client)
    assert client.post("/logout", headers=evil).status_code == 403
    assert client.get("/performance").status_code == 200


def test_a_thousand_guesses_are_five_a_minute(app: Flask, clock: ManualClock) -> None:
    client = app.test_client()
    statuses = [log_in(client, f"guess {number}").status_code for number in range(1000)]
    assert statuses == [401] * 5 + [429] * 995
    answer = log_in(client)
    assert answer.status_code == 429, "not even the right one, until the minute is over"
    assert int(answer.headers["Retry-After"]) == 60
    clock.tick(60)
    assert log_in(client).status_code == 303


def test_an_invented_address_does_not_help_the_guesser(app: Flask) -> None:
    client = app.test_client()
    statuses = [
        client.post(
            "/login", data={"password": "guess"}, headers={**OURS, "X-Forwarded-For": f"10.0.0.{number}"}
        ).status_code
        for number in range(7)
    ]
    assert statuses == [401] * 5 + [429] * 2


def test_many_addresses_together_are_limited_too(app: Flask) -> None:
    client = app.test_client()
    statuses = [
        client.post(
            "/login",
            data={"password": "guess"},
            headers=OURS,
            environ_overrides={"REMOTE_ADDR": f"10.0.{number // 250}.{number % 250}"},
        ).status_code
        for number in range(80)
    ]
    assert statuses == [401] * 60 + [429] * 20


def test_a_page_kept_for_one_reader_is_not_shown_to_a_stranger(app: Flask) -> None:
    reader = app.test_client()
    log_in(reader)
    reader.get("/")
    assert app.test_client().get("/").status_code == 303
    answer = reader.get("/performance")
    assert "Cookie" in answer.headers["Vary"]


def test_without_a_password_there_is_no_login(tmp_path: Path) -> None:
    with whole_app(tmp_path) as app:
        assert app.test_client().get("/login").status_code == 404
        assert app.test_client().get("/performance").status_code == 200


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "\\\\evil",
        "javascript:alert(1)",
        "",
        "evil",
        "/a\r\nb",
        "/a\\b",
    ],
)
def test_the_login_leads_nowhere_else(target: str) -> None:
    assert safe_target(target) == "/"


def test_paths_of_ours_are_kept() -> None:
    assert safe_target("/symbol/BTCUSDT?interval=1h") == "/symbol/BTCUSDT?interval=1h"


def test_the_password_is_not_kept_in_the_clear(clock: ManualClock) -> None:
    login = Login(PASSWORD, clock)
    assert PASSWORD not in repr(vars(login))
    assert PASSWORD.encode() not in b"".join(value for value in vars(login).values() if isinstance(value, bytes))
    assert login.accepts(PASSWORD)


def test_session_ids_are_long_never_repeat_and_are_bounded(clock: ManualClock) -> None:
    store = SessionStore(clock, idle_s=60)
    ids = [store.open() for _ in range(1_500)]
    assert len(set(ids)) == 1_500
    assert all(re.fullmatch(r"[\w-]{43}", session_id) for session_id in ids)
    assert not store.touch(ids[0])
    assert store.touch(ids[-1])
    assert not any(session_id in repr(vars(store)) for session_id in ids)


def test_refused_attempts_do_not_prolong_the_wait(clock: ManualClock) -> None:
    limit = AttemptLimit(clock, per_source=1, in_all=10, window_s=60)
    assert limit.try_again_after_s("a") == 0
    for _ in range(59):
        clock.tick(1)
        assert limit.try_again_after_s("a") > 0
    clock.tick(1)
    assert limit.try_again_after_s("a") == 0
    limit.forget("a")
    assert limit.try_again_after_s("a") == 0
