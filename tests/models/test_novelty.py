"""Novelty: constants read as onnx reads them, damaged graphs refused, and a strange input named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from models.forecast import Novelty
from models.graph_constants import float_constants
from models.model_writing import write_model
from models.novelty import FAR, Known, known_by, novelties
from models.registry import Registry
from routes.forecast_score import novelty_sentence
from tests.support import tiny_model
from utils.errors import ModelCorrupt


def scaled_graph(mean: list[float], inverse: list[float]) -> bytes:
    """The tiny graph with the two constants; one laid down as raw bytes, one as a list of floats."""
    proto = onnx.load_from_string(tiny_model.graph(tiny_model.spec()))
    proto.graph.initializer.append(numpy_helper.from_array(np.array(mean, np.float32), "mean"))
    proto.graph.initializer.append(helper.make_tensor("inverse_std", TensorProto.FLOAT, [len(inverse)], inverse))
    content: bytes = proto.SerializeToString()
    return content


def test_constants_are_those_that_onnx_reads() -> None:
    content = scaled_graph([1.0, 2.0, -3.5], [0.5, 1.0, 2.0])
    found = float_constants(content, ("mean", "inverse_std", "weights", "absent"))
    theirs = {one.name: numpy_helper.to_array(one).ravel() for one in onnx.load_from_string(content).graph.initializer}
    assert found.keys() == {"mean", "inverse_std", "weights"}
    for name, values in found.items():
        np.testing.assert_array_equal(values, theirs[name])


@pytest.mark.parametrize("cut", [1, 7, 100, 400])
def test_a_damaged_graph_is_refused(cut: int) -> None:
    with pytest.raises(ModelCorrupt, match="cannot be read"):
        float_constants(scaled_graph([1.0], [1.0])[:-cut], ("mean",))


def test_what_a_model_knows_is_in_its_graph(tmp_path: Path) -> None:
    spec = tiny_model.spec()
    write_model(tmp_path, spec, scaled_graph([1.0, 2.0, -3.5], [0.5, 1.0, 2.0]), {})
    tiny_model.save(tmp_path, tiny_model.spec("plain"))
    write_model(tmp_path, tiny_model.spec("short"), scaled_graph([1.0], [1.0]), {})
    entries = {entry.id: known_by(entry) for entry in Registry(tmp_path).usable()}
    assert entries["plain"] is None
    assert entries["short"] is None
    known = entries["tiny"]
    assert known is not None
    np.testing.assert_array_equal(known.mean, np.array([1.0, 2.0, -3.5], np.float32))


def test_the_strangest_input_is_named() -> None:
    known = Known(np.array([0.0, 10.0], np.float32), np.array([1.0, 0.5], np.float32))
    usual, strange = novelties(known, np.array([[1.0, 12.0], [2.0, -8.0]], np.float32), ("a", "b"))
    assert (usual.feature, usual.distance, usual.far) == ("a", 1.0, False)
    assert (strange.feature, strange.distance, strange.far) == ("b", -9.0, True)
    assert FAR == 8.0


def test_it_is_said_in_words() -> None:
    class Made:
        novelty: Novelty | None = Novelty("volume_z_168", 9.24, far=True)

    told = novelty_sentence(Made())  # type: ignore[arg-type]  # it reads this alone
    assert "volume_z_168 is 9.2 standard deviations above the mean" in told
    Made.novelty = Novelty("volume_z_168", 2.0, far=False)
    assert novelty_sentence(Made()) == ""  # type: ignore[arg-type]
    Made.novelty = None
    assert "is not known" in novelty_sentence(Made())  # type: ignore[arg-type]
