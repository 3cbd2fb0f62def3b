"""The placebo: as volatile as the real market, with its times and holes, and with nothing in it to learn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from data.features import ewma_sigma, log_returns
from models import placebo as command
from models.baseline import horizon_returns
from models.learners import probe
from models.placebo import placebo, placebo_test
from models.scoring import pinball_loss
from models.walk import Plan
from tests.support import tiny_model
from tests.support.kline_folder import write
from tests.support.tiny_model import planted
from utils.errors import InvalidInput

PLAN = Plan(folds=2, horizons=(1, 6))


def test_it_is_a_walk_as_volatile_as_the_real_market() -> None:
    real = planted("AAAUSDT", 1, 20_000)
    made = placebo(real, 1)
    ours, theirs = (np.nanmedian(ewma_sigma(one)) for one in (made, real))
    assert ours == pytest.approx(theirs, rel=0.15)
    returns, _ = log_returns(made)
    scaled = returns[100:] / ewma_sigma(made)[99:-1]
    lagged = np.corrcoef(scaled[1:], scaled[:-1])[0, 1]
    louder = np.corrcoef(np.abs(scaled[1:]), np.abs(scaled[:-1]))[0, 1]
    assert abs(lagged) < 3 / np.sqrt(20_000)
    assert abs(louder) < 3 / np.sqrt(20_000)
    real_returns, _ = log_returns(real)
    assert np.corrcoef(real_returns[1:], real_returns[:-1])[0, 1] > 0.2


def test_it_has_the_times_and_holes_and_sane_candles() -> None:
    real = tiny_model.without(tiny_model.candles(3000, seed=2), 1000, 1100)
    made = placebo(real, 7)
    assert np.array_equal(made.open_time_ms, real.open_time_ms)
    assert made.holes() == real.holes()
    assert made.close[0] == real.close[0]
    assert np.all(made.high >= np.maximum(made.open, made.close))
    assert np.all(made.low <= np.minimum(made.open, made.close))
    assert np.all(made.low > 0)
    assert np.sort(made.volume) == pytest.approx(np.sort(real.volume))
    assert np.array_equal(made.close, placebo(real, 7).close)
    assert not np.array_equal(made.close, placebo(real, 8).close)
    other = placebo(tiny_model.candles(2900, symbol="OTHERUSDT", seed=2), 7)
    assert abs(np.corrcoef(np.diff(np.log(other.close)), np.diff(np.log(made.close)))[0, 1]) < 0.06


def test_no_forecast_of_its_scale_beats_the_naive_one_by_much() -> None:
    """An oracle that knows the recursion itself earns next to nothing: there is no skill to be had."""
    made = placebo(tiny_model.candles(30_000, seed=3), 1)
    sigma = ewma_sigma(made)
    outcome = horizon_returns(made, (1,))[100:-1, 0]
    level = np.median(sigma[100:])
    truth = sigma[100:-1] * (level / sigma[100:-1]) ** 0.03
    quantiles = (0.05, 0.25, 0.5, 0.75, 0.95)
    losses = [
        pinball_loss(outcome, scale[:, None] * np.quantile(outcome / scale, quantiles), quantiles).mean()
        for scale in (truth, sigma[100:-1])
    ]
    assert abs(1 - losses[0] / losses[1]) < 0.0005


def test_a_walk_of_constant_volatility_is_told_apart() -> None:
    made = placebo(tiny_model.candles(5000, seed=4), 1, constant=True)
    returns, _ = log_returns(made)
    halves = returns[1:2500].std(), returns[2500:].std()
    assert halves[0] == pytest.approx(halves[1], rel=0.06)


def test_the_twin_tells_what_is_real() -> None:
    found = placebo_test([planted("AAAUSDT", 1, 6000)], probe, PLAN)
    assert found.ok, found.to_dict()["words"]
    first = found.twins[0]
    assert first.real.skill_bounds is not None
    assert first.real.skill_bounds.low > 0.02
    assert first.placebo.skill_fraction is not None
    assert first.placebo.skill_fraction < 0.006
    assert "teaches nothing" in first.words
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["ok"] is True


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, planted("AAAUSDT", 1, 5000))
    assert command.main(["--data", str(tmp_path), "--folds", "1", "--horizons", "1"]) == 0
    assert "1 ahead: real" in capsys.readouterr().out
    assert command.main(["--data", str(tmp_path), "--from", "2030-01-01"]) == 2
    assert "other dates" in capsys.readouterr().err


def test_a_market_that_stands_still_has_no_placebo() -> None:
    with pytest.raises(InvalidInput, match="no volatility"):
        placebo(tiny_model.from_returns(np.zeros(100)), 1)
