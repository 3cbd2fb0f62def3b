"""Many rows: given to SQLite by its driver's own executemany, for SQLAlchemy takes longer to hand them over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

_DRIVEN = "sqlite"
_AS_THEY_ARE = (sa.LargeBinary, sa.Float)
"""Kinds for whose values SQLAlchemy has a step that changes nothing of bytes and floats."""


def insert_all(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """New rows that all name the same columns."""
    if rows:
        put_all(connection, _insert(table), rows)


def put_all(connection: sa.Connection, statement: sa.Insert, rows: Sequence[Mapping[str, Any]]) -> None:
    """The same by a statement of the caller's, who keeps it: what it means to the driver is found out once."""
    names = tuple(rows[0])
    text = (
        _text(statement, names, connection.dialect) if connection.dialect.name == _DRIVEN and len(names) > 1 else None
    )
    if text is None:
        connection.execute(statement, rows)
    else:
        in_order = itemgetter(*text[1])
        connection.exec_driver_sql(text[0], [in_order(row) for row in rows])


@lru_cache(maxsize=64)
def _insert(table: sa.Table) -> sa.Insert:
    return sa.insert(table)


@lru_cache(maxsize=64)
def _text(statement: sa.Insert, names: tuple[str, ...], dialect: sa.Dialect) -> tuple[str, tuple[str, ...]] | None:
    """The statement and the order of its parameters; None where a value has to be made into another first."""
    columns = statement.table.columns
    kinds = [columns[name].type for name in names]
    if any(
        kind.dialect_impl(dialect).bind_processor(dialect) is not None and not isinstance(kind, _AS_THEY_ARE)
        for kind in kinds
    ):
        return None
    compiled: Any = statement.compile(dialect=dialect, column_keys=list(names))
    return str(compiled), tuple(compiled.positiontup)
