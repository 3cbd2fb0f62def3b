"""JSON file: a small file of ours, believed only where it is whole and ours, replaced whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from utils.errors import DashboardError

T = TypeVar("T")

_NOT_OURS = (OSError, ValueError, KeyError, TypeError, AttributeError, DashboardError, RecursionError)
"""What reading or parsing a file raises that is absent, damaged, or was written by somebody else."""


def read_json(
    path: Path, parse: Callable[[Mapping[str, Any]], T], *, schema: int, longest_bytes: int, otherwise: T
) -> T:
    """What `parse` makes of the file's object; `otherwise` where it is absent, damaged, a link, longer than
    `longest_bytes`, or of another `schema`."""
    try:
        if path.is_symlink() or path.stat().st_size > longest_bytes:
            return otherwise
        value = json.loads(path.read_bytes())
        return parse(value) if value["schema"] == schema else otherwise
    except _NOT_OURS:
        return otherwise


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Written and synced aside, then renamed over the old one; its folder is made if need be. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with aside.open("w", encoding="utf-8") as file:
            json.dump(value, file, indent=2, sort_keys=True)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
