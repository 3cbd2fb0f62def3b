"""The real program: what it refuses to start with, what it never imports, how it survives kill -9."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from routes.wiring import serving
from tests.support.running_app import ROOT, RunningApp, running_app

FORBIDDEN = ("tensorflow", "keras", "sklearn", "scipy", "pandas", "polars", "pyarrow", "onnx")


def start(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "app.py", *arguments],
        cwd=ROOT,
        env={"EXCHANGE": "simulated", **environ},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def test_a_busy_port_is_told_at_once_and_names_the_option(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = start("--port", str(port), INSTANCE_PATH=str(tmp_path))
    assert run.returncode == 2
    assert f"port {port} on 127.0.0.1 cannot be used" in run.stderr
    assert "--port" in run.stderr
    assert "Traceback" not in run.stderr


def test_another_address_is_refused_without_a_password(tmp_path: Path) -> None:
    run = start("--host", "0.0.0.0", INSTANCE_PATH=str(tmp_path))
    assert run.returncode == 2
    assert "DASHBOARD_PASSWORD" in run.stderr


def test_a_port_that_is_none_is_refused_with_what_fits() -> None:
    run = start("--port", "http")
    assert run.returncode == 2
    assert "PORT is 'http'; it takes a whole number from 1 to 65535" in run.stderr


def test_it_becomes_ready_serves_its_pages_and_ends_when_asked(tmp_path: Path) -> None:
    with running_app(tmp_path, SYMBOLS="BTCUSDT,ETHUSDT", INTERVALS="1h") as app:
        app.wait_for_address()
        first_status, first = app.get("/")
        assert first_status in (200, 503)  # answered at once, whatever the market's state
        assert b"<html" in first
        app.wait_until_ready()
        for path in ("/", "/symbol/BTCUSDT", "/performance", "/health"):
            assert app.get(path)[0] == 200, path
        status, body = app.get("/api/v1/candles/BTCUSDT?interval=1h&limit=5")
        assert status == 200
        assert len(json.loads(body)["rows"]) == 5
        assert b"SIMULATED" in app.get("/")[1].upper()
        app.process.terminate()
        assert app.process.wait(timeout=90) == 0


def test_ctrl_c_ends_it_without_a_traceback(tmp_path: Path) -> None:
    with running_app(tmp_path, SYMBOLS="BTCUSDT", INTERVALS="1h") as app:
        app.wait_until_ready()  # the speed of its model is being measured now, in a thread inside a C++ library
        app.process.send_signal(signal.SIGINT)
        app.process.send_signal(signal.SIGTERM)  # as a supervisor's worker gets both
        assert app.process.wait(timeout=90) == 0
    assert "Traceback" not in "".join(app.output)


@pytest.mark.slow
def test_it_survives_kill_9_during_writes_and_starts_clean(tmp_path: Path) -> None:
    settings = {"SYMBOLS": "BTCUSDT,ETHUSDT,SOLUSDT,XRPUSDT", "INTERVALS": "1m,5m", "SIMULATED_SPEED": "600"}
    for after_s in (0.1, 0.4, 0.9):
        app = RunningApp(tmp_path, **settings)
        app.wait_for_address()
        until_candles_are_written(tmp_path / "instance" / "dashboard.db", app)
        time.sleep(after_s)  # into the stream of closes: the moment of the kill is what is tried here
        app.kill()
        app.close()
    with running_app(tmp_path, **settings) as again:
        again.wait_until_ready()
        assert again.get("/symbol/BTCUSDT?interval=1m")[0] == 200
    with sqlite3.connect(tmp_path / "instance" / "dashboard.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()
    assert not list((tmp_path / "instance").glob("*.corrupt-*"))


def until_candles_are_written(database: Path, app: RunningApp) -> None:
    deadline_s = time.monotonic() + 120
    while time.monotonic() < deadline_s:
        wal = database.with_name(database.name + "-wal")
        if wal.exists() and wal.stat().st_size > 100_000:
            return
        app.process.poll()
        time.sleep(0.02)
    pytest.fail("nothing was written within 30 s:\n" + "".join(app.output))


def test_the_serving_process_never_imports_what_only_training_needs(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import sys, threading
        import app
        from config import load_settings
        from routes.wiring.parts import PARTS, background, leading

        settings = load_settings()
        application = app.create_app(settings)
        parts = application.extensions[PARTS]
        running = [*background(settings, parts), *leading(settings, parts)]
        for part in running:
            part.start()
        try:
            assert parts.connection.wait(180), parts.connection.waiting_for
            for path in ("/", "/symbol/BTCUSDT", "/performance", "/api/v1/forecast/BTCUSDT?interval=1h"):
                application.test_client().get(path, base_url="http://localhost")
        finally:
            for part in reversed(running):
                part.close()
            parts.database.close()
        print("MODULES", *sorted(name.split(".")[0] for name in sys.modules))
    """)
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={"EXCHANGE": "simulated", "SYMBOLS": "BTCUSDT,ETHUSDT", "INTERVALS": "1h", "INSTANCE_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    lines = [line for line in run.stdout.splitlines() if line.startswith("MODULES")]
    assert lines, run.stdout + run.stderr
    assert not set(lines[0].split()) & set(FORBIDDEN)


@pytest.mark.parametrize(
    ("asked", "system", "chosen"),
    [("auto", "posix", "granian"), ("auto", "nt", "waitress"), ("waitress", "posix", "waitress")],
)
def test_the_server_is_granian_but_on_windows_or_where_another_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, asked: str, system: str, chosen: str
) -> None:
    monkeypatch.setattr(serving, "os", SimpleNamespace(name=system))
    assert serving.chosen_server(asked) == chosen
