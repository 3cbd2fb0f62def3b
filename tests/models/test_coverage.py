"""The coverage command: bands that are too narrow are given, told of, and mended on unseen markets and months."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models import calibrate, coverage
from models.coverage import Slice, coverage_from, learned_factors
from models.following import beginning
from models.registry import Registry
from tests.support import tiny_model
from tests.support.kline_folder import write
from utils.errors import InvalidInput

HOUR = 3_600_000
START = tiny_model.START_MS


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose bands are two thirds of what a normal walk needs."""
    root = tmp_path_factory.mktemp("narrow")
    shape = np.outer(np.sqrt(tiny_model.spec().horizons), [-1.1, -0.45, 0.0, 0.45, 1.1])
    made = replace(tiny_model.spec("narrow"), baseline=tuple(map(tuple, shape.tolist())))
    tiny_model.save(root, made)
    return root


def test_narrow_bands_are_mended_where_nothing_was_calibrated(narrow: Path) -> None:
    entry = Registry(narrow).get("narrow")
    assert entry.spec is not None
    seen = [tiny_model.candles(4000, symbol="AAAUSDT", seed=1), tiny_model.candles(4000, symbol="BBBUSDT", seed=2)]
    unseen = [tiny_model.candles(8000, symbol="CCCUSDT", seed=3), tiny_model.candles(8000, symbol="DDDUSDT", seed=4)]
    middle = START + 4000 * HOUR
    session, judged = entry.open(), Slice(unseen, middle, START + 8000 * HOUR)
    found = learned_factors(entry.spec, session, Slice(seen, START, middle - 100 * HOUR), judged)
    told = coverage_from(entry.spec, session, found, judged)
    at_one = {one.way: one for one in told if one.horizon == 1}
    assert at_one["as given"].outer < 0.8
    assert found.factors[0] == pytest.approx([1.5, 1.5], rel=0.1)
    for way in ("calibrated", "followed"):
        one = at_one[way]
        assert 0.88 < one.outer < 0.92
        assert 0.47 < one.inner < 0.53
        assert one.outer_bounds is not None
        assert one.outer_bounds.low < one.outer < one.outer_bounds.high
        assert one.skill_fraction is not None
        assert one.skill_fraction > (at_one["as given"].skill_fraction or 0.0)
    assert at_one["as given"].count == 2 * 3999
    assert len(told) == 3 * 24
    with pytest.raises(InvalidInput, match="leave a gap"):
        learned_factors(entry.spec, session, Slice(seen, START, middle), Slice(unseen, middle, middle + 1))


def test_the_command(narrow: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, tiny_model.candles(4000, symbol="AAAUSDT", seed=1))
    arguments = [
        "--model", "narrow", "--models", str(narrow), "--data", str(tmp_path), "--calibrate-from", "2024-01-20",
        "--calibrate-until", "2024-03-31", "--from", "2024-04-05", "--until", "2024-06-01",
    ]  # fmt: skip
    assert coverage.main([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {one["way"] for one in report["coverage"]} == {"as given", "calibrated", "followed"}
    assert coverage.main(arguments) == 0
    assert "followed" in capsys.readouterr().out
    served = arguments[:6] + arguments[-4:]
    assert coverage.main([*served, "--json"]) == 0
    begun = json.loads(capsys.readouterr().out)
    assert begun["calibrated_on"] == []
    assert set(np.ravel(begun["calibration"]["factors"])) == {1.0}, "its report has no factors: its own bands"
    by_way = {one["way"]: one for one in begun["coverage"] if one["horizon"] == 1}
    assert by_way["as given"]["outer"] == by_way["calibrated"]["outer"] < by_way["followed"]["outer"]
    assert coverage.main(served) == 0
    assert "calibrated as in serving" in capsys.readouterr().out
    assert coverage.main([*served, "--calibrate-from", "2024-01-20"]) == 2
    assert "or neither" in capsys.readouterr().err
    assert coverage.main([*arguments, "--model", "none"]) == 2
    assert "known: narrow" in capsys.readouterr().err


def test_a_model_is_given_its_factors_and_stays_the_same_model(
    narrow: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Registry(narrow).get("narrow")
    write(tmp_path, tiny_model.candles(3000, symbol="AAAUSDT", seed=1))
    asked = ["--model", "narrow", "--models", str(narrow), "--data", str(tmp_path)]
    assert calibrate.main([*asked, "--from", "2024-01-20", "--until", "2024-04-30"]) == 0
    after = Registry(narrow).get("narrow")
    assert after.digest == before.digest
    found = beginning(after.report, *(getattr(after.spec, name) for name in ("horizons", "quantiles")))
    assert found is not None
    assert found.factors[0] == pytest.approx([1.5, 1.5], rel=0.1)
    assert f"{found.count} outcomes" in capsys.readouterr().out
    assert calibrate.main([*asked, "--from", "2023-06-01", "--until", "2024-04-30"]) == 2
    assert "was trained until after 2023-06-01" in capsys.readouterr().err
    assert calibrate.main([*asked, "--from", "2030-06-01", "--until", "2030-07-30"]) == 2
    assert "too few forecasts" in capsys.readouterr().err
