"""The ledger's calibrations: factors followed once, whatever happens between; coverage with and without."""

from __future__ import annotations

import numpy as np
import pytest

from data.database import Database
from data.interval import Interval
from data.venue import run
from models import conformal
from models.ledger import Ledger
from models.ledger_scores import State
from tests.support import tiny_model
from tests.support.ledgers import BTC, forecast, stretched
from utils.clock import ManualClock


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
