"""Scale inputs: finite memory, the newest row alone equals all rows, and the other market is seen, never its future."""

from __future__ import annotations

import numpy as np
import pytest

from data.candles import FLOAT_COLUMNS, Candles
from data.interval import Interval
from data.symbol import Symbol
from models.altered_candles import with_other_future
from models.scale_catalogue import OWN
from models.scale_inputs import CONTEXT, KNOWN, ScaleInputs
from models.scale_series import HISTORY
from models.season import HOURS, SLOTS, Season, fit_season, slots
from models.synthetic_candles import synthetic_candles
from utils.errors import InvalidInput

NAMES = (*OWN, *CONTEXT)
SEASON = Season(
    tuple((1.0 + 0.3 * np.sin(np.arange(SLOTS))).tolist()), tuple((0.2 * np.cos(np.arange(SLOTS))).tolist())
)
MARKET, OTHER = synthetic_candles(Interval.H1, 1400, 2)
INPUTS = ScaleInputs(SEASON, OTHER)


def without(candles: Candles, first: int, after: int) -> Candles:
    keep = np.r_[0:first, after : len(candles)]
    columns = [getattr(candles, name)[keep] for name in FLOAT_COLUMNS]
    return Candles.from_columns(candles.symbol, candles.interval, candles.open_time_ms[keep], columns)


def test_rows_are_known_once_there_is_history_and_not_before() -> None:
    rows = INPUTS(MARKET, NAMES)
    assert np.isnan(rows[: HISTORY - 1]).all()
    assert np.isfinite(rows[HISTORY - 1 :]).all()
    assert rows[HISTORY - 1 :].std(axis=0).min() >= 0
    assert np.isnan(INPUTS(MARKET.slice(0, HISTORY - 1), NAMES)).all()


def test_history_gives_the_same_bits_as_everything_before_it() -> None:
    rows = INPUTS(MARKET, NAMES)[-1]
    short = ScaleInputs(SEASON, OTHER.tail(HISTORY))(MARKET.tail(HISTORY), NAMES)[-1]
    # sums over all of a series end in another last bit where it begins elsewhere; single precision does not see it
    np.testing.assert_allclose(short, rows, rtol=2e-6, atol=2e-6)


def test_the_newest_row_alone_is_the_last_of_all_rows() -> None:
    shorter = MARKET.slice(0, 1300)
    rows = np.stack([INPUTS(one, NAMES)[-1] for one in (MARKET, OTHER)])
    np.testing.assert_allclose(INPUTS.newest([MARKET, OTHER], NAMES), rows, rtol=2e-6, atol=2e-6)
    mixed = np.stack([INPUTS(one, NAMES)[-1] for one in (MARKET, shorter)])
    np.testing.assert_allclose(INPUTS.newest([MARKET, shorter], NAMES), mixed, rtol=2e-6, atol=2e-6)


def test_too_little_history_is_told() -> None:
    with pytest.raises(InvalidInput, match=f"fewer than the {HISTORY} candles"):
        INPUTS.newest([MARKET.tail(100)], NAMES)
    assert INPUTS.newest([], NAMES).shape == (0, len(NAMES))


def test_without_the_other_market_its_inputs_are_zero_and_the_own_ones_as_before() -> None:
    alone, beside = ScaleInputs(SEASON)(MARKET, NAMES), INPUTS(MARKET, NAMES)
    own = len(OWN)
    assert np.array_equal(alone[HISTORY:, :own], beside[HISTORY:, :own])
    assert not alone[HISTORY:, own:].any()
    assert beside[HISTORY:, NAMES.index(KNOWN)].all()
    assert not ScaleInputs(SEASON).newest([MARKET], NAMES)[0, own:].any()


def test_a_missing_candle_of_the_other_market_makes_it_unknown_at_that_time_alone() -> None:
    gone = ScaleInputs(SEASON, without(OTHER, 1200, 1203))
    known = gone(MARKET, NAMES)[:, NAMES.index(KNOWN)]
    assert not known[1200:1203].any()
    assert known[HISTORY:1200].all()
    assert known[1203:].all()
    assert not gone.newest([MARKET.slice(0, 1202)], NAMES)[0, len(OWN) :].any()


def test_the_other_market_s_future_changes_nothing_and_its_past_does() -> None:
    before = INPUTS(MARKET, NAMES)
    for row in (1000, 1250):
        after = ScaleInputs(SEASON, with_other_future(OTHER, row, 1, 0.03))(MARKET, NAMES)
        assert np.array_equal(before[HISTORY : row + 1], after[HISTORY : row + 1])
        assert not np.array_equal(before[row + 1], after[row + 1])


def test_a_market_beside_itself_sees_itself() -> None:
    rows = ScaleInputs(SEASON, MARKET)(MARKET, NAMES)[-1]
    assert rows[NAMES.index("context_return")] == rows[NAMES.index("return")]
    assert rows[NAMES.index("context_log_sigma")] == 0


def test_the_season_of_a_louder_hour_is_found_and_the_test_is_not_seen() -> None:
    times = MARKET.open_time_ms
    random = np.random.default_rng(1)
    loud = slots(times) % 24 == 14
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, len(times)) * np.where(loud, 3.0, 1.0)))
    columns = [close, close * 1.01, close * 0.99, close, *[np.where(loud, 500.0, 100.0)] * 5]
    candles = Candles.from_columns(Symbol.parse("AAAUSDT"), Interval.H1, times.copy(), columns)
    season = fit_season([candles], 0, int(times[1200]))
    quiet = np.arange(HOURS) % 24 != 14
    scale, volume = (np.array(one)[:HOURS] for one in (season.scale, season.volume))
    assert scale[~quiet].mean() > 1.1 * scale[quiet].mean()
    assert volume[~quiet].mean() > volume[quiet].mean() + 0.05
    assert fit_season([with_other_future(candles, 1199, 1, 0.1)], 0, int(times[1200])) == season
    assert fit_season([candles], 0, 0) == Season.flat()


def test_slots_follow_new_york_s_summer_time() -> None:
    sunday = np.array([np.datetime64("2024-03-10T06:59"), np.datetime64("2024-03-10T07:00")])
    assert slots(sunday.astype("datetime64[ms]").astype(np.int64)).tolist() == [6, HOURS + 7]
    autumn = np.array([np.datetime64("2024-11-03T05:00"), np.datetime64("2024-11-03T06:00")])
    assert slots(autumn.astype("datetime64[ms]").astype(np.int64)).tolist() == [HOURS + 5, 6]


@pytest.mark.parametrize(("scale", "volume"), [((1.0,), (0.0,)), ((0.0,) * SLOTS, (0.0,) * SLOTS)])
def test_tables_that_cannot_be_used_are_refused(scale: tuple[float, ...], volume: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="must"):
        Season(scale, volume).check()
