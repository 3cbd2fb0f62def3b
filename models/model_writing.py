"""Model writing: a model's folder comes to be whole and synced, at once or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from models.registry_entry import GRAPH, MANIFEST, REPORT, SPEC
from models.spec import SCHEMA, ModelSpec, parse_id


def write_model(root: Path, spec: ModelSpec, graph: bytes, report: Mapping[str, Any]) -> Path:
    """Puts a model in place at once or not at all: everything is written and synced aside, then renamed."""
    files = {
        GRAPH: graph,
        SPEC: spec.to_json().encode(),
        REPORT: (json.dumps(report, indent=2, sort_keys=True, allow_nan=False) + "\n").encode(),
    }
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    files[MANIFEST] = (json.dumps({"files": hashes, "schema": SCHEMA}, indent=2, sort_keys=True) + "\n").encode()
    target = root / parse_id(spec.id)
    with written_aside(root, spec.id, files) as aside:
        _swap(aside, target)
        _sync_folder(root)
    return target


@contextmanager
def written_aside(root: Path, model_id: str, files: Mapping[str, bytes]) -> Iterator[Path]:
    """A model's folder, whole and synced, beside the models where none looks; removed unless the block moves it."""
    beside = root / f".new-{parse_id(model_id)}-{os.getpid()}"
    beside.mkdir(parents=True)
    try:
        aside = beside / model_id
        aside.mkdir()
        for name, content in files.items():
            _write_synced(aside / name, content)
        _sync_folder(aside)
        yield aside
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _swap(new: Path, target: Path) -> None:
    """`new` becomes `target`; what was there before is put back if that fails."""
    old = target.with_name(f".old-{target.name}-{os.getpid()}")
    had = _renamed(target, old)
    try:
        new.rename(target)
    except OSError:
        if had:
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _renamed(path: Path, to: Path) -> bool:
    try:
        path.rename(to)
    except FileNotFoundError:
        return False
    return True
