"""Ledger: written before the outcome, scored exactly once, never over a hole, the same after a restart."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from numpy.typing import NDArray

from data.candles import Candles
from data.database import Database, connect
from data.interval import Interval
from data.symbol import Symbol
from data.venue import run
from models import conformal, scoring
from models.forecast import Forecast, Stretch
from models.ledger import Ledger
from models.ledger_scores import State, interval_95
from models.ledger_sums import weather_of
from tests.support import tiny_model
from tests.support.servers import PostgresServer, postgres_server
from utils.clock import ManualClock

HOUR_MS = 3_600_000
BTC = Symbol("BTCUSDT")
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = connect(url)
    yield opened
    opened.close()


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database, ManualClock())


def forecast(candles: Candles, row: int, *, bias: float = 0.001, **changes: object) -> Forecast:
    """Made at the close of candle `row`; its bands are the naive ones moved by `bias`."""
    naive = tiny_model.NAIVE * 0.01
    whole = Forecast(
        model_id="tiny",
        model_digest="d" * 64,
        symbol=candles.symbol,
        interval=candles.interval,
        candles_digest="c",
        last_open_time_ms=int(candles.open_time_ms[row]),
        last_close=float(candles.close[row]),
        sigma=0.01,
        made_at_ms=candles.interval.close_ms(int(candles.open_time_ms[row])) + 500,
        quantiles=(0.05, 0.25, 0.5, 0.75, 0.95),
        horizons=tuple(range(1, 25)),
        log_returns=naive + bias,
        baseline_log_returns=naive,
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def test_a_forecast_is_written_once(ledger: Ledger) -> None:
    candles = tiny_model.candles(100)
    made = [forecast(candles, row) for row in range(10)]
    assert ledger.append(made) == 10
    assert ledger.append(made) == 0
    assert ledger.append([*made, forecast(candles, 10), forecast(candles, 10)]) == 1
    assert ledger.append([]) == 0
    assert ledger.counts() == {"forecasts": 11, "scored": 0, "unscorable": 0}


def test_the_first_word_stands(ledger: Ledger) -> None:
    candles = tiny_model.candles(30)
    ledger.append([forecast(candles, 0, bias=0.001)])
    ledger.append([forecast(candles, 0, bias=0.5)])
    row = ledger.recent(BTC, Interval.H1, 1)[0]
    assert row.log_returns == tuple((tiny_model.NAIVE[0] * 0.01 + 0.001).tolist())


def test_each_horizon_is_scored_when_its_candle_closes_and_only_then(ledger: Ledger) -> None:
    candles = tiny_model.candles(60)
    ledger.append([forecast(candles, 0)])
    assert ledger.score(candles.slice(0, 1)) == 0
    assert ledger.score(candles.slice(0, 2)) == 1
    assert ledger.score(candles.slice(0, 2)) == 0
    assert ledger.score(candles.slice(0, 11)) == 9
    assert ledger.score(candles) == 14
    assert ledger.score(candles) == 0
    assert ledger.counts() == {"forecasts": 1, "scored": 24, "unscorable": 0}


def test_scores_are_those_of_the_scoring_functions(ledger: Ledger) -> None:
    candles = tiny_model.candles(200)
    made = [forecast(candles, row) for row in range(170)]
    ledger.append(made)
    ledger.score(candles)
    for horizon in (1, 6, 24):
        realised = np.log(candles.close[horizon : 170 + horizon] / candles.close[:170])
        model = np.stack([one.log_returns[horizon - 1] for one in made])
        naive = np.stack([one.baseline_log_returns[horizon - 1] for one in made])
        losses = [scoring.pinball_loss(realised, bands, made[0].quantiles).mean() for bands in (model, naive)]
        found = ledger.skill(model_id="tiny", symbol=BTC, horizon=horizon)
        direction = scoring.directional_accuracy(realised, model[:, 2], np.arange(170))
        assert direction is not None
        assert found.count == 170
        assert found.loss == pytest.approx(losses[0])
        assert found.baseline_loss == pytest.approx(losses[1])
        assert found.skill_fraction == pytest.approx(1 - losses[0] / losses[1])
        assert found.coverage_90 == pytest.approx(scoring.coverage(realised, model[:, 0], model[:, 4]))
        assert found.coverage_50 == pytest.approx(scoring.coverage(realised, model[:, 1], model[:, 3]))
        assert found.directional_accuracy == pytest.approx(direction.mean)
        assert found.blocks == 8
        assert found.skill_standard_error is not None


def test_scoring_piece_by_piece_sums_to_the_same(database: Database, tmp_path: Path) -> None:
    candles = tiny_model.candles(90)
    made = [forecast(candles, row) for row in range(60)]
    at_once, bit_by_bit = Ledger(database, ManualClock()), Ledger(connect("sqlite://"), ManualClock())
    at_once.append(made)
    at_once.score(candles)
    for row in range(90):
        bit_by_bit.append(made[row : row + 1])
        bit_by_bit.score(candles.slice(max(0, row - 30), row + 1))
    one, other = at_once.skill(model_id="tiny"), bit_by_bit.skill(model_id="tiny")
    assert one.count == other.count == 60 * 24
    assert one.loss == pytest.approx(other.loss)
    assert one.skill_standard_error == pytest.approx(other.skill_standard_error)
    bit_by_bit._database.close()


def test_a_restart_forgets_nothing_and_scores_nothing_twice(url: str) -> None:
    candles = tiny_model.candles(60)
    first = connect(url)
    Ledger(first, ManualClock()).append([forecast(candles, 0)])
    Ledger(first, ManualClock()).score(candles.slice(0, 6))
    first.close()
    second = connect(url)
    ledger = Ledger(second, ManualClock())
    assert ledger.append([forecast(candles, 0)]) == 0
    assert ledger.score(candles.slice(0, 6)) == 0
    assert ledger.score(candles) == 19
    assert ledger.skill(model_id="tiny").count == 24
    second.close()


def test_a_hole_is_unscorable_once_it_is_sure_to_be_one(ledger: Ledger) -> None:
    candles = tiny_model.candles(60)
    holed = tiny_model.without(candles, 5, 7)  # rows 5 and 6 do not exist
    ledger.append([forecast(candles, 0)])
    assert ledger.score(holed.slice(0, 6)) == 5  # rows 1-4 and 7; 5 and 6 may still be filled
    assert {row.state for row in ledger.recent(BTC, Interval.H1, 24) if row.horizon in (5, 6)} == {State.OPEN}
    ledger.score(holed)
    rows = {row.horizon: row for row in ledger.recent(BTC, Interval.H1, 24)}
    assert [rows[horizon].state for horizon in (4, 5, 6, 7)] == [State.SCORED, State.HOLE, State.HOLE, State.SCORED]
    assert (rows[5].realised, rows[5].loss) == (None, None)
    assert ledger.counts() == {"forecasts": 1, "scored": 22, "unscorable": 2}
    assert ledger.skill(model_id="tiny", horizon=5).skill_fraction is None


def test_a_late_backfill_still_counts(ledger: Ledger) -> None:
    candles = tiny_model.candles(60)
    ledger.append([forecast(candles, 0)])
    ledger.score(tiny_model.without(candles.slice(0, 9), 5, 7))
    ledger.score(candles.slice(0, 9))
    assert ledger.counts()["unscorable"] == 0


def test_candles_that_begin_after_the_target_decide_nothing(ledger: Ledger) -> None:
    candles = tiny_model.candles(60)
    ledger.append([forecast(candles, 0)])
    assert ledger.score(candles.tail(10)) == 0


def test_a_forecast_made_after_its_outcome_is_not_scored(ledger: Ledger) -> None:
    candles = tiny_model.candles(60)
    late = int(candles.open_time_ms[4])  # candles 1 to 3 had closed by then
    ledger.append([forecast(candles, 0, made_at_ms=late)])
    ledger.score(candles)
    rows = ledger.recent(BTC, Interval.H1, 24)
    assert [row.horizon for row in rows if row.state is State.LATE] == [1, 2, 3]
    assert ledger.skill(model_id="tiny").count == 21


def test_other_markets_and_intervals_decide_nothing(ledger: Ledger) -> None:
    candles = tiny_model.candles(60)
    ledger.append([forecast(candles, 0)])
    assert ledger.score(tiny_model.candles(60, symbol="ETHUSDT")) == 0
    assert ledger.score(tiny_model.candles(60, interval=Interval.M15)) == 0
    assert ledger.score(Candles.empty(BTC, Interval.H1)) == 0


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


def test_recent_rows_come_newest_first_and_carry_everything(ledger: Ledger) -> None:
    candles = tiny_model.candles(60)
    ledger.append([forecast(candles, row) for row in range(3)])
    ledger.score(candles.slice(0, 4))
    rows = ledger.recent(BTC, Interval.H1, 30)
    assert [(row.last_open_time_ms - candles.open_time_ms[0]) // HOUR_MS for row in rows] == [2] * 24 + [1] * 6
    assert [row.horizon for row in rows[:24]] == list(range(1, 25))
    assert rows[0].target_open_time_ms == int(candles.open_time_ms[3])
    assert rows[0].realised == pytest.approx(float(np.log(candles.close[3] / candles.close[2])))
    assert rows[1].realised is None
    np.testing.assert_allclose(rows[2].baseline_log_returns, tiny_model.NAIVE[2] * 0.01)


def test_a_thousand_days_answer_quickly(ledger: Ledger) -> None:
    candles = tiny_model.candles(4100)
    ledger.append([forecast(candles, row) for row in range(4000)])
    ledger.score(candles)
    assert ledger.skill(model_id="tiny", horizon=24).count == 4000
    took = []
    for _ in range(5):
        began = time.perf_counter()
        ledger.skill(model_id="tiny", symbol=BTC, horizon=24)
        took.append(time.perf_counter() - began)
    assert min(took) < 0.05


def scored(
    ledger: Ledger, *, symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT"), count: int = 150
) -> dict[str, Candles]:
    """Forecasts of two markets at every candle but the last 30, all decided."""
    markets = {name: tiny_model.candles(count + 30, symbol=name, seed=seed) for seed, name in enumerate(symbols, 7)}
    for candles in markets.values():
        ledger.append([forecast(candles, row, sigma=0.005 * (1 + row % 3)) for row in range(count)])
        ledger.score(candles)
    return markets


def change(database: Database, statement: str) -> None:
    """SQLite's word for zero bytes is put into PostgreSQL's words."""
    if database.engine.dialect.name == "postgresql":
        statement = re.sub(r"zeroblob\((\d+)\)", r"decode(repeat('00', \1), 'hex')", statement)
    with database.write() as connection:
        assert connection.execute(sa.text(statement)).rowcount > 0


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
    np.testing.assert_array_equal(ledger.ranks(model, 6), expected)
    assert ledger.ranks(model, 7).sum() == 0, "kept only where pages show it"


def test_weather_adds_up_to_the_whole(ledger: Ledger) -> None:
    scored(ledger)
    (model,) = ledger.models(Interval.H1)
    weather, whole = ledger.weather(model, 12), ledger.skill(model_id="tiny", horizon=12)
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
        course = ledger.course(model, 1, points)
        assert len(course.count) <= min(points, 40)
        assert course.count.sum() == whole.count == 1920
        assert (np.diff(course.from_ms) > 0).all()
    assert len(ledger.course(model, 5, 10).count) > 0
    assert len(ledger.course(model, 99, 10).count) == 0


def test_the_newest_forecast_of_each_market(ledger: Ledger) -> None:
    markets = scored(ledger)
    ledger.append([forecast(markets["BTCUSDT"], 160, model_digest="e" * 64, bias=0.5)])
    (model,) = ledger.models(Interval.H1)
    assert (model.digest, list(ledger.latest(model))) == ("e" * 64, [BTC])
    newest = ledger.latest(model)[BTC]
    assert newest.last_open_time_ms == int(markets["BTCUSDT"].open_time_ms[160])
    np.testing.assert_allclose(newest.log_returns, tiny_model.NAIVE * 0.01 + 0.5)
    assert ledger.models(Interval.D1) == ()


def test_the_version_changes_with_what_is_written_and_only_then(ledger: Ledger) -> None:
    candles = tiny_model.candles(60)
    seen = [ledger.version]
    for act in (
        lambda: ledger.append([forecast(candles, 0)]),
        lambda: ledger.score(candles),
        lambda: ledger.use("invented 1"),
    ):
        act()
        seen.append(ledger.version)
    assert len(set(seen)) == 4
    ledger.use("binance")
    now = ledger.version
    ledger.append([forecast(candles, 0)])
    ledger.score(candles)
    assert ledger.version == now


def test_a_whole_chain_is_found_whole(ledger: Ledger, url: str) -> None:
    empty = ledger.verify()
    assert (empty.rows, empty.checked, empty.complete, empty.intact, empty.head) == (0, 0, True, True, "")
    scored(ledger)
    found = ledger.verify()
    assert (found.rows, found.checked, found.unchained, found.complete, found.broken) == (300, 300, 0, True, None)
    assert len(found.head) == 64
    again = connect(url)
    assert Ledger(again, ManualClock()).verify() == found
    again.close()


@pytest.mark.parametrize(
    ("statement", "row", "says"),
    [
        ("UPDATE ledger_forecasts SET last_close = last_close * 1.0001 WHERE key = 17", 17, "changed"),
        ("UPDATE ledger_forecasts SET made_at_ms = made_at_ms - 1 WHERE key = 17", 17, "changed"),
        ("UPDATE ledger_forecasts SET sigma = sigma * 2 WHERE key = 300", 300, "changed"),
        ("UPDATE ledger_forecasts SET symbol = 'XRPUSDT' WHERE key = 1", 1, "changed"),
        ("UPDATE ledger_forecasts SET log_returns = zeroblob(960) WHERE key = 200", 200, "changed"),
        ("UPDATE ledger_forecasts SET chain = NULL WHERE key = 5", 5, "no hash"),
        ("UPDATE ledger_forecasts SET chain = zeroblob(32) WHERE key = 300", 300, "changed"),
        ("DELETE FROM ledger_forecasts WHERE key = 40", 40, "taken out"),
        ("DELETE FROM ledger_forecasts WHERE key > 297", 298, "3 of the newest rows were taken out"),
        ("UPDATE ledger_models SET model_id = 'better'", 1, "changed"),
        ("UPDATE ledger_heads SET chain = zeroblob(32)", 300, "not the one that was written last"),
    ],
)
def test_tampering_is_found_and_the_first_broken_row_named(
    database: Database, ledger: Ledger, statement: str, row: int, says: str
) -> None:
    scored(ledger)
    change(database, "DELETE FROM ledger_scores")
    change(database, statement)
    broken = ledger.verify().broken
    assert broken is not None
    assert broken.row == row
    assert says in broken.reason


def test_rewriting_a_hash_moves_the_break_to_the_next_row(database: Database, ledger: Ledger) -> None:
    """Whoever changes a row and its hash has to change every later one, and the head."""
    scored(ledger)
    change(
        database, "UPDATE ledger_forecasts SET chain = (SELECT chain FROM ledger_forecasts WHERE key = 9) WHERE key = 8"
    )
    broken = ledger.verify().broken
    assert broken is not None
    assert (broken.row, broken.symbol, broken.model_id) == (8, "BTCUSDT", "tiny")


def test_a_long_chain_is_walked_in_pieces(database: Database, ledger: Ledger) -> None:
    scored(ledger)
    pieces = [ledger.check(most=120) for _ in range(3)]
    assert [(one.checked, one.complete) for one in pieces] == [(120, False), (240, False), (300, True)]
    change(database, "UPDATE ledger_forecasts SET sigma = 9 WHERE key = 130")
    first, second = ledger.check(most=120), ledger.check(most=120)
    assert (first.intact, first.checked) == (True, 120)
    assert second.broken is not None
    assert second.broken.row == 130
    assert not ledger.check(most=1000).intact


def test_rows_from_before_the_chain_are_told_apart(database: Database, ledger: Ledger) -> None:
    candles = tiny_model.candles(60)
    ledger.append([forecast(candles, row) for row in range(10)])
    with database.write() as connection:
        connection.execute(sa.text("UPDATE ledger_forecasts SET chain = NULL"))
        connection.execute(sa.text("DELETE FROM ledger_heads"))
    ledger.append([forecast(candles, row) for row in range(10, 15)])
    found = ledger.verify()
    assert (found.rows, found.unchained, found.intact) == (15, 10, True)
    change(database, "UPDATE ledger_forecasts SET chain = NULL WHERE key = 12")
    assert not ledger.verify().intact


def test_each_venue_has_its_own_chain(ledger: Ledger) -> None:
    candles = tiny_model.candles(60)
    ledger.append([forecast(candles, row) for row in range(5)])
    real = ledger.verify()
    ledger.use("run 1")
    ledger.append([forecast(candles, row) for row in range(8)])
    assert ledger.verify().rows == ledger.verify().checked == 8
    ledger.use("binance")
    assert ledger.verify() == real


def test_sums_of_an_older_ledger_are_made_up_once(database: Database, ledger: Ledger) -> None:
    """A ledger that knew only daily sums by market and horizon answers the same after the next start."""
    scored(ledger)
    (model,) = ledger.models(Interval.H1)
    symbols = (None, BTC)
    before = ledger.skills_by_horizon(model_id="tiny", horizons=(1, 24), symbols=symbols)
    ranks, weather, whole = ledger.ranks(model, 24), ledger.weather(model, 24), ledger.skill(model_id="tiny")
    change(database, "DELETE FROM ledger_ranks")
    change(database, "DELETE FROM ledger_weather")
    change(database, "DELETE FROM ledger_days WHERE symbol = '' OR horizon = 0")
    newer = Ledger(database, ManualClock())
    after = newer.skills_by_horizon(model_id="tiny", horizons=(1, 24), symbols=symbols)
    for place, skill in before.items():
        assert (after[place].count, after[place].coverage_90) == (skill.count, skill.coverage_90)
        assert after[place].loss == pytest.approx(skill.loss)
    np.testing.assert_array_equal(newer.ranks(model, 24), ranks)
    np.testing.assert_allclose(newer.weather(model, 24).loss, weather.loss)
    assert (
        newer.skill(model_id="tiny").count
        == whole.count
        == Ledger(database, ManualClock()).skill(model_id="tiny").count
    )


def stretched(candles: Candles, row: int, factors: NDArray[np.float64], start: NDArray[np.float64]) -> Forecast:
    """What the model says is twice as narrow as the naive bands."""
    answer = (0.5 * tiny_model.NAIVE).astype(np.float32)
    shown = conformal.stretched(answer.astype(np.float64) * 0.01, factors, QUANTILES)
    made = forecast(candles, row)
    return replace(made, log_returns=shown, stretch=Stretch(answer, factors, start, 0, 0))


def test_factors_are_followed_once_whatever_happens_between(database: Database) -> None:
    candles, start = tiny_model.candles(60), np.full((24, 2), 1.5)
    ledger = Ledger(database, ManualClock())
    for row in range(30):
        now = ledger.followings("d" * 64).get(BTC)
        factors = start if now is None else now.at(int(candles.open_time_ms[row]))
        assert factors is not None
        ledger.append([stretched(candles, row, factors, start)])
        again = Ledger(database, ManualClock())  # a restart between any two steps
        assert again.append([stretched(candles, row, start, start)]) == 0
        again.score(candles.slice(0, row + 2))
        assert again.score(candles.slice(0, row + 2)) == 0
    found = Ledger(database, ManualClock()).followings("d" * 64)[BTC]
    assert found.moment_ms == candles.open_time_ms[30]
    assert found.outcomes == sum(min(30, 31 - ahead) for ahead in range(1, 25))
    rows = [row for row in ledger.recent(BTC, Interval.H1, 2000) if row.state is State.SCORED]
    given = np.array([[one.log_returns for one in rows if one.horizon == 1]])[0]
    realised = np.array([one.realised for one in rows if one.horizon == 1], dtype=np.float64)
    missed = ((realised < given[:, 0]) | (realised > given[:, -1])).astype(np.float64) - 0.1
    np.testing.assert_allclose(found.after[0, 1], 1.5 * np.exp(conformal.GAMMA * missed.sum()))
    assert found.after[0, 1] != found.before[0, 1]


def test_coverage_is_kept_with_and_without_calibration(ledger: Ledger) -> None:
    candles, start = tiny_model.candles(300), np.full((24, 2), 2.0)
    ledger.append([forecast(candles, 0)])
    ledger.append([stretched(candles, row, start, start) for row in range(1, 250)])
    ledger.score(candles)
    for symbol in (BTC, None):
        found = ledger.bands(digest="d" * 64, symbol=symbol, horizons=(1, 24))
        assert found[1].scored == 249
        skill = ledger.skill(model_id="tiny", horizon=1)
        assert skill.count == 250
        assert found[1].shown_90 == pytest.approx(skill.coverage_90, abs=0.005)
        assert found[1].raw_90 is not None
        assert found[1].shown_90 is not None
        assert found[1].raw_90 < found[1].shown_90 - 0.1
        assert found[1].raw_loss != found[1].shown_loss
    nothing = ledger.bands(digest="e" * 64, symbol=None, horizons=(1,))[1]
    assert (nothing.scored, nothing.raw_90) == (0, None)
    assert ledger.verify().intact


def test_a_venue_that_does_not_last_takes_its_factors_along(database: Database) -> None:
    candles, start = tiny_model.candles(40), np.ones((24, 2))
    ledger = Ledger(database, ManualClock(), venue=run(1))
    ledger.append([stretched(candles, 0, start, start)])
    ledger.score(candles)
    assert BTC in ledger.followings("d" * 64)
    ledger.use("binance")
    assert ledger.followings("d" * 64) == {}
    ledger.use(run(1))
    assert ledger.followings("d" * 64) == {}
