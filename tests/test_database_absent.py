"""The real program while its database's server is not there: every request is told so, and it goes on by itself."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.running_app import RunningApp, free_port
from tests.support.servers import PostgresServer, postgres_server

pytestmark = pytest.mark.slow

WAITING = "Waiting for the database"
REFUSED = "The database server does not answer; start it, or correct the address in DATABASE_URL."
SOON_S = 5.0
"""A connection that nobody answers lasts as long by itself."""
WITHIN_S = 120.0
WORKERS = ["1", "2"]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        yield running


def eventually(holds: Callable[[], bool], app: RunningApp) -> None:
    until_s = time.monotonic() + WITHIN_S
    while not _held(holds):
        assert time.monotonic() < until_s, "".join(app.output)
        time.sleep(0.1)


def _held(holds: Callable[[], bool]) -> bool:
    try:
        return holds()
    except OSError:  # nobody has bound the port yet
        return False


def started(folder: Path, url: str, workers: str, **more: str) -> RunningApp:
    port = free_port()
    made = RunningApp(folder, DATABASE_URL=url, WORKERS=workers, PORT=str(port), **more)
    made.address = f"http://127.0.0.1:{port}"
    return made


def workers_of(app: RunningApp) -> dict[str, psutil.Process]:
    found = {}
    for process in psutil.Process(app.process.pid).children():
        numbers = re.search(r"--worker (\d+)", " ".join(process.cmdline()))
        if numbers and process.status() != psutil.STATUS_ZOMBIE:
            found[numbers[1]] = process
    return found


@pytest.mark.parametrize("workers", WORKERS)
def test_every_request_says_what_is_wrong_until_the_server_is_there(
    server: PostgresServer, tmp_path: Path, workers: str
) -> None:
    url = server.new_database()
    server.stop()
    app = started(tmp_path, url, workers, SYMBOLS="BTCUSDT", INTERVALS="1h", HISTORY_CANDLES="100")
    try:
        try:
            eventually(lambda: REFUSED in app.get("/", SOON_S)[1].decode(), app)
            for path in ("/", "/symbol/BTCUSDT", "/models"):
                status, body = app.get(path, SOON_S)
                assert status == 503
                assert WAITING in body.decode()
                assert 'http-equiv="refresh"' in body.decode()
            status, body = app.get("/api/v1/candles/BTCUSDT", SOON_S)
            assert (status, json.loads(body)["error"]) == (503, "StoreUnreachable")
            assert app.get("/health", SOON_S) == (200, b'{"status":"ok"}')
            status, body = app.get("/ready", SOON_S)
            assert (status, json.loads(body)["ready"]) == (503, False)
            assert app.process.poll() is None
        finally:
            server.start()
        app.wait_until_ready()
        assert app.get("/")[0] == 200
        assert WAITING not in app.get("/symbol/BTCUSDT")[1].decode()
        if workers == "2":
            only_the_whole_ones_answer(server, app)
    finally:
        app.close()
    assert app.process.returncode == 0


def only_the_whole_ones_answer(server: PostgresServer, app: RunningApp) -> None:
    """A worker that is replaced while the server is away waits in silence: the other one still has its pages."""
    eventually(lambda: len(workers_of(app)) == 2, app)
    server.stop()
    try:
        told = "".join(app.output).count("every page says so")
        old = workers_of(app)["2"]
        old.kill()
        eventually(lambda: "".join(app.output).count("every page says so") > told, app)
        for _ in range(40):
            assert WAITING not in app.get("/", SOON_S)[1].decode()
    finally:
        server.start()


def test_nobody_waits_for_a_server_that_says_nothing(tmp_path: Path) -> None:
    """Nor does who has not logged in hear what is wrong."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://dashboard@127.0.0.1:{silent.getsockname()[1]}/x"
        app = started(tmp_path, url, "1", DASHBOARD_PASSWORD="correct horse battery")
        try:
            eventually(lambda: app.get("/", SOON_S)[0] == 503, app)
            text = app.get("/", SOON_S)[1].decode()
            assert "The database cannot be reached; whoever runs this dashboard finds the reason in its log" in text
            assert json.loads(app.get("/ready", SOON_S)[1]) == {"ready": False}
        finally:
            app.close()
    assert app.process.returncode == 0
    assert "Traceback" not in "".join(app.output)


@pytest.mark.parametrize("workers", WORKERS)
def test_a_server_that_refuses_us_ends_the_start(server: PostgresServer, tmp_path: Path, workers: str) -> None:
    """Waiting would not help: one process says why and ends, and so do several."""
    app = started(tmp_path, server.url.replace("/postgres", "/nowhere"), workers)
    try:
        app.process.wait(WITHIN_S)
    finally:
        app.close()
    said = "".join(app.output)
    assert app.process.returncode == 1
    assert 'database "nowhere" does not exist' in said
    assert "Traceback" not in said
    assert ("no worker could start" in said) == (workers == "2")
