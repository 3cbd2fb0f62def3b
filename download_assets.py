"""Fetch the front-end files that pages serve themselves, each held to its pinned SHA-256, and compress them.

`python download_assets.py` fills static/vendor/; `--check` verifies what is there. Files come from the npm registry
where npm is installed, else from a public CDN over HTTPS; wherever from, a file with another hash is refused.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.errors import AssetError

TARGET = Path(__file__).resolve().parent / "static" / "vendor"
MANIFEST = "manifest.json"
_CDN = "https://cdn.jsdelivr.net/npm/{package}@{version}/{path}"
_TIMEOUT_S = 60
_MOST_BYTES = 5_000_000


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of one npm package. `name` is how templates ask for it; licences are kept, not served by name."""

    name: str
    package: str
    version: str
    path: str
    sha256: str
    licence: bool = False

    @property
    def file_name(self) -> str:
        """With version and content hash, so that it may be cached for ever."""
        if self.licence:
            return f"licenses/{self.name}"
        stem, _, suffix = self.name.rpartition(".")
        return f"{stem}-{self.version}.{self.sha256[:10]}.{suffix}"


_BOOTSTRAP = ("bootstrap", "5.3.9")
_JQUERY = ("jquery", "4.0.0")
_CHARTS = ("lightweight-charts", "5.2.1")

ASSETS = (
    Asset(
        "bootstrap-reboot.css",
        *_BOOTSTRAP,
        "dist/css/bootstrap-reboot.min.css",
        "d6c4460973c13a2debdc9ebfeb4c4cfe1c2175a693b37aa5903ad510df6ab200",
    ),
    Asset(
        "jquery.slim.js",
        *_JQUERY,
        "dist/jquery.slim.min.js",
        "f031a9bf5dc7226fb9883356c355eac60141e268fec8e28535bfad1c164ea307",
    ),
    Asset(
        "lightweight-charts.mjs",
        *_CHARTS,
        "dist/lightweight-charts.standalone.production.mjs",
        "1bb1ee79f9d4dd17261b53d930f7a8995748276f80e7ba0e24412b5068062f5f",
    ),
    Asset(
        "bootstrap.txt",
        *_BOOTSTRAP,
        "LICENSE",
        "bc0cd18d94c028f1c0b62ec9fdaddcb9921c1e07c29cf52dc7df8cca9daf2488",
        licence=True,
    ),
    Asset(
        "jquery.txt",
        *_JQUERY,
        "LICENSE.txt",
        "d4db9ebe6f29f5168eac45ad713f055623ac5d0dcd5ba92da23d650ae012020d",
        licence=True,
    ),
    Asset(
        "lightweight-charts.txt",
        *_CHARTS,
        "LICENSE",
        "70c9d5382506dd184465425c08a99ad9bd6d9ac1313c252968ba0b585e5ef823",
        licence=True,
    ),
)

Source = Callable[[str, str, Sequence[str]], Mapping[str, bytes]]
"""(package, version, paths) → bytes by path; raises AssetError with the reason when it cannot."""


def from_npm(package: str, version: str, paths: Sequence[str]) -> Mapping[str, bytes]:
    """The files out of the package's tarball, by way of the npm command and the registry it is set up for."""
    npm = shutil.which("npm")
    if npm is None:
        raise AssetError("npm is not installed")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", f"{package}@{version}", "--silent", "--pack-destination", folder]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT_S)  # noqa: S603 - our own words
        except subprocess.CalledProcessError as error:
            raise AssetError(f"npm pack failed: {error.stderr.decode(errors='replace').strip()[-300:]}") from error
        except subprocess.TimeoutExpired as error:
            raise AssetError(f"npm pack did not end within {_TIMEOUT_S} s") from error
        tarballs = list(Path(folder).glob("*.tgz"))
        if len(tarballs) != 1:
            raise AssetError(f"npm pack left {len(tarballs)} archives where one was expected")
        return _members(tarballs[0].read_bytes(), paths)


def _members(tarball: bytes, paths: Sequence[str]) -> Mapping[str, bytes]:
    import tarfile  # for a download alone: the serving process only checks what is there

    files: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(tarball), mode="r:gz") as archive:
        for path in paths:
            try:
                file = archive.extractfile(f"package/{path}")
            except KeyError:
                file = None
            if file is None:
                raise AssetError(f"the package holds no file {path}")
            files[path] = file.read(_MOST_BYTES)
    return files


def from_cdn(package: str, version: str, paths: Sequence[str]) -> Mapping[str, bytes]:
    """The files one by one from a public CDN."""
    files = {}
    for path in paths:
        url = _CDN.format(package=package, version=version, path=path)
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - a constant https address
                files[path] = answer.read(_MOST_BYTES)
        except (urllib.error.URLError, TimeoutError, OSError) as error:
            raise AssetError(f"{url}: {error}") from error
    return files


SOURCES: tuple[tuple[str, Source], ...] = (("npm", from_npm), ("cdn", from_cdn))


def download(target: Path, sources: Sequence[tuple[str, Source]] = SOURCES) -> list[Asset]:
    """Fills `target` and answers the assets that were fetched: none when everything was there already.

    Raises AssetError when no source has a package, or when a file is not the one that was pinned.
    """
    missing = [asset for asset in ASSETS if problem(target, asset)]
    for package, version in dict.fromkeys((asset.package, asset.version) for asset in missing):
        wanted = [asset for asset in missing if (asset.package, asset.version) == (package, version)]
        for asset, body in _fetch(package, version, wanted, sources):
            _write(target, asset, body)
    _write_manifest(target)
    return missing


def _fetch(
    package: str, version: str, wanted: Sequence[Asset], sources: Sequence[tuple[str, Source]]
) -> list[tuple[Asset, bytes]]:
    reasons = []
    for name, source in sources:
        try:
            files = source(package, version, [asset.path for asset in wanted])
            return [(asset, _verified(asset, files[asset.path])) for asset in wanted]
        except AssetError as error:
            reasons.append(f"{name}: {error}")
    raise AssetError(f"{package} {version} cannot be had; " + "; ".join(reasons))


def _verified(asset: Asset, body: bytes) -> bytes:
    found = hashlib.sha256(body).hexdigest()
    if found != asset.sha256:
        raise AssetError(
            f"{asset.package} {asset.version} {asset.path} has SHA-256 {found}, not the pinned {asset.sha256}: refused"
        )
    return body


def _write(target: Path, asset: Asset, body: bytes) -> None:
    import brotli  # only needed when something is written; the check of a filled folder stays fast

    path = target / asset.file_name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not asset.licence:
        _put(path.with_name(path.name + ".br"), brotli.compress(body, quality=11))
        _put(path.with_name(path.name + ".gz"), gzip.compress(body, 9, mtime=0))
    _put(path, body)


def _put(path: Path, body: bytes) -> None:
    """Whole or not at all, even when the power goes."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(body)
    draft.replace(path)


def _write_manifest(target: Path) -> None:
    served = [asset for asset in ASSETS if not asset.licence]
    entries = {
        asset.name: {
            "file": asset.file_name,
            "package": asset.package,
            "version": asset.version,
            "integrity": "sha256-" + base64.b64encode(bytes.fromhex(asset.sha256)).decode(),
        }
        for asset in served
    }
    body = (json.dumps(entries, indent=2) + "\n").encode()
    path = target / MANIFEST
    if not path.is_file() or path.read_bytes() != body:
        _put(path, body)


def problem(target: Path, asset: Asset) -> str:
    """What is wrong with this asset in `target`, in words; empty when nothing is."""
    path = target / asset.file_name
    if not path.is_file():
        return f"{path.name} is missing"
    body = path.read_bytes()
    if hashlib.sha256(body).hexdigest() != asset.sha256:
        return f"{path.name} is not the file that was pinned"
    if asset.licence:
        return ""
    for suffix in (".br", ".gz"):
        if not path.with_name(path.name + suffix).is_file():
            return f"{path.name}{suffix} is missing"
    return ""


def check(target: Path) -> list[str]:
    """Everything that is wrong in `target`, compressed copies decompressed and compared; empty when all is well."""
    import brotli

    problems = [text for asset in ASSETS if (text := problem(target, asset))]
    if not (target / MANIFEST).is_file():
        problems.append(f"{MANIFEST} is missing")
    if problems:
        return problems
    for asset in (asset for asset in ASSETS if not asset.licence):
        path = target / asset.file_name
        for suffix, unpack in ((".br", brotli.decompress), (".gz", gzip.decompress)):
            if _unpacked(path.with_name(path.name + suffix), unpack) != path.read_bytes():
                problems.append(f"{path.name}{suffix} does not unpack to {path.name}")
    return problems


def _unpacked(path: Path, unpack: Callable[[bytes], bytes]) -> bytes:
    import brotli

    try:
        return unpack(path.read_bytes())
    except (brotli.error, OSError, EOFError):
        return b""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="verify the files that are there, fetch nothing")
    parser.add_argument("--source", choices=[name for name, _ in SOURCES], help="use this source alone")
    parser.add_argument("--target", type=Path, default=TARGET, help="folder to fill (default: static/vendor)")
    options = parser.parse_args(arguments)
    if options.check:
        return _report(check(options.target))
    sources = [pair for pair in SOURCES if options.source in (None, pair[0])]
    try:
        fetched = download(options.target, sources)
    except AssetError as error:
        print(f"assets: {error}", file=sys.stderr)
        return 1
    for asset in fetched:
        print(f"assets: {asset.package} {asset.version} → {asset.file_name}")
    print(f"assets: {len(ASSETS)} files in place, {len(fetched)} fetched")
    return 0


def _report(problems: Sequence[str]) -> int:
    for text in problems:
        print(f"assets: {text}", file=sys.stderr)
    print(f"assets: {len(ASSETS)} files checked, {len(problems)} wrong")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
