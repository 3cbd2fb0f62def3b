"""Schema version: which revision of our tables a database holds, and bringing it to the newest before it is used.

A new database is made by the stores themselves and marked as the newest revision, so that Alembic is loaded only where
something older has to be changed. Tables that are new need no revision: their store makes them. A revision changes
tables that exist, and leaves alone those that this database has never had.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from utils.errors import StoreError

HEAD = "0002"

_FOLDER = Path(__file__).with_name("migrations")
_CANDLES = {
    "candles": "series_id open_time_ms packed",
    "holes": "series_id start_ms end_ms",
}
_SHAPES = {
    "0002": _CANDLES
    | {
        "series": "id venue symbol interval candles first_open_ms last_open_ms",
        "ledger_models": "key model_id digest venue interval horizons quantiles baseline",
    },
    "0001": _CANDLES
    | {
        "series": "id symbol interval candles first_open_ms last_open_ms",
        "ledger_models": "key model_id digest interval horizons quantiles baseline",
    },
}
"""The tables that tell the revisions apart, newest first."""

_MARKS = sa.Table(
    "alembic_version",
    sa.MetaData(),
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


def marked_revision(connection: sa.Connection) -> str | None:
    """The revision that the database says it has; None where it says nothing. StoreError for one we do not know."""
    if not sa.inspect(connection).has_table(_MARKS.name):
        return None
    revision: str | None = connection.execute(sa.select(_MARKS.c.version_num)).scalar()
    if revision is not None and revision not in _SHAPES:
        raise StoreError(
            f"the database has the schema {revision!r}, and this version knows {', '.join(sorted(_SHAPES))}; "
            "it was used by a newer version: install that one, or name another database in DATABASE_URL"
        )
    return revision


def upgrade(connection: sa.Connection) -> str:
    """Brings the tables to HEAD inside the caller's transaction; the revision they had.

    StoreError where there are tables of these names that no version of ours has made.
    """
    before = marked_revision(connection) or _recognised(connection)
    if marked_revision(connection) is None:
        _MARKS.create(connection, checkfirst=True)
        connection.execute(sa.insert(_MARKS).values(version_num=before))
    if before != HEAD:
        _run_revisions(connection)
    return before


def _recognised(connection: sa.Connection) -> str:
    """By its tables: HEAD where it has none of them yet."""
    inspector = sa.inspect(connection)
    there = set(inspector.get_table_names())
    found = {
        name: {column["name"] for column in inspector.get_columns(name)} for name in _SHAPES[HEAD] if name in there
    }
    for revision, shapes in _SHAPES.items():
        if all(columns == set(shapes[name].split()) for name, columns in found.items()):
            return revision
    strange = {name: cols for name, cols in found.items() if cols != set(_SHAPES[HEAD][name].split())}
    name, columns = sorted(strange.items())[0]
    raise StoreError(
        f"the database has a table {name!r} with the columns {', '.join(sorted(columns))}, which no released version "
        "has made; name another database in DATABASE_URL, or move the file aside and let a new one be begun"
    )


def _run_revisions(connection: sa.Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
