"""Styles, scripts and vendor files: addresses that name their content, bytes compressed once, cached for ever."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import xxhash
from flask import Blueprint, Flask, Response, current_app, request, url_for
from markupsafe import Markup

from routes.budgets import budget
from utils.asset_host import AssetHost
from utils.content_encoding import IDENTITY, choose_encoding, compress_for_good
from utils.errors import NotFound

bp = Blueprint("assets", __name__, url_prefix="/assets")

EXTENSION = "assets"
_FOLDERS = ("css", "js", "img")
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".txt": "text/plain; charset=utf-8",
}
_COMPRESSIBLE = frozenset(_TYPES) - {".png"}
_FOREVER = "public, max-age=31536000, immutable"
_PAGE_CSS = "css/page.css"
_JOINED = {_PAGE_CSS: ("bootstrap-reboot.css", "css/styles.css")}
"""What every page waits for before its first picture, in one answer: vendor and own files, one after the other."""
_IMPORT = re.compile(r"""(?:from|import\()\s*["']\./([\w.-]+)["']""")
_SUFFIXES = {"br": ".br", "gzip": ".gz"}


@dataclass(frozen=True, slots=True)
class VendorFile:
    """A downloaded file: its content-hashed name and the integrity value of its bytes."""

    file: str
    integrity: str


class Assets:
    """What lies in `static/`: read when made, each file compressed when first asked for, or by `warm`, and kept.

    Our own files share one digest in their address, so that modules import each other by relative names and any change
    renews all of them at once (they are a few kilobytes together). Vendor files carry their own hash and come
    compressed from download_assets.py; without them `vendor` is empty and pages leave their tags out.
    """

    def __init__(self, folder: Path, host: AssetHost | None = None) -> None:
        self._host = host
        self._vendor_folder = folder / "vendor"
        self.vendor = _read_manifest(self._vendor_folder)
        self._own = {path.relative_to(folder).as_posix(): path.read_bytes() for path in _own_files(folder)}
        self._own |= {name: self._joined(parts) for name, parts in _JOINED.items()}
        self.digest = _digest(self._own)
        self._vendor_names = frozenset(file.file for file in self.vendor.values())
        self._bodies: dict[tuple[str, str], bytes] = {}
        if host is not None:
            host.expect(f"own/{self.digest}/{_PAGE_CSS}", self.integrity(_PAGE_CSS))

    @property
    def base_url(self) -> str:
        """Where pages shall take files from; empty for here."""
        return self._host.address if self._host is not None and self._host.usable else ""

    @property
    def fetched_from_here(self) -> bool:
        """Whether another host hands these files on."""
        return self._host is not None

    def integrity(self, name: str) -> str:
        """Of one of our files, for a page that takes it from elsewhere."""
        return "sha384-" + b64encode(hashlib.sha384(self._own[name]).digest()).decode()

    def imports(self, name: str) -> tuple[str, ...]:
        """The modules of ours that one of them imports, and those that these import, each once."""
        found: dict[str, None] = {}
        waiting = [name]
        while waiting:
            text = self._own[waiting.pop()].decode()
            new = [f"js/{one}" for one in _IMPORT.findall(text) if f"js/{one}" not in found]
            found |= dict.fromkeys(new)
            waiting += new
        return tuple(found)

    def _joined(self, parts: tuple[str, ...]) -> bytes:
        """Without what has not been downloaded."""
        return b"\n".join(body for name in parts if (body := self._part(name)))

    def _part(self, name: str) -> bytes:
        file = self.vendor.get(name)
        return (self._vendor_folder / file.file).read_bytes() if file else self._own.get(name, b"")

    @property
    def own_names(self) -> tuple[str, ...]:
        return tuple(self._own)

    def own(self, name: str, encoding: str) -> bytes:
        """One of our files in that encoding; KeyError where there is none."""
        body = self._own[name]
        return body if encoding == IDENTITY else compress_for_good(body, encoding)

    def warm(self) -> None:
        """Compresses our files as most browsers ask for them: half a second, which nobody has to wait for then."""
        for name in self._own:
            if Path(name).suffix in _COMPRESSIBLE:
                self.own(name, "br")

    def vendored(self, name: str, encoding: str) -> bytes:
        """A vendor file in that encoding, from the disk the first time; KeyError where there is none."""
        if name not in self._vendor_names:
            raise KeyError(name)
        key = (f"vendor/{name}", encoding)
        if key not in self._bodies:
            self._bodies[key] = (self._vendor_folder / (name + _SUFFIXES.get(encoding, ""))).read_bytes()
        return self._bodies[key]


def static_url(name: str) -> str:
    """The address of one of our own files, e.g. `static_url('css/styles.css')`."""
    assets = _assets()
    if name not in assets.own_names:
        raise NotFound(f"there is no static file {name!r}")
    return _url(url_for("assets.own", digest=assets.digest, name=name))


def vendor(name: str) -> dict[str, str] | None:
    """`{url, integrity}` of a downloaded file; None where download_assets.py has not fetched it."""
    file = _assets().vendor.get(name)
    if file is None:
        return None
    return {"url": _url(url_for("assets.vendored", name=file.file)), "integrity": file.integrity}


def sri(name: str) -> Markup:
    """The attributes of a tag that takes one of our files from elsewhere: only these very bytes, without a cookie."""
    assets = _assets()
    if not assets.base_url:
        return Markup()
    return Markup(' integrity="{}" crossorigin="anonymous"').format(assets.integrity(name))


def cross_origin() -> Markup:
    """What a vendor file's tag needs beside its integrity, where it lies elsewhere."""
    return Markup(' crossorigin="anonymous"') if _assets().base_url else Markup()


def preloaded(name: str) -> Markup:
    """Tags that fetch a module early. From elsewhere, those that it imports too: there only so their bytes are held to
    what they should be."""
    assets = _assets()
    names = (name, *assets.imports(name)) if assets.base_url else (name,)
    link = Markup('<link rel="modulepreload" href="{}"{}>')
    return Markup("\n").join(link.format(static_url(one), sri(one)) for one in names)


def module(name: str) -> Markup:
    """The tag of one of our modules."""
    imported = _assets().imports(name) if _assets().base_url else ()
    early = [Markup('<link rel="modulepreload" href="{}"{}>').format(static_url(one), sri(one)) for one in imported]
    tag = Markup('<script type="module" src="{}"{}></script>').format(static_url(name), sri(name))
    return Markup("\n").join([*early, tag])


@bp.get("/own/<digest>/<path:name>")
@budget(p95_ms=10, size_bytes=30_000)
def own(digest: str, name: str) -> Response:
    """An address of another build is answered with today's file, not to be kept."""
    assets = _assets()
    encoding = _encoding(name)
    try:
        body = assets.own(name, encoding)
    except KeyError:
        raise NotFound(f"there is no static file {name!r}") from None
    return _answer(name, body, encoding, assets.digest, forever=digest == assets.digest)


@bp.get("/vendor/<name>")
@budget(p95_ms=10, size_bytes=80_000)
def vendored(name: str) -> Response:
    encoding = _encoding(name)
    try:
        body = _assets().vendored(name, encoding)
    except (KeyError, FileNotFoundError):
        raise NotFound(f"there is no vendor file {name!r}; download_assets.py fetches them") from None
    return _answer(name, body, encoding, name, forever=True)


def install(app: Flask, *, host: AssetHost | None = None) -> None:
    """Reads the static folder into the application and gives templates what they need to name its files."""
    app.extensions[EXTENSION] = Assets(Path(app.root_path) / "static", host)
    named = (static_url, vendor, sri, cross_origin, preloaded, module)
    app.jinja_env.globals |= {function.__name__: function for function in named}
    app.register_blueprint(bp)


def export(folder: Path, target: Path) -> list[Path]:
    """Writes every file as `ASSET_BASE_URL` has to serve it, with compressed copies beside it; what was written."""
    assets = Assets(folder)
    bodies = {f"own/{assets.digest}/{name}": assets.own(name, IDENTITY) for name in assets.own_names}
    bodies |= {f"vendor/{file.file}": assets.vendored(file.file, IDENTITY) for file in assets.vendor.values()}
    written = []
    for name, body in bodies.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        written.append(path)
        for encoding, suffix in _SUFFIXES.items() if path.suffix in _COMPRESSIBLE else ():
            path.with_name(path.name + suffix).write_bytes(compress_for_good(body, encoding))
    return written


def _url(path: str) -> str:
    """The same below the base, where there is one."""
    base = _assets().base_url
    return base + path.removeprefix(bp.url_prefix or "") if base else path


def _assets() -> Assets:
    return cast(Assets, current_app.extensions[EXTENSION])


def _encoding(name: str) -> str:
    if Path(name).suffix not in _COMPRESSIBLE:
        return IDENTITY
    encoding = choose_encoding(request.headers.get("Accept-Encoding", ""))
    if encoding == "zstd":  # files are kept as brotli and gzip
        encoding = choose_encoding("br, gzip" if "br" in request.headers["Accept-Encoding"] else "gzip")
    return encoding


def _answer(name: str, body: bytes, encoding: str, tag: str, *, forever: bool) -> Response:
    response = Response(body, content_type=_TYPES.get(Path(name).suffix, "application/octet-stream"))
    response.headers["Cache-Control"] = _FOREVER if forever else "no-cache"
    response.headers["Vary"] = "Accept-Encoding"
    if _assets().fetched_from_here:  # a CDN before this dashboard hands it on; these files are nobody's secret
        response.headers["Access-Control-Allow-Origin"] = "*"
    response.set_etag(f"{xxhash.xxh3_64_hexdigest(f'{tag}{name}'.encode())}-{encoding}")
    if encoding != IDENTITY:
        response.headers["Content-Encoding"] = encoding
    response.make_conditional(request)
    return response


def _own_files(folder: Path) -> Iterator[Path]:
    for name in _FOLDERS:
        yield from sorted(path for path in (folder / name).rglob("*") if path.suffix in _TYPES)


def _digest(files: dict[str, bytes]) -> str:
    state = xxhash.xxh3_64()
    for name, body in files.items():
        state.update(f"{name}|{len(body)}|".encode() + body)
    return state.hexdigest()[:12]


def _read_manifest(folder: Path) -> dict[str, VendorFile]:
    try:
        entries: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    except FileNotFoundError:
        return {}
    files = {name: VendorFile(entry["file"], entry["integrity"]) for name, entry in entries.items()}
    return {name: file for name, file in files.items() if (folder / file.file).is_file()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m routes.assets", description="Export the files for ASSET_BASE_URL.")
    parser.add_argument("target", type=Path, help="folder to fill; its address is what ASSET_BASE_URL names")
    written = export(Path(__file__).resolve().parents[1] / "static", parser.parse_args().target)
    sys.stdout.write(f"{len(written)} files and their compressed copies written\n")


if __name__ == "__main__":
    main()
