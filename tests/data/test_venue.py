"""Venues: what was invented never mixes with what was real, and a simulation's past run is not its future."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from data import venue
from data.candle_store import CandleStore
from data.candles import Candles
from data.database import Database, connect
from data.exchange import choose
from data.interval import Interval
from data.simulated_process import Simulation
from data.symbol import Symbol
from models.forecaster import Forecast
from models.ledger import Ledger
from tests.support.made_candles import made_candles
from utils.clock import ManualClock

BTC, HOUR = Symbol("BTCUSDT"), Interval.H1


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = connect(f"sqlite:///{tmp_path / 'dashboard.db'}")
    yield opened
    opened.close()


class NoProcess:
    rest_url = "http://127.0.0.1:1"
    stream_url = "ws://127.0.0.1:1"

    def close(self) -> None:
        pass


def venue_of(simulation: Simulation) -> str:
    return choose("simulated", simulation=simulation, start_simulation=lambda _: NoProcess()).venue


def forecast(candles: Candles) -> Forecast:
    band = np.linspace(-0.02, 0.02, 5).reshape(1, 5)
    return Forecast(
        model_id="m",
        model_digest="d" * 32,
        symbol=candles.symbol,
        interval=candles.interval,
        candles_digest=candles.digest,
        last_open_time_ms=candles.last_open_time_ms,
        last_close=candles.last_close,
        sigma=0.01,
        made_at_ms=candles.last_close_time_ms + 1,
        quantiles=(0.05, 0.25, 0.5, 0.75, 0.95),
        horizons=(1,),
        log_returns=band,
        baseline_log_returns=band * 1.1,
    )


def test_candles_of_two_venues_never_meet(database: Database) -> None:
    store = CandleStore(database)
    real = made_candles(10, seed=1)
    store.write(real)
    store.use(venue.invented(1))
    assert len(store.read(BTC, HOUR)) == 0
    assert store.stats().candles == 0
    store.write(made_candles(4, seed=2))
    store.use(venue.BINANCE)
    assert store.read(BTC, HOUR).digest == real.digest


def test_a_run_that_does_not_last_is_forgotten_by_the_next_and_the_rest_is_kept(database: Database) -> None:
    store = CandleStore(database)
    store.write(made_candles(10, seed=1))
    store.use(venue.run(1))
    store.write(made_candles(5, seed=2))
    store.record_hole(BTC, HOUR, 0, HOUR.ms)
    store.use(venue.run(2))
    assert len(store.read(BTC, HOUR)) == 0
    store.use(venue.run(1))
    assert len(store.read(BTC, HOUR)) == 0
    assert store.holes(BTC, HOUR) == []
    store.use(venue.BINANCE)
    assert len(store.read(BTC, HOUR)) == 10


def test_the_ledger_keeps_the_score_of_each_venue_apart(database: Database) -> None:
    ledger = Ledger(database, ManualClock())
    candles = made_candles(12)
    ledger.append([forecast(candles.slice(0, 10))])
    ledger.use(venue.invented(1))
    assert ledger.score(candles) == 0
    assert ledger.skill(model_id="m").count == 0
    assert ledger.recent(BTC, HOUR, 10) == []
    ledger.use(venue.BINANCE)
    assert ledger.score(candles) == 1
    assert ledger.skill(model_id="m").count == 1


def test_the_ledger_forgets_a_run_that_does_not_last_and_nothing_else(database: Database) -> None:
    ledger = Ledger(database, ManualClock())
    candles = made_candles(12)
    ledger.append([forecast(candles.slice(0, 10))])
    ledger.use(venue.run(1))
    ledger.append([forecast(candles.slice(0, 10))])
    ledger.score(candles)
    ledger.use(venue.run(2))
    assert ledger.counts() == {"forecasts": 1, "scored": 0, "unscorable": 0}
    ledger.use(venue.BINANCE)
    assert len(ledger.recent(BTC, HOUR, 10)) == 1


def test_only_an_invented_market_in_real_time_goes_on_where_it_ended(tmp_path: Path) -> None:
    assert venue_of(Simulation(seed=3)) == venue.invented(3)
    for passing in (Simulation(speed=60.0), Simulation(start="2024-05-01"), Simulation(replay_path=tmp_path)):
        assert not venue.lasts(venue_of(passing))


def test_real_exchanges_have_venues_of_their_own() -> None:
    named = {
        choose("binance").venue,
        choose("testnet").venue,
        choose("binance", rest_override="http://127.0.0.1:1234").venue,
    }
    assert len(named) == 3
    assert all(map(venue.lasts, named))
