"""Pieces of work that other processes can import, for the tests of running in parallel."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.kinds import Task
from models.learners import Predict, probe
from utils.errors import InvalidInput


def work(shared: NDArray[np.float64], piece: int) -> tuple[int, float, int]:
    """Something that depends on the shared array and on nothing else, and who did it."""
    return piece, float(shared[piece:].sum()), os.getpid()


def killed_once(folder: Path, task: Task) -> Predict:
    """A learner whose process dies of the first fold that anybody begins, as where memory ran out."""
    mark = folder / "died"
    if not mark.exists():
        mark.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGKILL)
    return probe(task)


def refuse(piece: int) -> int:
    raise InvalidInput(f"{piece} cannot be done")
