"""Replay of real candles: rows as they are in the files, holes and all, and a living last candle inside them."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.interval import Interval
from data.simulated_exchange.candle_series import (
    HIGH,
    LOW,
    QUOTE,
    TAKER_QUOTE,
    TRADES,
    VOLUME,
    Bar,
    Series,
    aggregate,
    kline_rows,
)
from data.simulated_exchange.market import Market
from data.simulated_exchange.replay import ReplaySource
from data.simulated_exchange.virtual_clock import VirtualClock
from tests.support.exchange import running_exchange
from tests.support.shared_data import klines_dir
from utils.clock import ManualClock
from utils.errors import InvalidInput

HOUR_MS = 3_600_000
DAY_MS = 86_400_000
END_MS = 1_751_328_000_000
"""2025-07-01, when the shared candles end"""
COLUMNS = ("open", "high", "low", "close", "volume", "quote_volume", "trades", "taker_buy_base", "taker_buy_quote")


@pytest.fixture(scope="module")
def real() -> Market:
    return Market(ReplaySource(klines_dir()))


def file_rows(name: str) -> Series:
    table = pq.read_table(klines_dir() / f"{name}.parquet")
    columns = [table.column(column).to_numpy() if column in table.column_names else None for column in COLUMNS]
    times = table.column("open_time_ms").to_numpy()
    values = [np.zeros(len(times)) if column is None else np.nan_to_num(column) for column in columns]
    return Series(times, np.stack(values))


@pytest.mark.shared
@pytest.mark.parametrize("name", ["BTCUSDT-1h", "ETHUSDT-1h", "TRXUSDT-1h", "BTCUSDT-1d", "PEPEUSDT-1d"])
def test_rows_on_the_wire_are_those_of_the_file(real: Market, name: str) -> None:
    symbol, interval = name.split("-")
    expected = file_rows(name)
    cursor, times, values = 0, [], []
    while len(page := real.klines(symbol, Interval(interval), cursor, None, 1000, END_MS)):
        rows = kline_rows(page, Interval(interval), real.listings[symbol].units)
        times += [row[0] for row in rows]
        values += [[float(str(row[place])) for place in (1, 2, 3, 4, 5, 7, 8, 9, 10)] for row in rows]
        cursor = page.open_time_ms[-1] + 1
    assert times == expected.open_time_ms.tolist()
    found = np.array(values).T
    np.testing.assert_array_equal(found[:VOLUME], expected.values[:VOLUME])
    np.testing.assert_allclose(found, expected.values, rtol=1e-15, atol=5.1e-9)  # eight decimals


@pytest.mark.shared
def test_holes_are_absent_rows_from_both_directions(real: Market) -> None:
    """BTCUSDT lacks 33 hours from 2018-02-08 01:00."""
    gap = 1_518_051_600_000
    after = gap + 33 * HOUR_MS
    forward = real.klines("BTCUSDT", Interval.H1, gap - HOUR_MS, None, 2, END_MS).open_time_ms.tolist()
    assert forward == [gap - HOUR_MS, after]
    backward = real.klines("BTCUSDT", Interval.H1, None, after, 2, END_MS).open_time_ms.tolist()
    assert backward == [gap - HOUR_MS, after]
    assert len(real.klines("BTCUSDT", Interval.H1, gap, after - 1, 1000, END_MS)) == 0
    assert real.forming("BTCUSDT", Interval.H1, gap + 5 * HOUR_MS) is None, "an outage has no living candle"
    at_that_time = real.klines("BTCUSDT", Interval.H1, None, None, 3, gap + 5 * HOUR_MS).open_time_ms.tolist()
    assert at_that_time[-1] == gap - HOUR_MS


@pytest.mark.shared
@pytest.mark.parametrize(
    ("interval", "name"), [(Interval.H4, "ETHUSDT-1h"), (Interval.H12, "SOLUSDT-1h"), (Interval.W1, "XRPUSDT-1d")]
)
def test_coarser_intervals_are_added_up(real: Market, interval: Interval, name: str) -> None:
    symbol, _ = name.split("-")
    start, end = interval.open_ms(END_MS - 400 * DAY_MS), interval.open_ms(END_MS)
    expected = aggregate(file_rows(name).between(start, end), interval)
    found = real.rows(symbol, interval, start, end)
    np.testing.assert_array_equal(found.open_time_ms, expected.open_time_ms)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-12)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("symbol", "finer"), [("SOLUSDT", Interval.M1), ("ETHUSDT", Interval.M15), ("BTCUSDT", Interval.M5)]
)
def test_finer_rows_are_drawn_inside_the_real_ones(real: Market, symbol: str, finer: Interval) -> None:
    start, end = END_MS - 40 * DAY_MS, END_MS - 35 * DAY_MS
    hours = real.rows(symbol, Interval.H1, start, end).values
    drawn = aggregate(real.rows(symbol, finer, start, end), Interval.H1).values
    np.testing.assert_array_equal(drawn[:VOLUME], hours[:VOLUME])
    np.testing.assert_allclose(drawn[VOLUME], hours[VOLUME], rtol=1e-7)
    if symbol != "BTCUSDT":  # whose quarter hours lack the trades
        np.testing.assert_allclose(drawn[QUOTE:], hours[QUOTE:], rtol=1e-6)


@pytest.mark.shared
@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT", "LINKUSDT", "NEARUSDT"])
def test_the_forming_candle_stays_inside_the_real_one_and_ends_as_it(real: Market, symbol: str) -> None:
    opened = END_MS - 9 * DAY_MS
    for interval in (Interval.H1, Interval.D1):
        final = real.rows(symbol, interval, opened, opened + interval.ms).bar(0)
        bars = [real.forming(symbol, interval, opened + part * interval.ms // 9 + 777) for part in range(9)]
        last = real.forming(symbol, interval, opened + interval.ms - 1)
        assert last is not None
        for bar in (*bars, last):
            assert bar is not None
            assert bar.open == final.open
            assert final.low <= bar.low <= bar.close <= bar.high <= final.high
        volumes = [bar.volume for bar in bars if bar]
        assert volumes == sorted(volumes)
        assert last.volume == pytest.approx(final.volume, rel=0.05)


@pytest.mark.shared
@pytest.mark.parametrize("days_back", [360, 130, 40, 20], ids=["in 5m", "in 15m", "before 1m", "in 1m"])
def test_a_market_moves_within_the_minute_whatever_files_reach_there(real: Market, days_back: int) -> None:
    """BTCUSDT has minutes of its own for the last month alone; before, its price stood still within each minute."""
    again = Market(ReplaySource(klines_dir()))
    for minute in range(END_MS - days_back * DAY_MS, END_MS - days_back * DAY_MS + 5 * 60_000, 60_000):
        final = real.rows("BTCUSDT", Interval.M1, minute, minute + 60_000).bar(0)
        seconds = real.traded("BTCUSDT", Interval.S1, minute, minute + 60_000)
        assert len(seconds) == 60
        whole = seconds.fold()
        assert whole is not None
        assert whole[:VOLUME] == final[:VOLUME], "open, high, low and close to the last digit"
        assert whole.volume == pytest.approx(final.volume, rel=1e-9)
        bars = [real.forming("BTCUSDT", Interval.M1, minute + 1_000 * second) for second in range(1, 60)]
        assert len({bar.close for bar in bars if bar is not None}) > 10
        assert all(bar and final.low <= bar.low <= bar.close <= bar.high <= final.high for bar in bars)
        assert bars[30:32] == [again.forming("BTCUSDT", Interval.M1, minute + 1_000 * second) for second in (31, 32)]


@pytest.mark.shared
def test_the_end_of_the_data_is_the_end_of_time(real: Market) -> None:
    base = ManualClock()
    assert real.end_ms == END_MS
    clock = VirtualClock(base, start_ms=END_MS - HOUR_MS, speed=60.0, end_ms=real.end_ms)
    base.tick(30)
    assert clock.now_ms() == END_MS - HOUR_MS // 2
    base.tick(3600)
    assert clock.now_ms() == END_MS
    newest = real.klines("ETHUSDT", Interval.H1, None, None, 1, clock.now_ms())
    assert newest.open_time_ms.tolist() == [END_MS - HOUR_MS]
    assert len(real.klines("ETHUSDT", Interval.H1, END_MS, None, 1000, clock.now_ms())) == 0


@pytest.mark.shared
def test_a_delisted_market_keeps_its_history(real: Market) -> None:
    delisted = real.listings["WAVESUSDT"]
    assert delisted.status == "BREAK"
    newest = real.klines("WAVESUSDT", Interval.D1, None, None, 1, END_MS)
    assert newest.open_time_ms.tolist() == [(delisted.ended_ms or 0) - DAY_MS]
    with running_exchange(real, ManualClock(END_MS - DAY_MS)) as exchange:
        price = _get(exchange.port, "ticker/price?symbol=WAVESUSDT")["price"]
        everything = _get(exchange.port, "ticker/24hr?type=MINI")
    assert float(price) == newest.bar(0).close
    assert len(everything) == len(real.listings)


@pytest.mark.shared
def test_steps_are_those_of_the_prices(real: Market) -> None:
    assert real.listings["BTCUSDT"].tick_e8 == 1_000_000
    assert real.listings["TRXUSDT"].tick_e8 == 10_000
    assert (real.listings["ETHUSDT"].base, real.listings["BTCUSDC"].quote) == ("ETH", "USDC")


def _get(port: int, path: str) -> Any:
    connection = HTTPConnection("127.0.0.1", port, timeout=90)
    try:
        connection.request("GET", f"/api/v3/{path}")
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def write(folder: Path, name: str, count: int = 48, **changes: Any) -> None:
    """Hours of a flat market from 2024-01-01, without the optional columns."""
    times = 1_704_067_200_000 + np.arange(count) * HOUR_MS
    columns: dict[str, Any] = {"open_time_ms": times}
    columns |= {"open": np.full(count, 2.0), "high": np.full(count, 2.5), "low": np.full(count, 1.5)}
    columns |= {"close": np.full(count, 2.25), "volume": np.full(count, 125_000.0), **changes}
    pq.write_table(
        pa.table({key: column for key, column in columns.items() if column is not None}), folder / f"{name}.parquet"
    )


def test_columns_that_were_not_recorded_are_zeros_on_the_wire(tmp_path: Path) -> None:
    write(tmp_path, "ABCUSDT-1h", trades=np.full(48, np.nan))
    market = Market(ReplaySource(tmp_path))
    now = 1_704_067_200_000 + 40 * HOUR_MS + 1_800_000
    rows = kline_rows(
        market.klines("ABCUSDT", Interval.H1, None, None, 2, now), Interval.H1, market.listings["ABCUSDT"].units
    )
    assert rows[0][7:12] == ["0.00000000", 0, "0.00000000", "0.00000000", "0"]
    assert rows[1][7:12] == ["0.00000000", 0, "0.00000000", "0.00000000", "0"]
    living = market.forming("ABCUSDT", Interval.H1, now)
    assert living is not None
    assert 0 < living.volume < 125_000
    assert living[QUOTE] == living[TRADES] == living[TAKER_QUOTE] == 0
    with running_exchange(market, ManualClock(now)) as exchange:
        trades = _get(exchange.port, "aggTrades?symbol=ABCUSDT&limit=20")
    assert rows[1][5] != "0.00000000"
    assert len({trade["a"] for trade in trades}) == 20
    assert [trade["a"] for trade in trades] == sorted(trade["a"] for trade in trades)


def test_a_halted_hour_is_flat(tmp_path: Path) -> None:
    flat = np.full(48, 2.0)
    write(tmp_path, "ABCUSDT-1h", high=flat, low=flat, close=flat, volume=np.zeros(48))
    market = Market(ReplaySource(tmp_path))
    now = 1_704_067_200_000 + 5 * HOUR_MS + 60_000
    assert market.forming("ABCUSDT", Interval.H1, now) == Bar.flat(2.0)
    minutes = market.rows("ABCUSDT", Interval.M1, now - HOUR_MS, now).values
    assert (minutes[HIGH] == minutes[LOW]).all()
    assert not minutes[VOLUME].any()


def test_what_cannot_be_replayed_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidInput, match=r"has no candles to replay; give a folder of SYMBOL-INTERVAL\.parquet files"
    ):
        ReplaySource(tmp_path)
    write(tmp_path, "ABCUSDT-1h", close=None)
    with pytest.raises(InvalidInput, match=r"ABCUSDT-1h\.parquet cannot be replayed; it lacks the columns close"):
        ReplaySource(tmp_path)
    write(tmp_path, "ABCUSDT-1h", open_time_ms=np.zeros(48, dtype=np.int64))
    with pytest.raises(InvalidInput, match="must be strictly increasing"):
        ReplaySource(tmp_path)
    (tmp_path / "ABCUSDT-1h.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(InvalidInput, match="not readable as Parquet"):
        ReplaySource(tmp_path)
