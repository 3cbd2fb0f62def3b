"""SQLite file: where it lies, whether it is sound, and moving a damaged one aside."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import sqlalchemy as sa

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_LOG_SUFFIXES = ("-wal", "-shm")
_DOUBT_SUFFIX = "-doubt"
_READ_ALWAYS_BYTES = 64 * 1024 * 1024
"""So much is read in about 0.2 s. A million forecasts are 1.4 GB, which took 3 to 5 s before the page was there."""


def file_of(url: sa.URL) -> Path | None:
    """The file of an SQLite URL; None for another database or one in memory."""
    if url.get_backend_name() != "sqlite" or not url.database or ":memory:" in url.database:
        return None
    return Path(url.database)


def move_aside_if_corrupt(path: Path, now_ms: int) -> Path | None:
    """Where the damaged file at `path` was moved to, with its logs, or None where it is sound or not there.

    A large file is read to its end only where there is doubt: it was not closed, or was found damaged when it was used.
    """
    if not path.exists():
        return None
    thorough = is_doubtful(path)
    if is_sound(path, thorough=thorough):
        if thorough:
            _beside(path, _DOUBT_SUFFIX).unlink(missing_ok=True)
        return None
    target = path.with_name(f"{path.name}.corrupt-{now_ms}")
    for suffix in ("", *_LOG_SUFFIXES):
        file = _beside(path, suffix)
        if file.exists():
            file.rename(_beside(target, suffix))
    _beside(path, _DOUBT_SUFFIX).unlink(missing_ok=True)
    return target


def doubt(path: Path, error: BaseException | None) -> None:
    """Where the error tells of damage, the next start reads the whole file."""
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
        with contextlib.suppress(OSError):
            _beside(path, _DOUBT_SUFFIX).touch()


def is_doubtful(path: Path) -> bool:
    """Whether the whole file is to be read: it is small, has a log that nobody folded in, or was doubted.

    The log of a file that somebody has open, such as the dashboard beside which a command runs, tells nothing: whoever
    opened it first has read it.
    """
    if path.stat().st_size <= _READ_ALWAYS_BYTES or _beside(path, _DOUBT_SUFFIX).exists():
        return True
    log = _beside(path, "-wal")
    return log.exists() and log.stat().st_size > 0 and not _is_open(path)


def _is_open(path: Path) -> bool:
    """Whether another connection, of any process, has the file open: in WAL mode it is not to be had alone then."""
    connection = sqlite3.connect(path, timeout=0.0)
    try:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE").close()
        connection.execute("SELECT count(*) FROM sqlite_master").close()
    except sqlite3.OperationalError as error:
        return (getattr(error, "sqlite_errorcode", 0) & 0xFF) == sqlite3.SQLITE_BUSY
    except sqlite3.DatabaseError:
        return False
    finally:
        connection.close()
    return False


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def is_sound(path: Path, *, thorough: bool = True) -> bool:
    """Whether SQLite finds the file whole (`PRAGMA quick_check`: every page, not every index entry); where not
    `thorough`, whether it is a database, of its full length, whose tables can be read.

    Raises sqlite3.Error where that cannot be told: no permission, or locked.
    """
    connection = sqlite3.connect(path, timeout=5.0)
    try:
        if not thorough:
            connection.execute("SELECT name, sql FROM sqlite_master").fetchall()
            return True
        return bool(connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
            return False
        raise
    finally:
        connection.close()
