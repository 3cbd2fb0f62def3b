"""Quantization: nearly the same answers, kept by the rule alone, and never serving by being newer."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from data.interval import Interval
from models import quantize
from models.quantize import Measured, Verdict, int8
from models.registry import Registry
from models.split import parse_date
from tests.support import tiny_model
from tests.support.kline_folder import write
from utils.errors import InvalidInput
from utils.model_utils import session_of

ORIGINAL = Measured(1000, 1.0, 0.02)


@pytest.mark.parametrize(
    ("quantized", "kept"),
    [
        (Measured(300, 2.0, 0.0195), True),
        (Measured(1200, 0.8, 0.0195), True),
        (Measured(1200, 1.2, 0.03), False),
        (Measured(300, 0.8, 0.0185), False),
    ],
)
def test_it_is_kept_where_it_pays_and_costs_nothing(quantized: Measured, kept: bool) -> None:
    assert Verdict(ORIGINAL, quantized).kept is kept


def test_it_answers_nearly_the_same() -> None:
    spec = tiny_model.spec()
    content = tiny_model.graph(spec)
    windows = np.random.default_rng(1).normal(size=(50, spec.window, 3)).astype(np.float32)
    ours, theirs = (session_of(one, "tiny").run(windows) for one in (content, int8(content)))
    assert ours.shape == theirs.shape
    assert 0 < np.abs(ours - theirs).max() < 0.05 * np.ptp(ours)


def test_the_librarys_advice_stays_out_of_the_log_and_nothing_else_does(caplog: pytest.LogCaptureFixture) -> None:
    content = tiny_model.graph(tiny_model.spec())
    with caplog.at_level(logging.INFO):
        int8(content)
    told = [record.getMessage() for record in caplog.records]
    assert told, "its other notes are there"
    assert not [one for one in told if "pre-processing" in one]
    logging.getLogger().warning("Please consider to run pre-processing")
    assert "pre-processing" in caplog.text, "only while it quantizes"


def test_the_command_writes_another_model_or_says_why_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "models"
    tiny_model.save(root)
    write(tmp_path, tiny_model.candles(1500, symbol="AAAUSDT", seed=1))
    asked = ["--model", "tiny", "--models", str(root), "--data", str(tmp_path)]
    span = ["--from", "2024-01-20", "--until", "2024-02-20"]
    monkeypatch.setattr(quantize, "MOST_LOST", -1.0)
    assert quantize.main([*asked, *span]) == 0
    assert capsys.readouterr().out.startswith("not kept: int8 against single precision: ")
    assert [entry.id for entry in Registry(root).usable()] == ["tiny"]
    monkeypatch.setattr(quantize, "MOST_LOST", 1.0)
    monkeypatch.setattr(Verdict, "kept", True)
    assert quantize.main([*asked, *span]) == 0
    twin = Registry(root).get("tiny-int8")
    serving = Registry(root).default(Interval.H1)
    assert serving is not None
    assert serving.id == "tiny"
    assert twin.report is not None
    assert twin.report["quantized"]["of"] == "tiny"
    assert twin.report["quantized"]["told"] in capsys.readouterr().out
    assert quantize.main(["--model", "tiny-int8", *asked[2:], *span]) == 2
    assert "is an int8 twin already" in capsys.readouterr().err
    tiny_model.save(root, tiny_model.spec("plain"))
    tiny_model.save(root, tiny_model.spec("plain-int8"))
    assert quantize.main(["--model", "plain", *asked[2:], *span]) == 2
    assert "another model is named 'plain-int8'" in capsys.readouterr().err
    assert quantize.main([*asked, "--from", "2023-01-01", "--until", "2024-02-20"]) == 2
    assert "was trained until after" in capsys.readouterr().err


def test_candles_that_it_has_seen_are_no_judge_and_that_is_told(tmp_path: Path) -> None:
    tiny_model.save(tmp_path)
    entry = Registry(tmp_path).get("tiny")
    assert entry.spec is not None
    seen_ms, end_ms = parse_date("2025-07-01"), parse_date("2025-06-10")
    with pytest.raises(InvalidInput, match="has seen candles until 2025-07-01, and those here end on 2025-06-09: its"):
        quantize.quantize(entry, entry.spec, [tiny_model.candles(1500)], seen_ms, end_ms)
    assert [one.id for one in Registry(tmp_path).usable()] == ["tiny"]
