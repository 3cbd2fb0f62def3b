"""Every model's forecast on the page and in the interface: the champion by default, any other by name, calibrated."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator

import numpy as np
import pytest
from flask.testing import FlaskClient

from data.interval import Interval
from data.symbol import Symbol
from models.ensemble import Ensemble
from models.ensemble_file import write_ensembles
from models.inputs import WARM_UP
from models.ledger import Ledger
from models.ledger_sums import Bands
from models.scorekeeper import Scorekeeper
from routes import wording
from routes.forecast_score import calibration_sentence
from tests.routes.test_api import get
from tests.support import tiny_model
from tests.support.browser import Replay, replayed_app

BTC = Symbol("BTCUSDT")


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    """A champion and a challenger that have followed the market for three candles."""
    folder = tmp_path_factory.mktemp("models")
    tiny_model.save(folder / "models", tiny_model.spec("challenger", created_ms=1, warm_up=WARM_UP))
    tiny_model.save(folder / "models", tiny_model.spec("own", symbols=(BTC,), created_ms=1), seed=3)
    with replayed_app(folder, ("BTCUSDT", "ETHUSDT")) as made:
        keeper: Scorekeeper = made.app.extensions["parts"].scorekeeper
        for _ in range(3):
            keeper.keep(Interval.H1, made.market.symbols)
            made.close_candle()
        keeper.keep(Interval.H1, made.market.symbols)
        yield made


@pytest.fixture
def client(replay: Replay) -> FlaskClient:
    return replay.app.test_client()


def test_pages_say_of_novelty_and_of_a_model_that_has_seen_what_came_after(replay: Replay, client: FlaskClient) -> None:
    """`It has seen candles until …`: where the market's time lies before what it learned from, as in a replay."""
    now_ms, folder = replay.clock.now_ms(), replay.app.extensions["services"].registry.path
    for name, until_ms in (("ahead", now_ms + 3_600_000), ("behind", now_ms - 3_600_000)):
        place = tiny_model.save(folder, tiny_model.spec(name, created_ms=1, train_until_ms=until_ms))
        try:
            words = " ".join(client.get(f"/symbol/BTCUSDT?model={name}").text.split())
        finally:
            shutil.rmtree(place)
        told = f"It has seen candles until {wording.utc(until_ms)} UTC" in words
        assert told is (name == "ahead")
        assert ("its record here is no evidence" in words) is told
        assert "is not known" in words, "a graph that does not scale its inputs tells nothing of novelty"


def test_any_model_can_be_asked_for(replay: Replay, client: FlaskClient) -> None:
    champion = get(client, "/api/v1/forecast/BTCUSDT?interval=1h")
    assert champion["models"][0] == champion["model"] != "challenger"
    assert "challenger" in champion["models"]
    other = get(client, "/api/v1/forecast/BTCUSDT?interval=1h&model=challenger")
    assert other["model"] == "challenger"
    assert other["prices"] != champion["prices"]
    assert other["last_close"] == champion["last_close"]
    told = get(client, "/api/v1/forecast/BTCUSDT?model=nobody", 404)
    assert "known: challenger" in told["message"]
    rows = get(client, "/api/v1/forecasts?interval=1h")["rows"]
    assert list(dict.fromkeys(row[1] for row in rows)) == champion["models"]
    chart = client.get("/symbol/BTCUSDT/chart.json?model=challenger").get_json()
    assert chart["forecast"]["prices"][-1] == pytest.approx(other["prices"][-1], rel=1e-6)
    csv = client.get("/symbol/BTCUSDT/forecast.csv?model=challenger").text.splitlines()
    assert float(csv[-1].split(",")[4]) == pytest.approx(other["prices"][-1][2])


def test_bands_are_the_calibrated_ones_and_the_ledger_holds_both(replay: Replay, client: FlaskClient) -> None:
    body = get(client, "/api/v1/forecast/BTCUSDT?model=challenger")
    told = body["calibration"]
    assert told["outcomes_since"] == 1 + 2 + 3
    factors, raw = np.array(told["factors"]), np.array(told["uncalibrated_prices"])
    assert factors[0, 0] != 1.0
    shown = np.log(np.array(body["prices"]) / raw[:, 2:3])
    own = np.log(raw / raw[:, 2:3])
    np.testing.assert_allclose(shown[:, [0, 4]], own[:, [0, 4]] * factors[:, 1:], rtol=1e-4, atol=2e-7)
    assert told["coverage"]["1"]["scored"] == 3
    ledger: Ledger = replay.app.extensions["parts"].services.ledger
    row = next(one for one in ledger.recent(BTC, Interval.H1, 200) if one.model_id == "challenger")
    np.testing.assert_allclose(row.last_close * np.exp(row.log_returns), body["prices"][0])


def test_the_page_shows_each_model_and_leads_to_it(client: FlaskClient) -> None:
    page = client.get("/symbol/BTCUSDT").text
    assert "What each model says" in page
    assert "model=challenger" in page
    assert "(challenger)" not in page
    asked = client.get("/symbol/BTCUSDT?model=challenger")
    assert asked.status_code == 200
    assert "(challenger)" in asked.text
    assert "model=challenger" in asked.text.split("data-live-url")[1][:200]
    assert client.get("/symbol/BTCUSDT?model=nobody").status_code == 404
    live = client.get("/symbol/BTCUSDT/live?model=challenger").text
    assert "(challenger)" in live


def test_the_forecasts_of_other_models_are_folded_away_and_all_there(replay: Replay, client: FlaskClient) -> None:
    """On a phone a dozen models made a page of ten screens. Nothing is hidden from those who look for a market."""
    page = client.get("/forecasts").text
    names = [one["model"] for one in get(client, "/api/v1/forecasts?interval=1h")["models"]]
    folds = re.findall(r'<details class="by-model" (open)?><summary><b>([^<]+)</b>', page)
    assert folds == [("open" if name == names[0] else "", name) for name in names]
    assert page.count('<tr><th scope="row"><a href="/symbol/') == 2 * len(names) - 1, "one model knows one market alone"
    other = client.get("/forecasts?model=challenger").text
    assert re.findall(r'by-model" open><summary><b>([^<]+)', other) == ["challenger"]
    assert other.index("<summary><b>challenger") < other.index(f"<summary><b>{names[0]}"), "and is never left out"
    sought = client.get("/forecasts?q=eth").text
    assert "by-model" not in sought
    assert sought.count('<tr><th scope="row"><a href="/symbol/ETHUSDT') == len(names) - 1


def test_calibration_in_words(replay: Replay) -> None:
    services = replay.app.extensions["parts"].services
    forecast = services.forecaster.answer(replay.market.candles(BTC, Interval.H1), "challenger")
    few = Bands(6, 0.5, 0.9, 1.0, 0.4, 0.8, 1.0)
    many = Bands(400, 0.51, 0.9, 1.0, 0.44, 0.86, 1.0)
    assert "of this market since" in calibration_sentence(forecast, few)
    assert "too few to say, 6 of 100 scored" in calibration_sentence(forecast, few)
    assert calibration_sentence(forecast, many).endswith(
        "Of 400 outcomes the calibrated bands held 90 % and 51 %, the model’s own would have held 86 % and 44 %."
    )


def test_a_market_with_a_model_of_its_own_shows_that_one_with_its_own_evidence(
    replay: Replay, client: FlaskClient
) -> None:
    parts = replay.app.extensions["parts"].services
    common = get(client, "/api/v1/forecast/BTCUSDT")["model"]
    parts.promotion.choose_own("own")
    parts.data_cache.clear()  # the folder is looked at once a second
    body = get(client, "/api/v1/forecast/BTCUSDT")
    assert (body["model"], body["models"][0]) == ("own", "own")
    assert common in body["models"]
    assert body["scores"]["1"]["count"] == 3
    eth = get(client, "/api/v1/forecast/ETHUSDT")
    assert eth["model"] == common
    assert "own" not in eth["models"]
    page = client.get("/symbol/BTCUSDT").text
    assert "<small>(serves this market alone)</small>" in page
    assert "champion of the other markets" in page
    assert "serves this market alone" not in client.get("/symbol/ETHUSDT").text
    overview = client.get("/").text
    assert f"{common}, 1 market by its own" in overview
    assert overview.count("by own<") == 1
    parts.promotion.give_back("own")
    parts.data_cache.clear()
    assert get(client, "/api/v1/forecast/BTCUSDT")["model"] == common


def test_an_ensemble_is_among_the_models_of_a_market(replay: Replay, client: FlaskClient) -> None:
    parts = replay.app.extensions["parts"].services
    common = get(client, "/api/v1/forecast/BTCUSDT")["model"]
    write_ensembles(parts.registry.path, [Ensemble("mix", Interval.H1, {"challenger": 0.5, common: 0.5})])
    parts.data_cache.clear()
    page = client.get("/symbol/BTCUSDT").text
    assert "model=mix" in page
    assert "<small>ensemble</small>" in page
    mixed, *members = (
        get(client, f"/api/v1/forecast/BTCUSDT?model={name}")["prices"] for name in ("mix", "challenger", common)
    )
    np.testing.assert_allclose(np.log(mixed), (np.log(members[0]) + np.log(members[1])) / 2, rtol=1e-8)
    assert "(ensemble)" in client.get("/symbol/BTCUSDT?model=mix").text
    write_ensembles(parts.registry.path, [Ensemble("mix", Interval.H1, {"challenger": 0.5, "gone": 0.5})])
    parts.data_cache.clear()
    told = get(client, "/api/v1/forecast/BTCUSDT?model=mix")
    assert told["mix"]["left_out"] == ["gone"]
    np.testing.assert_allclose(told["prices"], members[0], rtol=1e-8)
    assert "Made without gone: no forecast came from there" in client.get("/symbol/BTCUSDT?model=mix").text
    write_ensembles(parts.registry.path, [Ensemble("mix", Interval.H1, {"lost": 0.5, "gone": 0.5})])
    parts.data_cache.clear()
    told = get(client, "/api/v1/forecast/BTCUSDT?model=mix", 503)
    assert "the members of ensemble mix (gone, lost) cannot be used" in told["message"]


def floats(value: object, name: str = "") -> Iterator[tuple[str, float]]:
    """Every float of an answer, with the name it stands under."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from floats(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from floats(item, name)
    elif isinstance(value, float):
        yield name, value


@pytest.mark.parametrize("address", ["forecast/BTCUSDT?model=challenger", "forecasts", "indicators/BTCUSDT?limit=20"])
def test_what_is_computed_has_eight_digits_everywhere(client: FlaskClient, address: str) -> None:
    body = get(client, f"/api/v1/{address}")
    if address == "forecasts":
        body["rows"] = [dict(zip(body["columns"], row, strict=True)) for row in body["rows"]]
    told = [one for one in floats(body) if one[0] != "last_close"]
    assert len(told) > 20
    assert [one for one in told if float(f"{one[1]:.8g}") != one[1]] == []
