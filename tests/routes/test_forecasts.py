"""The page of forecasts: true to the ledger, the same as its files, honest about what cannot be told, of one size."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from data.interval import Interval
from data.symbol import Symbol
from models.ledger import Ledger
from models.ledger_chain import Broken, Verification
from models.ledger_sums import Weather
from routes import forecasts, score_charts, wording
from routes.chain_view import chain_view
from routes.forecast_table import CSV_COLUMNS
from routes.forecast_weather import weather_view
from routes.forecasts_page import ForecastsPage, forecasts_page
from routes.mix_wording import Making
from routes.services import services
from tests.routes.test_pages import Outline, text_of
from tests.support.browser import Replay, replayed_app
from tests.support.pages import THREE
from tests.support.scored_ledger import give_past

TEMPLATE = Path(__file__).resolve().parents[2] / "templates" / "forecasts.html"
HORIZONS = [1, 3, 6, 12, 24]


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    with replayed_app(tmp_path_factory.mktemp("forecasts"), THREE) as made:
        if "forecasts" not in made.app.blueprints:
            made.app.register_blueprint(forecasts.bp)
        give_past(made, 400)
        yield made


@pytest.fixture
def client(replay: Replay) -> FlaskClient:
    return replay.app.test_client()


def read(client: FlaskClient, address: str) -> dict[str, Any]:
    body = json.loads(client.get(address).data, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert isinstance(body, dict)
    return body


def ledger_of(replay: Replay) -> Ledger:
    ledger: Ledger = replay.app.extensions["services"].ledger
    return ledger


def test_the_page_stands_without_a_script(client: FlaskClient) -> None:
    html = client.get("/forecasts").text
    outline = Outline(html)
    assert len(outline.all("h1")) == len(outline.all("main")) == 1
    assert not outline.all("style")
    assert all("style" not in attributes for _, attributes in outline.tags)
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert len([svg for svg in outline.all("svg") if "chart-svg" in (svg.get("class") or "")]) == 3
    assert all(svg.get("aria-label") for svg in outline.all("svg") if svg.get("role") == "img")
    for name in THREE:
        assert f"/symbol/{name}?interval=1h" in html
    assert "nan" not in text_of(html).casefold().split()
    assert "None" not in text_of(html).split()


def test_the_sentence_is_the_ledgers(replay: Replay, client: FlaskClient) -> None:
    model_id = read(client, "/api/v1/forecasts")["models"][0]["model"]
    for horizon in HORIZONS:
        skill = ledger_of(replay).skill(model_id=model_id, horizon=horizon)
        assert skill.count >= 1000
        sentence = wording.evidence(skill, f"{horizon} h")
        words = text_of(client.get(f"/forecasts?horizon={horizon}").text)
        assert sentence[0].upper() + sentence[1:] in words


def test_table_csv_and_json_say_the_same(replay: Replay, client: FlaskClient) -> None:
    body = read(client, "/api/v1/forecasts?interval=1h")
    answer = client.get("/forecasts.csv?interval=1h")
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert answer.mimetype == "text/csv"
    assert tuple(rows[0]) == CSV_COLUMNS == tuple(body["columns"])
    assert len(rows) - 1 == len(body["rows"]) == len(THREE) * len(HORIZONS)
    html = client.get("/forecasts").text
    for text_row, values in zip(rows[1:], body["rows"], strict=True):
        one = dict(zip(body["columns"], values, strict=True))
        assert text_row[:2] == [one["symbol"], one["model"]]
        assert float(text_row[CSV_COLUMNS.index("median")]) == one["median"]
        found = ledger_of(replay).skill(model_id=one["model"], symbol=Symbol(one["symbol"]), horizon=one["horizon"])
        assert (one["scored"], one["coverage_90"]) == (found.count, pytest.approx(found.coverage_90, rel=5.1e-8))
        assert one["skill_low_95"] < one["skill"] < one["skill_high_95"]
        assert one["low_5"] < one["median"] < one["high_95"]
        assert one["clears_cost"] == (abs(one["median"]) > 0.0024)
        assert wording.percent(one["median"], signed=True) in html
        assert f"skill {wording.percent(one['skill'], 1, signed=True)}" in html


def test_the_forecast_is_the_one_of_the_market_page(client: FlaskClient) -> None:
    forecast = read(client, "/api/v1/forecast/BTCUSDT")
    body = read(client, "/api/v1/forecasts")
    rows = [dict(zip(body["columns"], row, strict=True)) for row in body["rows"]]
    mine = {row["horizon"]: row for row in rows if row["symbol"] == "BTCUSDT"}
    for horizon, row in mine.items():
        assert row["median"] == pytest.approx(forecast["prices"][horizon - 1][2] / forecast["last_close"] - 1, abs=1e-7)
        assert forecast["scores"][str(horizon)]["skill_fraction"] == pytest.approx(row["skill"], rel=1e-7)
    assert forecast["score"] == forecast["scores"]["24"]


def test_json_is_strict_and_its_parts_add_up(client: FlaskClient) -> None:
    body = read(client, "/api/v1/forecasts")
    (model,) = body["models"]
    for horizon in HORIZONS:
        count = model["coverage"]["scored"][horizon - 1]
        detail = model["details"][str(horizon)]
        assert sum(detail["outcomes_between_quantiles"]) == count
        assert sum(detail["course"]["scored"]) == count
        assert np.array(detail["hour_by_volatility"]["scored"]).shape == (24, 3)
        assert np.array(detail["hour_by_volatility"]["scored"]).sum() == count
    assert body["cost_fraction"] == pytest.approx(0.0024)
    assert body["chain"]["intact"]


def test_too_few_is_said_and_never_a_number(client: FlaskClient) -> None:
    html = client.get("/forecasts?horizon=6").text
    weather = html[html.index('class="grid weather"') :].split("</table>")[0]
    cells = re.findall(r'data-verdict="(\w+)">([^<]+)</span> <span class="note">([\d,]+)', weather)
    assert len(cells) == 72
    assert {(verdict, text) for verdict, text, _ in cells} == {("unknown", "too few")}
    assert max(int(count) for *_, count in cells) < 100
    assert "no hour and volatility has 100 scored forecasts yet" in html


def test_hours_and_volatility_that_can_be_told() -> None:
    count = np.zeros((24, 3))
    count[5] = [99, 100, 2000]
    loss, baseline = count * 1.1, count * 1.0
    loss[5, 2] = 0.9 * 2000
    found = weather_view(Weather(count, loss, baseline, (0.004, 0.008)), Interval.H1)
    assert found is not None
    ((hour, cells),) = found.rows
    assert hour == "05:00"
    assert [(cell.text, cell.note, cell.verdict) for cell in cells] == [
        ("too few", "99", "unknown"),
        ("−10.0 %", "100", "worse"),
        ("+10.0 %", "2,000", "better"),
    ]
    assert found.columns == (("calm", "below 0.40 %"), ("usual", "0.40 % to 0.80 %"), ("lively", "above 0.80 %"))
    assert "in 1 of 2 cells that hold 100 scored forecasts or more, 1 hold fewer" in found.summary
    assert weather_view(Weather(count, loss, baseline, None), Interval.H1) is None


def test_search_and_choices_come_from_the_address(client: FlaskClient) -> None:
    assert re.findall(r'<th scope="row"><a href="[^"]*">(\w+)</a>', client.get("/forecasts?q=eth").text) == ["ETHUSDT"]
    assert "No forecast of a market with “ZZZ”" in client.get("/forecasts?q=zzz").text
    for odd in ("horizon=7", "horizon=-1", "horizon=²", "horizon=9999999999"):
        answer = client.get(f"/forecasts?{odd}")
        assert (answer.status_code, "use " in text_of(answer.text)) == (400, True), odd
    answer = client.get("/forecasts?model=<script>")
    assert (answer.status_code, "<script>" in answer.text) == (404, False)
    assert "forecasts 1h candles; those that do: " in text_of(answer.text)
    assert client.get("/forecasts?interval=7m").status_code == 400


def test_unchanged_is_304_and_a_new_forecast_a_new_page(replay: Replay, client: FlaskClient) -> None:
    for address in ("/forecasts", "/forecasts.csv", "/api/v1/forecasts", "/api/v1/ledger/chain"):
        first = client.get(address)
        again = client.get(address, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")


def test_every_value_of_the_page_is_used(replay: Replay) -> None:
    views = Path(forecasts.__file__).read_text().replace("value.", "page.") + TEMPLATE.read_text()
    with replay.app.test_request_context("/"):
        forecasts_page(services(), Interval.H1)
    assert [field.name for field in fields(ForecastsPage) if f"page.{field.name}" not in views] == []


def test_a_record_of_times_that_the_model_was_trained_on_is_called_no_evidence(
    replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    with replay.app.test_request_context("/"):
        now_ms = services().clock.now_ms()
        for seen_ms, told in ((now_ms, False), (now_ms + 60_000, True)):
            made = Making("Model made", None, "Trained until", seen_ms, seen_ms)
            monkeypatch.setattr("routes.forecasts_page.making_of", lambda _entry, made=made: made)
            assert ("no evidence" in forecasts_page(services(), Interval.H1).seen) is told


def test_without_a_model_nobody_is_told_to_wait_for_a_candle(tmp_path: Path) -> None:
    with replayed_app(tmp_path, THREE[:1], intervals="1h,15m") as made:
        page = text_of(made.app.test_client().get("/forecasts?interval=15m").text)
        assert "There is no model for 15m candles yet. Train one" in page
        assert "Nothing was forecast" not in page
        assert "0 of 0" not in page


def test_the_page_keeps_its_size_however_long_the_ledger_is(tmp_path: Path) -> None:
    sizes = []
    with replayed_app(tmp_path, THREE[:2]) as made:
        if "forecasts" not in made.app.blueprints:
            made.app.register_blueprint(forecasts.bp)
        client = made.app.test_client()
        empty = client.get("/forecasts")
        assert empty.status_code == 200
        assert "Nothing was forecast on 1h candles yet" in text_of(empty.text)
        for back in (200, 600):
            give_past(made, back)
            made.app.extensions["services"].pages.clear()
            sizes.append(len(client.get("/forecasts").data))
    assert sizes[1] < sizes[0] * 1.15


def test_tampering_is_shown(tmp_path: Path) -> None:
    with replayed_app(tmp_path, THREE[:1]) as made:
        if "forecasts" not in made.app.blueprints:
            made.app.register_blueprint(forecasts.bp)
        give_past(made, 150)
        client = made.app.test_client()
        assert "whole: 150 forecasts, none changed, added or taken out" in text_of(client.get("/forecasts").text)
        with made.app.extensions["parts"].database.write() as connection:
            connection.execute(sa.text("UPDATE ledger_forecasts SET sigma = sigma * 2 WHERE key = 77"))
        parts = made.app.extensions["services"]
        parts.pages.clear()
        parts.data_cache.clear()
        words = text_of(client.get("/forecasts").text)
        assert "broken at row 77 (BTCUSDT, " in words
        found = read(client, "/api/v1/ledger/chain")
        assert (found["intact"], found["broken"]["row"]) == (False, 77)


def test_the_chain_in_words() -> None:
    def said(*, rows: int, checked: int, complete: bool, unchained: int = 0, broken: Broken | None = None) -> str:
        return chain_view(Verification(rows, checked, unchained, complete, "ab" * 32, broken)).text

    assert said(rows=0, checked=0, complete=True) == "no forecast written yet"
    assert said(rows=50_000, checked=20_000, complete=False) == (
        "20,000 of 50,000 forecasts followed so far, none changed"
    )
    assert said(rows=9, checked=9, complete=True, unchained=4).endswith("4 older than the chain")
    assert said(rows=9, checked=9, complete=True, broken=Broken(9, "", "", 0, "lost")) == "broken at row 9: lost"


def test_charts_wait_for_enough(replay: Replay) -> None:
    ledger = ledger_of(replay)
    (model,) = ledger.models(Interval.H1)
    pooled = {horizon: ledger.skill(model_id=model.id, horizon=horizon) for horizon in HORIZONS}
    assert score_charts.coverage_chart(pooled, 100) is not None
    assert score_charts.coverage_chart(pooled, 10**9) is None
    ranks = ledger.details([model], [6], 60)[model.key, 6].ranks
    drawn = score_charts.calibration_chart(ranks, model.quantiles, 100)
    assert drawn is not None
    assert drawn.rising.count("M") == len(model.quantiles) + 1
    assert score_charts.calibration_chart(ranks * 0, model.quantiles, 100) is None
    assert score_charts.course_chart(ledger.details([model], [6], 1)[model.key, 6].course) is None


def test_perfect_calibration_draws_level_bars() -> None:
    quantiles = (0.05, 0.25, 0.5, 0.75, 0.95)
    drawn = score_charts.calibration_chart(np.array([50.0, 200, 250, 250, 200, 50]), quantiles, 100)
    assert drawn is not None
    heights = set(re.findall(r"V([\d.]+)H", drawn.rising))
    assert len(heights) == 1
    assert f"M40 {heights.pop()}H" in drawn.nominal
