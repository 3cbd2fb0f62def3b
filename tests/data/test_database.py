"""The database: one writer and many readers, plain errors, a damaged file moved aside, nothing left open."""

from __future__ import annotations

import gc
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from data import sqlite_file
from data.database import Database, connect
from data.query_counts import QueryStats
from utils.clock import ManualClock
from utils.errors import ConfigError, StoreError

METADATA = sa.MetaData()
NOTES = sa.Table(
    "notes",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("text", sa.String),
    sa.Column("n", sa.Integer),
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = connect(f"sqlite:///{tmp_path}/folder/notes.db")
    opened.create_tables(METADATA)
    yield opened
    opened.close()


def texts(database: Database) -> list[str]:
    with database.read() as connection:
        return list(connection.execute(sa.select(NOTES.c.text).order_by(NOTES.c.id)).scalars())


def test_the_folder_is_made_and_the_file_is_in_wal_mode(database: Database, tmp_path: Path) -> None:
    with database.read() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 1, "busy_timeout": 5000, "foreign_keys": 1}
    patient = connect(f"sqlite:///{database.path}", patience_s=120.0)
    with patient.read() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 120_000
    patient.close()
    assert database.path == tmp_path / "folder" / "notes.db"
    assert database.file_size_bytes > 0


def test_a_new_file_that_another_process_writes_to_is_waited_for(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "new.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began_s = time.monotonic()
        with pytest.raises(StoreError, match="locked by another program for too long"):
            connect(f"sqlite:///{tmp_path}/new.db", patience_s=0.3)
        assert time.monotonic() - began_s >= 0.3, "SQLite itself fails at once here"
        with ThreadPoolExecutor(1) as pool:
            opening = pool.submit(connect, f"sqlite:///{tmp_path}/new.db", patience_s=90.0)
            with pytest.raises(TimeoutError):
                opening.result(timeout=0.05)
            other.execute("COMMIT")
            opening.result(timeout=90.0).close()


def test_a_write_is_kept_whole_or_not_at_all(database: Database) -> None:
    with database.write() as connection:
        connection.execute(sa.insert(NOTES), [{"text": "a"}, {"text": "b"}])
    with pytest.raises(StoreError, match="UNIQUE"), database.write() as connection:
        connection.execute(sa.insert(NOTES), [{"id": 3, "text": "c"}, {"id": 1, "text": "again"}])
    assert texts(database) == ["a", "b"]


def test_a_reader_sees_one_state_while_a_writer_goes_on(database: Database) -> None:
    with database.write() as connection:
        connection.execute(sa.insert(NOTES), {"text": "a"})
    with database.read() as reader:
        before = reader.execute(sa.select(sa.func.count()).select_from(NOTES)).scalar_one()
        with database.write() as writer:
            writer.execute(sa.insert(NOTES), {"text": "b"})
        after = reader.execute(sa.select(sa.func.count()).select_from(NOTES)).scalar_one()
    assert (before, after) == (1, 1)
    assert texts(database) == ["a", "b"]


def test_write_blocks_do_not_nest(database: Database) -> None:
    with database.write(), pytest.raises(RuntimeError, match="hand its connection on"), database.write():
        pass
    with database.write() as connection:
        connection.execute(sa.insert(NOTES), {"text": "after"})
    assert texts(database) == ["after"]


def test_one_writer_at_a_time_and_many_readers(database: Database) -> None:
    inside, most = 0, 0
    lock = threading.Lock()

    def write(number: int) -> None:
        nonlocal inside, most
        with database.write() as connection:
            with lock:
                inside += 1
                most = max(most, inside)
            connection.execute(sa.insert(NOTES), [{"text": f"{number}", "n": n} for n in range(20)])
            with lock:
                inside -= 1

    def read(_: int) -> int:
        with database.read() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(NOTES)).scalar_one())

    with ThreadPoolExecutor(12) as pool:
        writes = [pool.submit(write, number) for number in range(20)]
        counts = list(pool.map(read, range(60)))
        for done in writes:
            done.result(90)
    assert most == 1
    assert all(count % 20 == 0 for count in counts)
    assert len(texts(database)) == 400


@pytest.mark.parametrize(("update", "expected"), [(None, ("new", 2)), (["text"], ("new", 1)), ([], ("old", 1))])
def test_upsert_updates_what_it_is_told(
    database: Database, update: list[str] | None, expected: tuple[str, int]
) -> None:
    with database.write() as connection:
        connection.execute(sa.insert(NOTES), {"id": 1, "text": "old", "n": 1})
        connection.execute(database.upsert(NOTES, update=update), [{"id": 1, "text": "new", "n": 2}])
        row = connection.execute(sa.select(NOTES.c.text, NOTES.c.n)).one()
    assert tuple(row) == expected


def test_upsert_speaks_postgresql_too() -> None:
    engine = sa.create_mock_engine("postgresql://", executor=lambda *_: None)
    statement = Database.upsert(_Dialect(engine.dialect), NOTES)  # type: ignore[arg-type]
    text = str(statement.compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
    assert "ON CONFLICT (id) DO UPDATE SET text = excluded.text, n = excluded.n" in text


class _Dialect:
    """As much of a Database as upsert looks at."""

    def __init__(self, dialect: sa.Dialect) -> None:
        self.engine = self
        self.dialect = dialect
        self.name = dialect.name


def test_queries_are_counted_and_the_slowest_is_named(tmp_path: Path) -> None:
    clock = ManualClock()
    database = connect(f"sqlite:///{tmp_path}/notes.db", clock=clock)
    database.create_tables(METADATA)

    def slow(_: object) -> int:
        clock.tick(1.5)
        return 1

    before = database.query_stats()
    with database.read() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.create_function("slow", 1, slow)
        connection.execute(sa.text("SELECT   slow(:secret)"), {"secret": "hidden"}).scalar()
    stats = database.query_stats()
    assert stats.count >= before.count + 1
    assert stats.total_s - before.total_s == pytest.approx(1.5)
    assert stats == QueryStats(stats.count, 0, stats.total_s, stats.slowest_s, "SELECT slow(?)", stats.statements)
    assert stats.statements[0].sql == "SELECT slow(?)"
    assert stats.statements[0].total_s == pytest.approx(1.5)
    assert stats.slowest_s == pytest.approx(1.5)
    database.close()


@pytest.mark.parametrize("damage", [b"this is not a database, and long enough to be read as one" * 100, "flip", "cut"])
def test_a_damaged_file_is_moved_aside_never_deleted(tmp_path: Path, damage: bytes | str) -> None:
    path = tmp_path / "notes.db"
    first = connect(f"sqlite:///{path}")
    first.create_tables(METADATA)
    with first.write() as connection:
        connection.execute(sa.insert(NOTES), [{"text": "x" * 2000} for _ in range(200)])
    first.close()
    whole = path.read_bytes()
    if isinstance(damage, bytes):
        broken = damage
    elif damage == "cut":
        broken = whole[: len(whole) // 2]
    else:
        broken = whole[:8192] + bytes(255 - byte for byte in whole[8192:20480]) + whole[20480:]
    path.write_bytes(broken)
    notices: list[str] = []
    second = connect(f"sqlite:///{path}", clock=ManualClock(1_700_000_000_123), on_notice=notices.append)
    second.create_tables(METADATA)
    assert texts(second) == []
    second.close()
    aside = tmp_path / "notes.db.corrupt-1700000000123"
    assert aside.read_bytes() == broken
    assert notices == [f"the database notes.db was damaged; it was moved aside to {aside.name} and a new one was begun"]


def flipped(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + bytes(255 - byte for byte in whole[8192:20480]) + whole[20480:])


def filled(path: Path) -> Database:
    database = connect(f"sqlite:///{path}", on_notice=pytest.fail)
    database.create_tables(METADATA)
    with database.write() as connection:
        connection.execute(sa.insert(NOTES), [{"text": "x" * 2000} for _ in range(200)])
    return database


def test_a_large_file_that_was_closed_is_not_read_to_its_end_until_it_is_found_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "_READ_ALWAYS_BYTES", 0)
    path, notices = tmp_path / "notes.db", list[str]()
    filled(path).close()
    flipped(path)
    opened = connect(f"sqlite:///{path}", on_notice=pytest.fail)
    with pytest.raises(StoreError, match="is damaged; restart, which moves the damaged file aside"):
        texts(opened)
    opened.close()
    connect(f"sqlite:///{path}", on_notice=notices.append).close()
    assert "was damaged; it was moved aside" in notices[0]
    connect(f"sqlite:///{path}", on_notice=pytest.fail).close()
    assert not (tmp_path / "notes.db-doubt").exists()


@pytest.mark.parametrize("damage", ["unclosed", "cut", "doubted and sound"])
def test_a_large_file_is_read_to_its_end_where_there_is_doubt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setattr(sqlite_file, "_READ_ALWAYS_BYTES", 0)
    path, notices = tmp_path / "notes.db", list[str]()
    filled(path).close()
    if damage == "unclosed":
        flipped(path)
        (tmp_path / "notes.db-wal").write_bytes(b"left by a process that was killed")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:200_000])
    else:
        (tmp_path / "notes.db-doubt").touch()
    connect(f"sqlite:///{path}", on_notice=notices.append).close()
    assert len(notices) == (damage != "doubted and sound")
    assert not (tmp_path / "notes.db-doubt").exists()


def test_a_large_file_that_somebody_has_open_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command beside the dashboard: the log is in use, not left behind."""
    monkeypatch.setattr(sqlite_file, "_READ_ALWAYS_BYTES", 0)
    path = tmp_path / "notes.db"
    dashboard = filled(path)
    assert (tmp_path / "notes.db-wal").stat().st_size > 0
    assert not sqlite_file.is_doubtful(path)
    beside = connect(f"sqlite:///{path}", on_notice=pytest.fail)
    assert texts(beside) == texts(dashboard)
    beside.close()
    assert not sqlite_file.is_doubtful(path), "it is still open"
    left = {name: (tmp_path / f"notes.db{name}").read_bytes() for name in ("", "-wal")}
    dashboard.close()
    assert not sqlite_file.is_doubtful(path)
    for name, content in left.items():
        (tmp_path / f"killed.db{name}").write_bytes(content)
    assert sqlite_file.is_doubtful(tmp_path / "killed.db"), "nobody has it open"
    killed = connect(f"sqlite:///{tmp_path / 'killed.db'}", on_notice=pytest.fail)
    assert len(texts(killed)) > 0
    killed.close()


def test_a_sound_file_is_left_alone(tmp_path: Path) -> None:
    for _ in range(2):
        database = connect(f"sqlite:///{tmp_path}/notes.db", on_notice=pytest.fail)
        database.create_tables(METADATA)
        database.close()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.db"]


def test_a_full_disk_is_said_plainly_and_reading_goes_on(database: Database) -> None:
    with database.write() as connection:
        connection.execute(sa.insert(NOTES), {"text": "before"})
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StoreError, match="the disk is full; free some space"), database.write() as connection:
        connection.execute(sa.insert(NOTES), [{"text": "x" * 5000} for _ in range(100)])
    assert texts(database) == ["before"]
    assert database.query_stats().errors == 1


def test_a_lock_of_another_program_is_said_plainly(database: Database) -> None:
    other = sqlite3.connect(str(database.path), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        with database.read() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout=0")
        with pytest.raises(StoreError, match="locked by another program"), database.write():
            pass
        assert database.query_stats().failing
        database.create_tables(NOTES.metadata)  # they are there: nothing is waited for
    finally:
        other.close()
    with database.write() as connection:
        connection.execute(sa.insert(NOTES), {"text": "after"})
    assert texts(database) == ["after"]
    assert not database.query_stats().failing


def test_a_read_only_database_is_said_plainly(database: Database) -> None:
    with database.read() as connection:
        connection.exec_driver_sql("PRAGMA query_only=ON")
    with pytest.raises(StoreError, match="read-only; allow writing"), database.write() as connection:
        connection.execute(sa.insert(NOTES), {"text": "a"})


def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match="file/sub"):
        connect(f"sqlite:///{tmp_path}/file/sub/notes.db")


@pytest.mark.parametrize("url", ["not a url", "nosuchdb://x/y", "sqlite+nosuchdriver:///x.db"])
def test_a_url_that_cannot_be_understood_is_a_config_error(url: str) -> None:
    with pytest.raises(ConfigError, match=r"use for example sqlite:///instance/dashboard\.db"):
        connect(url)


def test_a_password_in_the_url_is_never_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        connect("nosuchdb://user:hunter2@host/name")
    assert "hunter2" not in str(caught.value)


def test_errors_of_statements_show_no_values(database: Database) -> None:
    with database.write() as connection:
        connection.execute(sa.insert(NOTES), {"id": 1, "text": "a"})
    with pytest.raises(StoreError) as caught, database.write() as connection:
        connection.execute(sa.insert(NOTES), {"id": 1, "text": "hunter2"})
    assert "UNIQUE constraint failed" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_memory_database_serves_threads_in_turn() -> None:
    database = connect("sqlite://")
    database.create_tables(METADATA)

    def work(number: int) -> int:
        with database.write() as connection:
            connection.execute(sa.insert(NOTES), {"text": str(number)})
        return len(texts(database))

    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(work, range(40)))
    assert max(counts) == 40
    assert database.file_size_bytes == 0
    database.close()


def test_closing_leaves_nothing_open(tmp_path: Path) -> None:
    database = connect(f"sqlite:///{tmp_path}/notes.db")
    database.create_tables(METADATA)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: texts(database), range(30)))
    database.close()
    gc.collect()
    held = [link for link in Path("/proc/self/fd").glob("*") if str(tmp_path) in _target(link)] if _has_proc() else []
    assert held == []
    assert [path.name for path in tmp_path.iterdir()] == ["notes.db"], "the write-ahead log is folded in"


def _has_proc() -> bool:
    return Path("/proc/self/fd").is_dir()


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""
