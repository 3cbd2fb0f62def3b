"""Progress lines: whole, plain, and the trainer's last word when something goes wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from models import train
from models.training_progress import epochs_told, progress_file, read_progress
from utils.clock import ManualClock
from utils.errors import InvalidInput

ROOT = Path(__file__).resolve().parents[2]


def test_only_whole_lines_are_read_and_the_rest_later(tmp_path: Path) -> None:
    path = tmp_path / "progress"
    assert read_progress(path, 0) == ([], 0)
    tell = progress_file(path)
    tell("reading")
    tell("training", loss=float("nan"), epoch=1)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"stage": "che')
    lines, offset = read_progress(path, 0)
    assert lines == [{"stage": "reading"}, {"stage": "training", "loss": None, "epoch": 1}]
    assert offset == len(whole)
    path.write_bytes(whole + b'{"stage": "checking"}\n')
    assert read_progress(path, offset)[0] == [{"stage": "checking"}]


@pytest.mark.parametrize(
    "line", [b"\xff\xfe", b"[]", b"{}", b'{"stage": "sleeping"}', b'{"stage": "done", "x": "' + b"y" * 9000 + b'"}']
)
def test_what_is_no_progress_is_left_out(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "progress"
    path.write_bytes(line + b'\n{"stage": "reading"}\n')
    assert [found["stage"] for found in read_progress(path, 0)[0]] == ["reading"]


def test_the_time_left_is_that_of_the_epochs_so_far(tmp_path: Path) -> None:
    clock, path = ManualClock(0), tmp_path / "progress"
    seen = epochs_told(progress_file(path), 5, 1000, clock.monotonic)
    for epoch in range(2):
        clock.tick(3.0)
        seen(epoch, 0.5, 0.6)
    first, second = read_progress(path, 0)[0]
    assert (first["epoch"], first["eta_s"]) == (1, 12.0)
    assert (second["epoch"], second["epochs"], second["eta_s"], second["fit_s"]) == (2, 5, 9.0, 6.0)


def test_what_the_first_epoch_takes_once_is_no_speed(tmp_path: Path) -> None:
    clock, path = ManualClock(0), tmp_path / "progress"
    seen = epochs_told(progress_file(path), 5, 1000, clock.monotonic)
    for epoch, took_s in enumerate((20.0, 1.0, 1.0)):
        clock.tick(took_s)
        seen(epoch, 0.5, 0.6)
    first, _, third = read_progress(path, 0)[0]
    assert (first["eta_s"], first["fit_s"]) == (80.0, 20.0)
    assert (third["eta_s"], third["fit_s"]) == (2.0, 3.0)


class ResourceExhaustedError(Exception):
    """Named as TensorFlow names its own."""


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), "memory ran out; choose fewer markets"),
        (ResourceExhaustedError("OOM when allocating"), "memory ran out; choose fewer markets"),
        (InvalidInput("too short"), "too short"),
        (ZeroDivisionError("by zero"), "nobody foresaw ended it: ZeroDivisionError: by zero"),
    ],
)
def test_a_training_that_fails_says_why_in_its_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    def fail(*_: object) -> str:
        raise error

    monkeypatch.setattr(train, "_trained", fail)
    path = tmp_path / "progress"
    arguments = ["--model", "tcn", "--progress-file", str(path)]
    if isinstance(error, MemoryError | InvalidInput):
        assert train.main(arguments) == 2
    else:
        with pytest.raises(type(error)):
            train.main(arguments)
    last = json.loads(path.read_text().splitlines()[-1])
    assert last["stage"] == "failed"
    assert told in last["message"]


@pytest.mark.skipif(sys.platform != "linux", reason="who is ended where memory runs out is Linux' own")
def test_the_command_of_a_job_gives_way_to_the_pages(tmp_path: Path) -> None:
    program = """
import os, sys
from pathlib import Path
from models import train
train._trained = lambda *_: f"{os.nice(0)} {Path('/proc/self/oom_score_adj').read_text().strip()}"
sys.exit(train.main(["--model", "tcn", *sys.argv[1:]]))
"""
    asked = ["--progress-file", str(tmp_path / "progress")]
    usual, giving_way = (_said(program, *arguments) for arguments in ([], asked))
    assert giving_way == (min(usual[0] + 10, 19), 800)


def _said(program: str, *arguments: str) -> tuple[int, int]:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=400, check=True
    )
    niceness, oom_score = done.stdout.split()
    return int(niceness), int(oom_score)
