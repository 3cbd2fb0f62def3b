"""One benchmark in a process of its own, so that it neither fails, fills memory nor warms anything for the next."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.clock import SystemClock
from utils.plain import plain
from utils.system_info import machine_facts

ROOT = Path(__file__).resolve().parents[1]
_LAST_CHARACTERS = 1500


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one benchmark ended. `failure` says why there is no new file; empty when there is one."""

    name: str
    took_s: float
    failure: str


def run_alone(name: str, folder: Path, *, short: bool, timeout_s: float) -> Outcome:
    """Runs bench_<name> and keeps `folder`/<name>.json; on failure what was there stays."""
    command = [sys.executable, "-m", "benchmarks.alone", name, str(folder), "short" if short else "full"]
    began_s = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        _, complaints = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return Outcome(name, time.monotonic() - began_s, f"did not end within {timeout_s:.0f} s")
    finally:
        _end(process)
    failure = "" if process.returncode == 0 else complaints.strip()[-_LAST_CHARACTERS:] or f"exit {process.returncode}"
    return Outcome(name, time.monotonic() - began_s, failure)


def measure(name: str, *, short: bool) -> dict[str, Any]:
    """What bench_<name> found, with the machine and the moment."""
    module = importlib.import_module(f"benchmarks.bench_{name}")
    options = {"short": short} if "short" in inspect.signature(module.run).parameters else {}
    began_s = time.monotonic()
    found: dict[str, Any] = plain(module.run(**options))
    return {**found, **facts(name, str(module.__doc__), began_s), "short": short}


def facts(name: str, words: str, began_s: float) -> dict[str, Any]:
    """What every result says of itself; `words` begin with a line that tells what was measured."""
    return {
        "name": name,
        "about": words.splitlines()[0],
        "measured_at_ms": SystemClock().now_ms(),
        "machine": machine_facts(),
        "took_s": round(time.monotonic() - began_s, 1),
    }


def keep(path: Path, value: dict[str, Any]) -> None:
    """Written whole or not at all."""
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", "utf-8")
    draft.replace(path)


def _end(process: subprocess.Popen[str]) -> None:
    """Whatever the benchmark has started ends with it; they are in a session of their own."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(10)
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError, subprocess.TimeoutExpired):
        process.kill()
    process.wait()
    if process.stderr is not None:
        process.stderr.close()


if __name__ == "__main__":
    given_name, given_folder, given_length = sys.argv[1:]
    keep(Path(given_folder) / f"{given_name}.json", measure(given_name, short=given_length == "short"))
