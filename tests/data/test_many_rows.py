"""Many rows: what the driver is given is what SQLAlchemy would have stored, None, bytes and words included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from data.database import connect
from data.many_rows import insert_all, put_all

THINGS = sa.Table(
    "things",
    sa.MetaData(),
    sa.Column("key", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(20)),
    sa.Column("value", sa.Double),
    sa.Column("packed", sa.LargeBinary),
    sa.Column("more", sa.JSON),
)
ROWS: list[dict[str, Any]] = [
    {"name": "a", "value": 0.1 + 0.2, "packed": b"\x00\xff"},
    {"name": None, "value": None, "packed": None},
    {"packed": b"", "value": -1e300, "name": "ü"},
]


def test_rows_are_stored_as_sqlalchemy_stores_them(tmp_path: Path) -> None:
    database = connect(f"sqlite:///{tmp_path}/some.db")
    texts: list[str] = []
    sa.event.listen(database.engine, "before_cursor_execute", lambda *told: texts.append(told[2]))
    stored: list[Any] = []
    try:
        database.create_tables(THINGS.metadata)
        for _ in range(2):
            with database.write() as connection:
                connection.execute(sa.delete(THINGS))
                if stored:
                    insert_all(connection, THINGS, ROWS)
                else:
                    connection.execute(sa.insert(THINGS), ROWS)
                insert_all(connection, THINGS, [])
                stored.append(connection.execute(sa.select(THINGS).order_by(THINGS.c.key)).all())
        assert stored[0] == stored[1]
        assert len({text for text in texts if text.startswith("INSERT")}) == 1
        changed = {"key": stored[0][0].key, "name": "b", "more": {"a": [1, None]}}
        with database.write() as connection:
            put_all(connection, database.upsert(THINGS, update=["name", "more"]), [changed])
            row = connection.execute(sa.select(THINGS).where(THINGS.c.key == changed["key"])).one()
        assert (row.name, row.value, row.more) == ("b", 0.1 + 0.2, {"a": [1, None]}), "JSON goes SQLAlchemy's way"
    finally:
        database.close()
