"""Error pages: what was asked, what exists, what is waited for; nothing of a stranger's text comes back as markup."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from routes.errors import status_of
from tests.support.browser import Replay
from tests.support.pages import client, replay
from tests.support.whole_app import whole_app
from utils.errors import STATUS, BadData, Banned, NotReady, RateLimited, StoreError

__all__ = ["client", "replay"]

NASTY = '"><img src=x onerror=window.__x=1>'


def test_an_unknown_market_is_told_those_that_exist(client: FlaskClient) -> None:
    answer = client.get("/symbol/NOPEUSDT")
    assert answer.status_code == 404
    assert "Market NOPEUSDT is not followed here" in answer.text
    assert 'href="/symbol/ETHUSDT"' in answer.text


def test_an_unknown_interval_is_told_those_that_exist(client: FlaskClient) -> None:
    answer = client.get("/symbol/BTCUSDT?interval=1M")
    assert answer.status_code == 400
    assert "use one of 1h" in answer.text
    assert "Candle lengths" in answer.text
    elsewhere = client.post("/performance/profiles", data={"seconds": "99"}, headers={"Sec-Fetch-Site": "same-origin"})
    assert elsewhere.status_code == 400
    assert "Candle lengths" not in elsewhere.text, "nobody asked about candles"


@pytest.mark.parametrize("address", ["/symbol/{}", "/symbol/BTCUSDT?interval={}", "/?q={}", "/?sort={}", "/{}"])
def test_nothing_given_comes_back_as_markup(client: FlaskClient, address: str) -> None:
    from urllib.parse import quote

    answer = client.get(address.format(quote(NASTY)))
    assert "<img" not in answer.text
    assert "onerror=window" not in answer.text or "&gt;&lt;img" in answer.text or "&#34;&gt;" in answer.text


def test_nothing_known_yet_is_503_with_the_reason(tmp_path: Path) -> None:
    with whole_app(tmp_path, symbols="BTCUSDT", intervals="1h", exchange="simulated") as app:
        client = app.test_client()
        for address in ("/", "/symbol/BTCUSDT", "/api/v1/candles/BTCUSDT"):
            answer = client.get(address)
            assert answer.status_code == 503, address
            assert int(answer.headers["Retry-After"]) >= 1
            assert answer.headers["Cache-Control"] == "no-store"
        page = client.get("/").text
        assert "No candles are known yet; waiting for: the choice of the exchange" in page
        assert 'data-retry-s="2"' in page
        assert "/js/retry.js" in page
        assert client.get("/health").status_code == 200
        assert client.get("/ready").status_code == 503
        assert client.get("/performance").status_code == 200


def test_an_unforeseen_error_tells_the_log_and_nobody_else(
    replay: Replay, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr("routes.health.waiting_for", fail)
    monkeypatch.setattr("routes.performance.performance_version", fail)
    client = replay.app.test_client()
    for address in ("/ready", "/performance"):
        answer = client.get(address)
        assert answer.status_code == 500
        assert "a secret detail" not in answer.text
    assert "a secret detail" in caplog.text


def test_a_database_that_is_gone_is_called_so(replay: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise StoreError("the database server does not answer; start it")

    monkeypatch.setattr("routes.performance.performance_version", gone)
    answer = replay.app.test_client().get("/performance")
    assert answer.status_code == 503
    assert "<h1>The database cannot be used</h1>" in answer.text
    assert "The database server does not answer; start it" in answer.text


def test_statuses_come_from_the_one_table() -> None:
    assert status_of(NotReady("x")) == STATUS[NotReady] == 503
    assert status_of(RateLimited("x", retry_after_s=3)) == 503
    assert status_of(Banned("x", until_ms=1)) == 503
    assert status_of(BadData("x")) == 502
    assert status_of(type("Newer", (BadData,), {})("x")) == 502


def test_wrong_methods_are_refused_with_those_that_fit(client: FlaskClient) -> None:
    answer = client.post("/health", headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]
    assert answer.get_json()["message"] == "POST is not answered at '/health'; use GET"
    page = client.get("/performance/caches/data_cache/clear")
    assert page.status_code == 405
    assert "GET is not answered at &#39;/performance/caches/data_cache/clear&#39;; use POST" in page.text
