"""The leak test: the real pipeline leaks nothing, every planted leak is caught and named, models are tried too."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from data.candles import Candles
from data.interval import Interval
from models import leak_shuffle, leaktest
from models.altered_candles import with_other_candle, with_other_future
from models.kline_files import markets as read
from models.leak_checks import check_future, check_scaler, check_scaler_numbers, check_split, check_targets
from models.leak_findings import Check
from models.leak_models import check_forecasts, check_gap
from models.leak_plants import Plant, plants
from models.leak_shuffle import check_shuffled
from models.leaktest import caught, leak_test
from models.pipeline import real_pipeline
from models.registry import Registry
from models.scaling import fit_scaler
from models.significance import Bounds
from models.spec import QUANTILES
from models.split import Period
from models.synthetic_candles import synthetic_candles
from tests.support import tiny_model
from tests.support.shared_data import klines_dir
from utils.errors import InvalidInput

Floats = NDArray[np.float64]
ROOT = Path(__file__).resolve().parents[2]
WINDOW = (16, 720)
REAL = real_pipeline()


@pytest.fixture(scope="module")
def markets() -> list[Candles]:
    return synthetic_candles(Interval.H1, 4000, 2)


@pytest.fixture(scope="module")
def holed() -> Candles:
    return tiny_model.without(tiny_model.candles(3000), 1480, 1520)


def test_the_real_pipeline_leaks_nothing(markets: list[Candles]) -> None:
    report = leak_test(markets)
    assert report.ok, report.words
    names = [check.name for check in report.checks]
    assert names[:5] == [
        "features see the past alone",
        "targets begin at t",
        "scaling knows the training window alone",
        "no outcome crosses a split",
        "shuffled outcomes teach nothing",
    ]
    assert sum(name.startswith("planted: ") for name in names) == 6
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["ok"] is True


@pytest.mark.parametrize("plant", plants(REAL), ids=lambda plant: plant.title)
def test_each_planted_leak_is_caught_and_named_with_file_and_line(plant: Plant, markets: list[Candles]) -> None:
    found = caught(plant, markets[:1], WINDOW)
    assert found.ok, found.words
    file, line = found.words.removeprefix("caught: ").split(",")[0].split(":")
    written = (ROOT / file).read_text().splitlines()[int(line) - 1]
    assert file == "models/leak_plants.py"
    assert written.startswith("def ")
    assert plant.names in found.words
    assert "fix: " in found.words


@pytest.mark.parametrize("plant", plants(REAL), ids=lambda plant: plant.title)
def test_the_sound_pipeline_does_not_pass_for_a_planted_leak(plant: Plant, markets: list[Candles]) -> None:
    """The proof that the checks prove anything: without the leak, nothing is caught."""
    assert not caught(replace(plant, pipeline=REAL), markets[:1], WINDOW).ok


def test_how_far_a_feature_looks_ahead_is_told(markets: list[Candles]) -> None:
    by_title = {plant.title: plant.pipeline for plant in plants(REAL)}
    (one,) = check_future(by_title["future close as a feature"], markets[:1], (0.5,)).findings
    assert "with the candle after t" in one.problem
    (window,) = check_future(by_title["centred rolling window"], markets[:1], (0.5,)).findings
    assert "t + 12" in window.problem
    assert "trailing" in window.fix
    (whole,) = check_future(by_title["feature standardised by the whole series"], markets[:1], (0.5,)).findings
    assert "whole series" in whole.problem


def test_a_leaking_sigma_is_found_too(markets: list[Candles]) -> None:
    leaking = replace(REAL, sigma=lambda candles: np.roll(REAL.sigma(candles), -3))
    (finding,) = check_future(leaking, markets[:1], (0.5,)).findings
    assert finding.feature == "sigma"
    assert "t + 3" in finding.problem


def test_targets_beside_a_hole_are_tried_where_they_exist(holed: Candles) -> None:
    assert check_targets(REAL, holed, (1, 6, 24)).ok
    late = replace(REAL, targets=lambda candles, horizons: np.roll(REAL.targets(candles, horizons), -1, axis=0))
    found = check_targets(late, tiny_model.candles(2000), (1, 6))
    assert [finding.feature for finding in found.findings] == ["target at horizon 1", "target at horizon 6"]
    assert "not the return that is forecast" in found.findings[0].problem


def test_a_row_target_that_ignores_holes_is_found(holed: Candles) -> None:
    """Counting rows instead of time joins candles across a hole into a target of the wrong length."""

    def by_rows(candles: Candles, horizons: Sequence[int]) -> Floats:
        logs = np.log(candles.close)
        columns = [np.append(logs[h:] - logs[:-h], np.full(h, np.nan)) for h in horizons]
        return np.stack(columns, axis=1)

    part = holed.slice(0, 2 * 1478)  # the middle row is two candles before the hole
    assert not check_targets(replace(REAL, targets=by_rows), part, (1, 6, 24)).ok
    assert check_targets(REAL, part, (1, 6, 24)).ok


def test_only_the_columns_of_a_leaking_scaler_are_named(markets: list[Candles]) -> None:
    samples = REAL.gather(markets, (1,), *WINDOW)

    def one_column(features: NDArray[np.float32], rows: NDArray[np.int64]) -> tuple[Floats, Floats]:
        mean, std = REAL.scaler(features, rows)
        mean[3] = np.nanmean(features[:, 3])
        return mean, std

    found = check_scaler(replace(REAL, scaler=one_column), samples, samples.ends[:1000])
    assert [finding.feature for finding in found.findings] == [REAL.features[3]]
    assert check_scaler(REAL, samples, samples.ends[:1000]).ok


@pytest.mark.parametrize("horizon", [1, 5, 24, 70])
@pytest.mark.parametrize("window", [4, 16, 64])
def test_no_split_lets_an_outcome_cross(markets: list[Candles], horizon: int, window: int) -> None:
    samples = REAL.gather(markets, (horizon,), window, 240)
    found = check_split(REAL, markets, samples, (horizon,), None)
    assert found.ok, found.words
    tight = replace(REAL, split=lambda ms, h, until: REAL.split(ms, h - 26, until))
    if horizon > 26:
        assert not check_split(tight, markets, samples, (horizon,), None).ok


def test_a_score_on_the_rows_learned_from_earns_from_shuffled_outcomes(markets: list[Candles]) -> None:
    """Few rows, learned by heart and scored on themselves: the check must refuse what is too good to be true."""
    samples = REAL.gather(markets[:1], (1,), *WINDOW)
    parts = REAL.split(markets[:1], 1, None)
    assert check_shuffled(REAL, samples, parts, (1,), QUANTILES, 1).ok
    few = samples.open_time_ms[samples.starting(parts.train.from_ms, parts.train.until_ms)[:260]]
    period = Period(int(few[0]), int(few[-1]) + 1)
    same = replace(parts, train=period, validation=period, test=period)
    found = check_shuffled(REAL, samples, same, (1,), QUANTILES, 1)
    assert not found.ok, found.words
    assert "dealt at random" in found.findings[0].problem


def test_one_lucky_deal_is_no_leak(markets: list[Candles], monkeypatch: pytest.MonkeyPatch) -> None:
    """A deal may seem to earn something by chance, above all on a short test of a real market: it is dealt again."""
    samples = REAL.gather(markets[:1], (1,), *WINDOW)
    parts = REAL.split(markets[:1], 1, None)
    bounds = Bounds(0.0023, 0.0073)

    def earned(*skills: float) -> Check:
        answers = iter(skills)
        monkeypatch.setattr(leak_shuffle, "learned_skill", lambda *_, **__: (next(answers), bounds))
        return check_shuffled(REAL, samples, parts, (1,), QUANTILES, 1)

    lucky = earned(0.005, -0.04, 0.001, 0.0, -0.0009, 0.0, -0.0034)
    assert lucky.ok, lucky.words
    assert "0.50 % skill (95 % bounds 0.23 … 0.73 %)" in lucky.words
    assert "-0.07 % (± 0.21) on average of 5 more deals" in lucky.words
    assert "fitted to the true ones -4.00 %" in lucky.words
    assert not earned(0.004, -0.04, 0.003, 0.0035, 0.004, 0.0032, 0.003).ok, "little, but always"
    assert not earned(0.02, -0.04, 0.03, 0.0, 0.02, 0.0, 0.01).ok, "now and then, but much"


def test_a_model_is_tried_with_its_graph(tmp_path: Path, markets: list[Candles]) -> None:
    tiny_model.save(tmp_path)
    entry = Registry(tmp_path).get("tiny")
    assert entry.spec is not None
    assert check_forecasts(entry.spec, entry.open(), markets, (0.5, 0.9)).ok
    report = leak_test(markets, entry=entry, whole=markets)
    assert report.model_id == "tiny"
    assert report.model_digest == entry.digest
    (gap,) = [check for check in report.checks if check.name == "the model's training kept a gap"]
    assert not gap.ok  # its report, made for a test, tells of no training
    assert not report.ok
    assert "FAILED the model's training kept a gap" in report.words
    assert check_gap(entry.spec, {"data": {"gap_candles": 48}}).ok
    narrow = check_gap(entry.spec, {"data": {"gap_candles": 24}})
    assert "more than 24 candles" in narrow.findings[0].fix


def test_a_model_with_too_few_candles_is_not_said_to_be_sound(tmp_path: Path) -> None:
    tiny_model.save(tmp_path)
    entry = Registry(tmp_path).get("tiny")
    assert entry.spec is not None
    found = check_forecasts(entry.spec, entry.open(), [tiny_model.candles(100)], (0.5,))
    assert not found.ok
    assert "none could be made" in found.words


def test_the_future_is_replaced_and_the_past_is_not() -> None:
    candles = tiny_model.candles(500)
    other = with_other_future(candles, 300, 1, 0.03)
    assert other.close[:301].tobytes() == candles.close[:301].tobytes()
    assert not np.any(other.close[301:] == candles.close[301:])
    assert np.all(other.high >= np.maximum(other.open, other.close))
    assert np.all(other.low <= np.minimum(other.open, other.close))
    single = with_other_candle(candles, 7)
    assert np.flatnonzero(single.close != candles.close).tolist() == [7]


def test_the_command_needs_no_data_and_loads_nothing_heavy() -> None:
    program = """
import sys
from models.leaktest import main
code = main(["--json"])
heavy = {"tensorflow", "keras", "sklearn", "scipy", "pandas", "pyarrow", "flask"} & set(sys.modules)
print(sorted(heavy), file=sys.stderr)
sys.exit(code)
"""
    finished = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=400, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stderr.strip() == "[]"
    report = json.loads(finished.stdout)
    assert report["ok"] is True
    assert len(report["checks"]) == 11


def test_the_command_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(leaktest.DEPTHS, "quick", leaktest.Depth(3000, 1, (0.6,)))
    tiny_model.save(tmp_path)
    assert leaktest.main(["--model", "none", "--models", str(tmp_path)]) == 2
    assert "known: tiny" in capsys.readouterr().err
    assert leaktest.main(["--model", "tiny", "--models", str(tmp_path)]) == 1
    assert "FAILED the model's training kept a gap" in capsys.readouterr().out
    with pytest.raises(InvalidInput, match="--data"):
        synthetic_candles(Interval.M5, 100)


def test_a_scaling_that_is_not_the_training_windows_is_found(markets: list[Candles]) -> None:
    samples = REAL.gather(markets, (1,), *WINDOW)
    train = samples.ends[:2000]
    mean, std = fit_scaler(samples.features, train)
    assert check_scaler_numbers("m/model.onnx", REAL.features, samples, train, mean, 1.0 / std).ok
    elsewhere, spread = fit_scaler(samples.features, samples.ends)
    found = check_scaler_numbers("m/model.onnx", REAL.features, samples, train, elsewhere, 1.0 / spread)
    assert not found.ok
    assert "training window's mean is" in found.findings[0].problem


def test_the_networks_are_scaled_by_the_function_that_is_tried() -> None:
    from models import training

    assert vars(training)["fit_scaler"] is fit_scaler


@pytest.mark.slow
@pytest.mark.shared
def test_the_committed_model_leaks_nothing_and_scales_by_its_training_window() -> None:
    entry = Registry(ROOT / "saved_models").get("scale-1h")
    found = read(klines_dir(), Interval.H1)
    report = leak_test(found, entry=entry, whole=found)
    assert report.ok, report.words
    assert "the model's own scaling is its training window's" in [check.name for check in report.checks]
