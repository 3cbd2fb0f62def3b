"""Migrations: every released schema becomes today's, under a lock, once, with its rows; a strange one is refused."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from data import candle_tables, schema_version
from data.candle_rows import floats_of, packed_rows
from data.candle_store import CandleStore
from data.database import connect
from data.interval import Interval
from data.symbol import Symbol
from models import ledger_tables
from models.ledger import Ledger
from tests.support.made_candles import START_MS, made_candles
from utils.clock import ManualClock
from utils.errors import StoreError

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = Path(__file__).with_name("schemas")
BTC = Symbol("BTCUSDT")
FAMILIES = {"all": ("series", "ledger"), "candles": ("series",), "ledger": ("ledger",)}
"""Which tables a database of that time may hold: the import of klines makes those of the candles alone."""
_CANDLES = made_candles(50)
ROWS: dict[str, list[tuple[str, Any]]] = {
    "series": [
        (
            "INSERT INTO series (symbol, interval, candles, first_open_ms) VALUES (:symbol, '1h', :candles, :first)",
            [
                {"symbol": "BTCUSDT", "candles": 50, "first": START_MS},
                {"symbol": "ETHUSDT", "candles": 0, "first": None},
            ],
        ),
        (
            "INSERT INTO candles VALUES (:series_id, :open_time_ms, :packed)",
            packed_rows(1, _CANDLES.open_time_ms, floats_of(_CANDLES)),
        ),
        ("INSERT INTO holes VALUES (2, 3600000, 7200000)", {}),
    ],
    "ledger": [
        (
            "INSERT INTO ledger_models (model_id, digest, interval, horizons, quantiles, baseline)"
            " VALUES ('tiny', 'd', '1h', '[1]', '[0.5]', '[[0.0]]')",
            {},
        ),
        (
            "INSERT INTO ledger_forecasts"
            " (model, symbol, last_open_time_ms, made_at_ms, last_close, sigma, log_returns, open_mask)"
            " VALUES (1, 'BTCUSDT', 3600000, 1, 1.0, 0.01, :bands, 1)",
            {"bands": b"12345678"},
        ),
    ],
}


def engine_of(url: str) -> sa.Engine:
    return sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))


def make_first_release(url: str, families: tuple[str, ...] = FAMILIES["all"]) -> None:
    """A database as the first version left it, with two series, candles, a hole, a model and a forecast."""
    engine = engine_of(url)
    script = (SCHEMAS / f"0001.{engine.dialect.name}.sql").read_text("utf-8")
    with engine.begin() as connection:
        for statement in script.split(";\n"):
            ours = re.search(r"(ledger|series|candles|holes)", statement)
            if ours and (ours[1] if ours[1] == "ledger" else "series") in families:
                connection.exec_driver_sql(statement)
        for family in families:
            for statement, values in ROWS[family]:
                connection.execute(sa.text(statement), values)
    engine.dispose()


def open_whole(url: str) -> list[str]:
    """Opened as the application does, with every store; what was noticed."""
    notices: list[str] = []
    database = connect(url, on_notice=notices.append)
    CandleStore(database)
    Ledger(database, ManualClock())
    database.close()
    return notices


def differences(url: str) -> list[object]:
    """Between the tables there and those that the stores would make today, as Alembic sees them."""
    engine = engine_of(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found: list[object] = []
        for metadata in (candle_tables.METADATA, ledger_tables.METADATA):
            names = set(metadata.tables)
            context.opts["include_object"] = lambda thing, name, kind, *_, names=names: kind != "table" or name in names
            found += compare_metadata(context, metadata)
    engine.dispose()
    return found


def definitions(path: Path) -> dict[str, str]:
    """What SQLite keeps of each table and index, but for the quotes that renaming leaves."""
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    connection.close()
    return {name: " ".join(sql.replace('"', "").split()) for name, sql in rows}


@pytest.mark.parametrize("families", list(FAMILIES))
def test_the_first_release_becomes_todays_schema(url: str, families: str) -> None:
    make_first_release(url, FAMILIES[families])
    assert open_whole(url) == ["the tables of the database were brought from version 0001 to 0002"]
    assert differences(url) == []
    assert open_whole(url) == []


def test_a_migrated_file_is_defined_like_a_new_one(tmp_path: Path) -> None:
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    make_first_release(f"sqlite:///{old}")
    open_whole(f"sqlite:///{old}")
    open_whole(f"sqlite:///{new}")
    assert definitions(old) == definitions(new)


def test_the_comparison_sees_a_difference(url: str) -> None:
    open_whole(url)
    assert differences(url) == []
    engine = engine_of(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE series ADD COLUMN surplus INTEGER")
        connection.exec_driver_sql("DROP INDEX ledger_recent")
    engine.dispose()
    assert len(differences(url)) == 2


def test_rows_survive_and_are_not_taken_for_the_markets(url: str) -> None:
    make_first_release(url)
    database = connect(url)
    store = CandleStore(database)
    assert len(store.read(BTC, Interval.H1)) == 0
    store.use("unlabelled")
    assert store.read(BTC, Interval.H1).digest == made_candles(50).digest
    assert store.holes(Symbol("ETHUSDT"), Interval.H1) == [(3_600_000, 7_200_000)]
    assert Ledger(database, ManualClock()).counts()["forecasts"] == 1
    store.use("binance")
    store.write(made_candles(10))
    store.record_hole(Symbol("ETHUSDT"), Interval.H1, START_MS, START_MS + 3_600_000)
    assert len(store.read(BTC, Interval.H1)) == 10
    database.close()


def test_references_are_kept_and_still_watched(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/old.db"
    make_first_release(url)
    database = connect(url)
    with database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
    with pytest.raises(StoreError, match="FOREIGN KEY"), database.write() as connection:
        connection.exec_driver_sql("INSERT INTO holes VALUES (77, 1, 2)")
    database.close()


def test_four_that_start_together_change_it_once(url: str) -> None:
    make_first_release(url)
    with ThreadPoolExecutor(4) as pool:
        notices = list(pool.map(open_whole, [url] * 4))
    assert sorted(map(len, notices)) == [0, 0, 0, 1]
    assert differences(url) == []


def test_a_change_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    make_first_release(f"sqlite:///{path}")
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE new_ledger_models (in_the_way INTEGER)")
    connection.close()
    before = definitions(path)
    with pytest.raises(StoreError, match="already exists"):
        connect(f"sqlite:///{path}")
    assert definitions(path) == before
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE new_ledger_models")
    connection.close()
    assert len(open_whole(f"sqlite:///{path}")) == 1


def test_todays_tables_without_a_mark_are_only_marked(url: str) -> None:
    open_whole(url)
    engine = engine_of(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE alembic_version")
    engine.dispose()
    assert open_whole(url) == []
    assert differences(url) == []


def test_a_newer_version_is_refused_in_words(url: str) -> None:
    open_whole(url)
    engine = engine_of(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()
    with pytest.raises(StoreError, match=r"has the schema '9999', and this version knows 0001, 0002; .* DATABASE_URL"):
        connect(url)


def test_tables_that_no_release_made_are_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "strange.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE candles (series_id INTEGER, open_time_ms BIGINT, close DOUBLE)")
        connection.execute("INSERT INTO candles VALUES (1, 2, 3.0)")
    connection.close()
    before = definitions(path)
    with pytest.raises(
        StoreError, match="table 'candles' with the columns close, open_time_ms, series_id, which no rel"
    ):
        connect(f"sqlite:///{path}")
    assert definitions(path) == before


def test_other_tables_are_nobodys_business(tmp_path: Path) -> None:
    path = tmp_path / "shared.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE somebody_elses (x INTEGER)")
    connection.close()
    assert open_whole(f"sqlite:///{path}") == []
    assert "somebody_elses" in definitions(path)


def test_every_revision_is_known_and_the_last_is_head() -> None:
    config = Config()
    config.set_main_option("script_location", str(ROOT / "data" / "migrations"))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    revisions = [one.revision for one in script.walk_revisions()]
    assert script.get_heads() == [schema_version.HEAD]
    assert revisions == list(schema_version._SHAPES)
    released = {path.name.split(".")[0] for path in SCHEMAS.glob("*.sql")}
    assert released == set(revisions) - {schema_version.HEAD}, "each released schema but today's has its file"


def test_alembic_is_loaded_only_where_something_must_change(tmp_path: Path) -> None:
    program = """
import sys
from data.candle_store import CandleStore
from data.database import connect
database = connect(sys.argv[1])
CandleStore(database)
database.close()
print("alembic" in sys.modules)
"""
    url = f"sqlite:///{tmp_path}/dashboard.db"
    old = f"sqlite:///{tmp_path}/old.db"
    make_first_release(old)
    said = [
        subprocess.run(
            [sys.executable, "-c", program, one], cwd=ROOT, capture_output=True, text=True, check=True, timeout=400
        ).stdout.strip()
        for one in (url, url, old, old)
    ]
    assert said == ["False", "False", "True", "False"]
