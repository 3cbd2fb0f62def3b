"""Engines: SQLAlchemy engines for SQLite and PostgreSQL, set up the way our stores rely on."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from data.store_errors import WRITER_WAIT_S

_POOL_SIZE = 4
_POOL_OVERFLOW = 28
_POSTGRES_DRIVER = "postgresql+psycopg"
_POSTGRES_NAMES = ("postgres", "postgresql")
_POSTGRES_OVERFLOW = 12
CONNECT_S = 5
"""How long a connection to PostgreSQL is waited for, in whole seconds, of which it makes two at least."""
_POSTGRES_OPTIONS = {
    "default_transaction_isolation": r"repeatable\ read",
    "lock_timeout": f"{round(WRITER_WAIT_S)}s",
    "statement_timeout": "60s",
    "idle_in_transaction_session_timeout": "60s",
}
_POSTGRES_WRITE = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock(4726012001)"
"""One writer at a time over all processes, as in SQLite. The number is ours, and means nothing."""
_PRAGMAS = (
    "PRAGMA synchronous=NORMAL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA cache_size=-256",
    "PRAGMA temp_store=MEMORY",
)
_LOOK_AGAIN_S = 0.01


def engine_for(url: sa.URL, path: Path | None, patience_s: float) -> sa.Engine:
    """`path` is the file of an SQLite URL, None for a database in memory; `patience_s` how long another program's lock
    on it is waited for. ArgumentError for any other database."""
    if url.get_backend_name() == "postgresql":
        return _postgres_engine(url)
    if url.get_backend_name() != "sqlite":
        raise ArgumentError("only SQLite and PostgreSQL are spoken here")
    arguments = {"timeout": patience_s, "check_same_thread": False}  # SQLite's busy_timeout
    if path is None:
        engine = sa.create_engine(url, poolclass=sa.StaticPool, connect_args=arguments)
    else:
        engine = sa.create_engine(
            url,
            poolclass=sa.QueuePool,
            pool_size=_POOL_SIZE,
            max_overflow=_POOL_OVERFLOW,
            pool_use_lifo=True,  # the connection used last: each that is used keeps pages and statements of its own
            connect_args=arguments,
        )
    sa.event.listen(engine, "connect", lambda connection, _record: _set_up_sqlite(connection, patience_s))
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def with_driver(url: sa.URL) -> sa.URL:
    """The URL with the driver that is installed here, where it only says PostgreSQL."""
    return url.set(drivername=_POSTGRES_DRIVER) if url.drivername in _POSTGRES_NAMES else url


def _postgres_engine(url: sa.URL) -> sa.Engine:
    from data.postgres_connection import Door, pinged  # it imports psycopg, which only its users should wait for

    options = " ".join(f"-c {name}={value}" for name, value in _POSTGRES_OPTIONS.items())
    engine = sa.create_engine(
        url,
        pool_size=_POOL_SIZE,
        max_overflow=_POSTGRES_OVERFLOW,
        pool_timeout=WRITER_WAIT_S,
        pool_pre_ping=True,
        pool_recycle=1800,
        connect_args={"connect_timeout": CONNECT_S, "application_name": "dashboard", "options": options},
    )
    door = Door()
    sa.event.listen(engine, "do_connect", lambda _dialect, _record, arguments, options: door.open(arguments, options))
    engine.dialect.do_ping = pinged(engine.dialect.do_ping)  # type: ignore[method-assign, assignment]  # what the pool asks
    sa.event.listen(engine, "begin", _begin_postgres)
    return engine


def _begin_postgres(connection: sa.Connection) -> None:
    """Readers see one state for as long as their block lasts; a writer what is there once it has the lock."""
    if connection.get_execution_options().get("writing", True):
        connection.exec_driver_sql(_POSTGRES_WRITE)


def _set_up_sqlite(connection: sqlite3.Connection, patience_s: float) -> None:
    connection.isolation_level = None  # the driver would begin transactions late and of the wrong kind
    _write_ahead(connection, patience_s)
    for pragma in _PRAGMAS:
        connection.execute(pragma).close()


def _write_ahead(connection: sqlite3.Connection, patience_s: float) -> None:
    """Keeps the log that lets readers and a writer work at the same time.

    A new file changes to it when it is opened for the first time. Where another process does that, or writes, at the
    same moment, SQLite fails at once instead of waiting as it does elsewhere: several workers begin like that.
    """
    until_s = time.monotonic() + patience_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= until_s:
                raise
            time.sleep(_LOOK_AGAIN_S)
        else:
            return


def _begin_sqlite(connection: sa.Connection) -> None:
    """A writer takes the file's lock at once: one that starts as a reader cannot wait for it, it fails."""
    writing = connection.get_execution_options().get("writing", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def masked(url: str) -> str:
    """Without its password, also where the rest cannot be understood."""
    try:
        return sa.make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url.split("@")[-1]
