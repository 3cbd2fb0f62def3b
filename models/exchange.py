"""`python -m models.exchange`: a model as one zip file, out of the registry and, after every check, into another one.

A zip holds the files of one model's folder and nothing else. What comes in is data that ONNX Runtime will read, never
code: names, kinds, sizes, hashes, spec and graph are checked before anything is put among the models.
"""

from __future__ import annotations

import argparse
import io
import stat
import sys
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from models.commands import add_folder, folder_of
from models.input_source import check_inputs
from models.model_writing import written_aside
from models.promotion import Promotion
from models.registry import Registry
from models.registry_entry import FILES, GRAPH, MANIFEST, RegistryEntry, Status, read_entry
from models.spec import ModelSpec
from models.training_request import check_name
from utils.clock import SystemClock
from utils.errors import DashboardError, FileError, InvalidInput
from utils.model_utils import session_of

MAX_ZIP_BYTES = 32 * 1024 * 1024
LIMITS = {name: 64 * 1024 * 1024 if name == GRAPH else 2 * 1024 * 1024 for name in (*FILES, MANIFEST)}
"""The files of a model, and what each may hold once unpacked."""
_MOST_ENTRIES = 64
_ENTRY_MARK = b"PK\x01\x02"
_EXTERNAL = b"location"
"""The key under which a graph names a file outside itself; no graph of ours holds the word."""
_DATE = (1980, 1, 1, 0, 0, 0)


def pack(entry: RegistryEntry) -> bytes:
    """The zip of a usable model; the same model, the same bytes. InvalidInput for a broken one."""
    fresh = read_entry(entry.path)
    if fresh.status is not Status.OK:
        raise InvalidInput(f"model {entry.id!r} is not exported: {fresh.reason}")
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as made:
        for name in LIMITS:
            info = zipfile.ZipInfo(name, _DATE)
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, (stat.S_IFREG | 0o644) << 16
            made.writestr(info, (entry.path / name).read_bytes())
    return target.getvalue()


def unpack(content: bytes) -> dict[str, bytes]:
    """The files of one model's zip by name; InvalidInput says what is wrong with any other file."""
    if len(content) > MAX_ZIP_BYTES:
        raise InvalidInput(f"the file has {len(content):,} bytes; a model's zip has at most {MAX_ZIP_BYTES:,}")
    if content.count(_ENTRY_MARK) > _MOST_ENTRIES:
        raise InvalidInput(f"the zip lists far more than the {len(LIMITS)} files of a model")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _check_names([info.filename for info in archive.infolist()])
            return {info.filename: _read(archive, info) for info in archive.infolist()}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        raise InvalidInput(f"the file is no whole zip: {error}; export the model again") from error


def bring_in(content: bytes, promotion: Promotion) -> RegistryEntry:
    """Puts the model of a zip among the others, whole or not at all; what serves goes on serving.

    InvalidInput or ModelCorrupt says what does not fit; nothing is left behind then.
    """
    files = unpack(content)
    if _EXTERNAL in files[GRAPH]:
        raise InvalidInput(f"{GRAPH} names data outside itself, which is never read; export it with its weights inside")
    spec = ModelSpec.from_json(files["spec.json"])
    if promotion.taken(check_name(spec.id)):
        raise InvalidInput(_already_here(promotion, spec.id, files))
    target = promotion.root / spec.id
    try:
        with written_aside(promotion.root, spec.id, files) as aside:
            _check_whole(read_entry(aside), files)
            promotion.pin(spec.interval)
            aside.rename(target)
    except OSError as error:
        raise FileError(f"the model could not be put in place ({error.strerror}); look at the folder") from error
    return read_entry(target)


def _already_here(promotion: Promotion, name: str, files: Mapping[str, bytes]) -> str:
    """Whether it is the very model of the zip that has its name, or another one."""
    places = [(promotion.root / name, "")] if (promotion.root / name).is_dir() else []
    places += [(entry.path, ", archived") for entry in promotion.archived() if entry.path.name == name]
    for path, where in places:
        digest = read_entry(path).digest[:12]
        if all(_content(path / one) == content for one, content in files.items()):
            return f"this very model is already here as {name!r}{where} (digest {digest}): nothing was changed"
        told = f"digest {digest}" if digest else "damaged"
        return (
            f"another model is already here as {name!r}{where} ({told}): the zip was not imported, nothing was changed"
        )
    return f"an ensemble {name!r} is already here: the zip was not imported, nothing was changed"


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _check_names(names: Sequence[str]) -> None:
    if sorted(names) != sorted(LIMITS):
        shown = ", ".join(repr(name[:40]) for name in names[:6]) or "nothing"
        raise InvalidInput(f"a model's zip holds exactly {', '.join(LIMITS)}; this one holds {shown}")


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """What the entry says of itself is not believed: reading stops one byte past the limit."""
    kind, limit = stat.S_IFMT(info.external_attr >> 16), LIMITS[info.filename]
    if kind not in (0, stat.S_IFREG):
        raise InvalidInput(f"{info.filename} in the zip is a link or no plain file")
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InvalidInput(f"{info.filename} in the zip is encrypted or packed in a way that is not read here")
    with archive.open(info) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise InvalidInput(f"{info.filename} unpacks to more than {limit:,} bytes; it was not read to its end")
    return content


def _check_whole(entry: RegistryEntry, files: Mapping[str, bytes]) -> None:
    """As for any model: hashes against the manifest; and beyond it, that this version can feed and read the graph."""
    if entry.status is not Status.OK or entry.spec is None:
        raise InvalidInput(f"the model is damaged: {entry.reason}")
    spec = entry.spec
    check_inputs(spec)
    session = session_of(files[GRAPH], GRAPH)
    wanted = ((spec.window, len(spec.features)), (len(spec.horizons), len(spec.quantiles)))
    found = tuple(session.input_shape[1:]), tuple(session.output_shape[1:])
    if found != wanted:
        raise InvalidInput(
            f"the graph takes {found[0]} and gives {found[1]}; its spec says {wanted[0]} and {wanted[1]}"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        sys.stdout.write(_export(options) if options.action == "export" else _import(options))
    except DashboardError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


def _export(options: argparse.Namespace) -> str:
    entry = Registry(folder_of(options)).get(options.model)
    target: Path = options.out or Path(f"{entry.id}.zip")
    content = pack(entry)
    try:
        with target.open("xb") as file:
            file.write(content)
    except OSError as error:
        raise InvalidInput(f"{target} cannot be written: {error.strerror}; name another with --out") from error
    return f"{target}: {len(content):,} bytes, digest {entry.digest}\n"


def _import(options: argparse.Namespace) -> str:
    path: Path = options.file
    try:
        if path.stat().st_size > MAX_ZIP_BYTES:
            raise InvalidInput(f"{path} is larger than {MAX_ZIP_BYTES:,} bytes; that is no model's zip")
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from error
    entry = bring_in(content, Promotion(registry=Registry(folder_of(options)), clock=SystemClock()))
    return f"{entry.path}: digest {entry.digest}; it serves once it is promoted\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.exchange", description=__doc__)
    add_folder(parser)
    actions = parser.add_subparsers(dest="action", required=True)
    out = actions.add_parser("export", help="write a model as a zip")
    out.add_argument("model", metavar="ID")
    out.add_argument("--out", type=Path, metavar="FILE", help="default: ID.zip here; an existing file is left alone")
    into = actions.add_parser("import", help="put a zip's model among the others")
    into.add_argument("file", type=Path, metavar="FILE")
    return parser


if __name__ == "__main__":
    sys.exit(main())
