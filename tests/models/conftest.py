"""Fixtures of the model layer: a ledger on each kind of database, and commands that leave the tests their priority."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from data.database import Database, connect
from models import supervised
from models.ledger import Ledger
from utils.clock import ManualClock


@pytest.fixture(autouse=True)
def undiminished(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command of a job gives way to the dashboard for good. Run in here it would be the tests that give way, all that
    come later and the browsers and servers they start, to those of the other workers."""
    monkeypatch.setattr(supervised, "_give_way", lambda: None)


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = connect(url)
    yield opened
    opened.close()


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database, ManualClock())
