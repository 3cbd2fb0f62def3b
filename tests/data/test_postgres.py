"""PostgreSQL: one state per reader, one writer over all processes, plain errors, and a restart that is survived."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from data import engines, postgres_connection
from data.candle_rows import WriteCount
from data.candle_store import CandleStore
from data.database import Database, connect
from data.interval import Interval
from data.symbol import Symbol
from tests.support.made_candles import made_candles
from tests.support.relay import Relay, relay
from tests.support.servers import PostgresServer, free_port, postgres_server
from utils.errors import StoreError

METADATA = sa.MetaData()
NOTES = sa.Table("notes", METADATA, sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.String))
PATIENT_S = 30.0
"""What a busy machine may need beside."""
COUNT = sa.select(sa.func.count()).select_from(NOTES)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        yield running


@pytest.fixture
def url(server: PostgresServer) -> str:
    return server.empty_database()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = connect(url)
    opened.create_tables(METADATA)
    yield opened
    opened.close()


def test_a_reader_sees_one_state_while_a_writer_goes_on(database: Database) -> None:
    with database.read() as reader:
        before = reader.execute(COUNT).scalar_one()
        with database.write() as writer:
            writer.execute(sa.insert(NOTES), {"text": "b"})
        assert reader.execute(COUNT).scalar_one() == before
    with database.read() as reader:
        assert reader.execute(COUNT).scalar_one() == before + 1


def test_one_writer_at_a_time_over_all_processes(url: str, database: Database) -> None:
    """Two Database objects know as little of each other as two processes do."""
    other = connect(url)
    inside, release, entered = threading.Event(), threading.Event(), threading.Event()

    def hold() -> None:
        with database.write() as connection:
            inside.set()
            release.wait(90)
            connection.execute(sa.insert(NOTES), {"text": "first"})

    def follow() -> int:
        with other.write() as connection:
            entered.set()
            return int(connection.execute(COUNT).scalar_one())

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(hold)
        assert inside.wait(90)
        second = pool.submit(follow)
        assert not entered.wait(0.2)
        release.set()
        first.result(90)
        assert second.result(90) == 1, "it sees what was committed while it waited for the lock"
    other.close()


def test_two_processes_writing_the_same_candles_count_them_once(url: str) -> None:
    candles = made_candles(400)
    databases = [connect(url) for _ in range(2)]
    stores = [CandleStore(one) for one in databases]
    pieces = [candles.slice(start, start + 50) for start in range(0, 400, 50)]
    with ThreadPoolExecutor(2) as pool:
        counts = list(pool.map(lambda store: sum((store.write(one) for one in pieces), WriteCount()), stores))
    assert counts[0] + counts[1] == WriteCount(added=400, duplicate=400)
    assert stores[0].stats().candles == 400
    assert stores[1].read(Symbol("BTCUSDT"), Interval.H1).digest == candles.digest
    for one in databases:
        one.close()


def test_a_restart_of_the_server_is_survived(server: PostgresServer, database: Database) -> None:
    with database.write() as connection:
        connection.execute(sa.insert(NOTES), {"text": "before"})

    def cut_off() -> None:
        with database.read() as connection:
            server.stop("immediate")
            connection.execute(COUNT)

    with pytest.raises(StoreError, match="ended the connection"):
        cut_off()
    with pytest.raises(StoreError, match="does not answer; start it"), database.read():
        pass
    down = database.query_stats()
    assert down.failing
    assert down.since_error_s is not None
    server.start()
    with database.read() as connection:
        assert connection.execute(COUNT).scalar_one() == 1
    up = database.query_stats()
    assert not up.failing, "it is used again"
    assert up.errors == down.errors


def test_more_threads_than_connections_wait_in_turn(database: Database) -> None:
    def work(number: int) -> int:
        with database.write() as connection:
            connection.execute(sa.insert(NOTES), {"text": str(number)})
        with database.read() as connection:
            return int(connection.execute(COUNT).scalar_one())

    with ThreadPoolExecutor(24) as pool:
        assert max(pool.map(work, range(72))) == 72


def test_errors_show_neither_values_nor_the_password(server: PostgresServer, database: Database) -> None:
    with database.write() as connection:
        connection.execute(sa.insert(NOTES), {"id": 1, "text": "a"})
    with pytest.raises(StoreError, match="duplicate key") as caught, database.write() as connection:
        connection.execute(sa.insert(NOTES), {"id": 1, "text": "hunter2"})
    assert "hunter2" not in str(caught.value)
    with pytest.raises(StoreError, match="does not answer; start it, or correct the address in DATABASE_URL") as caught:
        connect(f"postgres://somebody:hunter2@127.0.0.1:{free_port()}/x")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(StoreError, match='database "nowhere" does not exist'):
        connect(server.url.replace("/postgres", "/nowhere"))


def test_its_size_is_what_the_server_says(database: Database) -> None:
    assert database.file_size_bytes > 1_000_000


@pytest.fixture
def wall(server: PostgresServer, url: str) -> Iterator[tuple[Relay, str]]:
    """A relay to the server, and the database's address through it."""
    with relay(server.port) as made:
        yield made, url.replace(f":{server.port}/", f":{made.port}/")


def test_a_server_that_falls_silent_is_noticed_by_the_next_question(
    wall: tuple[Relay, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connections stay open: whoever asks on one of them would wait for ever."""
    between, address = wall
    monkeypatch.setattr(postgres_connection, "PING_S", 0.2)
    monkeypatch.setattr(engines, "CONNECT_S", 2)
    database = connect(address)
    database.create_tables(METADATA)
    between.fall_silent()

    def ask(_: int = 0) -> float:
        began_s = time.monotonic()
        with pytest.raises(StoreError, match="server does not answer; look whether it runs"), database.read() as reader:
            reader.execute(COUNT)
        return time.monotonic() - began_s

    assert 2 < ask() < 2.2 + PATIENT_S
    with ThreadPoolExecutor(3) as pool:
        assert sum(took_s < 2 for took_s in pool.map(ask, range(3))) == 2, "from then on one at a time knocks"
    between.speak()
    with database.read() as reader:
        assert reader.execute(COUNT).scalar_one() == 0
    database.close()


def test_a_server_that_falls_silent_in_the_middle_of_a_statement(
    wall: tuple[Relay, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    between, address = wall
    database = connect(address)
    database.create_tables(METADATA)
    monkeypatch.setattr(postgres_connection, "SILENT_S", 0.3)

    def ask() -> None:
        with database.read() as reader:
            between.fall_silent()
            reader.execute(COUNT)

    with pytest.raises(StoreError, match="server does not answer"):
        ask()
    between.speak()
    with database.read() as reader:
        assert reader.execute(COUNT).scalar_one() == 0, "on another connection"
    database.close()
