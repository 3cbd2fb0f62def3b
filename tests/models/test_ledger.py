"""Ledger: written before the outcome, scored exactly once, never over a hole, the same after a restart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.candles import Candles
from data.database import Database, connect
from data.interval import Interval
from models import scoring
from models.ledger import Ledger
from models.ledger_scores import State
from tests.support import tiny_model
from tests.support.ledgers import BTC, HOUR_MS, forecast, scored
from utils.clock import ManualClock


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


def test_the_newest_forecast_of_each_market(ledger: Ledger) -> None:
    markets = scored(ledger)
    ledger.append([forecast(markets["BTCUSDT"], 160, model_digest="e" * 64, bias=0.5)])
    (model,) = ledger.models(Interval.H1)
    assert (model.digest, list(ledger.latest([model])[model.key])) == ("e" * 64, [BTC])
    newest = ledger.latest([model])[model.key][BTC]
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


@pytest.mark.parametrize("jump_hours", [-48, 1000], ids=lambda hours: f"{hours:+d}h")
def test_clock_jumps_write_nothing_twice_and_change_no_word(
    database: Database, tmp_path: Path, jump_hours: int
) -> None:
    """Beside a ledger whose clock stands still, to the last byte of the chain and to the last score."""
    candles, clock = tiny_model.candles(80), ManualClock(tiny_model.START_MS + 30 * HOUR_MS)
    calm_database = connect(f"sqlite:///{tmp_path / 'calm.db'}")
    ledger, calm = Ledger(database, clock), Ledger(calm_database, ManualClock())
    for row in range(30, 38):
        made = forecast(candles, row)
        assert ledger.append([made]) == calm.append([made]) == 1
        known = candles.slice(0, row + 2)
        assert ledger.score(known) == calm.score(known)
        before = clock.now_ms()
        for now_ms in (before + jump_hours * HOUR_MS, before + HOUR_MS):  # and it is put right again
            clock.set_wall(now_ms)
            ledger = Ledger(database, clock)  # the dashboard is started again meanwhile
            assert ledger.append([replace(made, made_at_ms=now_ms, log_returns=made.log_returns + 0.1)]) == 0
            assert ledger.score(known) == 0
            assert ledger.score(candles.slice(0, row + 1)) == 0, "the candles of before the jump once more"
    assert ledger.verify() == calm.verify()
    assert ledger.verify().rows == 8
    assert ledger.recent(BTC, Interval.H1, 1000) == calm.recent(BTC, Interval.H1, 1000)
    assert ledger.skill(model_id="tiny") == calm.skill(model_id="tiny")
    calm_database.close()


def test_what_a_clock_far_ahead_says_is_not_counted_as_foresight(ledger: Ledger) -> None:
    """Made, by its clock, five hours after its candle closed: the first five outcomes may have been known."""
    candles = tiny_model.candles(60)
    late = forecast(candles, 10)
    ledger.append([replace(late, made_at_ms=late.made_at_ms + 5 * HOUR_MS)])
    ledger.score(candles)
    states = {row.horizon: row.state for row in ledger.recent(BTC, Interval.H1, 100)}
    assert [states[horizon] for horizon in (1, 5, 6, 24)] == [State.LATE, State.LATE, State.SCORED, State.SCORED]


@pytest.mark.parametrize("hole", [(12, 13), (11, 16), (13, 34)], ids=["one", "five", "many"])
def test_a_gap_in_candles_is_unscorable_and_never_a_guess(ledger: Ledger, hole: tuple[int, int]) -> None:
    """Horizons that end in the gap have no outcome; those beyond it have the one that really was."""
    whole = tiny_model.candles(60)
    ledger.append([forecast(whole, 10)])
    ledger.score(tiny_model.without(whole, *hole))
    rows = {row.horizon: row for row in ledger.recent(BTC, Interval.H1, 100)}
    for horizon, row in rows.items():
        if hole[0] <= 10 + horizon < hole[1]:
            assert (row.state, row.realised, row.loss) == (State.HOLE, None, None)
        else:
            assert row.state is State.SCORED
            assert row.realised == pytest.approx(np.log(whole.close[10 + horizon] / whole.close[10]))
    assert ledger.score(whole) == 0, "a word once said of an outcome stands"
