"""`python -m data.simulated_exchange`: the process, its options and its end; and its clock."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from data.simulated_exchange.virtual_clock import VirtualClock
from tests.support.shared_data import klines_dir
from utils.clock import ManualClock
from utils.errors import InvalidInput

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "data.simulated_exchange"]
DAY_MS = 86_400_000


@contextmanager
def process(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The running program and the address it printed."""
    with subprocess.Popen([*COMMAND, *options], cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            line = running.stdout.readline()
            assert line.startswith("listening on http://127.0.0.1:")
            yield running, line.removeprefix("listening on ").strip()
        finally:
            running.kill()


def get(address: str, path: str) -> Any:
    with urllib.request.urlopen(f"{address}/api/v3/{path}", timeout=60) as answer:
        return json.load(answer)


def test_it_says_where_it_listens_and_ends_when_told() -> None:
    with process("--port", "0", "--start", "2024-05-01", "--symbols", "3", "--seed", "5") as (running, address):
        assert 1_714_521_600_000 <= get(address, "time")["serverTime"] < 1_714_521_600_000 + 600_000
        assert len(get(address, "exchangeInfo")["symbols"]) == 3
        running.send_signal(signal.SIGTERM)
        assert running.wait(90) == 0


def test_speed_makes_its_days_short() -> None:
    with process("--port", "0", "--start", "2024-05-01T12:00", "--speed", "1000000") as (_, address):
        earlier = get(address, "time")["serverTime"]
        assert get(address, "time")["serverTime"] > earlier


@pytest.mark.shared
def test_replay_begins_three_weeks_before_the_data_end() -> None:
    with process("--port", "0", "--replay", str(klines_dir())) as (_, address):
        now = get(address, "time")["serverTime"]
        assert 0 <= now - (1_751_328_000_000 - 21 * DAY_MS) < 600_000
        row = get(address, "klines?symbol=BTCUSDT&interval=1h&limit=1")[0]
        assert row[0] <= now <= row[6]


def test_it_ends_with_its_parent() -> None:
    parent = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-m', 'data.simulated_exchange', '--port', '0', '--with-parent'],"
        " stdout=subprocess.PIPE, text=True)\n"
        "print(child.stdout.readline(), end='', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        address = running.stdout.readline().removeprefix("listening on ").strip()
        assert get(address, "ping") == {}
        running.kill()
    for _ in range(100):
        try:
            get(address, "ping")
        except (urllib.error.URLError, ConnectionError):
            return
        Event().wait(0.1)
    pytest.fail("it outlived its parent")


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--port", "0", "--start", "yesterday"], 2, "--start 'yesterday' is no date"),
        (["--port", "0", "--symbols", "501"], 2, "501 synthetic symbols were asked for; 1 to 500 fit"),
        (["--port", "0", "--speed", "0"], 2, "speed 0.0 cannot drive a clock"),
        (["--port", "0", "--replay", "nowhere"], 2, "nowhere has no candles to replay"),
        (["--port", "0", "--host", "0.0.0.0"], 2, "invalid choice"),
    ],
)
def test_wrong_options_are_refused(options: list[str], code: int, said: str) -> None:
    ended = subprocess.run([*COMMAND, *options], cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)
    assert ended.returncode == code
    assert said in ended.stderr


def test_a_taken_port_is_named() -> None:
    with process("--port", "0") as (_, address):
        port = address.rsplit(":", 1)[1]
        ended = subprocess.run(
            [*COMMAND, "--port", port], cwd=ROOT, capture_output=True, text=True, timeout=400, check=False
        )
    assert ended.returncode == 1
    assert f"127.0.0.1:{port} cannot be listened on" in ended.stderr
    assert "choose another --port" in ended.stderr


def test_a_followed_clock_is_the_bases_own() -> None:
    base = ManualClock(5_000)
    clock = VirtualClock(base)
    base.set_wall(9_000)
    assert (clock.now_ms(), clock.monotonic()) == (9_000, base.monotonic())


def test_a_clock_of_its_own_ignores_steps_of_the_wall() -> None:
    base = ManualClock(5_000)
    clock = VirtualClock(base, start_ms=100_000, speed=2.5)
    base.set_wall(9_000_000)
    base.tick(4)
    assert clock.now_ms() == 110_000


def test_an_impossible_speed_is_refused() -> None:
    with pytest.raises(InvalidInput, match="speed -1 cannot drive a clock"):
        VirtualClock(ManualClock(), speed=-1)
