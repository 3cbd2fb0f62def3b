"""The ledger's chain: whatever is changed, added or taken out is found, and old rows stay readable."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from data.database import Database, connect
from data.interval import Interval
from models.ledger import Ledger
from models.ledger_models import model_hash
from tests.support import tiny_model
from tests.support.ledgers import change, forecast, scored, stretched, written
from utils.clock import ManualClock


def test_a_whole_chain_is_found_whole(ledger: Ledger, url: str) -> None:
    empty = ledger.verify()
    assert (empty.rows, empty.checked, empty.complete, empty.intact, empty.head) == (0, 0, True, True, "")
    scored(ledger)
    found = ledger.verify()
    assert (found.rows, found.checked, found.unchained, found.complete, found.broken) == (300, 300, 0, True, None)
    assert len(found.head) == 64
    again = connect(url)
    assert Ledger(again, ManualClock()).verify() == found
    again.close()


@pytest.mark.parametrize(
    ("statement", "row", "says"),
    [
        ("UPDATE ledger_forecasts SET last_close = last_close * 1.0001 WHERE key = 17", 17, "changed"),
        ("UPDATE ledger_forecasts SET made_at_ms = made_at_ms - 1 WHERE key = 17", 17, "changed"),
        ("UPDATE ledger_forecasts SET sigma = sigma * 2 WHERE key = 300", 300, "changed"),
        ("UPDATE ledger_forecasts SET symbol = 'XRPUSDT' WHERE key = 1", 1, "changed"),
        ("UPDATE ledger_forecasts SET log_returns = zeroblob(960) WHERE key = 200", 200, "changed"),
        ("UPDATE ledger_forecasts SET chain = NULL WHERE key = 5", 5, "no hash"),
        ("UPDATE ledger_forecasts SET chain = zeroblob(32) WHERE key = 300", 300, "changed"),
        ("DELETE FROM ledger_forecasts WHERE key = 40", 40, "taken out"),
        ("DELETE FROM ledger_forecasts WHERE key > 297", 298, "3 of the newest rows were taken out"),
        ("UPDATE ledger_models SET model_id = 'better'", 1, "changed"),
        ("UPDATE ledger_heads SET chain = zeroblob(32)", 300, "not the one that was written last"),
    ],
)
def test_tampering_is_found_and_the_first_broken_row_named(
    database: Database, ledger: Ledger, statement: str, row: int, says: str
) -> None:
    written(ledger)  # rows that have scores cannot be taken out
    change(database, statement)
    broken = ledger.verify().broken
    assert broken is not None
    assert broken.row == row
    assert says in broken.reason


def test_rewriting_a_hash_moves_the_break_to_the_next_row(database: Database, ledger: Ledger) -> None:
    """Whoever changes a row and its hash has to change every later one, and the head."""
    written(ledger)
    change(
        database, "UPDATE ledger_forecasts SET chain = (SELECT chain FROM ledger_forecasts WHERE key = 9) WHERE key = 8"
    )
    broken = ledger.verify().broken
    assert broken is not None
    assert (broken.row, broken.symbol, broken.model_id) == (8, "BTCUSDT", "tiny")


def test_a_long_chain_is_walked_in_pieces(database: Database, ledger: Ledger) -> None:
    written(ledger)
    pieces = [ledger.check(most=120) for _ in range(3)]
    assert [(one.checked, one.complete) for one in pieces] == [(120, False), (240, False), (300, True)]
    change(database, "UPDATE ledger_forecasts SET sigma = 9 WHERE key = 130")
    first, second = ledger.check(most=120), ledger.check(most=120)
    assert (first.intact, first.checked) == (True, 120)
    assert second.broken is not None
    assert second.broken.row == 130
    assert not ledger.check(most=1000).intact


def test_a_walk_sorts_nothing_and_so_holds_no_more_of_a_long_chain_than_of_a_short_one(tmp_path: Path) -> None:
    """A sort in this process keeps all rows it may have to give: of a growing ledger ever more for each piece."""
    database = connect(f"sqlite:///{tmp_path / 'dashboard.db'}")
    ledger = Ledger(database, ManualClock())
    written(ledger)
    asked: list[tuple[str, tuple[object, ...]]] = []

    def note(_connection: object, _cursor: object, text: str, values: tuple[object, ...], *_: object) -> None:
        asked.append((text, values))

    sa.event.listen(database.engine, "before_cursor_execute", note)
    ledger.check(most=120)
    sa.event.remove(database.engine, "before_cursor_execute", note)
    (text, values) = next(one for one in asked if "ledger_raw" in one[0])
    with database.read() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values).all()
    database.close()
    assert any("INTEGER PRIMARY KEY" in line.detail for line in plan), plan
    assert not any("TEMP B-TREE" in line.detail for line in plan), plan


def test_rows_from_before_the_chain_are_told_apart(database: Database, ledger: Ledger) -> None:
    candles = tiny_model.candles(60)
    ledger.append([forecast(candles, row) for row in range(10)])
    with database.write() as connection:
        connection.execute(sa.text("UPDATE ledger_forecasts SET chain = NULL"))
        connection.execute(sa.text("DELETE FROM ledger_heads"))
    ledger.append([forecast(candles, row) for row in range(10, 15)])
    found = ledger.verify()
    assert (found.rows, found.unchained, found.intact) == (15, 10, True)
    change(database, "UPDATE ledger_forecasts SET chain = NULL WHERE key = 12")
    assert not ledger.verify().intact


def test_each_venue_has_its_own_chain(ledger: Ledger) -> None:
    candles = tiny_model.candles(60)
    ledger.append([forecast(candles, row) for row in range(5)])
    real = ledger.verify()
    ledger.use("run 1")
    ledger.append([forecast(candles, row) for row in range(8)])
    assert ledger.verify().rows == ledger.verify().checked == 8
    ledger.use("binance")
    assert ledger.verify() == real


def test_what_the_model_itself_said_is_covered_too(database: Database, ledger: Ledger) -> None:
    """Beside the calibrated bands that were shown: neither can be changed, or taken out, or put in, unnoticed."""
    candles, start = tiny_model.candles(60), np.full((24, 2), 1.5)
    ledger.append([stretched(candles, row, start, start) for row in range(20)])
    ledger.append([forecast(candles, 20)])
    assert ledger.verify().intact
    for statement, row in (
        ("UPDATE ledger_raw SET answer = zeroblob(480) WHERE forecast = 7", 7),
        ("DELETE FROM ledger_raw WHERE forecast = 4", 4),
    ):
        change(database, statement)
        broken = ledger.verify().broken
        assert broken is not None
        assert (broken.row, "changed" in broken.reason) == (row, True)


def test_an_answer_put_in_later_is_found(database: Database, ledger: Ledger) -> None:
    candles = tiny_model.candles(60)
    ledger.append([forecast(candles, row) for row in range(5)])
    change(database, "INSERT INTO ledger_raw (forecast, answer) VALUES (3, zeroblob(480))")
    broken = ledger.verify().broken
    assert broken is not None
    assert broken.row == 3


def test_a_chain_of_the_older_version_goes_on_in_the_newer(database: Database, ledger: Ledger) -> None:
    """As it was written before answers were covered: SHA-256 of the row before, the model and what was shown."""
    candles, start = tiny_model.candles(60), np.full((24, 2), 1.5)
    ledger.append([stretched(candles, row, start, start) for row in range(6)])
    with database.write() as connection:
        rows = connection.execute(sa.text("SELECT * FROM ledger_forecasts ORDER BY key")).all()
        last = hashlib.sha256(b"ledger of binance").digest()
        model = model_hash(ledger.models(Interval.H1)[0], "binance")
        for row in rows:
            numbers = struct.pack("<qqdd", row.last_open_time_ms, row.made_at_ms, row.last_close, row.sigma)
            shown = last + model + row.symbol.encode() + b"\0" + numbers + bytes(row.log_returns)
            last = hashlib.sha256(shown).digest()
            where = {"chain": last, "key": row.key}
            connection.execute(sa.text("UPDATE ledger_forecasts SET chain = :chain WHERE key = :key"), where)
        connection.execute(sa.text("UPDATE ledger_heads SET chain = :chain"), {"chain": last})
    assert ledger.verify().head == last.hex()
    ledger.append([stretched(candles, row, start, start) for row in range(6, 12)])
    found = ledger.verify()
    assert (found.intact, found.rows, found.unchained) == (True, 12, 0)
    change(database, "UPDATE ledger_raw SET answer = zeroblob(480) WHERE forecast = 3")
    assert ledger.verify().intact, "the older version did not cover it: it is not claimed"
    change(database, "UPDATE ledger_raw SET answer = zeroblob(480) WHERE forecast = 9")
    broken = ledger.verify().broken
    assert broken is not None
    assert broken.row == 9
