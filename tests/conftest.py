"""What several layers share: an empty database of each kind, and which files parallel workers take first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers import PostgresServer, postgres_server


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Workers of pytest-xdist take files in this order: those with a slow test, then those with the most tests.

    Its own order, `--loadscope-reorder`, counts tests alone: files of one long test came last, and a worker that had
    ended waited for them.
    """
    if not hasattr(config, "workerinput"):
        return
    count = Counter(item.path for item in items)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, -count[item.path], item.path))


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'dashboard.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.empty_database()
