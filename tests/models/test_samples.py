"""Samples, inputs and splits: no hole inside a window, no outcome across a split, nothing from the future."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.candles import FLOAT_COLUMNS, Candles
from data.feature_parts import Parts, Stack
from data.interval import Interval
from data.symbol import Symbol
from models.baseline import horizon_returns, naive_log_returns, scaled_quantiles
from models.inputs import INPUTS, WARM_UP, input_matrix, newest_inputs
from models.samples import cut, data_hash, gather, usable_ends
from models.split import EMBARGO_CANDLES, parse_date, split
from tests.support import tiny_model
from tests.support.made_candles import made_candles
from utils.errors import InvalidInput, SchemaMismatch

HORIZONS = (1, 2, 6)


def test_outcomes_are_those_of_the_exact_candle() -> None:
    candles = tiny_model.candles(20)
    returns = horizon_returns(candles, HORIZONS)
    assert returns[3, 2] == pytest.approx(np.log(candles.close[9] / candles.close[3]))
    assert np.isnan(returns[-1]).all()
    assert np.isnan(returns[-6, 2])
    assert np.isfinite(returns[-7]).all()


def test_an_outcome_in_a_hole_is_unknown_and_one_beyond_it_is_not_shifted() -> None:
    whole = tiny_model.candles(20)
    holed = tiny_model.without(whole, 5, 6)
    returns = horizon_returns(holed, HORIZONS)
    assert np.isnan(returns[4, 0])
    assert returns[4, 1] == pytest.approx(np.log(whole.close[6] / whole.close[4]))
    assert np.isnan(returns[3, 1])


def test_months_are_as_long_as_they_are() -> None:
    times = np.array([parse_date(f"2024-{month:02d}-01") for month in (1, 2, 3, 4)])
    monthly = Candles.from_columns(Symbol("BTCUSDT"), Interval.MO1, times, np.arange(1, 37, dtype=float).reshape(9, 4))
    returns = horizon_returns(monthly, (1, 2))
    assert returns[0].tolist() == pytest.approx([np.log(14 / 13), np.log(15 / 13)])


def test_the_naive_quantiles_are_those_of_the_scaled_returns() -> None:
    scaled = np.random.default_rng(1).normal(size=(100_000, 1))
    scaled[::7] = np.nan
    baseline = scaled_quantiles(scaled, (0.05, 0.5, 0.95))
    assert baseline[0].tolist() == pytest.approx([-1.645, 0.0, 1.645], abs=0.03)
    assert naive_log_returns(baseline, 0.02).shape == (1, 3)
    np.testing.assert_allclose(naive_log_returns(baseline, np.array([0.02, 0.04]))[1], baseline * 0.04)


@given(hole=st.integers(1, 58), length=st.integers(1, 5), window=st.integers(1, 12), warm_up=st.integers(0, 10))
@settings(max_examples=60, deadline=None)
def test_windows_are_whole(hole: int, length: int, window: int, warm_up: int) -> None:
    candles = tiny_model.without(tiny_model.candles(60), hole, min(hole + length, 59))
    features = np.zeros((len(candles), 2), dtype=np.float32)
    features[:3] = np.nan
    ends = usable_ends(candles, features, window, warm_up).tolist()
    times = candles.open_time_ms
    for row in range(len(candles)):
        first = row - window + 1
        whole = (
            row >= window + warm_up - 1
            and times[row] - times[first] == (window - 1) * candles.interval.ms
            and bool(np.isfinite(features[first : row + 1]).all())
        )
        assert (row in ends) == whole


def test_gathered_markets_do_not_touch() -> None:
    markets = [tiny_model.candles(300, symbol="A"), tiny_model.candles(280, symbol="B", seed=2)]
    samples = gather(markets, ("return_1",), window=8, warm_up=200, horizons=HORIZONS, half_life=24.0)
    assert samples.symbols == ("A", "B")
    assert set(np.diff(samples.ends).tolist()) == {1, 208}  # from one market's last row to the next one's first end
    assert np.isnan(samples.returns[299]).all()
    windows = cut(samples.features, samples.ends[-1:], 8)
    np.testing.assert_array_equal(windows[0], input_matrix(markets[1], ("return_1",))[-8:])
    kept = samples.starting(tiny_model.START_MS, tiny_model.START_MS + 250 * 3_600_000)
    assert samples.open_time_ms[kept].max() == tiny_model.START_MS + 249 * 3_600_000


def test_the_data_hash_knows_the_candles_and_not_their_order() -> None:
    one, other = tiny_model.candles(30, symbol="A"), tiny_model.candles(30, symbol="B")
    assert data_hash([one, other]) == data_hash([other, one])
    assert data_hash([one, other]) != data_hash([one, tiny_model.candles(30, symbol="B", seed=2)])


@pytest.mark.parametrize("name", INPUTS)
def test_no_input_sees_ahead(name: str) -> None:
    whole, other = tiny_model.candles(WARM_UP + 60), tiny_model.candles(WARM_UP + 60, seed=8, volatility=0.05)
    row = WARM_UP + 20
    columns = [np.r_[getattr(whole, name)[: row + 1], getattr(other, name)[row + 1 :]] for name in FLOAT_COLUMNS]
    changed = Candles.from_columns(whole.symbol, whole.interval, whole.open_time_ms, columns)
    before, after = input_matrix(whole, (name,))[: row + 1], input_matrix(changed, (name,))[: row + 1]
    np.testing.assert_array_equal(before, after)
    assert np.isfinite(before[WARM_UP:]).all()


@pytest.mark.parametrize("rows", [1, 16, 64])
def test_many_markets_last_rows_are_those_of_each_ones_whole_history(rows: int) -> None:
    markets = [made_candles(WARM_UP + rows + 30, seed=seed) for seed in range(3)]
    flat = tiny_model.from_returns(np.zeros(WARM_UP + rows + 30), start_ms=int(markets[0].open_time_ms[0]))
    newest = newest_inputs(Parts(Stack.of([*markets, flat]), rows), INPUTS)
    assert newest.shape == (4, rows, len(INPUTS))
    for rows_of_one, candles in zip(newest, [*markets, flat], strict=True):
        np.testing.assert_allclose(rows_of_one, input_matrix(candles, INPUTS)[-rows:], rtol=2e-6, atol=2e-6)


def test_last_rows_need_a_history_before_them() -> None:
    with pytest.raises(ValueError, match="too few"):
        newest_inputs(Parts(Stack.of([made_candles(40)]), 30), ("return_1",))


def test_inputs_do_not_depend_on_what_lies_before_the_warm_up() -> None:
    long = tiny_model.candles(WARM_UP * 3)
    full, short = input_matrix(long, INPUTS), input_matrix(long.tail(WARM_UP + 16), INPUTS)
    np.testing.assert_allclose(full[-16:], short[-16:], atol=1e-6)


def test_inputs_without_optional_columns_are_numbers() -> None:
    matrix = input_matrix(tiny_model.candles(WARM_UP + 10), INPUTS)
    assert np.isfinite(matrix[WARM_UP:]).all()


def test_an_unknown_input_is_named() -> None:
    with pytest.raises(SchemaMismatch, match="computes no input moon_phase"):
        input_matrix(tiny_model.candles(10), ("return_1", "moon_phase"))


@given(count=st.integers(2200, 6000), horizon=st.integers(1, 24), part=st.one_of(st.none(), st.floats(0.6, 1.2)))
@settings(max_examples=40, deadline=None)
def test_no_outcome_crosses_a_split(count: int, horizon: int, part: float | None) -> None:
    candles = tiny_model.candles(count)
    hour = candles.interval.ms
    until = None if part is None else tiny_model.START_MS + round(count * part) * hour
    parts = split([candles], horizon, until)
    for earlier, later in ((parts.train, parts.validation), (parts.validation, parts.test)):
        last_outcome = earlier.until_ms - hour + horizon * hour
        assert last_outcome + EMBARGO_CANDLES * hour < later.from_ms
    assert parts.train.from_ms == tiny_model.START_MS
    assert parts.test.until_ms <= candles.last_open_time_ms + hour
    if until is not None:
        assert parts.fit_until_ms <= until


def test_too_little_history_cannot_be_split() -> None:
    with pytest.raises(InvalidInput, match="are too few to split; with horizon 24 give at least 1440"):
        split([tiny_model.candles(200)], 24, None)


def test_dates_are_utc_days() -> None:
    assert parse_date("2024-01-01") == tiny_model.START_MS
    assert parse_date("2023-12-31", end=True) == tiny_model.START_MS
    assert parse_date("2024-01-01T01:00+01:00", end=True) == tiny_model.START_MS
    with pytest.raises(InvalidInput, match="'soon' is no date; use for instance 2024-12-31"):
        parse_date("soon")
