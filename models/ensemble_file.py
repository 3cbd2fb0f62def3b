"""Ensemble file: the ensembles of a models' folder, in one small file beside the models, replaced whole."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data.interval import Interval
from models.ensemble import EVERY_CANDLES, FLOOR, MOST_CANDLES, Ensemble
from models.spec import parse_id
from utils.errors import FileError, InvalidInput, ModelNotFound
from utils.file_lock import held
from utils.json_file import read_json, write_json

FILE = ".ensembles.json"
_LOCK = ".ensembles.lock"
_SCHEMA = 1
_LONGEST_BYTES = 64 * 1024
_PLAIN = ("floor", "every", "made_ms", "weighed_ms", "version", "venue", "archived")


def read_ensembles(root: Path) -> tuple[Ensemble, ...]:
    """Those of the models' folder, archived ones too; none where the file is absent or damaged."""
    return read_json(root / FILE, _ensembles, schema=_SCHEMA, longest_bytes=_LONGEST_BYTES, otherwise=())


def ensemble_of(root: Path, name: str) -> Ensemble | None:
    """The one of that name."""
    return next((one for one in read_ensembles(root) if one.id == name), None)


def write_ensembles(root: Path, ensembles: Sequence[Ensemble]) -> None:
    """At once or not at all."""
    value = {
        one.id: {
            "interval": str(one.interval),
            "weights": dict(one.weights),
            **{name: getattr(one, name) for name in _PLAIN},
        }
        for one in ensembles
    }
    write_json(root / FILE, {"schema": _SCHEMA, "ensembles": value})


@contextmanager
def changing(root: Path) -> Iterator[dict[str, Ensemble]]:
    """All of them by name, to be changed in place; written at the end, while nobody else of any process changes them.

    Nothing is written where the block raises. StoreError where the folder cannot be written to.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        with held(root / _LOCK):
            before = read_ensembles(root)
            ensembles = {one.id: one for one in before}
            yield ensembles
            if tuple(ensembles.values()) != before:
                write_ensembles(root, list(ensembles.values()))
    except OSError as error:
        raise FileError(f"the ensemble could not be written ({error.strerror}); look at the models' folder") from error


def found_in(ensembles: Mapping[str, Ensemble], name: str) -> Ensemble:
    """ModelNotFound where there is none of that name."""
    if name not in ensembles:
        raise ModelNotFound(f"there is no ensemble {name[:70]!r}; known: {', '.join(ensembles) or 'none'}")
    return ensembles[name]


def check_every(every: int) -> None:
    """InvalidInput for an every that is no number of candles."""
    if not 0 <= every <= MOST_CANDLES:
        raise InvalidInput(
            f"every {every} candles does not fit; use 1 to {MOST_CANDLES:,}, or 0 to weigh it by hand only"
        )


def _ensembles(value: Mapping[str, Any]) -> tuple[Ensemble, ...]:
    return tuple(_ensemble(name, given) for name, given in value["ensembles"].items())


def _ensemble(name: str, given: Mapping[str, Any]) -> Ensemble:
    weights = {parse_id(member): float(weight) for member, weight in given["weights"].items()}
    if len(weights) < 2 or min(weights.values()) <= 0 or not math.isclose(sum(weights.values()), 1.0, abs_tol=1e-9):
        raise InvalidInput(f"the weights of ensemble {name!r} do not add up to 1 over two members or more")
    floor = float(given.get("floor", FLOOR))
    if not 0.0 < floor <= 1.0:
        raise InvalidInput(f"the floor {floor:g} of ensemble {name!r} is no part of the whole")
    every = int(given.get("every", EVERY_CANDLES))
    check_every(every)
    return Ensemble(
        parse_id(name),
        Interval.parse(given["interval"]),
        weights,
        floor,
        every,
        made_ms=int(given.get("made_ms", 0)),
        weighed_ms=int(given.get("weighed_ms", 0)),
        version=int(given.get("version", 1)),
        venue=str(given.get("venue", "")),
        archived=given.get("archived", False) is True,
    )
