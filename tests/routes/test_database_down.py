"""With PostgreSQL down the pages of models and alerts show what is known, say since when, and never a wrong nothing."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from routes.alerts import Watch
from tests.support import tiny_model
from tests.support.browser import replayed_app
from tests.support.redis_processes import eventually
from tests.support.relay import relay
from tests.support.servers import PostgresServer, postgres_server
from tests.support.whole_app import whole_app
from utils.alert_rules import PRESETS
from utils.clock import ManualClock
from utils.last_known import PAUSE_S

NOTE = r"The database has not answered since 2026-01-01 00:01 UTC ?: the database server"
START_MS = 1_767_225_600_000


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Its own: it is stopped and started."""
    with postgres_server() as running:
        yield running


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_MS)


@pytest.fixture
def app(server: PostgresServer, tmp_path: Path, clock: ManualClock) -> Iterator[Flask]:
    tiny_model.save(tmp_path / "models", tiny_model.spec("tiny", created_ms=1))
    with whole_app(tmp_path, clock, database_url=server.new_database()) as made:
        yield made


def text_of(client: FlaskClient, address: str, status: int = 200) -> str:
    answer = client.get(address)
    assert answer.status_code == status, answer.get_data(as_text=True)[:2000]
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", answer.get_data(as_text=True))))


def test_what_was_read_before_is_shown_and_since_when_nothing_was(
    server: PostgresServer, app: Flask, clock: ManualClock
) -> None:
    client = app.test_client()
    watch: Watch = app.extensions["alerts"]
    watch.alerts.check()
    before = {address: text_of(client, address) for address in ("/models", "/alerts", "/models/tiny")}
    assert "not answered since" not in "".join(before.values())
    clock.tick(90)
    server.stop("immediate")
    try:
        for address in ("/models", "/alerts"):
            text = text_of(client, address)
            assert re.search(NOTE, text), text[400:1900]
            assert "It was last read 2026-01-01 00:00 UTC" in text
        clock.tick(PAUSE_S)
        models, alerts = text_of(client, "/models"), text_of(client, "/alerts")
        assert re.search(NOTE, models), "asked again, and still since then"
        assert "tiny" in models
        assert "No model can serve" not in models
        assert "The models’ folder is empty" not in models
        assert "too few to say" in models, "the live skill as it was"
        card = text_of(client, "/models/tiny")
        assert re.search(NOTE, card), card[:900]
        assert "It was last read 2026-01-01 00:00 UTC" in card
        assert "Can it be believed?" in card
        assert all(rule.title in alerts for rule in PRESETS)
        assert "There is no rule" not in alerts
        assert client.get("/alerts/live").status_code == 200
    finally:
        server.start()
    clock.tick(PAUSE_S)
    assert "not answered since" not in text_of(client, "/models")
    assert "not answered since" not in text_of(client, "/alerts")
    assert "not answered since" not in text_of(client, "/models/tiny")


def test_what_was_never_read_is_said_to_be_unknown(server: PostgresServer, app: Flask, clock: ManualClock) -> None:
    client = app.test_client()
    server.stop("immediate")
    try:
        models = text_of(client, "/models")
        assert "tiny" in models
        assert "not known" in models
        assert "too few to say" not in models
        assert "last read" not in models
        card = text_of(client, "/models/tiny", 503)
        assert "The database cannot be used" in card
        refused = text_of(client, "/alerts", 503)
        assert "The database cannot be used" in refused
        assert "restart" in refused or "start it" in refused or "next try" in refused
    finally:
        server.start()
    clock.tick(PAUSE_S)
    watch: Watch = app.extensions["alerts"]
    watch.alerts.check()
    server.stop("immediate")
    try:
        alerts = text_of(client, "/alerts")
        assert "as they were judged last" in alerts
        assert all(rule.title in alerts for rule in PRESETS if rule.key in {o.rule.key for o in watch.alerts.judged()})
        assert "No rule was broken yet" not in alerts
    finally:
        server.start()


def test_a_server_that_drops_packets_holds_up_no_page_that_has_something_to_show(
    server: PostgresServer, tmp_path: Path
) -> None:
    """A connection to it takes five seconds to fail, a ping of an open one two."""
    with relay(server.port) as wall:
        address = server.new_database().replace(f":{server.port}/", f":{wall.port}/")
        with replayed_app(tmp_path, ("BTCUSDT", "ETHUSDT"), database_url=address) as made:
            client, parts = made.app.test_client(), made.app.extensions["services"]
            addresses = ("/", "/symbol/BTCUSDT", "/forecasts", "/models", "/performance", "/api/v1/forecasts")
            for one in addresses:
                text_of(client, one)
            made.clock.tick(PAUSE_S)
            wall.fall_silent()
            parts.ledger.told_changes(99)
            parts.pages.clear()
            began_s = time.monotonic()
            shown = [text_of(client, one) for one in addresses]
            scraped = client.get("/metrics").text
            assert time.monotonic() - began_s < 5, (
                "half a second, and what a busy machine needs; one page that waits is 5"
            )
            assert "not answered since" in shown[3]
            assert "not known" not in shown[0], "scores as they were"
            assert "dashboard_store_candles" in scraped
            wall.speak()
            eventually(lambda: parts.known._late == 0)
            made.clock.tick(PAUSE_S)
            assert "not answered since" not in text_of(client, "/models")


def test_prices_forecasts_and_metrics_go_on(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores alone come from the database: as they were read last, or not known."""
    with replayed_app(tmp_path, ("BTCUSDT", "ETHUSDT"), database_url=server.new_database()) as made:
        client, pages = made.app.test_client(), made.app.extensions["services"].pages
        server.stop("immediate")
        try:
            text = text_of(client, "/")
            assert "BTC" in text
            assert "not known" in text
            assert "dashboard_ready" in client.get("/metrics").text
        finally:
            server.start()
        made.clock.tick(PAUSE_S)
        pages.clear()
        assert "not known" not in text_of(client, "/")
        text_of(client, "/symbol/BTCUSDT")
        text_of(client, "/forecasts")
        made.clock.tick(PAUSE_S)
        server.stop("immediate")
        try:
            made.app.extensions["services"].ledger.told_changes(99)
            pages.clear()
            monkeypatch.setattr("utils.last_known.PAUSE_S", 0.0)  # the database's own clock is the machine's
            for address in ("/", "/live", "/symbol/BTCUSDT", "/forecasts"):
                assert "The database has not answered since" in text_of(client, address), address
            assert "not known" not in text_of(client, "/").replace("read last, or not known", ""), "as they were"
            market = text_of(client, "/symbol/BTCUSDT")
            assert "No outcomes yet" in market or "scored" in market
        finally:
            server.start()
        for address in ("/", "/symbol/BTCUSDT"):
            text_of(client, "/models")  # whoever asks it anything
            pages.clear()
            assert "not answered since" not in text_of(client, address), "and it answers again"
