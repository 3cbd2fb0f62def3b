"""Forecaster: one batch for all markets, once per candle, from the past alone; and a reason where there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from data.candles import FLOAT_COLUMNS, Candles
from data.feature_parts import Parts
from data.features import ewma_sigma
from data.interval import Interval
from data.symbol import Symbol
from models import inputs
from models import windows as windows_module
from models.conformal import Calibration
from models.following import Following
from models.forecaster import Beside, Forecast, Forecaster, NoForecast, nobody
from models.model_writing import write_model
from models.registry import Registry
from models.scale_inputs import KNOWN
from models.scale_series import HISTORY
from models.season import Season
from models.spec import HORIZONS, QUANTILES
from tests.support import tiny_model
from utils.clock import ManualClock
from utils.errors import ModelLoadTimeout, ModelNotFound, StoreError
from utils.model_cache import ModelCache
from utils.model_utils import Session, Windows

Make = Callable[..., Forecaster]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def build(
        batch_size: int = 32,
        max_workers: int = 1,
        beside: Beside = nobody,
        followings: Callable[[str], Mapping[Symbol, Following]] | None = None,
    ) -> Forecaster:
        cache = ModelCache()
        cache.configure(enabled=True, max_models=4, load_timeout_s=5)
        return Forecaster(
            registry=Registry(tmp_path),
            model_cache=cache,
            batch_size=batch_size,
            max_workers=max_workers,
            clock=ManualClock(),
            beside=beside,
            followings=followings,
        )

    return build


@pytest.fixture
def forecaster(tmp_path: Path, make: Make) -> Forecaster:
    tiny_model.save(tmp_path)
    return make()


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many windows each call of the runtime had."""
    sizes: list[int] = []
    run = Session.run

    def counted(self: Session, windows: Windows) -> Windows:
        sizes.append(len(windows))
        return run(self, windows)

    monkeypatch.setattr(Session, "run", counted)
    return sizes


def replaced_after(whole: Candles, row: int) -> Candles:
    """The same candles up to and with `row`, others after it."""
    other = tiny_model.candles(len(whole), seed=99, volatility=0.05)
    columns = []
    for name in FLOAT_COLUMNS:
        column = getattr(whole, name).copy()
        column[row + 1 :] = getattr(other, name)[row + 1 :]
        columns.append(column)
    return Candles.from_columns(whole.symbol, whole.interval, whole.open_time_ms, columns)


def test_a_forecast_says_what_it_was_made_from(forecaster: Forecaster) -> None:
    candles = tiny_model.candles(400)
    forecast = forecaster.forecast(candles)
    assert forecast is not None
    assert (forecast.model_id, forecast.symbol, forecast.candles_digest) == ("tiny", "BTCUSDT", candles.digest)
    assert (forecast.last_open_time_ms, forecast.last_close) == (candles.last_open_time_ms, candles.last_close)
    assert forecast.sigma == pytest.approx(ewma_sigma(candles)[-1], rel=1e-3)
    assert forecast.log_returns.shape == forecast.prices.shape == (24, 5)
    assert forecast.made_at_ms == 1_700_000_000_000


def test_prices_are_the_last_close_moved_by_the_returns(forecaster: Forecaster) -> None:
    forecast = forecaster.forecast(tiny_model.candles(400))
    assert forecast is not None
    np.testing.assert_allclose(forecast.prices, forecast.last_close * np.exp(forecast.log_returns))
    np.testing.assert_allclose(forecast.baseline_log_returns, tiny_model.NAIVE * forecast.sigma)
    np.testing.assert_allclose(np.log(forecast.baseline_prices / forecast.last_close), forecast.baseline_log_returns)
    assert np.all(np.diff(forecast.prices, axis=1) > 0)


def test_forty_markets_are_two_calls_of_the_runtime(forecaster: Forecaster, runs: list[int]) -> None:
    markets = [tiny_model.candles(300, symbol=f"COIN{n}", seed=n) for n in range(40)]
    assert len(forecaster.forecast_all(markets)) == 40
    assert runs == [32, 8]


def test_a_batch_answers_as_each_market_alone(tmp_path: Path, make: Make) -> None:
    tiny_model.save(tmp_path)
    markets = [tiny_model.candles(300, symbol=f"COIN{n}", seed=n) for n in range(7)]
    together = make(batch_size=2, max_workers=3).forecast_all(markets)
    for candles in markets:
        alone = make().forecast(candles)
        assert alone is not None
        np.testing.assert_allclose(together[candles.symbol].log_returns, alone.log_returns, rtol=1e-5, atol=1e-9)


def test_the_same_candles_are_computed_once(forecaster: Forecaster, runs: list[int]) -> None:
    first = forecaster.forecast(tiny_model.candles(300))
    assert forecaster.forecast(tiny_model.candles(300)) is first
    assert runs == [1]
    assert forecaster.forecast(tiny_model.candles(301)) is not first
    forecaster.clear()
    again = forecaster.forecast(tiny_model.candles(300))
    assert again is not None
    assert again is not first


def test_a_week_of_closes_leaves_no_more_than_its_last(forecaster: Forecaster, tmp_path: Path) -> None:
    tiny_model.save(tmp_path, tiny_model.spec("other"), seed=2)
    weeks = {name: tiny_model.candles(300 + 168, symbol=name, seed=len(name)) for name in ("BTCUSDT", "COIN1")}
    held = set()
    for end in range(300, 300 + 168):
        made = forecaster.every([candles.slice(0, end) for candles in weeks.values()])
        held.add(forecaster.held())
    assert len(held) == 1
    assert held.pop()[0] == len(made) == 4
    newest = forecaster.forecast(weeks["COIN1"].slice(0, end))
    assert newest in made
    older = forecaster.forecast(weeks["COIN1"].slice(0, 300))
    assert older is not None
    assert forecaster.held()[0] == 4, "a late answer is given and not kept"
    assert forecaster.forecast(weeks["COIN1"].slice(0, end)) is newest


def test_what_a_model_forecast_goes_with_the_model(forecaster: Forecaster, tmp_path: Path) -> None:
    candles = tiny_model.candles(300)
    for seed in range(2, 6):
        tiny_model.save(tmp_path, tiny_model.spec(created_ms=tiny_model.START_MS + seed), seed=seed)
        assert forecaster.forecast(candles) is not None
    assert forecaster.held()[0] == 1


def test_a_new_model_is_used_without_a_restart(forecaster: Forecaster, tmp_path: Path) -> None:
    candles = tiny_model.candles(300)
    before = forecaster.forecast(candles)
    tiny_model.save(tmp_path, tiny_model.spec("tiny2", created_ms=tiny_model.START_MS + 1), seed=2)
    after = forecaster.forecast(candles)
    assert before is not None
    assert after is not None
    assert (before.model_id, after.model_id) == ("tiny", "tiny2")
    assert not np.array_equal(before.log_returns, after.log_returns)


def test_candles_after_t_change_nothing_at_t(forecaster: Forecaster, tmp_path: Path, make: Make) -> None:
    whole = tiny_model.candles(400)
    changed = replaced_after(whole, 349)
    known, other = forecaster.forecast(whole.slice(0, 350)), make().forecast(changed.slice(0, 350))
    assert known is not None
    assert other is not None
    assert known.log_returns.tobytes() == other.log_returns.tobytes()
    moved = forecaster.forecast(changed)
    assert moved is not None
    assert not np.array_equal(moved.log_returns, known.log_returns)


def test_older_history_changes_nothing_that_shows(forecaster: Forecaster) -> None:
    long = tiny_model.candles(2000)
    one, other = forecaster.forecast(long), forecaster.forecast(long.tail(300))
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(one.log_returns, other.log_returns, rtol=1e-9)


def test_a_market_that_stands_still_gets_bands_of_next_to_nothing(forecaster: Forecaster) -> None:
    forecast = forecaster.forecast(tiny_model.from_returns(np.zeros(300)))
    assert forecast is not None
    assert np.all(np.abs(forecast.log_returns) < 1e-4)


@pytest.mark.parametrize(
    ("candles", "reason"),
    [
        (tiny_model.candles(100), "100 of 248 closed candles are there"),
        (tiny_model.without(tiny_model.candles(400), 394, 397), "3 candles are missing among the newest 8"),
        (Candles.empty(Symbol("BTCUSDT"), Interval.H1), "0 of 248"),
        (tiny_model.candles(400, interval=Interval.D1), "there is no model for 1d candles yet"),
    ],
)
def test_no_forecast_has_a_reason(forecaster: Forecaster, candles: Candles, reason: str) -> None:
    answer = forecaster.answer(candles)
    assert isinstance(answer, NoForecast)
    assert reason in answer.reason
    assert forecaster.forecast(candles) is None
    assert forecaster.forecast_all([candles]) == {}


def test_a_hole_before_the_window_does_not_stop_it(forecaster: Forecaster) -> None:
    assert forecaster.forecast(tiny_model.without(tiny_model.candles(400), 380, 385)) is not None


def test_markets_without_a_forecast_do_not_stop_the_others(forecaster: Forecaster) -> None:
    markets = [tiny_model.candles(100, symbol="NEWUSDT"), tiny_model.candles(300), tiny_model.candles(50, symbol="X")]
    assert list(forecaster.forecast_all(markets)) == ["BTCUSDT"]


def test_a_model_that_goes_bad_is_a_reason_and_comes_back_when_repaired(tmp_path: Path, make: Make) -> None:
    folder = tiny_model.save(tmp_path)
    graph = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(graph[:-10])
    forecaster, candles = make(), tiny_model.candles(300)
    answer = forecaster.answer(candles)
    assert isinstance(answer, NoForecast)
    (folder / "model.onnx").write_bytes(graph)
    assert forecaster.forecast(candles) is not None


def test_a_graph_damaged_after_the_listing_is_a_reason(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_model.save(tmp_path)
    forecaster = make()
    entry = Registry(tmp_path).get("tiny")
    (folder / "model.onnx").write_bytes(b"other")
    monkeypatch.setattr(Registry, "default", lambda *_: entry)  # the listing as it was a moment ago
    answer = forecaster.answer(tiny_model.candles(300))
    assert isinstance(answer, NoForecast)
    assert "SHA-256" in answer.reason


def test_a_graph_that_answers_otherwise_than_its_spec_says_is_a_reason(tmp_path: Path, make: Make) -> None:
    spec = tiny_model.spec()
    short = tiny_model.spec(horizons=spec.horizons[:6], baseline=spec.baseline[:6])
    write_model(tmp_path, spec, tiny_model.graph(short), {})
    answer = make().answer(tiny_model.candles(300))
    assert isinstance(answer, NoForecast)
    assert "its spec says otherwise" in answer.reason


def test_a_graph_that_fails_while_running_is_a_reason(tmp_path: Path, make: Make) -> None:
    spec = tiny_model.spec()
    proto = onnx.load_from_string(tiny_model.graph(spec))
    shape = next(one for one in proto.graph.initializer if one.name == "column_shape")
    shape.CopyFrom(numpy_helper.from_array(np.array([-1, 23, 1], dtype=np.int64), "column_shape"))
    write_model(tmp_path, spec, proto.SerializeToString(), {})
    answer = make().answer(tiny_model.candles(300))
    assert isinstance(answer, NoForecast)
    assert "graph" in answer.reason


def test_every_model_forecasts_every_market_in_one_batch_each(
    tmp_path: Path, make: Make, runs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_model.save(tmp_path, tiny_model.spec("a", created_ms=tiny_model.START_MS + 5))
    tiny_model.save(tmp_path, tiny_model.spec("b", window=4, warm_up=244, features=("hour_cos", "return_1")), seed=2)
    tiny_model.save(tmp_path, tiny_model.spec("c", symbols=(Symbol("COIN1"),)), seed=3)
    tiny_model.save(tmp_path, tiny_model.spec("d", interval=Interval.D1))
    tiny_model.save(tmp_path, tiny_model.spec("e", features=("moon_phase", "return_1")))
    asked: list[tuple[str, ...]] = []
    compute = inputs.newest_inputs

    def counted(parts: Parts, names: Sequence[str]) -> Windows:
        asked.append(tuple(names))
        return compute(parts, names)

    monkeypatch.setattr(windows_module, "newest_inputs", counted)
    forecaster = make()
    markets = [tiny_model.candles(300, symbol=f"COIN{n}", seed=n) for n in range(3)]
    made = forecaster.every([*markets, tiny_model.candles(100, symbol="NEWUSDT")])
    assert sorted((one.model_id, one.symbol) for one in made) == [
        *(("a", f"COIN{n}") for n in range(3)), *(("b", f"COIN{n}") for n in range(3)), ("c", "COIN1"),
    ]  # fmt: skip
    assert sorted(runs) == [1, 3, 3]
    assert asked == [("return_1", "range", "hour_sin", "hour_cos")]
    assert [one.id for one in forecaster.models(Interval.H1)][:2] == ["a", "b"]
    assert forecaster.forecast(markets[0]) in made
    assert len(runs) == 3
    named = forecaster.answer(markets[0], "b")
    assert named in made
    alone = make().answer(markets[0], "b")
    assert isinstance(named, Forecast)
    assert isinstance(alone, Forecast)
    np.testing.assert_allclose(named.log_returns, alone.log_returns, rtol=1e-5, atol=1e-9)
    with pytest.raises(ModelNotFound, match="known: a, b, c"):
        forecaster.answer(markets[0], "z")


def test_a_failure_that_may_pass_is_tried_again(forecaster: Forecaster, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: object) -> Session:
        raise ModelLoadTimeout("still being loaded")

    candles = tiny_model.candles(300)
    with monkeypatch.context() as patched:
        patched.setattr(ModelCache, "get", slow)
        assert forecaster.forecast(candles) is None
    assert forecaster.forecast(candles) is not None


def test_unknown_features_are_refused_readably(tmp_path: Path, make: Make) -> None:
    tiny_model.save(tmp_path, tiny_model.spec(features=("return_1", "moon_phase", "hour_sin")))
    answer = make().answer(tiny_model.candles(300))
    assert isinstance(answer, NoForecast)
    assert "wants moon_phase, which this version does not compute; train it again" in answer.reason


def test_a_model_that_looks_at_another_market_is_given_it(tmp_path: Path, make: Make) -> None:
    names = ("return", "volatility_24", KNOWN, "context_return")
    made = tiny_model.spec(features=names, window=1, warm_up=HISTORY - 1, season=Season.flat())
    tiny_model.save(tmp_path, replace(made, context=Symbol.parse("BTCUSDT")))
    btc, later = tiny_model.candles(1000), tiny_model.candles(1000, seed=2)
    other = tiny_model.candles(1000, symbol="ETHUSDT", seed=3)
    forecaster, told = make(), make(beside=lambda symbol, interval: btc)
    without = forecaster.forecast(other)
    beside = forecaster.forecast_all([other, btc])[other.symbol]
    again = told.forecast(other)
    assert without is not None
    assert again is not None
    assert not np.array_equal(without.log_returns, beside.log_returns)
    assert np.array_equal(again.log_returns, beside.log_returns)
    assert not np.array_equal(forecaster.forecast_all([other, later])[other.symbol].log_returns, beside.log_returns)
    short = forecaster.answer(other.tail(500))
    assert isinstance(short, NoForecast)
    assert "500 of 890 closed candles" in short.reason


def test_bands_are_stretched_by_what_was_known_before_the_newest_candle(tmp_path: Path, make: Make) -> None:
    start = Calibration(HORIZONS, QUANTILES, (0.5, 0.9), np.full((24, 2), 2.0), 100)
    spec = tiny_model.spec()
    write_model(tmp_path, spec, tiny_model.graph(spec), {"calibration": start.to_dict()})
    candles, older = tiny_model.candles(300), tiny_model.candles(298)
    moment = candles.last_open_time_ms
    state = Following(moment, np.full((24, 2), 3.0), np.full((24, 2), 9.0), 50)
    forecaster = make(followings=lambda _: {candles.symbol: state})
    plain = make().forecast(candles)
    assert plain is not None
    assert plain.stretch is None
    for given, factor in ((candles, 3.0), (tiny_model.candles(301), 9.0), (older, 2.0)):
        made = forecaster.forecast(given)
        alone = make().forecast(given)
        assert made is not None
        assert made.stretch is not None
        assert alone is not None
        own = alone.log_returns
        np.testing.assert_allclose(made.log_returns[:, 2], own[:, 2])
        np.testing.assert_allclose(made.log_returns - own[:, 2:3], (own - own[:, 2:3]) * factor, atol=1e-12)
        np.testing.assert_allclose(made.stretch.answer * made.sigma, own)
        assert made.stretch.split == 100
        assert (made.stretch.start == 2.0).all()
    other = forecaster.forecast(tiny_model.candles(300, symbol="NEWUSDT"))
    assert other is not None
    assert other.stretch is not None
    assert (other.stretch.factors == 2.0).all()


def test_factors_that_cannot_be_read_do_not_stop_the_forecast(tmp_path: Path, make: Make) -> None:
    def broken(_: str) -> dict[Symbol, Following]:
        raise StoreError("the disk failed")

    tiny_model.save(tmp_path)
    assert make(followings=broken).forecast(tiny_model.candles(300)) is not None


def test_it_tells_its_batches(forecaster: Forecaster) -> None:
    before = forecaster.stats()
    assert (before.batches, before.windows_per_batch, before.waiting) == (0, None, 0)
    markets = [tiny_model.candles(300, seed=seed, symbol=name) for seed, name in enumerate(("BTCUSDT", "ETHUSDT"))]
    forecaster.answers(markets)
    forecaster.answers(markets)  # kept: no second batch
    forecaster.answers([tiny_model.candles(300, seed=7, symbol="SOLUSDT")])
    after = forecaster.stats()
    assert (after.batches, after.windows, after.largest_batch, after.newest_batch) == (2, 3, 2, 1)
    assert after.windows_per_batch == 1.5
