"""A pure random walk on the pages: nothing can be learned of it, and every place that speaks of skill says so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from data.interval import Interval
from data.symbol import Symbol
from models.forecast import Forecast
from models.job_requests import Task
from models.learners import probe
from models.ledger import Ledger
from models.model_writing import write_model
from models.placebo import placebo
from models.registry import Registry
from models.walk import Plan, walk
from routes.mix_wording import making_of, seen_sentence
from tests.support import tiny_model
from tests.support.workbench import Bench, bench

BTC = Symbol("BTCUSDT")


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Bench]:
    """A model that is hardly more than the naive forecast, in a market that is a random walk."""
    spec = tiny_model.spec("guess")
    write_model(tmp_path / "models", spec, tiny_model.graph(spec, strength=0.002), {"note": "made for a test"})
    with bench(tmp_path, count=1500) as built:
        yield built


def shown(made: Bench, address: str) -> str:
    answer = made.app.test_client().get(address)
    assert answer.status_code == 200
    return unescape(" ".join(re.sub(r"<[^>]+>", " ", answer.text).split()))


def test_the_card_of_a_model_that_was_walked_over_a_random_walk_says_not_better(made: Bench) -> None:
    whole = tiny_model.candles(4000, symbol="AAAUSDT", seed=3)
    found = walk([placebo(whole, 1)], probe, Plan(folds=2, horizons=(1, 6)))
    digest = made.services.registry.get("guess").digest
    made.services.results.put(digest, Task.WALKFORWARD, found.to_dict(), model_id="guess", now_ms=1_000)
    told = shown(made, "/models/guess")
    assert "✕ not better" in told
    assert "Better than no change beyond doubt at 0 of 2 horizons" in told


def test_the_page_of_a_market_says_not_better_than_no_change(made: Bench) -> None:
    parts = made.services
    candles = parts.market.candles(BTC, Interval.H1)
    forecasts = []
    for row in range(len(candles) - 200, len(candles)):
        (one,) = parts.forecaster.answers([candles.slice(0, row + 1)])
        assert isinstance(one, Forecast)
        forecasts.append(replace(one, made_at_ms=one.interval.close_ms(one.last_open_time_ms) + 500))
    ledger: Ledger = made.app.extensions["parts"].ledger
    ledger.append(forecasts)
    assert ledger.score(candles) > 4000
    told = shown(made, "/symbol/BTCUSDT?interval=1h")
    assert re.search(
        r"over 1\d\d scored \d+ h forecasts this model is not better than “no change”", told, re.IGNORECASE
    )


def test_what_was_learned_from_this_very_time_is_no_evidence(made: Bench) -> None:
    candles = made.services.market.candles(BTC, Interval.H1)
    end_ms = candles.last_close_time_ms + 1
    day_ms = 24 * Interval.H1.ms
    for name, until_ms in (("knows", end_ms + 40 * day_ms), ("knew", end_ms - day_ms)):
        spec = replace(tiny_model.spec(name), train_until_ms=until_ms)
        write_model(made.services.registry.path, spec, tiny_model.graph(spec), {"note": name})
    for name, told in (("knows", True), ("knew", False)):
        for address in (f"/symbol/BTCUSDT?model={name}", f"/models/{name}"):
            found = "it knows what came after, so its record here is no evidence" in shown(made, address)
            assert found is told, address


def test_what_bands_were_calibrated_by_counts_as_seen_too() -> None:
    entry = Registry(Path(__file__).resolve().parents[2] / "saved_models").get("scale-1h")
    assert entry.spec is not None
    assert entry.report is not None
    calibrated_until_ms = entry.report["data"]["fitted_until_ms"]
    assert entry.spec.train_until_ms < calibrated_until_ms
    made = making_of(entry)
    assert "no evidence" in seen_sentence(made, entry.spec.train_until_ms + 1)
    assert seen_sentence(made, calibrated_until_ms) == ""
