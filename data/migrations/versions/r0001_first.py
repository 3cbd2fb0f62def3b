"""The tables as first released: candles and known holes by market and interval, forecasts and their scores."""

from __future__ import annotations

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Nothing: databases of this revision were made by that version, and none is begun with it any more."""
