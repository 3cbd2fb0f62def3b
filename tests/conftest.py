"""What several layers share: an empty database of each kind, one thread for sums, and which files come first."""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers import PostgresServer, postgres_server

_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def pytest_configure() -> None:
    """One thread for each worker's sums, before NumPy is imported: there are as many workers as cores already.

    Threads of BLAS wait for each other in loops that use their core up: a check of a model took 24 s of processor time
    beside other work with two of them, and 9 s with one.
    """
    for name in _ONE_THREAD:
        os.environ.setdefault(name, "1")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One worker more than there are cores. All tests together take some 570 s of processor time, where two workers on
    two cores had taken 1100: the rest is waiting for browsers, servers and other processes."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_finish() -> None:
    """Modules and tests stay to the end: Python need not look through them for cycles again and again."""
    gc.collect()
    gc.freeze()


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
