"""SQLite file: where it lies, whether it is sound, and moving a damaged one aside."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import sqlalchemy as sa

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_LOG_SUFFIXES = ("-wal", "-shm")


def file_of(url: sa.URL) -> Path | None:
    """The file of an SQLite URL; None for another database or one in memory."""
    if url.get_backend_name() != "sqlite" or not url.database or ":memory:" in url.database:
        return None
    return Path(url.database)


def move_aside_if_corrupt(path: Path, now_ms: int) -> Path | None:
    """Where the damaged file at `path` was moved to, with its logs, or None where it is sound or not there."""
    if not path.exists() or is_sound(path):
        return None
    target = path.with_name(f"{path.name}.corrupt-{now_ms}")
    for suffix in ("", *_LOG_SUFFIXES):
        file = path.with_name(path.name + suffix)
        if file.exists():
            file.rename(target.with_name(target.name + suffix))
    return target


def is_sound(path: Path) -> bool:
    """Whether SQLite finds the file whole (`PRAGMA quick_check`: every page, not every index entry).

    Raises sqlite3.Error where that cannot be told: no permission, or locked.
    """
    connection = sqlite3.connect(path, timeout=5.0)
    try:
        return bool(connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
            return False
        raise
    finally:
        connection.close()
