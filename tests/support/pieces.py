"""Pieces of work that other processes can import, for the tests of running in parallel."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from utils.errors import InvalidInput


def work(shared: NDArray[np.float64], piece: int) -> tuple[int, float, int]:
    """Something that depends on the shared array and on nothing else, and who did it."""
    return piece, float(shared[piece:].sum()), os.getpid()


def killed_once(folder: Path, piece: int) -> int:
    """The first to begin piece 2 dies of it, as where memory ran out."""
    mark = folder / "died"
    if piece == 2 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return piece * piece


def refuse(piece: int) -> int:
    raise InvalidInput(f"{piece} cannot be done")
