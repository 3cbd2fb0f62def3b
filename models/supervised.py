"""Supervised: how the commands of jobs run under the dashboard's eyes: low priority, progress and end told."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

from config import load_settings
from data.venue import BINANCE
from models.commands import add_folder
from models.parallel import Workers, chosen
from models.training_progress import Tell, progress_file, silent
from utils.errors import DashboardError

OUT_OF_MEMORY = "memory ran out; choose fewer markets, a shorter range, a smaller batch or a smaller size"


def supervised(options: argparse.Namespace, work: Callable[[argparse.Namespace, Tell], str]) -> int:
    """The exit code. `work` returns what to tell the user; whatever it raises is told too, in words where it can be."""
    tell = progress_file(options.progress_file) if options.progress_file else silent
    if options.progress_file:
        _give_way()
    if options.database == "-":
        options.database = sys.stdin.readline().strip()
    try:
        told = work(options, tell)
    except (DashboardError, MemoryError) as error:
        text = str(error) if isinstance(error, DashboardError) else OUT_OF_MEMORY
        tell("failed", message=text)
        sys.stderr.write(f"error: {text}\n")
        return 2
    except Exception as error:
        tell("failed", message=_unforeseen(error))
        raise
    tell("done", message=told)
    sys.stdout.write(f"{told}\n")
    return 0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those that every job's command has."""
    parser.add_argument(
        "--database", default="", metavar="URL", help="of the candle store; '-': read from standard input"
    )
    parser.add_argument("--venue", default=BINANCE, help="whose candles of the store (default: Binance's)")
    add_folder(parser, "--out")
    parser.add_argument("--progress-file", type=Path, metavar="FILE", help="append progress to it as JSON lines")
    parser.add_argument("--jobs", type=int, metavar="N", help="pieces of work at a time (default: 1)")
    parser.add_argument("--scheduler", default="", metavar="URL", help="a Dask cluster's (default: DASK_SCHEDULER)")
    parser.add_argument("--threads", type=int, default=2, help="of what learns (default: 2)")


def database_of(options: argparse.Namespace) -> str:
    """The address that was given, or that of the settings."""
    return options.database or load_settings().database_address


def workers_of(options: argparse.Namespace) -> Workers:
    """What was asked for; where nothing was, the cluster of the settings if they name one, else this process alone."""
    return chosen(options.jobs, options.scheduler or load_settings().dask_scheduler)


def _give_way() -> None:
    """Beside a dashboard the pages come first: for the processor, and where memory runs out."""
    os.nice(10)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("800")


def _unforeseen(error: Exception) -> str:
    if type(error).__name__ == "ResourceExhaustedError":  # TensorFlow's own MemoryError
        return OUT_OF_MEMORY
    return f"an error that nobody foresaw ended it: {type(error).__name__}: {str(error)[:300]}"
