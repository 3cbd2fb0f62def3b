"""Every series and every model's ledger belongs to a venue, so that what is invented never mixes with the market.

What older databases hold could have come from either: it is kept, under the venue `unlabelled`, which nobody reads.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_UNLABELLED = "unlabelled"

_SERIES = (
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("venue", sa.String(80), nullable=False),
    sa.Column("symbol", sa.String(40), nullable=False),
    sa.Column("interval", sa.String(4), nullable=False),
    sa.Column("candles", sa.BigInteger, nullable=False),
    sa.Column("first_open_ms", sa.BigInteger),
    sa.Column("last_open_ms", sa.BigInteger),
    sa.UniqueConstraint("venue", "symbol", "interval"),
)
_MODELS = (
    sa.Column("key", sa.Integer, primary_key=True),
    sa.Column("model_id", sa.String(64), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("venue", sa.String(80), nullable=False),
    sa.Column("interval", sa.String(4), nullable=False),
    sa.Column("horizons", sa.JSON, nullable=False),
    sa.Column("quantiles", sa.JSON, nullable=False),
    sa.Column("baseline", sa.JSON, nullable=False),
    sa.UniqueConstraint("digest", "venue", "interval"),
)


def upgrade() -> None:
    there = sa.inspect(op.get_bind()).get_table_names()
    if "series" in there:
        _give_venue("series", _SERIES, old_key=("symbol", "interval"), key=["venue", "symbol", "interval"])
    if "ledger_models" in there:
        _give_venue("ledger_models", _MODELS, old_key=("digest", "interval"), key=["digest", "venue", "interval"])
        op.create_index("ix_ledger_models_model_id", "ledger_models", ["model_id"], if_not_exists=True)


def _give_venue(name: str, new: tuple[sa.schema.SchemaItem, ...], *, old_key: tuple[str, ...], key: list[str]) -> None:
    if op.get_bind().dialect.name == "sqlite":
        _rebuild(name, new)
        return
    op.add_column(name, sa.Column("venue", sa.String(80), nullable=False, server_default=_UNLABELLED))
    op.alter_column(name, "venue", server_default=None)
    op.drop_constraint(f"{name}_{'_'.join(old_key)}_key", name, type_="unique")
    op.create_unique_constraint(f"{name}_{'_'.join(key)}_key", name, key)


def _rebuild(name: str, new: tuple[sa.schema.SchemaItem, ...]) -> None:
    """SQLite cannot change a constraint: a new table takes the rows and then the name."""
    made = f"new_{name}"
    op.create_table(made, *new)
    columns = ", ".join(f'"{column["name"]}"' for column in sa.inspect(op.get_bind()).get_columns(name))
    op.execute(f"INSERT INTO {made} ({columns}, venue) SELECT {columns}, '{_UNLABELLED}' FROM {name}")  # noqa: S608 - our own names
    op.drop_table(name)
    op.rename_table(made, name)
