"""In use: which model serves an interval, as chosen, in one small file beside the models, replaced whole."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data.interval import Interval
from models.spec import parse_id
from utils.errors import DashboardError

FILE = ".in-use.json"
_SCHEMA = 1
_LONGEST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Choice:
    """The model that serves an interval, the one before it (empty: none), and since when."""

    model: str
    previous: str
    since_ms: int


def read_choices(root: Path) -> dict[Interval, Choice]:
    """What was chosen; empty where nothing was, or where the file is damaged: the newest models then serve."""
    path = root / FILE
    try:
        if path.is_symlink() or path.stat().st_size > _LONGEST_BYTES:
            return {}
        value = json.loads(path.read_bytes())
        if value["schema"] != _SCHEMA:
            return {}
        return {Interval.parse(name): _choice(given) for name, given in value["intervals"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, DashboardError, RecursionError):
        return {}


def write_choices(root: Path, choices: Mapping[Interval, Choice]) -> None:
    """At once or not at all: written and synced aside, then renamed over the old one."""
    value = {"schema": _SCHEMA, "intervals": {str(name): asdict(choice) for name, choice in choices.items()}}
    root.mkdir(parents=True, exist_ok=True)
    aside = root / f"{FILE}.{os.getpid()}"
    try:
        with aside.open("w", encoding="utf-8") as file:
            json.dump(value, file, indent=2, sort_keys=True)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        aside.replace(root / FILE)
    finally:
        aside.unlink(missing_ok=True)


def _choice(given: Mapping[str, Any]) -> Choice:
    previous = str(given["previous"])
    return Choice(parse_id(str(given["model"])), parse_id(previous) if previous else "", int(given["since_ms"]))
