"""download_assets.py: pinned bytes or nothing, compressed copies, an idle second run, a check that sees damage."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import brotli
import pytest

import download_assets
from download_assets import ASSETS, Asset, check, download, from_npm, main
from utils.errors import AssetError

BODY = b"body { color: teal }\n" * 200


def asset(body: bytes = BODY, name: str = "a.css", *, licence: bool = False) -> Asset:
    return Asset(name, "made-package", "1.2.3", f"dist/{name}", hashlib.sha256(body).hexdigest(), licence)


@pytest.fixture
def one_asset(monkeypatch: pytest.MonkeyPatch) -> Asset:
    made = asset()
    monkeypatch.setattr(download_assets, "ASSETS", (made, asset(b"You may.\n", "LICENSE.txt", licence=True)))
    return made


def source(_package: str, _version: str, paths: Sequence[str]) -> Mapping[str, bytes]:
    bodies = {"dist/a.css": BODY, "dist/LICENSE.txt": b"You may.\n"}
    return {path: bodies[path] for path in paths}


def absent(*_: object) -> Mapping[str, bytes]:
    raise AssetError("not here")


def test_files_get_their_hash_their_copies_and_a_manifest(tmp_path: Path, one_asset: Asset) -> None:
    assert len(download(tmp_path, [("absent", absent), ("source", source)])) == 2
    path = tmp_path / one_asset.file_name
    assert path.name == f"a-1.2.3.{one_asset.sha256[:10]}.css"
    assert path.read_bytes() == BODY
    assert brotli.decompress((tmp_path / f"{path.name}.br").read_bytes()) == BODY
    assert gzip.decompress((tmp_path / f"{path.name}.gz").read_bytes()) == BODY
    assert (tmp_path / "licenses" / "LICENSE.txt").is_file()
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["a.css"]["file"] == path.name
    assert manifest["a.css"]["integrity"].startswith("sha256-")
    assert check(tmp_path) == []


def test_a_second_run_asks_nobody(tmp_path: Path, one_asset: Asset) -> None:
    download(tmp_path, [("source", source)])
    assert download(tmp_path, [("absent", absent)]) == []


def test_a_wrong_hash_is_refused_and_nothing_written(tmp_path: Path, one_asset: Asset) -> None:
    def forged(package: str, version: str, paths: Sequence[str]) -> Mapping[str, bytes]:
        return {path: body + b"evil" for path, body in source(package, version, paths).items()}

    with pytest.raises(AssetError, match=r"made-package 1\.2\.3 .* not the pinned .*: refused"):
        download(tmp_path, [("forged", forged)])
    assert list(tmp_path.iterdir()) == []


def test_every_source_that_failed_says_why(tmp_path: Path, one_asset: Asset) -> None:
    with pytest.raises(AssetError, match="cannot be had; first: not here; second: not here"):
        download(tmp_path, [("first", absent), ("second", absent)])


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: path.write_bytes(b"changed"), "is not the file that was pinned"),
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.with_name(path.name + ".br").write_bytes(b"junk"), "does not unpack"),
        (lambda path: path.with_name(path.name + ".gz").write_bytes(gzip.compress(b"x")), "does not unpack"),
        (lambda path: (path.parent / "manifest.json").unlink(), "manifest.json is missing"),
    ],
)
def test_the_check_sees_damage(tmp_path: Path, one_asset: Asset, damage: object, says: str) -> None:
    download(tmp_path, [("source", source)])
    assert callable(damage)
    damage(tmp_path / one_asset.file_name)
    problems = check(tmp_path)
    assert len(problems) == 1
    assert says in problems[0]
    assert main(["--check", "--target", str(tmp_path)]) == 1


def npm_that(folder: Path, script: str) -> None:
    folder.mkdir(exist_ok=True)
    npm = folder / "npm"
    npm.write_text(f"#!/bin/sh\n{script}\n")
    npm.chmod(0o755)


def test_npm_is_asked_for_exactly_that_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo("package/dist/a.css")
        entry.size = len(BODY)
        archive.addfile(entry, io.BytesIO(BODY))
    (tmp_path / "made.tgz").write_bytes(packed.getvalue())
    npm_that(tmp_path / "bin", f'echo "$@" > {tmp_path}/asked; cp {tmp_path}/made.tgz "$5"/')
    monkeypatch.setenv("PATH", f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}")
    assert from_npm("made-package", "1.2.3", ["dist/a.css"]) == {"dist/a.css": BODY}
    assert (tmp_path / "asked").read_text().startswith("pack made-package@1.2.3 --silent")
    with pytest.raises(AssetError, match=r"holds no file dist/b\.css"):
        from_npm("made-package", "1.2.3", ["dist/b.css"])


def test_a_failing_npm_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm_that(tmp_path / "bin", "echo no network >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(AssetError, match="npm pack failed: no network"):
        from_npm("made-package", "1.2.3", ["dist/a.css"])
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AssetError, match="npm is not installed"):
        from_npm("made-package", "1.2.3", ["dist/a.css"])


def test_the_table_is_sound() -> None:
    assert len({one.file_name for one in ASSETS}) == len(ASSETS)
    for one in ASSETS:
        assert len(bytes.fromhex(one.sha256)) == 32
        assert ".." not in one.path
        assert replace(one, sha256="0" * 64).file_name != one.file_name or one.licence
    assert {one.package for one in ASSETS if one.licence} == {one.package for one in ASSETS}
