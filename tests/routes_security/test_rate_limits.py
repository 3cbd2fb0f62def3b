"""Rate limits: one address may ask each route so often; dear routes less; nobody who uses the dashboard meets them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from routes.rate_limits import on_this_machine, source_of
from tests.support.whole_app import whole_app
from utils.clock import ManualClock

STRANGER, OTHER = "203.0.113.7", "203.0.113.8"
OURS = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def app(tmp_path: Path, clock: ManualClock) -> Iterator[Flask]:
    with whole_app(tmp_path, clock, rate_limit_per_second="2", rate_limit_dear_per_minute="3") as made:
        yield made


def get(client: FlaskClient, path: str, address: str = STRANGER) -> TestResponse:
    return client.get(path, environ_overrides={"REMOTE_ADDR": address})


def search(client: FlaskClient, address: str) -> TestResponse:
    return client.post("/models/search", data={}, headers=OURS, environ_overrides={"REMOTE_ADDR": address})


def test_cheap_routes_by_address_and_route(app: Flask, clock: ManualClock) -> None:
    client = app.test_client()
    assert {get(client, "/ready").status_code for _ in range(20)} == {503}, "ten seconds' worth at once: nothing known"
    refused = get(client, "/ready")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert refused.get_json()["error"] == "TooManyRequests"
    assert get(client, "/ready", OTHER).status_code == 503
    assert get(client, "/health").status_code == 200, "another route"
    clock.tick(0.5)
    assert get(client, "/ready").status_code == 503
    assert get(client, "/ready").status_code == 429
    assert {get(client, "/ready", "127.0.0.1").status_code for _ in range(100)} == {503}, "this machine"


def test_people_are_told_on_a_page_and_programs_in_json(app: Flask) -> None:
    client = app.test_client()
    pages, answers = ([get(client, path) for _ in range(21)] for path in ("/alerts", "/api/v1/nothing"))
    page, answer = pages[-1], answers[-1]
    assert page.status_code == answer.status_code == 429
    assert "That is too often" in page.get_data(as_text=True)
    assert "Worth trying again in 1 s" in page.get_data(as_text=True)
    assert page.headers["Content-Security-Policy"]
    assert answer.get_json()["retry_after_s"] == 1
    assert [one.status_code for one in pages[:20]] == [200] * 20


def test_dear_routes_are_stricter_and_count_this_machine_too(app: Flask, clock: ManualClock) -> None:
    client = app.test_client()
    seen = [search(client, "127.0.0.1") for _ in range(4)]
    assert 429 not in [one.status_code for one in seen[:3]]
    assert (seen[3].status_code, seen[3].headers["Retry-After"]) == (429, "20")
    clock.tick(20)
    assert search(client, "127.0.0.1").status_code != 429
    assert [get(client, "/api/v1/ledger/chain").status_code for _ in range(4)] == [200, 200, 200, 429]


def test_refusals_are_counted_by_kind_alone(app: Flask) -> None:
    client = app.test_client()
    for _ in range(25):
        get(client, "/ready")
    for _ in range(5):
        search(client, STRANGER)
    text = client.get("/metrics").get_data(as_text=True)
    assert 'dashboard_rate_limited_requests_total{kind="cheap"} 5.0' in text
    assert 'dashboard_rate_limited_requests_total{kind="dear"} 2.0' in text
    assert STRANGER not in text
    page = client.get("/performance").get_data(as_text=True)
    assert "Requests refused as too many" in page
    assert STRANGER not in page


def test_0_sets_no_limit(tmp_path: Path) -> None:
    with whole_app(tmp_path, rate_limit_per_second="0", rate_limit_dear_per_minute="0") as app:
        client = app.test_client()
        assert {get(client, "/health").status_code for _ in range(50)} == {200}
        assert 429 not in {search(client, STRANGER).status_code for _ in range(10)}


def test_what_counts_as_one_source() -> None:
    assert source_of("203.0.113.7") == source_of("::ffff:203.0.113.7") == "203.0.113.7"
    assert source_of("2001:db8:1:2::1") == source_of("2001:db8:1:2:ffff::9") != source_of("2001:db8:1:3::1")
    assert source_of("unix") == "unix"
    assert all(map(on_this_machine, ("127.0.0.1", "::1", "::ffff:127.0.0.1", "127.9.9.9")))
    assert not any(map(on_this_machine, ("203.0.113.7", "2001:db8::1", "", "localhost.evil", "::ffff:203.0.113.7")))


def test_the_dear_routes_are_named(app: Flask) -> None:
    """No table among them: whoever researches takes the candles of hundreds of markets one after the other."""
    named = {name for name, view in app.view_functions.items() if hasattr(view, "dear")}
    assert named == {
        "training.ask",
        "training.change",
        "models.search",
        "models.check",
        "models.ensemble",
        "models.change_ensemble",
        "models.schedule",
        "models.export",
        "models.bring_in",
        "forecasts.chain",
        "profiling.record",
        "profiling.text",
        "performance.clear",
    }
