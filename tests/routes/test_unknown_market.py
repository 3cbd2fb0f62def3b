"""A market that the exchange does not know: said wherever one looks, and nothing else waits for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from data.interval import Interval
from data.symbol import Symbol
from tests.support.browser import Replay, replayed_app
from utils.errors import BadData, Rejected

TYPO, ODD = Symbol("BTCUSTD"), Symbol("ODDUSDT")
H1 = Interval.H1


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    followed = f"{TYPO},BTCUSDT,{ODD}"
    with replayed_app(tmp_path_factory.mktemp("unknown"), ("BTCUSDT",), symbols=followed) as replay:
        replay.app.extensions["parts"].connection._ready.set()
        yield replay


@pytest.fixture
def client(replay: Replay) -> FlaskClient:
    market = replay.market
    market.on_refused(TYPO, H1, Rejected("the exchange refused klines", code=-1121, msg="Invalid symbol."))
    market.on_refused(ODD, H1, BadData("klines of ODDUSDT are not what the exchange documents"))
    return replay.app.test_client()


def test_what_was_not_asked_yet_is_waited_for(replay: Replay) -> None:
    for symbol in (TYPO, ODD):
        replay.market._followed(symbol, H1).answer()
    answer = replay.app.test_client().get("/ready")
    assert answer.status_code == 503
    assert answer.get_json()["waiting_for"] == [f"candles of {TYPO} 1h", f"candles of {ODD} 1h"]


def test_the_others_are_ready_and_the_typo_is_named(client: FlaskClient) -> None:
    answer = client.get("/ready")
    assert answer.status_code == 200
    told = answer.get_json()
    assert (told["ready"], told["waiting_for"]) == (True, [])
    unknown, odd = told["warnings"]
    assert unknown.startswith(f"the exchange does not know {TYPO}: look for a typo in SYMBOLS")
    assert odd == "klines of ODDUSDT are not what the exchange documents"


def test_its_page_says_so_and_does_not_try_again(client: FlaskClient) -> None:
    page = client.get(f"/symbol/{TYPO}")
    assert page.status_code == 404
    assert "Retry-After" not in page.headers
    assert f"The exchange does not know {TYPO}" in page.text
    assert f'href="/symbol/{TYPO}"' not in page.text
    assert "typo in SYMBOLS" in page.text
    waits = client.get(f"/symbol/{ODD}")
    assert (waits.status_code, "Retry-After" in waits.headers) == (503, True)


def test_the_overview_and_the_health_say_so(client: FlaskClient) -> None:
    overview = client.get("/")
    assert overview.status_code == 200
    assert f"No prices: the exchange does not know {TYPO} (-1121: Invalid symbol.)" in overview.text
    health = client.get("/performance").text
    assert "worth a look" in health
    assert f"the exchange does not know {TYPO}" in health
    assert "and 1 more of 3" in health


def test_it_is_neither_led_to_nor_learned_from(client: FlaskClient) -> None:
    beside = client.get("/symbol/BTCUSDT").text
    assert 'href="/symbol/ODDUSDT?' in beside
    assert f'href="/symbol/{TYPO}' not in beside
    form = client.get("/models/train").text
    assert 'name="symbols" value="ODDUSDT"' in form
    assert f'value="{TYPO}"' not in form
    assert "2 trainings one after the other" in form


def test_a_market_that_was_delisted_keeps_its_history_and_says_so(replay: Replay, client: FlaskClient) -> None:
    known = Symbol("BTCUSDT")
    assert "This is history" not in client.get(f"/symbol/{known}").text
    gone = Rejected("the exchange refused klines", code=-1121, msg="Invalid symbol.")
    replay.market.on_refused(known, H1, gone)
    try:
        page = client.get(f"/symbol/{known}")
        assert page.status_code == 200
        assert f"This is history:</b> the exchange does not know {known}" in page.text
        assert replay.app.extensions["services"].market.problem(known, H1)
    finally:
        replay.market._followed(known, H1).answer()


def test_where_it_is_the_only_market_nothing_is_ready(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, replay: Replay
) -> None:
    monkeypatch.setattr(replay.market, "symbols", (TYPO,))
    answer = client.get("/ready")
    assert answer.status_code == 503
    assert answer.get_json()["waiting_for"] == [f"candles of {TYPO} 1h"]
    assert "does not know" in answer.get_json()["warnings"][0]
