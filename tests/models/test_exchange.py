"""A model as a zip: the same bytes come back, and every zip that is not exactly one whole model is refused."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from onnx import TensorProto, load_from_string

from data.interval import Interval
from models import exchange
from models.exchange import LIMITS, bring_in, main, pack, unpack
from models.promotion import Promotion
from models.registry import Registry
from tests.support import tiny_model
from utils.clock import SystemClock
from utils.errors import DashboardError, InvalidInput

Files = dict[str, bytes]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    root = tmp_path_factory.mktemp("source")
    tiny_model.save(root, tiny_model.spec("travelled"))
    return pack(Registry(root).get("travelled"))


@pytest.fixture
def promotion(tmp_path: Path) -> Promotion:
    tiny_model.save(tmp_path / "models", tiny_model.spec("here", created_ms=1))
    return Promotion(registry=Registry(tmp_path / "models"), clock=SystemClock())


def zipped(files: Files | list[tuple[str, bytes]]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items() if isinstance(files, dict) else files:
            made.writestr(name, content)
    return target.getvalue()


def signed(files: Files) -> Files:
    """With a manifest that fits, as somebody with bad intent would send it."""
    hashes = {name: sha256(files[name]).hexdigest() for name in ("model.onnx", "report.json", "spec.json")}
    return files | {"manifest.json": json.dumps({"files": hashes, "schema": 1}).encode()}


def test_a_model_travels_whole_and_does_not_serve_by_being_newer(packed: bytes, promotion: Promotion) -> None:
    entry = bring_in(packed, promotion)
    registry = Registry(promotion.root)
    assert registry.get("travelled").digest == entry.digest
    assert pack(entry) == packed
    serving = registry.default(Interval.H1)
    assert serving is not None
    assert serving.id == "here"
    with pytest.raises(InvalidInput, match=r"this very model is already here as 'travelled' \(digest .*nothing was"):
        bring_in(packed, promotion)
    other = zipped(signed(unpack(packed) | {"report.json": b"{}"}))
    with pytest.raises(InvalidInput, match=r"another model is already here as 'travelled'.*was not imported"):
        bring_in(other, promotion)
    assert sorted(path.name for path in promotion.root.iterdir()) == [".in-use.json", "here", "travelled"]
    assert pack(registry.get("travelled")) == packed
    promotion.archive("travelled")
    with pytest.raises(InvalidInput, match="this very model is already here as 'travelled', archived"):
        bring_in(packed, promotion)


def _other_name(name: str) -> Callable[[Files], bytes]:
    return lambda files: zipped([(name if one == "report.json" else one, content) for one, content in files.items()])


def _link(files: Files) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as made:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            if name == "model.onnx":
                info.external_attr, content = (stat.S_IFLNK | 0o777) << 16, b"/etc/passwd"
            made.writestr(info, content)
    return target.getvalue()


def _outside(files: Files) -> bytes:
    proto = load_from_string(files["model.onnx"])
    weights = proto.graph.initializer[1]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "../../secret"), ("offset", "0")):
        entry = weights.external_data.add()
        entry.key, entry.value = key, value
    return zipped(signed(files | {"model.onnx": proto.SerializeToString()}))


def _renamed(files: Files, name: str) -> bytes:
    spec = json.loads(files["spec.json"]) | {"id": name}
    return zipped(signed(files | {"spec.json": json.dumps(spec).encode()}))


def _window(files: Files) -> bytes:
    spec = json.loads(files["spec.json"]) | {"window": 9}
    return zipped(signed(files | {"spec.json": json.dumps(spec).encode()}))


def _lying_size(files: Files) -> bytes:
    """Says in both headers that the report has ten bytes."""
    whole = bytearray(zipped(files | {"report.json": b"0" * (LIMITS["report.json"] + 10)}))
    size = (LIMITS["report.json"] + 10).to_bytes(4, "little")
    return bytes(whole.replace(size, (10).to_bytes(4, "little")))


REFUSED: dict[str, tuple[Callable[[Files], bytes], str]] = {
    "no zip": (lambda _: b"not a zip at all", "no whole zip"),
    "empty": (lambda _: b"", "no whole zip"),
    "cut": (lambda files: zipped(files)[:-40], "no whole zip"),
    "a byte changed": (lambda files: (z := zipped(files))[:99] + bytes([z[99] ^ 1]) + z[100:], "no whole zip"),
    "path upwards": (_other_name("../report.json"), "holds exactly model.onnx"),
    "absolute path": (_other_name("/var/report.json"), "holds exactly"),
    "backslash": (_other_name("..\\report.json"), "holds exactly"),
    "folder": (_other_name("travelled/report.json"), "holds exactly"),
    "pickle": (lambda files: zipped(files | {"model.pkl": b"x"}), "holds exactly"),
    "one lacking": (lambda files: zipped({name: files[name] for name in list(files)[:3]}), "holds exactly"),
    "one twice": (lambda files: zipped([*files.items(), ("spec.json", files["spec.json"])]), "holds exactly"),
    "very many": (lambda files: zipped([(f"{n}", b"") for n in range(500)]), "far more than the 4 files"),
    "a link": (_link, "model.onnx in the zip is a link"),
    "bomb": (lambda files: zipped(files | {"report.json": b" " * 9_000_000}), "unpacks to more than 2,097,152"),
    "bomb that lies": (_lying_size, "no whole zip|unpacks to more"),
    "wrong hash": (lambda files: zipped(files | {"report.json": b"{}\n"}), "damaged: report.json has SHA-256"),
    "data outside the graph": (_outside, "names data outside itself"),
    "pickle as a graph": (lambda f: zipped(signed(f | {"model.onnx": b"\x80\x04K\x01."})), "not a usable graph"),
    "id that is a path": (lambda files: _renamed(files, "../up"), "id"),
    "id of a page": (lambda files: _renamed(files, "train"), "is the address of a page"),
    "another shape": (_window, r"the graph takes \(8, 3\)"),
    "unknown features": (
        lambda f: zipped(signed(f | {"spec.json": f["spec.json"].replace(b"return_1", b"return_0")})),
        "which this version does not compute",
    ),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")  # zipfile's own word for what this test makes
@pytest.mark.parametrize("case", list(REFUSED))
def test_what_is_not_one_whole_model_is_refused_and_leaves_nothing(
    case: str, packed: bytes, promotion: Promotion
) -> None:
    make, why = REFUSED[case]
    with pytest.raises(DashboardError, match=why):
        bring_in(make(unpack(packed)), promotion)
    assert [path.name for path in promotion.root.iterdir() if path.name != ".in-use.json"] == ["here"]
    assert [path.name for path in promotion.root.parent.iterdir()] == ["models"]


def test_what_is_too_long_is_not_even_opened(promotion: Promotion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "MAX_ZIP_BYTES", 100)
    with pytest.raises(InvalidInput, match="has 101 bytes; a model's zip has at most 100"):
        bring_in(b"P" * 101, promotion)


def test_a_broken_model_is_not_exported(promotion: Promotion) -> None:
    entry = Registry(promotion.root).get("here")
    (promotion.root / "here" / "report.json").write_text("{}")
    with pytest.raises(InvalidInput, match=r"'here' is not exported: report.json has SHA-256"):
        pack(entry)


def test_from_the_command_line(tmp_path: Path, packed: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    file, root = tmp_path / "made.zip", ["--models", str(tmp_path / "models")]
    file.write_bytes(packed)
    assert main([*root, "import", str(file)]) == 0
    assert "it serves once it is promoted" in capsys.readouterr().out
    out = tmp_path / "again.zip"
    assert main([*root, "export", "travelled", "--out", str(out)]) == 0
    assert out.read_bytes() == packed
    assert main([*root, "export", "travelled", "--out", str(out)]) == 2
    assert "cannot be written: File exists" in capsys.readouterr().err
    assert main([*root, "import", str(tmp_path / "none.zip")]) == 2
    assert main([*root, "export", "nobody"]) == 2
