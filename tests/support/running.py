"""The dashboard as a user starts it: `python app.py` in a process of its own, on the simulated exchange."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_PATIENCE_S = 60.0
_LOOK_S = 0.25


@contextmanager
def running_dashboard(folder: Path, **settings: str) -> Iterator[str]:
    """Its address, once it is ready. `settings` by their environment names; it keeps its files below `folder`."""
    port = free_port()
    given = {"EXCHANGE": "simulated", "INSTANCE_PATH": str(folder / "instance"), "INTERVALS": "1h", **settings}
    log = (folder / "app.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "app.py", "--port", str(port)],
        cwd=_ROOT,
        env={**os.environ, **given},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        wait_until_ready(address, process)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


def wait_until_ready(address: str, process: subprocess.Popen[bytes]) -> None:
    """Fails with what is still waited for, or with the program's end."""
    pause = threading.Event()
    waiting: object = "the first answer"
    for _ in range(round(_PATIENCE_S / _LOOK_S)):
        assert process.poll() is None, f"app.py ended with code {process.returncode}"
        try:
            with urllib.request.urlopen(f"{address}/ready", timeout=5):
                return
        except urllib.error.HTTPError as error:
            waiting = json.loads(error.read())["waiting_for"]
        except OSError:
            pass
        pause.wait(_LOOK_S)  # a real process starts in real time
    raise AssertionError(f"after {_PATIENCE_S:.0f} s the dashboard still waits for {waiting}")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
