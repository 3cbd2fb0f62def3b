"""Importing klines: every kind of file, every fault counted with its reason, and nothing that one bad file stops."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data import kline_files
from data.candle_rows import WriteCount
from data.candle_store import CandleStore
from data.candles import FLOAT_COLUMNS, Candles
from data.database import Database, connect
from data.import_klines import FileReport, import_files, main, report_text
from data.interval import Interval
from data.kline_files import UnreadableFile, market_of, read_klines
from data.symbol import Symbol
from tests.support.made_candles import START_MS, made_candles
from tests.support.real_candles import real_candles
from tests.support.shared_data import klines_dir

BTC = Symbol("BTCUSDT")
HOUR_MS = 3_600_000
LATER_MS = START_MS + 10_000 * HOUR_MS
HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = connect(f"sqlite:///{tmp_path}/store/candles.db")
    yield opened
    opened.close()


@pytest.fixture
def store(database: Database) -> CandleStore:
    return CandleStore(database)


def csv_lines(candles: Candles, unit: int = 1) -> list[str]:
    """As Binance writes them: decimals as text, the close time before the quote volume, an ignored column last."""
    lines = []
    for row in range(len(candles)):
        c = candles.row(row)
        close_time = (c.open_time_ms + candles.interval.ms) * unit - 1
        lines.append(
            f"{c.open_time_ms * unit},{c.open!r},{c.high!r},{c.low!r},{c.close!r},{c.volume!r},{close_time},"
            f"{c.quote_volume!r},{int(c.trades)},{c.taker_buy_base!r},{c.taker_buy_quote!r},0"
        )
    return lines


def write_csv(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def write_zip(path: Path, members: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in members.items():
            packed.writestr(name, text)
    return path


def write_parquet(path: Path, candles: Candles, without: tuple[str, ...] = ()) -> Path:
    names = [name for name in ("open_time_ms", *FLOAT_COLUMNS) if name not in without]
    pq.write_table(pa.table({name: getattr(candles, name) for name in names}), path)
    return path


def imported(store: CandleStore, *paths: Path, now_ms: int = LATER_MS) -> list[FileReport]:
    return import_files(paths, store, now_ms=now_ms)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["BTCUSDT-1d", "XRPUSDT-1d"])
def test_real_parquet_files(store: CandleStore, name: str) -> None:
    symbol, interval = name.split("-")
    path = klines_dir() / f"{name}.parquet"
    real = real_candles(symbol, interval)
    (report,) = imported(store, path, now_ms=2_000_000_000_000)
    assert report == FileReport(path, WriteCount(added=len(real)))
    assert store.read(Symbol(symbol), Interval(interval)).digest == real.digest
    (again,) = imported(store, path, now_ms=2_000_000_000_000)
    assert again.written == WriteCount(duplicate=len(real))


@pytest.mark.parametrize("unit", [1, 1000])
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("packed", [True, False])
def test_binance_csv_and_zip(store: CandleStore, tmp_path: Path, unit: int, header: bool, packed: bool) -> None:
    candles = made_candles(300)
    lines = ([HEADER] if header else []) + csv_lines(candles, unit)
    if packed:
        path = write_zip(tmp_path / "BTCUSDT-1h-2024-01.zip", {"BTCUSDT-1h-2024-01.csv": "\n".join(lines)})
    else:
        path = write_csv(tmp_path / "BTCUSDT-1h-2024-01.csv", lines)
    (report,) = imported(store, path)
    assert report == FileReport(path, WriteCount(added=300))
    assert store.read(BTC, Interval.H1).digest == candles.digest


def test_a_file_may_change_its_unit_in_the_middle(store: CandleStore, tmp_path: Path) -> None:
    candles = made_candles(20)
    lines = csv_lines(candles.slice(0, 10)) + csv_lines(candles.slice(10, None), 1000)
    imported(store, write_csv(tmp_path / "BTCUSDT-1h.csv", lines))
    assert store.read(BTC, Interval.H1).digest == candles.digest


def test_absent_columns_become_nan(store: CandleStore, tmp_path: Path) -> None:
    candles = made_candles(20)
    absent = ("quote_volume", "trades", "taker_buy_base", "taker_buy_quote")
    (report,) = imported(store, write_parquet(tmp_path / "BTCUSDT-1h.parquet", candles, absent))
    assert report.written == WriteCount(added=20)
    back = store.read(BTC, Interval.H1)
    np.testing.assert_array_equal(back.close, candles.close)
    assert all(np.isnan(getattr(back, name)).all() for name in absent)


FAULTS: list[tuple[str, Callable[[list[str]], object]]] = [
    ("off the grid", lambda cells: cells.__setitem__(0, str(int(cells[0]) + 1))),
    ("off the grid", lambda cells: cells.__setitem__(0, str(int(cells[0]) * 1000 + 1))),
    ("not a number", lambda cells: cells.__setitem__(4, "NaN")),
    ("not a number", lambda cells: cells.__setitem__(4, "abc")),
    ("infinite", lambda cells: cells.__setitem__(7, "inf")),
    ("price not positive", lambda cells: cells.__setitem__(3, "-1")),
    ("price not positive", lambda cells: cells.__setitem__(3, "0")),
    ("negative volume or count", lambda cells: cells.__setitem__(5, "-1")),
    ("negative volume or count", lambda cells: cells.__setitem__(8, "-1")),
    ("high below low", lambda cells: cells.__setitem__(2, "0.5")),
    ("open or close outside high and low", lambda cells: cells.__setitem__(1, "1e9")),
    ("not closed yet", lambda cells: cells.__setitem__(0, str(LATER_MS))),
    ("wrong columns", lambda cells: cells.pop()),
    ("wrong columns", lambda cells: cells.append("1")),
    ("time neither in ms nor µs", lambda cells: cells.__setitem__(0, str(int(cells[0]) // 1000))),
    ("time neither in ms nor µs", lambda cells: cells.__setitem__(0, str(int(cells[0]) * 10**6))),
]


@pytest.mark.parametrize(("reason", "spoil"), FAULTS)
def test_a_bad_row_is_refused_with_its_reason_and_the_others_stay(
    store: CandleStore, tmp_path: Path, reason: str, spoil: Callable[[list[str]], object]
) -> None:
    candles = made_candles(10)
    lines = csv_lines(candles)
    cells = lines[6].split(",")
    spoil(cells)
    lines[6] = ",".join(cells)
    (report,) = imported(store, write_csv(tmp_path / "BTCUSDT-1h.csv", lines))
    assert report.refused == Counter({reason: 1})
    assert report.written == WriteCount(added=9)
    assert report.error == ""
    assert made_candles(10).open_time_ms[6] not in store.read(BTC, Interval.H1).open_time_ms


@pytest.mark.parametrize(("now_ms", "added"), [(-1, 9), (0, 10)])
def test_a_candle_is_closed_when_its_last_millisecond_has_passed(
    store: CandleStore, tmp_path: Path, now_ms: int, added: int
) -> None:
    path = write_csv(tmp_path / "BTCUSDT-1h.csv", csv_lines(made_candles(10)))
    (report,) = imported(store, path, now_ms=START_MS + 10 * HOUR_MS + now_ms)
    assert report.written.added == added


def test_rows_out_of_order_and_twice(store: CandleStore, tmp_path: Path) -> None:
    lines = csv_lines(made_candles(10))
    path = write_csv(tmp_path / "BTCUSDT-1h.csv", [*reversed(lines), lines[3]])
    (report,) = imported(store, path)
    assert report.written == WriteCount(added=10, duplicate=1)
    assert store.read(BTC, Interval.H1).digest == made_candles(10).digest


def test_months_and_weeks_have_their_own_grid(store: CandleStore, tmp_path: Path) -> None:
    month = made_candles(1).row(0)
    values = ",".join(str(x) for x in (month.open, month.high, month.low, month.close, month.volume))
    rows = [f"{time},{values},0,1,1,1,1,0" for time in (START_MS, START_MS + 31 * 86_400_000, START_MS + 86_400_000)]
    (months,) = imported(store, write_csv(tmp_path / "BTCUSDT-1mo-2024-01.csv", rows))
    assert (months.written.added, dict(months.refused)) == (2, {"off the grid": 1})
    assert len(store.read(BTC, Interval.MO1)) == 2
    (weeks,) = imported(store, write_csv(tmp_path / "BTCUSDT-1w.csv", rows))
    assert (weeks.written.added, dict(weeks.refused)) == (1, {"off the grid": 2})


@pytest.mark.parametrize(
    ("name", "symbol", "interval"),
    [
        ("BTCUSDT-1h-2024-01.zip", "BTCUSDT", "1h"),
        ("BTCUSDT-1m-2024-01-31.csv", "BTCUSDT", "1m"),
        ("1INCHUSDT-1M.parquet", "1INCHUSDT", "1M"),
        ("BTCUSDT-1mo-2024-01.zip", "BTCUSDT", "1M"),
        ("BTCUSDT-1h.parquet", "BTCUSDT", "1h"),
    ],
)
def test_names_tell_the_market(name: str, symbol: str, interval: str) -> None:
    assert market_of(name) == (symbol, interval)


@pytest.mark.parametrize("name", ["prices.csv", "BTCUSDT-7h.csv", "BTC USDT-1h.csv", "BTCUSDT-1h-evil.zip", "-1h.csv"])
def test_names_that_tell_no_market_are_refused(name: str) -> None:
    with pytest.raises(UnreadableFile, match=r"tells no market|is unknown|cannot be a market"):
        market_of(name)


def broken_files(folder: Path) -> dict[str, Path]:
    good = "\n".join(csv_lines(made_candles(5)))
    files = {
        "not a Parquet file": folder / "BTCUSDT-1h.parquet",
        "cannot be read": folder / "ETHUSDT-1h.zip",
        "a zip with 0 CSV files": write_zip(folder / "BNBUSDT-1h.zip", {"readme.txt": "x"}),
        "no row of klines among 2 lines": write_csv(folder / "ADAUSDT-1h.csv", ["<html>", "</html>"]),
        "wrong columns: close, volume": write_parquet(
            folder / "XRPUSDT-1h.parquet", made_candles(5), ("close", "volume")
        ),
        "tells no market": write_zip(folder / "months.zip", {"2024.csv": good}),
        "a line is longer": write_csv(folder / "LTCUSDT-1h.csv", ["1" * 10_000_000]),
    }
    files["not a Parquet file"].write_bytes(b"PAR1" + b"junk" * 100)
    whole = write_zip(folder / "x.zip", {"ETHUSDT-1h.csv": good * 200}).read_bytes()
    (folder / "x.zip").unlink()
    files["cannot be read"].write_bytes(whole[: len(whole) // 2])
    return files


def test_one_bad_file_does_not_stop_the_rest(
    store: CandleStore, database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = broken_files(tmp_path)
    write_csv(tmp_path / "SOLUSDT-1h.csv", csv_lines(made_candles(7)))
    url = f"sqlite:///{database.path}"
    assert main([str(tmp_path), "--database", url]) == 1
    text = capsys.readouterr().out
    for reason, path in files.items():
        line = next(line for line in text.splitlines() if line.startswith(path.name))
        assert "NOT READ: " in line
        assert reason in line
    assert len(store.read(Symbol("SOLUSDT"), Interval.H1)) == 7


def test_a_flipped_bit_in_a_zip_is_found(store: CandleStore, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "BTCUSDT-1h.zip", {"BTCUSDT-1h.csv": "\n".join(csv_lines(made_candles(500)))})
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    (report,) = imported(store, path)
    assert "cannot be read" in report.error
    assert len(store.read(BTC, Interval.H1)) == 0


def test_a_zip_bomb_is_not_unpacked(store: CandleStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kline_files, "MAX_UNPACKED_BYTES", 100_000)
    bomb = write_zip(tmp_path / "BTCUSDT-1h.zip", {"BTCUSDT-1h.csv": "1,\n" * 5_000_000})
    assert bomb.stat().st_size < 100_000
    (report,) = imported(store, bomb)
    assert "unpacks to more" in report.error
    lines = "\n".join(csv_lines(made_candles(400)))
    many = write_zip(tmp_path / "ETHUSDT-1h.zip", {f"{n}/ETHUSDT-1h.csv": lines for n in range(5)})
    (report,) = imported(store, many)
    assert "unpacks to more" in report.error, "the limit is of the whole zip"


def test_names_inside_a_zip_write_nothing(store: CandleStore, tmp_path: Path) -> None:
    lines = "\n".join(csv_lines(made_candles(5)))
    before = sorted(tmp_path.rglob("*"))
    path = write_zip(tmp_path / "BTCUSDT-1h.zip", {"../../../ETHUSDT-1h.csv": lines, "/etc/passwd.csv": lines})
    (report,) = imported(store, path)
    assert report.error == ""
    assert len(store.read(Symbol("ETHUSDT"), Interval.H1)) == 5
    assert len(store.read(BTC, Interval.H1)) == 5
    assert {p for p in tmp_path.rglob("*") if not p.name.endswith(("-wal", "-shm"))} - {path} <= set(before)


def test_a_later_file_replaces_and_says_so(store: CandleStore, tmp_path: Path) -> None:
    first, second = made_candles(10), made_candles(10, seed=2)
    one = write_parquet(tmp_path / "BTCUSDT-1h.parquet", first)
    two = write_csv(tmp_path / "BTCUSDT-1h-2024-01.csv", csv_lines(second))
    reports = imported(store, one, two)
    assert [report.written for report in reports] == [WriteCount(added=10), WriteCount(replaced=10)]
    text = report_text(reports)
    assert text.splitlines()[-1].split() == ["all", "10", "0", "10", "0"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("absent", "no such file or folder"),
        ("empty", r"holds no .parquet, .csv, .zip file"),
        ("notes.txt", "a .txt file"),
    ],
)
def test_what_is_not_there_is_said(tmp_path: Path, name: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    assert main([str(tmp_path / name), "--database", f"sqlite:///{tmp_path}/x.db"]) == 1
    assert text in capsys.readouterr().out


def test_success_is_exit_code_zero_and_a_bad_database_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_csv(tmp_path / "BTCUSDT-1h.csv", csv_lines(made_candles(5)))
    assert main([str(path), "--database", f"sqlite:///{tmp_path}/x.db"]) == 0
    assert main([str(path), "--database", "nonsense"]) == 2
    assert "cannot be used" in capsys.readouterr().err


def test_an_empty_csv_adds_nothing(store: CandleStore, tmp_path: Path) -> None:
    (report,) = imported(store, write_csv(tmp_path / "BTCUSDT-1h.csv", [HEADER]))
    assert (report.written, report.refused, report.error) == (WriteCount(), Counter(), "")
    assert [len(raw.rows[0]) for raw in read_klines(tmp_path / "BTCUSDT-1h.csv")] == [0]
