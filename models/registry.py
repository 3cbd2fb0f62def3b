"""Registry: the models in a folder, each verified against its manifest; a broken one is listed with its reason."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from data.interval import Interval
from models.in_use import FILE as IN_USE_FILE
from models.in_use import Choice, read_choices
from models.one_look import seen
from models.spec import SCHEMA, ModelSpec, parse_id
from utils.errors import InvalidInput, ModelCorrupt, ModelError, ModelNotFound
from utils.model_utils import Session, file_sha256, open_session

GRAPH, SPEC, REPORT, MANIFEST = "model.onnx", "spec.json", "report.json", "manifest.json"
FILES = (GRAPH, SPEC, REPORT)
"""What a manifest gives the hashes of."""
_SHA256_DIGITS = 64
_FOREIGN = {".pkl", ".pickle", ".joblib", ".h5", ".hdf5", ".keras", ".pt", ".pth", ".npy", ".npz", ".onnx"}


class Status(StrEnum):
    OK = "ok"
    BROKEN = "broken"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class RegistryEntry:
    """One model, or what is in its place. `digest` names graph and spec together; empty unless status is ok."""

    id: str
    path: Path
    status: Status
    reason: str = ""
    spec: ModelSpec | None = None
    report: Mapping[str, Any] | None = None
    digest: str = ""
    graph_sha256: str = ""
    size_bytes: int = 0

    @property
    def record(self) -> str:
        """Under which the ledger adds up how it did."""
        return self.digest

    def open(self) -> Session:
        """A new session; hand this to ModelCache.get."""
        return open_session(self.path / GRAPH, self.graph_sha256)


class Registry:
    """Reads `path` on demand; files are hashed again only when their name, size or time changed. Runs nothing in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, tuple[object, RegistryEntry]] = {}
        self._choices: tuple[object, dict[Interval, Choice]] = (None, {})

    def all(self) -> tuple[RegistryEntry, ...]:
        """Every entry by name; an absent folder is an empty registry."""
        return seen(("registry", self.path), self._look)

    def _look(self) -> tuple[RegistryEntry, ...]:
        try:
            names = sorted(entry.name for entry in os.scandir(self.path) if not entry.name.startswith((".", "README")))
        except FileNotFoundError:
            names = []
        known = {name: self._entry(name) for name in names}
        self._known = known
        return tuple(entry for _, entry in known.values())

    def usable(self) -> tuple[RegistryEntry, ...]:
        return tuple(entry for entry in self.all() if entry.status is Status.OK)

    def get(self, model_id: str) -> RegistryEntry:
        """Raises ModelNotFound (naming what exists) or, for a broken one, ModelCorrupt with its reason."""
        entries = {entry.id: entry for entry in self.all() if entry.status is not Status.UNSUPPORTED}
        entry = entries.get(model_id)
        if entry is None:
            known = ", ".join(entries) or "none"
            raise ModelNotFound(f"there is no model {model_id[:70]!r}; known: {known}")
        if entry.status is not Status.OK:
            raise ModelCorrupt(f"model {model_id!r} cannot be used: {entry.reason}")
        return entry

    def default(self, interval: Interval) -> RegistryEntry | None:
        """The model chosen for that interval, or where none was (or it cannot be used) the newest usable one.

        An ensemble may have been chosen instead (models.champions). Only models that serve any market count; None if
        there is none.
        """
        fitting = [entry for entry in self.usable() if fits(entry, interval)]
        choice = self.choices().get(interval)
        chosen = next((entry for entry in fitting if choice is not None and entry.id == choice.model), None)
        return chosen or max(
            fitting, key=lambda entry: (entry.spec.created_ms if entry.spec else 0, entry.id), default=None
        )

    def choices(self) -> dict[Interval, Choice]:
        """Which models were chosen to serve; read again only when the file changed."""
        return seen(("choices", self.path), self._chosen)

    def _chosen(self) -> dict[Interval, Choice]:
        signature = file_signature(self.path / IN_USE_FILE)
        if signature != self._choices[0]:
            self._choices = (signature, read_choices(self.path))
        return self._choices[1]

    def _entry(self, name: str) -> tuple[object, RegistryEntry]:
        path = self.path / name
        signature = _signature(path)
        known = self._known.get(name)
        if known is not None and known[0] == signature:
            return known
        return signature, read_entry(path)


def fits(entry: RegistryEntry, interval: Interval) -> bool:
    """Whether the model can serve every market of that interval."""
    spec = entry.spec
    return entry.status is Status.OK and spec is not None and spec.interval is interval and not spec.symbols


def read_entry(path: Path) -> RegistryEntry:
    """Looks at one folder (or stray file) and verifies it; never raises for what it finds there."""
    if path.is_symlink() or not path.is_dir():
        kind = "a link" if path.is_symlink() else "a pickle or foreign file" if path.suffix in _FOREIGN else "a file"
        reason = f"{kind} is not loaded: a model is a folder of {', '.join((*FILES, MANIFEST))}"
        return RegistryEntry(path.name, path, Status.UNSUPPORTED, reason)
    try:
        parse_id(path.name)
        return _verified(path)
    except InvalidInput as error:
        return RegistryEntry(path.name, path, Status.UNSUPPORTED, str(error))
    except ModelError as error:
        return RegistryEntry(path.name, path, Status.BROKEN, str(error), size_bytes=_size(path))
    except OSError as error:
        return RegistryEntry(path.name, path, Status.BROKEN, f"cannot be read: {error.strerror}")


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


def _verified(path: Path) -> RegistryEntry:
    hashes = _manifest(path / MANIFEST)
    for name, expected in hashes.items():
        file = path / name
        if file.is_symlink() or not file.is_file():
            raise ModelCorrupt(f"{name} is missing")
        if (found := file_sha256(file)) != expected:
            raise ModelCorrupt(
                f"{name} has SHA-256 {found[:12]}… but the manifest says {expected[:12]}…; restore it or train again"
            )
    spec = ModelSpec.from_json((path / SPEC).read_bytes())
    if spec.id != path.name:
        raise ModelCorrupt(f"spec.json says id {spec.id!r} but the folder is {path.name!r}")
    digest = hashlib.sha256((hashes[GRAPH] + hashes[SPEC]).encode()).hexdigest()
    report = _json_object(path / REPORT)
    return RegistryEntry(path.name, path, Status.OK, "", spec, report, digest, hashes[GRAPH], _size(path))


def _manifest(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise ModelCorrupt(f"{MANIFEST} is missing")
    manifest = _json_object(path)
    hashes = manifest.get("files")
    if set(manifest) != {"files", "schema"} or manifest["schema"] != SCHEMA:
        raise ModelCorrupt(f"{MANIFEST} must hold files and schema {SCHEMA}")
    if not isinstance(hashes, dict) or set(hashes) != set(FILES):
        raise ModelCorrupt(f"{MANIFEST} must name exactly {', '.join(FILES)}")
    if not all(isinstance(digest, str) and len(digest) == _SHA256_DIGITS for digest in hashes.values()):
        raise ModelCorrupt(f"{MANIFEST} must give a SHA-256 for each file")
    return hashes


def _json_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ModelCorrupt(f"{path.name} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ModelCorrupt(f"{path.name} holds no object")
    return value


def _signature(path: Path) -> object:
    """Changes when any file of the entry does."""
    try:
        if not path.is_dir() or path.is_symlink():
            return path.lstat().st_mtime_ns
        return tuple(
            sorted((file.name, file.stat().st_mtime_ns, file.stat().st_size, file.inode()) for file in os.scandir(path))
        )
    except OSError:
        return object()


def file_signature(path: Path) -> object:
    """Changes when the file is replaced, even within one tick of the clock that dates files."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.iterdir() if file.is_file())


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
