"""In use: which model serves an interval, as chosen, in one small file beside the models, replaced whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data.interval import Interval
from models.spec import parse_id
from utils.json_file import read_json, write_json

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
    return read_json(root / FILE, _choices, schema=_SCHEMA, longest_bytes=_LONGEST_BYTES, otherwise={})


def write_choices(root: Path, choices: Mapping[Interval, Choice]) -> None:
    """At once or not at all."""
    value = {str(name): asdict(choice) for name, choice in choices.items()}
    write_json(root / FILE, {"schema": _SCHEMA, "intervals": value})


def _choices(value: Mapping[str, Any]) -> dict[Interval, Choice]:
    return {Interval.parse(name): _choice(given) for name, given in value["intervals"].items()}


def _choice(given: Mapping[str, Any]) -> Choice:
    previous = str(given["previous"])
    return Choice(parse_id(str(given["model"])), parse_id(previous) if previous else "", int(given["since_ms"]))
