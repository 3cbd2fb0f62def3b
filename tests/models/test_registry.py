"""Registry: whole models are listed, damaged ones with a reason, foreign files unopened; writes are all or nothing."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest

from data.interval import Interval
from models import model_writing
from models.model_writing import write_model
from models.registry import Registry
from models.registry_entry import Status
from models.spec import ModelSpec
from tests.support import tiny_model
from utils.errors import ModelCorrupt, ModelNotFound


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tiny_model.save(tmp_path, tiny_model.spec("good"))
    return tmp_path


class Bomb:
    """Unpickled, it would write a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.canary,))


def test_a_whole_model_is_ok_and_answers(root: Path) -> None:
    entry = Registry(root).get("good")
    assert (entry.status, entry.reason, len(entry.digest)) == (Status.OK, "", 64)
    assert entry.report == {"note": "made for a test"}
    assert entry.open().input_shape[1:] == (8, 3)
    assert entry.size_bytes == sum(file.stat().st_size for file in (root / "good").iterdir())


def test_an_absent_folder_is_an_empty_registry(tmp_path: Path) -> None:
    empty = Registry(tmp_path / "nowhere")
    assert empty.all() == ()
    with pytest.raises(ModelNotFound, match="there is no model 'x'; known: none"):
        empty.get("x")


@pytest.mark.parametrize("name", ["model.onnx", "spec.json", "report.json", "manifest.json"])
def test_any_damaged_file_breaks_its_model_and_no_other(root: Path, name: str) -> None:
    tiny_model.save(root, tiny_model.spec("bad"))
    file = root / "bad" / name
    content = file.read_bytes()
    registry = Registry(root)
    damages = [content[: len(content) // 2], b"", content[:-9] + bytes([content[-9] ^ 4]) + content[-8:]]
    for damaged in damages:
        file.write_bytes(damaged)
        entries = {entry.id: entry for entry in registry.all()}
        assert entries["good"].status is Status.OK
        assert entries["bad"].status is Status.BROKEN
        assert entries["bad"].reason
        with pytest.raises(ModelCorrupt, match="model 'bad' cannot be used: "):
            registry.get("bad")
    file.unlink()
    assert {entry.id: entry.status for entry in registry.all()} == {"good": Status.OK, "bad": Status.BROKEN}


def test_a_swapped_graph_is_noticed(root: Path) -> None:
    tiny_model.save(root, tiny_model.spec("other"), seed=9)
    shutil.copy(root / "other" / "model.onnx", root / "good" / "model.onnx")
    with pytest.raises(ModelCorrupt, match=r"model\.onnx has SHA-256 .* restore it or train again"):
        Registry(root).get("good")


def test_a_renamed_folder_is_noticed(root: Path) -> None:
    (root / "good").rename(root / "better")
    with pytest.raises(ModelCorrupt, match="says id 'good' but the folder is 'better'"):
        Registry(root).get("better")


def test_a_repaired_model_is_ok_again(root: Path) -> None:
    registry, file = Registry(root), root / "good" / "model.onnx"
    content = file.read_bytes()
    file.write_bytes(b"rubbish")
    assert registry.all()[0].status is Status.BROKEN
    file.write_bytes(content)
    assert registry.all()[0].status is Status.OK


@pytest.mark.parametrize("suffix", [".pkl", ".joblib", ".h5", ".keras", ".onnx", ".txt"])
def test_foreign_files_are_listed_and_never_loaded(root: Path, suffix: str) -> None:
    canary = root.parent / "canary"
    (root / f"evil{suffix}").write_bytes(pickle.dumps(Bomb(canary)))
    entry = next(entry for entry in Registry(root).all() if entry.id == f"evil{suffix}")
    assert entry.status is Status.UNSUPPORTED
    assert "is not loaded" in entry.reason
    assert not canary.exists()
    with pytest.raises(ModelNotFound, match="known: good"):
        Registry(root).get(f"evil{suffix}")


def test_links_are_not_followed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    tiny_model.save(outside, tiny_model.spec("linked"))
    (root / "linked").symlink_to(outside / "linked")
    assert {entry.id: entry.status for entry in Registry(root).all()}["linked"] is Status.UNSUPPORTED


def test_the_default_is_the_newest_of_its_interval(root: Path) -> None:
    tiny_model.save(root, tiny_model.spec("newer", created_ms=tiny_model.START_MS + 1))
    tiny_model.save(root, tiny_model.spec("daily", interval=Interval.D1, created_ms=tiny_model.START_MS + 2))
    tiny_model.save(root, tiny_model.spec("only-btc", symbols=("BTCUSDT",), created_ms=tiny_model.START_MS + 3))
    chosen = {interval: Registry(root).default(interval) for interval in (Interval.H1, Interval.D1, Interval.M1)}
    assert {interval: entry and entry.id for interval, entry in chosen.items()} == {
        Interval.H1: "newer",
        Interval.D1: "daily",
        Interval.M1: None,
    }


def test_writing_again_replaces_the_whole_model(root: Path) -> None:
    before = Registry(root).get("good").digest
    tiny_model.save(root, tiny_model.spec("good"), seed=5)
    assert Registry(root).get("good").digest != before
    assert sorted(path.name for path in root.iterdir()) == ["good"]


def test_a_write_that_fails_leaves_what_was_there(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Registry(root).get("good").digest
    made: list[Path] = []
    write = model_writing._write_synced

    def full_disk(path: Path, content: bytes) -> None:
        made.append(path)
        if len(made) == 3:
            raise OSError(28, "No space left on device")
        write(path, content)

    monkeypatch.setattr(model_writing, "_write_synced", full_disk)
    spec = tiny_model.spec("good")
    with pytest.raises(OSError, match="No space left"):
        write_model(root, spec, b"graph", {})
    assert sorted(path.name for path in root.iterdir()) == ["good"]
    assert Registry(root).get("good").digest == before


def test_a_swap_that_fails_puts_the_old_model_back(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Registry(root).get("good").digest
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self.parent.name.startswith(".new-"):
            raise PermissionError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(PermissionError):
        tiny_model.save(root, tiny_model.spec("good"), seed=5)
    assert Registry(root).get("good").digest == before


def test_the_manifest_names_every_file(root: Path) -> None:
    manifest = json.loads((root / "good" / "manifest.json").read_text())
    assert set(manifest["files"]) == {"model.onnx", "spec.json", "report.json"}
    assert ModelSpec.from_json((root / "good" / "spec.json").read_bytes()).id == "good"
