"""Sessions: nothing but the very bytes of the manifest is built, and a batch answers what its rows answer alone."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from tests.support import tiny_model
from utils.errors import ModelCorrupt, SchemaMismatch
from utils.model_utils import Session, Windows, open_session, predict_batches


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "tiny" / "model.onnx"
    path.parent.mkdir()
    path.write_bytes(tiny_model.graph(tiny_model.spec()))
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def session(graph: Path) -> Session:
    return open_session(graph, sha256(graph))


def windows(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(5).normal(size=(count, 8, 3)).astype(np.float32)


@pytest.mark.parametrize("batch_size", [1, 7, 32, 1000])
@pytest.mark.parametrize("workers", [1, 3])
def test_batches_answer_as_single_windows_do(session: Session, batch_size: int, workers: int) -> None:
    given = windows(50)
    alone = np.concatenate([session.run(given[row : row + 1]) for row in range(50)])
    np.testing.assert_allclose(predict_batches(session, given, batch_size, workers), alone, atol=1e-6)


def test_one_call_per_chunk(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    run = Session.run

    def counted(self: Session, part: Windows) -> Windows:
        sizes.append(len(part))
        return run(self, part)

    monkeypatch.setattr(Session, "run", counted)
    predict_batches(session, windows(70), 32)
    assert sizes == [32, 32, 6]


def test_no_window_is_no_forecast(session: Session) -> None:
    assert predict_batches(session, windows(0), 32).shape == (0, 24, 5)


def test_windows_of_another_shape_are_refused(session: Session) -> None:
    with pytest.raises(SchemaMismatch, match=re.escape("windows of shape (2, 8, 4)")):
        predict_batches(session, np.zeros((2, 8, 4), dtype=np.float32), 32)


def test_every_flipped_byte_is_noticed(graph: Path) -> None:
    good, expected = graph.read_bytes(), sha256(graph)
    for place in range(0, len(good), 97):
        graph.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(ModelCorrupt, match=r"model.onnx of model 'tiny' has SHA-256 .* restore the file"):
            open_session(graph, expected)


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_graph_is_refused_even_with_a_matching_hash(graph: Path, part: float) -> None:
    good = graph.read_bytes()
    graph.write_bytes(good[: int(len(good) * part)])
    with pytest.raises(ModelCorrupt, match=r"model\.onnx of model 'tiny'"):
        open_session(graph, sha256(graph))


def test_a_missing_graph_is_named(graph: Path) -> None:
    graph.unlink()
    with pytest.raises(ModelCorrupt, match="cannot be read: No such file"):
        open_session(graph, "0" * 64)
