"""Fixtures of the model layer: a ledger on each kind of database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from data.database import Database, connect
from models.ledger import Ledger
from utils.clock import ManualClock


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = connect(url)
    yield opened
    opened.close()


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database, ManualClock())
