"""The real program, `python app.py`, in a process and a folder of its own, over the simulated exchange."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_ADDRESS = re.compile(r"Serving on (http://\S+)")
_READY_WITHIN_S = 180.0


class RunningApp:
    """A started dashboard. `output` holds its lines so far."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.output: list[str] = []
        self.address = ""
        self._addressed = threading.Event()
        self.started_s = time.monotonic()
        inherited = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
        defaults = {"EXCHANGE": "simulated", "INSTANCE_PATH": str(folder / "instance"), "PORT": str(free_port())}
        self.process = subprocess.Popen(
            [sys.executable, "app.py"],
            cwd=ROOT,
            env={**inherited, **defaults, **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def get(self, path: str, timeout_s: float = 60.0) -> tuple[int, bytes]:
        """Status and body of one page; an error status is an answer too."""
        try:
            with urllib.request.urlopen(self.address + path, timeout=timeout_s) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def wait_for_address(self) -> str:
        assert self._addressed.wait(_READY_WITHIN_S), "the program never said where it serves:\n" + "".join(self.output)
        return self.address

    def wait_until_ready(self) -> None:
        self.wait_for_address()
        deadline_s = time.monotonic() + _READY_WITHIN_S
        while time.monotonic() < deadline_s:
            status, body = self.get("/ready")
            if status == 200:
                return
            self._pause()
        raise AssertionError(f"not ready: {body.decode()}\n" + "".join(self.output))

    def kill(self) -> None:
        """As `kill -9` does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=90)
        self._reader.join(timeout=90)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(timeout=90)
        finally:
            self.process.kill()
            self._reader.join(timeout=90)
            assert self.process.stdout is not None
            self.process.stdout.close()

    def _pause(self) -> None:
        threading.Event().wait(0.1)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line)
            if (found := _ADDRESS.search(line)) is not None:
                self.address = found[1]
                self._addressed.set()


def free_port() -> int:
    """A port that nothing listens on just now."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running_app(folder: Path, **settings: str) -> Iterator[RunningApp]:
    """Started, and ended again as an operator would."""
    app = RunningApp(folder, **settings)
    try:
        yield app
    finally:
        app.close()
