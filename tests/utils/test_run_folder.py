"""Run folder: removed at its end; what a killed process left is removed by the next start, once nobody uses it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from utils import file_lock
from utils.run_folder import run_folder

PATIENCE_S = 60.0
STARTS = """
import subprocess, sys, tempfile
from utils.run_folder import run_folder
tempfile.tempdir = sys.argv[1]
with run_folder("dashboard-") as folder:
    worker = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[folder.handle])
    print(folder.path, worker.pid, flush=True)
    worker.wait()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_it_is_held_while_it_is_used_and_gone_afterwards() -> None:
    with run_folder("dashboard-") as first, run_folder("dashboard-") as second:
        assert first.path.is_dir(), "the second start leaves it alone"
        assert file_lock.is_held(first.path / "in-use.lock")
        assert second.path != first.path
    assert not first.path.exists()
    assert not second.path.exists()


def test_what_a_killed_start_left_is_removed_when_its_last_worker_is_gone(temporary: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARTS, str(temporary)],
        cwd=Path(__file__).resolve().parents[2], stdout=subprocess.PIPE, text=True,
    ) as starter:  # fmt: skip
        assert starter.stdout is not None
        name, number = starter.stdout.readline().split()
        worker = psutil.Process(int(number))
        worker.suspend()  # or it would end at once, as its input does
        starter.kill()
        starter.wait(PATIENCE_S)
        left = Path(name)
        try:
            with run_folder("dashboard-"):
                assert left.is_dir(), "a worker lives"
        finally:
            worker.kill()
            psutil.wait_procs([worker], PATIENCE_S)
    with run_folder("dashboard-"):
        assert not left.exists()


def test_what_is_not_known_to_be_ours_is_left_alone(temporary: Path) -> None:
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "in-use.lock").touch()
    (temporary / "dashboard-link").symlink_to(elsewhere)
    (temporary / "dashboard-without").mkdir()
    (temporary / "dashboard-file").touch()
    with run_folder("dashboard-"):
        pass
    assert {path.name for path in temporary.iterdir()} == {
        "elsewhere", "dashboard-link", "dashboard-without", "dashboard-file",
    }  # fmt: skip
    assert (elsewhere / "in-use.lock").exists()
