"""The candle store: what is written is read, only what is missing is asked for, and a kill loses nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import candle_rows
from data.candle_rows import WriteCount
from data.candle_store import CandleStore, SeriesStats
from data.candles import FLOAT_COLUMNS, Candles
from data.database import connect
from data.interval import Interval
from data.ranges import merged
from data.symbol import Symbol
from tests.support.made_candles import START_MS, made_candles
from utils.errors import InvalidInput, StoreError

ROOT = Path(__file__).resolve().parents[2]
BTC = Symbol("BTCUSDT")
HOUR_MS = 3_600_000


@pytest.fixture
def store(url: str) -> Iterator[CandleStore]:
    database = connect(url)
    yield CandleStore(database)
    database.close()


def at(row: int) -> int:
    return START_MS + row * HOUR_MS


def test_what_is_written_is_read_bit_for_bit(store: CandleStore) -> None:
    candles = made_candles(12_000, without=(7, 8, 9000))
    assert store.write(candles) == WriteCount(added=11_997)
    back = store.read(BTC, Interval.H1)
    assert back.digest == candles.digest
    assert store.read(BTC, Interval.H1, limit=900).digest == candles.tail(900).digest


@pytest.mark.parametrize("told", ["less", "nothing", "the other way round"])
def test_an_sqlite_that_joins_rows_otherwise_is_asked_row_by_row(
    store: CandleStore, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    """That it concatenates bytes, in the order of the inner select, is what it does, not what it promises."""
    candles = made_candles(50)
    store.write(candles)
    asked = candle_rows._raw_rows
    joined: list[object] = []

    def answer(connection: Any, statement: Any, given: dict[str, int]) -> Any:
        found = asked(connection, statement, given)
        if statement is not candle_rows._JOINED:
            return found
        joined.append(found)
        ((count, packed),) = found
        rows = [packed[start : start + 80] for start in range(0, len(packed), 80)]
        answers = {"less": packed[80:], "nothing": None, "the other way round": b"".join(rows[::-1])}
        return [(count, answers[told])]

    monkeypatch.setattr(candle_rows, "_raw_rows", answer)
    assert store.read(BTC, Interval.H1, limit=40).digest == candles.tail(40).digest
    assert joined or store._database.engine.dialect.name != "sqlite"


def test_nan_of_absent_columns_comes_back_as_nan(store: CandleStore) -> None:
    candles = replace(made_candles(5), trades=np.full(5, np.nan), quote_volume=np.full(5, np.nan))
    store.write(candles)
    assert np.isnan(store.read(BTC, Interval.H1).trades).all()
    assert store.write(candles) == WriteCount(duplicate=5)


def test_a_range_and_a_limit(store: CandleStore) -> None:
    candles = made_candles(100)
    store.write(candles)
    for rows, found in (
        ((10, 20), store.read(BTC, Interval.H1, start_ms=at(10), end_ms=at(19))),
        ((90, 100), store.read(BTC, Interval.H1, limit=10)),
        ((15, 20), store.read(BTC, Interval.H1, limit=5, start_ms=at(10), end_ms=at(19))),
        ((0, 3), store.read(BTC, Interval.H1, end_ms=at(2) + 1)),
        ((0, 0), store.read(BTC, Interval.H1, limit=0)),
        ((0, 0), store.read(BTC, Interval.H1, start_ms=at(100))),
    ):
        assert found.digest == candles.slice(*rows).digest


def test_series_are_apart(store: CandleStore) -> None:
    store.write(made_candles(10))
    store.write(made_candles(20, symbol="ETHUSDT", seed=2))
    store.write(made_candles(30, interval="1m", seed=3))
    assert len(store.read(BTC, Interval.H1)) == 10
    assert len(store.read(Symbol("ETHUSDT"), Interval.H1)) == 20
    assert len(store.read(BTC, Interval.M1)) == 30
    nothing = store.read(Symbol("NONEUSDT"), Interval.H1)
    assert (len(nothing), nothing.symbol) == (0, "NONEUSDT")
    assert store.stats().candles == 60


def test_many_series_are_read_in_one_go_as_one_by_one(store: CandleStore) -> None:
    names = [Symbol(f"COIN{number}USDT") for number in range(60)]
    for number, name in enumerate(names[:-1]):
        store.write(made_candles(5 + number, symbol=name, seed=number))
    end_ms = made_candles(30).last_open_time_ms
    wanted = [(name, Interval.H1) for name in names]
    found = list(store.read_newest(wanted, limit=20, end_ms={Interval.H1: end_ms}))
    alone = [store.read(*pair, limit=20, end_ms=end_ms) for pair in wanted[:-1]]
    assert [candles.digest for candles in found] == [candles.digest for candles in alone]
    assert max(map(len, found)) == 20


def test_of_differing_duplicates_the_later_wins_and_is_counted(store: CandleStore) -> None:
    candles = made_candles(10)
    store.write(candles)
    changed = candles.close.copy()
    changed[[2, 5]] *= 1.01
    later = Candles.from_columns(
        BTC,
        Interval.H1,
        candles.open_time_ms.copy(),
        [changed if name == "close" else getattr(candles, name).copy() for name in FLOAT_COLUMNS],
    )
    assert store.write(later) == WriteCount(duplicate=8, replaced=2)
    assert store.read(BTC, Interval.H1).digest == later.digest
    assert store.stats().candles == 10


def test_what_a_source_lacks_never_overwrites_what_is_known(store: CandleStore) -> None:
    candles = made_candles(10)
    store.write(candles)
    assert store.write(replace(candles, trades=np.full(10, np.nan))) == WriteCount(duplicate=10)
    assert store.read(BTC, Interval.H1).digest == candles.digest


def test_rows_with_a_price_that_is_no_number_are_refused_whole(store: CandleStore) -> None:
    candles = made_candles(10)
    broken = candles.close.copy()
    broken[4] = np.nan
    with pytest.raises(InvalidInput, match=rf"1 candles of BTCUSDT 1h, the first at {at(4)}, hold a price"):
        store.write(replace(candles, close=broken))
    assert len(store.read(BTC, Interval.H1)) == 0


def test_only_what_was_never_asked_is_missing(store: CandleStore) -> None:
    assert store.missing(BTC, Interval.H1, at(0), at(100)) == [(at(0), at(100))]
    store.write(made_candles(60, without=(20, 21, 40)).slice(10, None))
    assert store.missing(BTC, Interval.H1, at(0), at(70)) == [
        (at(0), at(10)),
        (at(20), at(22)),
        (at(40), at(41)),
        (at(60), at(70)),
    ]
    store.record_hole(BTC, Interval.H1, at(20), at(22))
    store.record_hole(BTC, Interval.H1, at(0), at(10))
    assert store.missing(BTC, Interval.H1, at(0), at(60)) == [(at(40), at(41))]
    assert store.holes(BTC, Interval.H1) == [(at(0), at(10)), (at(20), at(22))]
    assert store.missing(BTC, Interval.H1, at(5), at(5)) == []
    assert store.missing(BTC, Interval.H1, at(0) - 1, at(0) + 1) == []


def test_a_hole_is_only_where_nothing_is_stored_and_goes_when_it_is_filled(store: CandleStore) -> None:
    store.write(made_candles(30).slice(10, 20))
    store.record_hole(BTC, Interval.H1, at(5), at(25))
    assert store.holes(BTC, Interval.H1) == [(at(5), at(10)), (at(20), at(25))]
    store.write(made_candles(30).slice(6, 8))
    assert store.holes(BTC, Interval.H1) == [(at(5), at(6)), (at(8), at(10)), (at(20), at(25))]
    assert store.stats().holes == 3


def test_a_hole_can_be_recorded_before_any_candle(store: CandleStore) -> None:
    store.record_hole(BTC, Interval.H1, at(0), at(50))
    assert store.missing(BTC, Interval.H1, at(0), at(60)) == [(at(50), at(60))]
    assert store.stats().series == (SeriesStats(BTC, Interval.H1, 0, None, None),)


@pytest.mark.parametrize("interval", [Interval.MO1, Interval.W1, Interval.D3])
def test_odd_grids(store: CandleStore, interval: Interval) -> None:
    times = [interval.open_ms(START_MS)]
    for _ in range(20):
        times.append(interval.next_open_ms(times[-1]))
    candles = Candles.from_columns(BTC, interval, np.array(times[:5] + times[7:]), np.ones((9, 19)))
    store.write(candles)
    end = interval.next_open_ms(times[-1])
    assert store.missing(BTC, interval, times[0], end) == [(times[5], times[7])]
    assert store.missing(BTC, interval, times[0], end) == candles.holes()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["write", "hole"]), st.integers(0, 40), st.integers(1, 15)), min_size=1, max_size=8
    )
)
def test_missing_agrees_with_sets(steps: list[tuple[str, int, int]]) -> None:
    database = connect("sqlite://")
    store = CandleStore(database)
    source = made_candles(60)
    stored: set[int] = set()
    holes: set[int] = set()
    for action, start, length in steps:
        rows = range(start, start + length)
        if action == "write":
            count = store.write(source.slice(rows.start, rows.stop))
            assert count.added == len(set(rows) - stored)
            stored |= set(rows)
            holes -= set(rows)
        else:
            store.record_hole(BTC, Interval.H1, at(rows.start), at(rows.stop))
            holes |= set(rows) - stored
    missing = {row for row in range(60) if row not in stored | holes}
    assert store.missing(BTC, Interval.H1, at(0), at(60)) == merged((at(row), at(row + 1)) for row in missing)
    assert store.holes(BTC, Interval.H1) == merged((at(row), at(row + 1)) for row in holes)
    assert store.read(BTC, Interval.H1).open_time_ms.tolist() == [at(row) for row in sorted(stored)]
    assert store.stats().candles == len(stored)
    database.close()


def test_statistics_are_kept_without_counting(store: CandleStore) -> None:
    store.write(made_candles(100).slice(50, 80))
    store.write(made_candles(100).slice(40, 60))
    stats = store.stats()
    assert stats.series == (SeriesStats(BTC, Interval.H1, 40, at(40), at(79)),)
    assert (stats.candles, stats.holes) == (40, 0)
    assert stats.file_size_bytes > 4096


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    database = connect(f"sqlite:///{tmp_path}/candles.db")
    store = CandleStore(database)
    with database.write() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 20}")
    with pytest.raises(StoreError, match="disk is full"):
        store.write(made_candles(20_000))
    assert len(store.read(BTC, Interval.H1)) == 0
    assert store.stats().candles == 0
    assert store.write(made_candles(10)) == WriteCount(added=10)
    database.close()


def test_one_writer_and_many_readers(store: CandleStore) -> None:
    source = made_candles(2000)
    store.write(source.slice(0, 500))
    done = threading.Event()
    seen: list[int] = []

    def read() -> None:
        while not done.is_set():
            candles = store.read(BTC, Interval.H1)
            assert candles.digest == source.slice(0, len(candles)).digest
            seen.append(len(candles))

    with ThreadPoolExecutor(6) as pool:
        readers = [pool.submit(read) for _ in range(6)]
        try:
            for stop in range(600, 2001, 100):
                store.write(source.slice(stop - 100, stop))
        finally:
            done.set()
        for reader in readers:
            reader.result(90)
    assert seen
    assert all(count % 100 == 0 for count in seen)
    assert len(store.read(BTC, Interval.H1)) == 2000


WRITER = """
import sys
from data.candle_store import CandleStore
from data.database import connect
from tests.support.made_candles import made_candles
store = CandleStore(connect(sys.argv[1]))
source = made_candles(400_000, interval="1m")
for start in range(0, 400_000, 500):
    store.write(source.slice(start, start + 500))
    print(start + 500, flush=True)
"""


def test_a_kill_during_writes_loses_nothing_that_was_acknowledged(url: str) -> None:
    source = made_candles(400_000, interval="1m")
    for kill_after in (3, 11):
        child = subprocess.Popen([sys.executable, "-c", WRITER, url], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        said = [int(child.stdout.readline()) for _ in range(kill_after)]
        child.send_signal(signal.SIGKILL)
        said += [int(line) for line in child.stdout.read().splitlines() if line.strip()]
        child.stdout.close()
        assert child.wait(90) == -signal.SIGKILL
        database = connect(url, on_notice=pytest.fail)
        store = CandleStore(database)
        candles = store.read(BTC, Interval.M1)
        assert len(candles) >= said[-1]
        assert len(candles) % 500 == 0
        assert candles.digest == source.slice(0, len(candles)).digest
        assert store.stats().candles == len(candles)
        assert store.write(source.slice(0, 1000)) == WriteCount(added=max(0, 1000 - len(candles)), duplicate=1000)
        database.close()
