"""The ledger's sums: what is told of scores, recomputed from every one of them, and how fast."""

from __future__ import annotations

import time

import numpy as np
import pytest

from data.database import Database
from data.interval import Interval
from data.symbol import Symbol
from models.ledger import Ledger
from models.ledger_scores import interval_95
from models.ledger_sums import weather_of
from tests.support import tiny_model
from tests.support.ledgers import BTC, change, forecast, scored
from utils.clock import ManualClock


def test_skill_is_told_by_model_digest_and_market(ledger: Ledger) -> None:
    candles, other = tiny_model.candles(60), tiny_model.candles(60, symbol="ETHUSDT", seed=4)
    ledger.append([forecast(candles, row) for row in range(5)])
    ledger.append([forecast(other, row) for row in range(3)])
    ledger.append([forecast(candles, row, model_digest="e" * 64, bias=0.1) for row in range(4)])
    ledger.append([forecast(candles, row, model_id="else", model_digest="f" * 64) for row in range(2)])
    ledger.score(candles)
    ledger.score(other)
    assert ledger.skill(model_id="tiny", horizon=1).count == 12
    assert ledger.skill(model_id="tiny", horizon=1, symbol=BTC).count == 9
    assert ledger.skill(model_id="tiny", horizon=1, digest="e" * 64).count == 4
    assert ledger.skill(model_id="else", horizon=1).count == 2
    assert ledger.skill(model_id="tiny", interval=Interval.D1).count == 0


def test_nothing_scored_is_no_number(ledger: Ledger) -> None:
    found = ledger.skill(model_id="nobody")
    assert (found.count, found.loss, found.skill_fraction, found.coverage_90, found.directional_accuracy) == (
        0, None, None, None, None,
    )  # fmt: skip


def test_a_thousand_days_answer_quickly(ledger: Ledger) -> None:
    """What is told comes from sums by day: as many days with fewer forecasts in each are as much to add up."""
    candles = tiny_model.candles(4100)
    ledger.append([forecast(candles, row) for row in range(0, 4000, 4)])
    ledger.score(candles)
    assert ledger.skill(model_id="tiny", horizon=24).count == 1000
    took = []
    for _ in range(5):
        began = time.perf_counter()
        ledger.skill(model_id="tiny", symbol=BTC, horizon=24)
        took.append(time.perf_counter() - began)
    assert min(took) < 0.05


def test_all_markets_asked_at_once_answer_as_each_alone(ledger: Ledger) -> None:
    scored(ledger)
    symbols = (BTC, Symbol("ETHUSDT"), Symbol("XRPUSDT"))
    for horizon in (None, 6):
        found = ledger.skills(model_id="tiny", symbols=symbols, horizon=horizon)
        assert found == {one: ledger.skill(model_id="tiny", symbol=one, horizon=horizon) for one in symbols}
        assert [found[one].count for one in symbols] == [150 * (1 if horizon else 24)] * 2 + [0]
    by_horizon = ledger.skills_by_horizon(model_id="tiny", horizons=(1, 24), symbols=(None, BTC))
    assert by_horizon[BTC, 24] == ledger.skill(model_id="tiny", symbol=BTC, horizon=24)
    assert by_horizon[None, 1] == ledger.skill(model_id="tiny", horizon=1)
    assert by_horizon[None, 1].count == 300


def test_the_standard_error_is_that_of_the_blocks(ledger: Ledger) -> None:
    """Recomputed from every single score, with the ratio estimator written out."""
    scored(ledger, symbols=("BTCUSDT",))
    rows = [row for row in ledger.recent(BTC, Interval.H1, 10_000) if row.horizon == 6]
    days = np.array([row.last_open_time_ms // 86_400_000 for row in rows])
    loss, naive = np.array([(row.loss, row.baseline_loss) for row in rows], dtype=np.float64).T
    labels = np.unique(days, return_inverse=True)[1]
    by_day = [np.bincount(labels, weights=column) for column in (loss, naive)]
    found = ledger.skill(model_id="tiny", symbol=BTC, horizon=6)
    ratio, groups = loss.sum() / naive.sum(), len(by_day[0])
    spread = np.sqrt(((by_day[0] - ratio * by_day[1]) ** 2).sum() * groups / (groups - 1)) / naive.sum()
    assert found.skill_standard_error == pytest.approx(spread)
    assert found.coverage_90_standard_error is not None
    bounds = interval_95(found.skill_fraction, found.skill_standard_error, found.blocks)
    assert bounds is not None
    assert bounds[1] - bounds[0] == pytest.approx(2 * 2.45 * spread, rel=0.01)  # Student's t of 6 degrees of freedom
    assert interval_95(0.02, 0.01, 2) is None
    assert interval_95(0.02, None, 9) is None


def test_outcomes_are_counted_between_the_quantiles(ledger: Ledger) -> None:
    markets = scored(ledger)
    (model,) = ledger.models(Interval.H1)
    expected = np.zeros(6)
    for candles in markets.values():
        realised = np.log(candles.close[6:156] / candles.close[:150])
        expected += np.bincount((realised[:, None] > tiny_model.NAIVE[5] * 0.01 + 0.001).sum(axis=1), minlength=6)
    np.testing.assert_array_equal(ledger.details([model], [6], 60)[model.key, 6].ranks, expected)
    assert ledger.details([model], [7], 60)[model.key, 7].ranks.sum() == 0, "kept only where pages show it"


def test_weather_adds_up_to_the_whole(ledger: Ledger) -> None:
    scored(ledger)
    (model,) = ledger.models(Interval.H1)
    weather, whole = ledger.details([model], [12], 60)[model.key, 12].weather, ledger.skill(model_id="tiny", horizon=12)
    assert weather.count.shape == (24, 3)
    assert weather.count.sum() == whole.count == 300
    assert whole.loss is not None
    assert weather.loss.sum() / 300 == pytest.approx(whole.loss)
    np.testing.assert_array_equal(weather.count.sum(axis=0), [100, 100, 100])
    assert weather.edges is not None
    assert 0.005 < weather.edges[0] < 0.0101 < weather.edges[1] < 0.015
    nothing = weather_of(np.array([], dtype=np.int64), np.array([], dtype=np.int64), {})
    assert (nothing.count.sum(), nothing.edges) == (0, None)


def test_the_course_keeps_its_size_however_long_it_runs(ledger: Ledger) -> None:
    scored(ledger, count=960)
    (model,) = ledger.models(Interval.H1)
    whole = ledger.skill(model_id="tiny", horizon=1)
    for points in (7, 40, 1000):
        course = ledger.details([model], [1], points)[model.key, 1].course
        assert len(course.count) <= min(points, 40)
        assert course.count.sum() == whole.count == 1920
        assert (np.diff(course.from_ms) > 0).all()
    assert len(ledger.details([model], [5], 10)[model.key, 5].course.count) > 0
    assert len(ledger.details([model], [99], 10)[model.key, 99].course.count) == 0


def test_sums_of_an_older_ledger_are_made_up_once(database: Database, ledger: Ledger) -> None:
    """A ledger that knew only daily sums by market and horizon answers the same after the next start."""
    scored(ledger)
    (model,) = ledger.models(Interval.H1)
    symbols = (None, BTC)
    before = ledger.skills_by_horizon(model_id="tiny", horizons=(1, 24), symbols=symbols)
    ranks, weather, whole = (
        ledger.details([model], [24], 60)[model.key, 24].ranks,
        ledger.details([model], [24], 60)[model.key, 24].weather,
        ledger.skill(model_id="tiny"),
    )
    change(database, "DELETE FROM ledger_ranks")
    change(database, "DELETE FROM ledger_weather")
    change(database, "DELETE FROM ledger_days WHERE symbol = '' OR horizon = 0")
    newer = Ledger(database, ManualClock())
    after = newer.skills_by_horizon(model_id="tiny", horizons=(1, 24), symbols=symbols)
    for place, skill in before.items():
        assert (after[place].count, after[place].coverage_90) == (skill.count, skill.coverage_90)
        assert after[place].loss == pytest.approx(skill.loss)
    np.testing.assert_array_equal(newer.details([model], [24], 60)[model.key, 24].ranks, ranks)
    np.testing.assert_allclose(newer.details([model], [24], 60)[model.key, 24].weather.loss, weather.loss)
    assert (
        newer.skill(model_id="tiny").count
        == whole.count
        == Ledger(database, ManualClock()).skill(model_id="tiny").count
    )
