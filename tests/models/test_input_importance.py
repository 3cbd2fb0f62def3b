"""What a model rests on: the input that carries it is named, the others are not, and whether it may have seen them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models import input_importance
from models.model_writing import write_model
from models.registry import Registry
from tests.support import tiny_model
from tests.support.kline_folder import write
from utils.errors import InvalidInput

INPUTS = ("return_1", "range", "hour_sin")


def made(folder: Path, name: str, weights: dict[str, float], unseen_from: str) -> None:
    spec = tiny_model.spec(name, features=INPUTS)
    report = {"data": {"test": f"{unseen_from} … 2030-01-01"}}
    write_model(folder, spec, tiny_model.graph(spec, given=weights), report)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Klines whose next return follows the last one, and models that do and do not make use of it."""
    write(tmp_path, tiny_model.planted("AAAUSDT", 1, 3000))
    made(tmp_path, "follows", {"return_1": 0.2}, "2024-02-01")
    made(tmp_path, "still", {}, "2024-02-01")
    made(tmp_path, "young", {"return_1": 0.2}, "2024-05-03")
    return tmp_path


def asked(folder: Path, model: str, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    assert input_importance.main(["--model", model, "--models", str(folder), "--data", str(folder), *more]) == 0
    return capsys.readouterr().out


def test_what_carries_the_forecast_is_named_and_nothing_else(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(asked(folder, "follows", capsys, "--json"))
    first, *others = found["inputs"]
    assert first["feature"] == "return_1"
    assert first["skill_lost"] > 2 * first["spread"] > 0
    assert {(one["skill_lost"], one["spread"]) for one in others} == {(0.0, 0.0)}
    assert (found["sure"], found["seen"], found["rounds"]) == (1, False, 5)
    assert "1 of 3 inputs matter beyond the luck of the deal" in found["words"]
    table = asked(folder, "still", capsys)
    assert "0 of 3 inputs matter" in table
    assert "most: none" in table


def test_each_deal_that_is_over_is_told(folder: Path) -> None:
    entry, told = Registry(folder).get("follows"), list[tuple[int, int]]()
    assert entry.spec is not None
    input_importance.input_importance(
        entry, entry.spec, [tiny_model.planted("AAAUSDT", 1, 3000)], lambda over, of: told.append((over, of))
    )
    assert told == [(over, 15) for over in range(1, 16)]


def test_candles_that_it_may_have_seen_are_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "of candles it may have learned from; most: return_1" in asked(folder, "young", capsys)


def test_too_few_candles_are_refused_with_what_is_needed(folder: Path) -> None:
    entry = Registry(folder).get("follows")
    assert entry.spec is not None
    with pytest.raises(InvalidInput, match=r"only \d+ forecasts .* each takes 248 candles before it and 24 after it"):
        input_importance.input_importance(entry, entry.spec, [tiny_model.candles(400)])
    with pytest.raises(InvalidInput, match="no candles are there"):
        input_importance.input_importance(entry, entry.spec, [])
