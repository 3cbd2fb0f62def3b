"""Registry entry: one model's folder, verified against its manifest, or what is wrong with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from data.interval import Interval
from models.spec import SCHEMA, ModelSpec, parse_id
from utils.errors import InvalidInput, ModelCorrupt, ModelError
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


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.iterdir() if file.is_file())
