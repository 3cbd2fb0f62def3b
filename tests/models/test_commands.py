"""`models.train` and `models.evaluate` as the user starts them, each in its own process."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.candles import FLOAT_COLUMNS, Candles
from models import building, evaluate
from models.registry import Registry
from models.spec import QUANTILES
from tests.support import tiny_model
from tests.support.shared_data import klines_dir

ROOT = Path(__file__).resolve().parents[2]
COUNT = 4000


def volatile(symbol: str, seed: int, count: int = COUNT) -> Candles:
    """A walk whose volatility beats with the hour of day, which a model can learn and the naive forecast cannot."""
    random = np.random.default_rng(seed)
    hours = np.arange(count) % 24
    scale = 0.004 * (1.0 + 0.9 * np.sin(2 * np.pi * hours / 24))
    return tiny_model.from_returns(random.normal(size=count) * scale, symbol=symbol, seed=seed)


def write(folder: Path, candles: Candles, *, optional: bool = True) -> None:
    names = FLOAT_COLUMNS if optional else FLOAT_COLUMNS[:5]
    columns = {"open_time_ms": candles.open_time_ms} | {name: getattr(candles, name) for name in names}
    pq.write_table(pa.table(columns), folder / f"{candles.symbol}-{candles.interval}.parquet")


def run(*arguments: str | Path, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *python, "-m", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("klines")
    write(folder, volatile("AAAUSDT", 1))
    write(folder, volatile("BBBUSDT", 2), optional=False)
    write(folder, tiny_model.without(volatile("UNSEENUSDT", 3), 2000, 2010))
    return folder


@pytest.fixture(scope="module")
def training(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder with the model, and what was told on standard error: each module that was loaded too."""
    out = tmp_path_factory.mktemp("models")
    finished = run(
        "models.train", "--model", "tcn", "--interval", "1h", "--data", data, "--symbols", "AAAUSDT,bbbusdt",
        "--study", "found", "--trials", "7",
        "--until", "2024-05-15", "--preset", "quick", "--epochs", "6", "--stride", "1", "--batch-size", "128",
        "--id", "quick", "--out", out, python=("-X", "importtime"),
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    assert "skill" in finished.stdout
    return out, finished.stderr


@pytest.fixture(scope="module")
def trained(training: tuple[Path, str]) -> Path:
    return training[0]


def evaluated(trained: Path, data: Path, *more: str | Path) -> dict[str, Any]:
    """What the command prints, without the cost of a process."""
    arguments = ["--model", "quick", "--models", trained, "--data", data, "--json", *more]
    return evaluate.run(evaluate._parser().parse_args(list(map(str, arguments))))


@pytest.mark.slow  # TensorFlow is loaded and a network trained
def test_the_command_leaves_a_whole_model(trained: Path) -> None:
    entry = Registry(trained).get("quick")
    assert entry.spec is not None
    assert entry.report is not None
    assert [path.name for path in trained.iterdir()] == ["quick"]
    assert entry.spec.trained_on == ("AAAUSDT", "BBBUSDT")
    assert entry.report["parity"]["largest_difference"] <= 1e-5
    assert entry.report["data"]["gap_candles"] == 48
    assert entry.report["search"] == {"study": "found", "trials": 7}
    # the day's rhythm of volatility was planted: it must be found, and on the test period
    assert entry.report["test"][0]["skill_fraction"] > 0.02


def test_a_skill_of_exactly_nothing_is_told_as_such() -> None:
    period = {"validation": "2024-01-01 … 2024-02-01", "test": "2024-02-02 … 2024-03-01"}
    scores = [{"horizon": ahead, "skill_fraction": skill} for ahead, skill in ((1, 0.0), (6, 0.012), (24, None))]
    report = {"graph_bytes": 1, "parameters": 1, "training_s": 1, "data": period, "validation": scores, "test": []}
    _, validation, test = building._told(Path("walk"), report).splitlines()
    assert validation.endswith(": skill +0.00 % at 1, +1.20 % at 6 candles ahead")
    assert test.endswith(": skill unknown: too few candles")


def test_a_network_is_trained_without_what_keras_would_load_beside_itself(training: tuple[Path, str]) -> None:
    loaded = set(re.findall(r"^import time: .*\| +([\w.]+)$", training[1], re.M))
    assert {"keras", "tensorflow", "models.keras_library"} <= loaded
    assert not {"sklearn.base", "scipy.stats"} & loaded


def test_the_dump_scored_again_equals_the_report(trained: Path, data: Path, tmp_path: Path) -> None:
    dump = tmp_path / "dump.parquet"
    finished = run(
        "models.evaluate", "--model", "quick", "--models", trained, "--data", data, "--json",
        "--symbols", "UNSEENUSDT", "AAAUSDT", "--from", "2024-05-20", "--dump", dump,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    report = json.loads(finished.stdout)
    table = {name: column.to_numpy() for name, column in zip(*columns(dump), strict=True)}
    assert list(table) == [
        "symbol", "last_open_time_ms", "horizon", "sigma", "q05", "q25", "q50", "q75", "q95",
        "b05", "b25", "b50", "b75", "b95", "realised",
    ]  # fmt: skip
    assert [score["horizon"] for score in report["horizons"]] == list(range(1, 25))
    for score in report["horizons"]:
        rows = table["horizon"] == score["horizon"]
        realised = table["realised"][rows]
        model, naive = ([table[f"{letter}{level:02.0f}"][rows] for level in LEVELS] for letter in "qb")
        losses = [by_hand(realised, bands) for bands in (model, naive)]
        assert score["count"] == rows.sum()
        assert score["pinball_loss"] == pytest.approx(losses[0])
        assert score["skill_fraction"] == pytest.approx(1 - losses[0] / losses[1])
        assert score["coverage_90"] == pytest.approx(np.mean((realised >= model[0]) & (realised <= model[4])))
        assert score["coverage_50"] == pytest.approx(np.mean((realised >= model[1]) & (realised <= model[3])))
        assert score["directional_accuracy"] == pytest.approx(np.mean(realised * model[2] > 0))
        assert np.all(np.diff(np.stack(model), axis=0) > 0)
    assert table["last_open_time_ms"].min() == 1_716_163_200_000  # 2024-05-20


LEVELS = [100 * level for level in QUANTILES]


def columns(path: Path) -> tuple[list[str], list[Any]]:
    table = pq.read_table(path)
    return table.column_names, table.columns


def by_hand(realised: Any, bands: list[Any]) -> float:
    """The pinball loss, written otherwise than in models.scoring."""
    total = 0.0
    for level, forecast in zip(QUANTILES, bands, strict=True):
        error = realised - forecast
        total += np.where(error >= 0, level * error, (level - 1) * error).mean()
    return float(total / len(QUANTILES))


def test_outcomes_are_the_files_own(trained: Path, data: Path, tmp_path: Path) -> None:
    dump = tmp_path / "dump.parquet"
    evaluated(trained, data, "--symbols", "UNSEENUSDT", "--dump", dump)
    source = pq.read_table(data / "UNSEENUSDT-1h.parquet")
    close = dict(zip(source["open_time_ms"].to_pylist(), source["close"].to_pylist(), strict=True))
    rows = pq.read_table(dump).to_pylist()
    hour = 3_600_000
    for row in rows[:: len(rows) // 300]:
        start = row["last_open_time_ms"]
        assert row["realised"] == pytest.approx(np.log(close[start + row["horizon"] * hour] / close[start]))
    starts = {row["last_open_time_ms"] for row in rows}
    window = 16
    for start in starts:
        assert all(start - back * hour in close for back in range(window))


def test_missing_columns_change_nothing(trained: Path, data: Path, tmp_path: Path) -> None:
    whole, bare = tmp_path / "whole", tmp_path / "bare"
    for folder, optional in ((whole, True), (bare, False)):
        folder.mkdir()
        write(folder, volatile("UNSEENUSDT", 3), optional=optional)
    reports = [evaluated(trained, folder, "--from", "2024-05-20") for folder in (whole, bare)]
    assert reports[0] == reports[1]


def test_the_table_is_for_people(trained: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--model", "quick", "--models", str(trained), "--data", str(data), "--symbols", "AAAUSDT"]
    assert evaluate.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("quick on 1 markets, 2024-01-01 … 2024-06-15")
    assert len(lines) == 26


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--model", "nothing"], "there is no model 'nothing'; known: quick"),
        (["--model", "quick", "--data", "/nowhere"], "the data folder /nowhere does not exist"),
        (["--model", "quick", "--symbols", "ZZZ"], "has no 1h candles of ZZZ; it has AAAUSDT, BBBUSDT, UNSEENUSDT"),
        (["--model", "quick", "--from", "yesterday"], "'yesterday' is no date"),
        (["--model", "quick", "--from", "2030-01-01"], "nothing to score: each forecast needs 736 candles"),
        (["--model", "quick", "--dump", "/nowhere/x.parquet"], "/nowhere/x.parquet cannot be written"),
    ],
)
def test_what_cannot_be_evaluated_is_told(
    trained: Path, data: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    given = ["--models", str(trained), "--data", str(data), *arguments]
    assert evaluate.main(given) == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "table", "complaint"),
    [
        ("AAA-1h.parquet", {"open_time_ms": [1], "close": [1.0]}, "lacks the columns open, high, low, volume"),
        ("AAA-1h.parquet", {"open_time_ms": [2, 1]}, "must increase strictly"),
        ("AAA-1h.parquet", {"open_time_ms": [1, 2], "close": [1.0, -1.0]}, "prices must be positive"),
        ("AAA-1h.parquet", {"open_time_ms": []}, "holds no candles"),
        ("AAA-1h.parquet", None, "is no readable Parquet file"),
        ("AAA-1d.parquet", {"open_time_ms": [1]}, "has no file named SYMBOL-1h.parquet"),
    ],
)
def test_bad_files_are_named(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, table: Any, complaint: str
) -> None:
    if table is None:
        (tmp_path / name).write_bytes(b"PAR1 nonsense")
    else:
        whole = table
        if "close" not in table or len(table["open_time_ms"]) == 2:
            ones = [1.0] * len(table["open_time_ms"])
            whole = dict.fromkeys(("open", "high", "low", "close", "volume"), ones) | table
        pq.write_table(pa.table(whole), tmp_path / name)
    assert evaluate.main(["--models", str(trained), "--model", "quick", "--data", str(tmp_path)]) == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--window", "60"], "--window 60 does not fit a TCN"),
        (["--learning-rate", "7"], "--learning-rate 7 is outside"),
        (["--id", "../up"], "model id '../up' cannot be used"),
        (["--interval", "7h"], "interval '7h' is unknown"),
        (["--symbols", "ZZZ"], "has no 1h candles of ZZZ"),
    ],
)
def test_what_cannot_be_trained_is_told_and_nothing_written(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    from models import train

    assert train.main(["--model", "tcn", "--data", str(data), "--out", str(tmp_path / "out"), *arguments]) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_commands_take_the_models_that_the_dashboard_serves_unless_another_folder_is_named(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from models import promote

    monkeypatch.setenv("MODELS_PATH", str(shutil.copytree(trained, tmp_path / "served")))
    assert promote.main(["promote", "quick"]) == 0
    assert promote.main(["list"]) == 0
    assert "quick" in capsys.readouterr().out
    assert promote.main(["promote", "quick", "--models", str(tmp_path / "none")]) == 2
    assert "quick" in capsys.readouterr().err


def test_a_flag_that_a_command_does_not_have_is_not_taken_for_another(capsys: pytest.CaptureFixture[str]) -> None:
    from models import search

    with pytest.raises(SystemExit, match="2"):
        search.main(["--study", "one", "--kind", "gru", "--data", "folder"])
    assert "--data" in capsys.readouterr().err, "it was taken for --database"


@pytest.mark.shared
def test_the_default_model_is_small_whole_and_its_twin_better_than_naive_on_unseen_months(tmp_path: Path) -> None:
    entry = Registry(ROOT / "saved_models").get("scale-1h")
    assert entry.spec is not None
    assert entry.report is not None
    assert entry.size_bytes < 2_000_000
    twin = {score["horizon"]: score for score in entry.report["test"]}
    for horizon in (1, 6, 24):
        assert twin[horizon]["skill_fraction"] > 0.02
        assert 0.47 < twin[horizon]["coverage_50"] < 0.53
        assert 0.88 < twin[horizon]["coverage_90"] < 0.92
    arguments = ["--model", "scale-1h", "--from", "2025-06-01", "--symbols", "LINKUSDT"]
    (tmp_path / "LINKUSDT-1h.parquet").symlink_to(klines_dir() / "LINKUSDT-1h.parquet")
    beside, alone = (
        evaluate.run(evaluate._parser().parse_args([*arguments, "--data", str(folder)]))
        for folder in (klines_dir(), tmp_path)
    )
    for report in (beside, alone):
        assert report["symbols"] == ["LINKUSDT"]
        assert all(score["skill_fraction"] > -0.02 for score in report["horizons"])
    assert beside["horizons"] != alone["horizons"]  # BTC's candles are looked at where the folder has them
