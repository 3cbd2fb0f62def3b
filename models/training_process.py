"""Training process: one training or check beside the dashboard, started, watched and ended by identity."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from models.job_requests import command_of
from models.jobs import Job
from models.training_progress import read_progress
from utils.errors import StoreError

_ROOT = Path(__file__).resolve().parents[1]
_LOG_BYTES = 32 * 1024
_SAME_PROCESS_S = 2.0
"""Start times are told by the machine's time of start, which moves when its clock is set or steered."""
_CONTROL = re.compile(r"[^\n\t\x20-\x7e\xa0-\ud7ff\ue000-\uffff]")


@dataclass(slots=True)
class TrainingProcess:
    """A training's own process group. `child` is None for one that an earlier dashboard started."""

    job_id: int
    model_id: str
    pid: int
    since_s: float
    folder: Path
    child: subprocess.Popen[bytes] | None = None
    stop_since_s: float | None = None
    """When it was first asked to end, on the monotonic clock."""
    last: dict[str, Any] = field(default_factory=dict)
    """The newest value of everything it told."""
    curve: list[list[float | None]] = field(default_factory=list)
    """Per epoch so far [training loss, validation loss]."""
    _offset: int = 0

    @classmethod
    def start(
        cls, job: Job, *, models_path: Path, database: str, folder: Path, threads: int, scheduler: str = ""
    ) -> TrainingProcess:
        """StoreError where no process can be started."""
        progress, log = _progress(folder, job.id), _log(folder, job.id)
        command = [sys.executable, "-m", *command_of(job.request)]
        command += ["--out", str(models_path.resolve()), "--venue", job.venue, "--threads", str(threads)]
        command += ["--scheduler", scheduler] if scheduler else []
        command += ["--progress-file", str(progress.resolve()), "--database", "-"]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            progress.unlink(missing_ok=True)
            with log.open("wb") as output:
                child = subprocess.Popen(  # noqa: S603 - no shell; every argument was checked or is ours
                    command,
                    cwd=_ROOT,
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise StoreError(f"the training could not be started: {error.strerror}") from error
        _hand_over(child, database)
        return cls(job.id, job.model_id, child.pid, _since(child.pid), folder, child)

    @classmethod
    def found(cls, job: Job, folder: Path) -> TrainingProcess | None:
        """The process of a job that an earlier dashboard started, if it is still there."""
        if job.pid is None or job.pid_since_s is None:
            return None
        process = cls(job.id, job.model_id, job.pid, job.pid_since_s, folder)
        return process if process.alive else None

    @property
    def alive(self) -> bool:
        if self.child is not None:
            return self.child.poll() is None
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.since_s) < _SAME_PROCESS_S
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    @property
    def exit_code(self) -> int | None:
        """None while it runs, and for a process that is not our child."""
        return self.child.poll() if self.child is not None else None

    def news(self) -> bool:
        """Reads the progress since the last look into `last` and `curve`; False where there is none."""
        lines, self._offset = read_progress(_progress(self.folder, self.job_id), self._offset)
        for line in lines:
            self.last = self.last | line
            if line.get("epoch"):
                self.curve.append([line.get("loss"), line.get("validation_loss")])
        return bool(lines)

    def log_tail(self) -> str:
        """The newest part of what it printed, without control characters."""
        return log_tail(self.folder, self.job_id)

    def end(self, *, hard: bool = False) -> None:
        """Asks the whole process group to end, or ends it."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL if hard else signal.SIGTERM)

    def clear(self, models_path: Path) -> None:
        """Removes its files, and what a training killed while writing may have left beside the models."""
        for path in (_progress(self.folder, self.job_id), _log(self.folder, self.job_id)):
            path.unlink(missing_ok=True)
        shutil.rmtree(models_path / f".new-{self.model_id}-{self.pid}", ignore_errors=True)

    def leave(self) -> None:
        """Lets it run on without us; as long as we live, its end is waited for in the background."""
        if self.child is not None and self.child.poll() is None:
            threading.Thread(target=self.child.wait, name=f"training-{self.job_id}", daemon=True).start()


def log_tail(folder: Path, job_id: int) -> str:
    try:
        with _log(folder, job_id).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LOG_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return _CONTROL.sub("", text.replace("\r", "\n")).strip()


def _hand_over(child: subprocess.Popen[bytes], database: str) -> None:
    """The database's address by a pipe: it may hold a password, and arguments can be read by anybody."""
    pipe = child.stdin
    if pipe is not None:
        with contextlib.suppress(OSError), pipe:
            pipe.write(database.encode() + b"\n")


def _since(pid: int) -> float:
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return 0.0


def _progress(folder: Path, job_id: int) -> Path:
    return folder / f"{job_id}.progress.jsonl"


def _log(folder: Path, job_id: int) -> Path:
    return folder / f"{job_id}.log"
