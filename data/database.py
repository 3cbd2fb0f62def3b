"""Database: one engine, one writer at a time, many readers; what the candle store and the ledger stand on."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from data import schema_version
from data.engines import engine_for, masked, with_driver
from data.many_rows import put_all
from data.query_counts import QueryCounts, QueryStats
from data.sqlite_file import doubt, file_of, move_aside_if_corrupt
from data.store_errors import BUSY_TIMEOUT_S, WRITER_WAIT_S, plain_text, store_error
from utils.clock import Clock, SystemClock
from utils.errors import ConfigError, StoreError
from utils.request_trace import DATABASE, traced

PutRows = Callable[[sa.Connection, Sequence[Mapping[str, Any]]], None]


class Database:
    """An SQLAlchemy engine with one writer lock and counted queries. Every failure is a StoreError in plain words.

    SQLite runs in WAL mode, so readers never wait for the writer. A memory database has one connection, which readers
    and the writer take in turn. PostgreSQL is spoken to over a pool of at most 16 connections, each tried before use.
    """

    def __init__(self, engine: sa.Engine, *, path: Path | None, timer: Callable[[], float]) -> None:
        self.engine = engine
        self.path = path
        self._writer = threading.Lock()
        self._writing_thread: int | None = None
        self._one_connection = engine.dialect.name == "sqlite" and path is None
        self._failures: tuple[type[Exception], ...] = (SQLAlchemyError, engine.dialect.loaded_dbapi.Error)
        self._queries = QueryCounts(engine, timer)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection that sees one unchanging state of the database until the block ends. StoreError on failure."""
        with self._taken() if self._one_connection else nullcontext(), self._transaction(writing=False) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction under the writer lock: committed when the block ends, rolled back if it raises. StoreError on
        failure. Blocks do not nest: hand the connection on instead."""
        with self._taken(), self._transaction(writing=True) as connection:
            yield connection

    @contextmanager
    def rebuild(self) -> Iterator[sa.Connection]:
        """A `write` for changing tables. SQLite looks at references when it ends, not while tables are being replaced:
        StoreError if one points nowhere then."""
        with self._taken(), self._plain_errors(), self.engine.connect() as connection, self._unreferenced(connection):
            yield connection

    def create_tables(self, metadata: sa.MetaData) -> None:
        """Create those of the tables that are not there yet. An index covers in PostgreSQL what it covers in SQLite.

        Where all are there nobody's lock is waited for.
        """
        with self.read() as connection:
            if metadata.tables.keys() <= set(sa.inspect(connection).get_table_names()):
                return
        if self.engine.dialect.name == "postgresql":
            for index in (index for table in metadata.tables.values() for index in table.indexes):
                index.dialect_options["postgresql"]["where"] = index.dialect_options["sqlite"]["where"]
        with self.write() as connection:
            metadata.create_all(connection)

    def upsert(
        self, table: sa.Table, *, keys: Sequence[str] | None = None, update: Sequence[str] | None = None
    ) -> sa.Insert:
        """An insert that updates the columns `update` where a row with these `keys` exists, and leaves the row as it is
        where `update` is empty. By default `keys` are the primary key and `update` all other columns."""
        statement = _insert_of(self.engine.dialect.name)(table)
        names = list(keys) if keys is not None else [column.name for column in table.primary_key.columns]
        changed = [column.name for column in table.columns if column.name not in names] if update is None else update
        if not changed:
            return statement.on_conflict_do_nothing(index_elements=names)  # type: ignore[no-any-return]
        values = {name: statement.excluded[name] for name in changed}
        return statement.on_conflict_do_update(index_elements=names, set_=values)  # type: ignore[no-any-return]

    def put_rows(self, table: sa.Table) -> PutRows:
        """What writes many rows at once: new ones are inserted, those with the same primary key replaced.

        PostgreSQL is given one array per column: 1000 candles took 29 ms so, 59 by COPY into a temporary table, 99 by
        executemany; a single row 2.5, 8 and 3.5 ms.
        """
        if self.engine.dialect.name != "postgresql":
            statement = self.upsert(table)
            return lambda connection, rows: put_all(connection, statement, rows)
        arrays = [sa.bindparam(f"all_{one.name}", type_=sa.ARRAY(one.type)) for one in table.columns]
        given = sa.func.unnest(*arrays).table_valued(*(sa.column(one.name, one.type) for one in table.columns))
        given = given.render_derived()
        names = [one.name for one in table.columns]
        # the parent class of both kinds of insert does not know `on_conflict_do_update`
        upsert: Any = self.upsert(table)
        whole = upsert.from_select(names, sa.select(*given.c)).compile(dialect=self.engine.dialect)
        binary = re.sub(r"%\((\w+)\)s", r"%(\1)b", str(whole))  # text would be twice as long, and as slow
        return lambda connection, rows: _execute_text(
            connection, binary, {f"all_{name}": [row[name] for row in rows] for name in names}
        )

    @property
    def file_size_bytes(self) -> int:
        """The database file and its write-ahead log, or what PostgreSQL says; 0 for a database in memory."""
        if self.engine.dialect.name == "postgresql":
            with self.read() as connection:
                return int(connection.execute(sa.text("SELECT pg_database_size(current_database())")).scalar_one())
        if self.path is None:
            return 0
        files = (self.path, self.path.with_name(self.path.name + "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def query_stats(self) -> QueryStats:
        return self._queries.stats()

    def failing(self) -> tuple[float, str] | None:
        """For how many seconds nothing asked of it has gone well, and what is wrong; None where it answers."""
        return self._queries.failing()

    def answered_s(self) -> float | None:
        """How many seconds ago it answered a statement; None where it never did."""
        return self._queries.answered_s()

    @property
    def is_remote(self) -> bool:
        """Whether a server has it, which may fall silent; a file answers or fails."""
        return self.engine.dialect.name == "postgresql"

    def close(self) -> None:
        """Close every connection that is not in use; one that is gets closed when its block ends."""
        self.engine.dispose()

    @contextmanager
    def _taken(self) -> Iterator[None]:
        if self._writing_thread == threading.get_ident():
            raise RuntimeError("a database block is already open in this thread; hand its connection on")
        if not self._writer.acquire(timeout=WRITER_WAIT_S):
            raise StoreError(f"the database has been written to by another thread for {WRITER_WAIT_S:g} s; try again")
        self._writing_thread = threading.get_ident()
        try:
            yield
        finally:
            self._writing_thread = None
            self._writer.release()

    @contextmanager
    def _transaction(self, *, writing: bool) -> Iterator[sa.Connection]:
        with traced(DATABASE), self._plain_errors(), self.engine.connect() as connection:
            marked = connection.execution_options(writing=writing)
            with marked.begin():
                yield marked

    @contextmanager
    def _unreferenced(self, connection: sa.Connection) -> Iterator[None]:
        driver: Any = connection.connection.driver_connection if self.engine.dialect.name == "sqlite" else None
        if driver is not None:
            driver.execute("PRAGMA foreign_keys=OFF").close()  # has no effect inside a transaction
        try:
            with connection.begin():
                yield
                if driver is not None and (broken := connection.exec_driver_sql("PRAGMA foreign_key_check").first()):
                    raise StoreError(f"a row of {broken[0]!r} refers to one of {broken[2]!r} that is not there")
        finally:
            if driver is not None:
                driver.execute("PRAGMA foreign_keys=ON").close()

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except self._failures as error:
            told = store_error(error)
            self._queries.failed(str(told))
            if self.path is not None:
                doubt(self.path, getattr(error, "orig", None) or error)
            raise told from error


def connect(
    url: str,
    *,
    clock: Clock | None = None,
    on_notice: Callable[[str], None] = lambda _: None,
    patience_s: float = BUSY_TIMEOUT_S,
) -> Database:
    """Open the database at an SQLAlchemy URL such as `sqlite:///instance/dashboard.db`, making its folder if need be.

    Tables of an older version are brought up to date first, under a lock; `on_notice` is told so.
    A damaged SQLite file is moved aside to `<name>.corrupt-<ms>`, never deleted, a new one is begun, and `on_notice` is
    told so. `patience_s`: how long SQLite waits for another program's lock. ConfigError where the URL cannot be
    understood; StoreError where the database cannot be opened.
    """
    used = clock or SystemClock()
    try:
        parsed = with_driver(sa.make_url(url))
        path = file_of(parsed)
        if path is not None:
            _prepare_file(path, used, on_notice)
        engine = engine_for(parsed, path, patience_s)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise ConfigError(
            f"database URL {masked(url)!r} cannot be used ({error}); use for example sqlite:///instance/dashboard.db"
        ) from error
    database = Database(engine, path=path, timer=used.monotonic)
    try:
        _bring_up_to_date(database, on_notice)
    except BaseException:
        database.close()
        raise
    return database


def _bring_up_to_date(database: Database, on_notice: Callable[[str], None]) -> None:
    """One look in the ordinary case; under the writers' lock otherwise, where another process may have been first."""
    with database.read() as connection:
        marked = schema_version.marked_revision(connection)
    if marked == schema_version.HEAD:
        return
    with database.rebuild() as connection:
        before = schema_version.upgrade(connection)
    if before != schema_version.HEAD:
        on_notice(f"the tables of the database were brought from version {before} to {schema_version.HEAD}")


def _execute_text(connection: sa.Connection, statement: str, parameters: Any) -> None:
    connection.exec_driver_sql(statement, parameters)


def _insert_of(dialect: str) -> Any:
    if dialect != "postgresql":
        return sqlite.insert
    from sqlalchemy.dialects import postgresql  # a twentieth of the start, which only its users should wait for

    return postgresql.insert


def _prepare_file(path: Path, clock: Clock, on_notice: Callable[[str], None]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        moved = move_aside_if_corrupt(path, clock.now_ms())
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{path}: {plain_text(error)}") from error
    if moved is not None:
        on_notice(f"the database {path.name} was damaged; it was moved aside to {moved.name} and a new one was begun")
