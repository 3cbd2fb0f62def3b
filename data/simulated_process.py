"""The simulated exchange in a process of its own: started, waited for, ended."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from utils.errors import ExchangeUnavailable

log = logging.getLogger(__name__)

_ROOT = Path(__file__).resolve().parent.parent
_START_WITHIN_S = 60.0
"""A process that ends is noticed at once; a machine at work may take half a minute to read a folder of candles."""
_LISTENING = re.compile(r"listening on (http://\S+)")
_KEPT_LINES = 20


@dataclass(frozen=True, slots=True)
class Simulation:
    """What the simulated exchange shall play: a replay of Parquet klines or, without a path, an invented market."""

    replay_path: Path | None = None
    start: str = ""
    speed: float = 1.0
    seed: int = 1
    symbols: tuple[str, ...] = ()

    @property
    def in_real_time(self) -> bool:
        """Whether its clock is ours, so that a later start finds the market further on."""
        return self.replay_path is None and not self.start and self.speed == 1.0

    def arguments(self) -> list[str]:
        """Of `python -m data.simulated_exchange`."""
        named: dict[str, object] = {
            "--replay": self.replay_path,
            "--start": self.start,
            "--speed": self.speed,
            "--seed": self.seed,
            "--symbols": ",".join(self.symbols) if self.replay_path is None else None,
        }
        return [text for name, value in named.items() if value not in (None, "") for text in (name, str(value))]


class SimulatedProcess:
    """A running `python -m data.simulated_exchange`; it also ends by itself when this process does."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._listening = threading.Event()
        self.rest_url = ""
        self._reader = threading.Thread(target=self._read, name="simulated-exchange-output", daemon=True)
        self._reader.start()

    @classmethod
    def start(cls, simulation: Simulation, *, timeout_s: float = _START_WITHIN_S) -> SimulatedProcess:
        """Returns when it listens. Raises ExchangeUnavailable with its last words if it does not."""
        command = [sys.executable, "-m", "data.simulated_exchange", "--port", "0", "--with-parent"]
        process = subprocess.Popen(  # noqa: S603 - our own module with checked settings, no shell
            [*command, *simulation.arguments()],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        running = cls(process)
        if not running._listening.wait(timeout_s) or not running.rest_url:
            running.close()
            words = " / ".join(running._lines) or "it said nothing"
            raise ExchangeUnavailable(f"the simulated exchange did not start within {timeout_s:g} s: {words}")
        return running

    @property
    def stream_url(self) -> str:
        return self.rest_url.replace("http", "ws", 1)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        """Ends the process; does nothing when it has ended."""
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(3.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(3.0)
        self._reader.join(3.0)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _read(self) -> None:
        if self._process.stdout is None:
            return
        for line in self._process.stdout:
            self._lines.append(line.strip())
            log.debug("simulated exchange: %s", line.strip())
            found = _LISTENING.search(line)
            if found and not self.rest_url:
                self.rest_url = found[1].rstrip("/")
                self._listening.set()
        self._listening.set()
