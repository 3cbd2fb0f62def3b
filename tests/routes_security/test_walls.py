"""The walls: hosts, headers, origins, bodies, proxies, debugger, address (S1 S2 S3 S6 S13 S15 S18 S22)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.test import create_environ, run_wsgi_app

from config import load_settings
from routes.security import (
    CONTENT_SECURITY_POLICY,
    HEADERS,
    MAX_BODY_BYTES,
    check_bind,
    content_security_policy,
    host_name,
)
from tests.support.whole_app import every_address, whole_app
from utils.errors import ConfigError

BAD_HOSTS = [
    "evil.example",
    "127.0.0.1.evil.example",
    "evil.example:5000",
    "127.0.0.1@evil.example",
    "localhost.",
    "",
    "[::2]",
    "127.0.0.1:99999",
    "127.0.0.1:5000:5000",
    "localhost, evil.example",
    "x" * 300,
]
GOOD_HOSTS = ["127.0.0.1", "127.0.0.1:5000", "localhost:80", "LocalHost:5000", "[::1]", "[::1]:5000"]


def fail() -> str:
    return str(1 / 0)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    with whole_app(tmp_path_factory.mktemp("walls")) as made:
        made.add_url_rule("/planted/failure", view_func=fail)
        yield made


def test_every_route_refuses_every_other_host(app: Flask) -> None:
    client = app.test_client()
    addresses = every_address(app)
    assert len(addresses) > 12
    for method, address in addresses:
        for host in BAD_HOSTS:
            answer = client.open(address, method=method, headers={"Host": host})
            assert answer.status_code == 400, (method, address, host)
            assert b"evil" not in answer.data
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_request_without_any_host_is_refused(app: Flask) -> None:
    environ = create_environ("/health")
    del environ["HTTP_HOST"]
    body, status, _ = run_wsgi_app(app.wsgi_app, environ)
    assert b"".join(body).startswith(b"This dashboard does not answer")
    assert status == "400 Bad Request"


@pytest.mark.parametrize("host", GOOD_HOSTS)
def test_its_own_hosts_are_answered_whatever_the_port(app: Flask, host: str) -> None:
    assert app.test_client().get("/health", headers={"Host": host}).status_code == 200


def test_hosts_the_operator_adds_are_answered(tmp_path: Path) -> None:
    with whole_app(tmp_path, trusted_hosts="dash.example,127.0.0.1") as app:
        statuses = [
            app.test_client().get("/health", headers={"Host": host}).status_code
            for host in ("dash.example", "DASH.example:8443", "localhost", "sub.dash.example")
        ]
    assert statuses == [200, 200, 400, 400]


@pytest.mark.parametrize("text", ["a b", "a/b", "a?b", "[::1", "::1", "a:", "a:0", "a:-1", "a:1x", "é", "a\r\nb"])
def test_what_is_no_host_has_no_name(text: str) -> None:
    assert host_name(text) is None


def test_every_answer_carries_the_headers_and_none_of_cors(app: Flask) -> None:
    client = app.test_client()
    client.application.testing = False
    for method, address in [*every_address(app), ("GET", "/planted/failure")]:
        for origin in ("https://evil.example", "null"):
            answer = client.open(
                address,
                method=method,
                headers={"Origin": origin, "Access-Control-Request-Method": "PUT", "Accept-Encoding": "br"},
            )
            for name, value in HEADERS:
                assert answer.headers.getlist(name) == [value], (method, address)
            assert not [name for name in dict(answer.headers) if name.lower().startswith("access-control-")]
    assert client.get("/planted/failure").status_code == 500


def test_the_policy_allows_nothing_but_our_own() -> None:
    policy = dict(part.split(" ", 1) for part in CONTENT_SECURITY_POLICY.split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == policy["form-action"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "http" not in CONTENT_SECURITY_POLICY
    assert "*" not in CONTENT_SECURITY_POLICY


FOREIGN: list[dict[str, str]] = [
    {},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1.evil"},
    {"Origin": "http://127.0.0.1:8080"},
    {"Origin": "https://127.0.0.1"},
    {"Origin": "http://127.0.0.1@evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
]
OURS: list[dict[str, str]] = [
    {"Origin": "http://127.0.0.1"},
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1"},
]


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", "application/json"])
@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_change_from_elsewhere_is_refused(app: Flask, headers: dict[str, str], content_type: str) -> None:
    answer = app.test_client().post(
        "/theme", data="theme=dark", content_type=content_type, headers={"Host": "127.0.0.1", **headers}
    )
    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("headers", OURS, ids=str)
def test_a_change_from_our_own_page_is_made(app: Flask, headers: dict[str, str]) -> None:
    answer = app.test_client().post("/theme", data={"theme": "dark"}, headers={"Host": "127.0.0.1", **headers})
    assert answer.status_code == 303
    assert "theme=dark" in answer.headers["Set-Cookie"]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "POST"])
def test_every_changing_method_is_held_to_its_origin(app: Flask, method: str) -> None:
    assert app.test_client().open("/health", method=method).status_code == 403


def test_long_bodies_are_refused_before_they_are_read(app: Flask) -> None:
    client, ours = app.test_client(), {"Origin": "http://localhost"}
    field = "x" * (MAX_BODY_BYTES + 1)
    assert client.post("/theme", data={"theme": field}, headers=ours).status_code == 413
    assert client.get("/health", data=field).status_code == 413
    many = "&".join(f"a{number}=1" for number in range(20_000))
    assert client.post("/theme", data=many, headers=ours).status_code in (400, 413)


def test_proxy_headers_change_nothing(app: Flask) -> None:
    spoofed = {
        "X-Forwarded-For": "10.0.0.9",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Prefix": "/evil",
        "Forwarded": "host=evil.example;proto=https",
    }
    plain = app.test_client().get("/no/such/page")
    answer = app.test_client().get("/no/such/page", headers=spoofed)
    assert (answer.status_code, b"evil" in answer.data) == (404, False)
    of_each_request = rb'<p class="timing">.*?</p>|Request [0-9a-f-]+'
    assert re.sub(of_each_request, b"", answer.data) == re.sub(of_each_request, b"", plain.data)


def test_there_is_no_debugger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_DEBUG", "1")
    with whole_app(tmp_path) as app:
        assert app.debug is False
        for address in ("/console", "/?__debugger__=yes&cmd=resource&f=debugger.js"):
            answer = app.test_client().get(address)
            assert b"Werkzeug" not in answer.data
            assert b"EVALEX" not in answer.data
            assert answer.mimetype == "text/html"
        assert app.test_client().get("/console").status_code == 404


def test_an_unforeseen_error_shows_nothing_of_the_inside(app: Flask) -> None:
    app.testing = False
    answer = app.test_client().get("/planted/failure")
    assert answer.status_code == 500
    for piece in (b"ZeroDivisionError", b"Traceback", b"lambda", b".py"):
        assert piece not in answer.data


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "::1", "[::1]"])
def test_this_machine_may_be_served_without_a_password(host: str) -> None:
    check_bind(host, "")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", "", "127.0.0.1.evil.example"])
def test_other_machines_are_served_only_with_a_password(host: str) -> None:
    with pytest.raises(ConfigError, match="DASHBOARD_PASSWORD"):
        check_bind(host, "")
    check_bind(host, "a long enough password")


def test_assets_from_elsewhere_open_the_policy_for_that_place_alone() -> None:
    policy = dict(part.split(" ", 1) for part in content_security_policy("https://cdn.example/a").split("; "))
    assert policy["script-src"] == "'self' https://cdn.example/a/"
    assert policy["style-src"] == "'self' https://cdn.example/a/"
    assert policy["connect-src"] == policy["form-action"] == "'self'"
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"


@pytest.mark.parametrize(
    "base",
    [
        "http://cdn.example",
        "https://cdn.example; script-src *",
        "https://cdn.example/ *",
        "https://user@cdn.example",
        "https://cdn.example/,x",
        "//cdn.example",
        "javascript:alert(1)",
        "https://",
    ],
)
def test_no_other_place_is_taken_for_assets(base: str) -> None:
    with pytest.raises(ConfigError, match="ASSET_BASE_URL"):
        load_settings(environ={}, env_file=None, asset_base_url=base)
