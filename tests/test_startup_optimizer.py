"""startup_optimizer: each check on real models and real candles, and the command as a user would run it."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

import startup_optimizer
from config import Settings, load_settings
from data.candles import Candles
from data.data_processor import indicators
from data.interval import Interval
from data.symbol import Symbol
from models.forecaster import Forecaster
from models.model_writing import write_model
from models.registry import Registry
from routes.security import check_bind
from startup_optimizer import Parts, check_models, connect, optimize
from tests.support.tiny_model import candles, graph, spec
from utils.clock import ManualClock
from utils.errors import NotReady, StoreError
from utils.model_cache import model_cache
from utils.start_steps import Result, report

ROOT = Path(__file__).resolve().parents[1]


class MadeMarket:
    """Two markets of one interval, with candles only where the test has put some."""

    symbols = known = (Symbol("BTCUSDT"), Symbol("ETHUSDT"))

    def __init__(self, *held: str, rows: int = 400, intervals: tuple[Interval, ...] = (Interval.H1,)) -> None:
        self.held = held
        self.rows = rows
        self.intervals = intervals

    def candles(self, symbol: Symbol, interval: Interval, limit: int | None = None) -> Candles:
        if symbol not in self.held:
            raise NotReady(f"no candle of {symbol} {interval} is known yet")
        return candles(self.rows, symbol=symbol, interval=interval)


@pytest.fixture(autouse=True)
def empty_model_cache() -> Iterator[None]:
    model_cache.configure(enabled=True, max_models=10, load_timeout_s=5.0)
    yield
    model_cache.clear_cache()


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    write_model(tmp_path, spec("good"), graph(spec("good")), {})
    return Registry(tmp_path)


def parts(registry: Registry, market: MadeMarket, render: startup_optimizer.Render | None = None) -> Parts:
    forecaster = Forecaster(
        registry=registry, model_cache=model_cache, batch_size=32, max_workers=1, clock=ManualClock()
    )
    return Parts(registry=registry, market=market, indicators=indicators, forecaster=forecaster, render=render)


def test_everything_there_is_warmed(registry: Registry) -> None:
    asked: list[str] = []

    def render(path: str) -> tuple[int, int]:
        asked.append(path)
        return 200, 2048

    ticks = itertools.count(0, 0.25)
    steps = optimize(parts(registry, MadeMarket("BTCUSDT", "ETHUSDT"), render), timer=lambda: next(ticks))
    assert [(step.name, step.result) for step in steps] == [
        (name, Result.OK) for name in ("models", "candles", "indicators", "forecasts", "pages")
    ]
    details = {step.name: step.detail for step in steps}
    assert details["models"] == "1 of 1 verified, loaded and tried"
    assert details["candles"] == "800 candles of 2 of 2 series"
    assert details["forecasts"] == "1h 2 of 2 markets"
    assert details["pages"] == "4 pages, 8 KB compressed"
    assert asked == ["/", "/performance", "/symbol/BTCUSDT", "/symbol/ETHUSDT"]
    assert {step.took_ms for step in steps} == {250.0}
    assert model_cache.stats().loads == 1, "the forecasts found the model loaded"


def test_a_market_without_candles_is_a_warning(registry: Registry) -> None:
    steps = {step.name: step for step in optimize(parts(registry, MadeMarket("BTCUSDT"), lambda path: (503, 10)))}
    assert steps["candles"].result is Result.WARNING
    assert steps["candles"].detail.endswith("none yet of ETHUSDT 1h")
    assert steps["pages"].result is Result.WARNING
    assert report(list(steps.values()))["ok"] is True


def test_a_page_that_fails_is_a_failure(registry: Registry) -> None:
    pages = {"/": (500, 10)}
    steps = optimize(parts(registry, MadeMarket("BTCUSDT", "ETHUSDT"), lambda path: pages.get(path, (200, 10))))
    assert steps[-1].result is Result.FAILED
    assert "/ answered 500" in steps[-1].detail
    assert report(steps)["ok"] is False


def test_an_interval_without_a_model_is_said_to_have_none(registry: Registry) -> None:
    """That none of its markets has a forecast would read like a failure."""
    market = MadeMarket("BTCUSDT", "ETHUSDT", intervals=(Interval.H1, Interval.M15))
    step = {step.name: step for step in optimize(parts(registry, market))}["forecasts"]
    assert (step.result, step.detail) == (Result.OK, "1h 2 of 2 markets, 15m has no usable model")


def test_a_market_that_the_model_cannot_forecast_is_a_warning_with_its_reason(registry: Registry) -> None:
    step = {step.name: step for step in optimize(parts(registry, MadeMarket("BTCUSDT", rows=20)))}["forecasts"]
    assert step.result is Result.WARNING
    assert step.detail.startswith("1h 0 of 1 markets (BTCUSDT: ")
    assert "candles" in step.detail


def test_no_model_is_a_warning(tmp_path: Path) -> None:
    assert check_models(Registry(tmp_path / "nothing"))[0] is Result.WARNING


def test_one_broken_model_beside_a_good_one_is_a_warning(registry: Registry) -> None:
    write_model(registry.path, spec("bad"), graph(spec("bad")), {})
    (registry.path / "bad" / "model.onnx").write_bytes(b"not what the manifest names")
    result, detail = check_models(registry)
    assert result is Result.WARNING
    assert detail.startswith("1 of 2 verified, loaded and tried; bad: ")


@pytest.mark.parametrize("size", [0, 1, 100])
def test_only_broken_models_are_a_warning_with_what_it_means_for_the_pages(registry: Registry, size: int) -> None:
    path = registry.path / "good" / "model.onnx"
    path.write_bytes(path.read_bytes()[:size])
    result, detail = check_models(registry)
    assert result is Result.WARNING, "the dashboard is where a model is trained or brought back"
    assert "no model can be used, so pages show no forecast until one is trained: good: " in detail


def test_a_model_that_answers_another_shape_than_promised_is_found(tmp_path: Path) -> None:
    promised = spec("short")
    other = spec("short", features=("return_1", "range"))
    write_model(tmp_path, promised, graph(other), {})
    result, detail = check_models(Registry(tmp_path))
    assert result is Result.WARNING
    assert "short: " in detail


class Waiting:
    """A connection that becomes ready or does not."""

    def __init__(self, *, ready: bool) -> None:
        self.ready = ready
        self.waiting_for = "candles from Binance"
        self.exchange = type("Exchange", (), {"name": "Binance"})()

    def start(self) -> None: ...

    def close(self) -> None: ...

    def wait(self, timeout_s: float) -> bool:
        return self.ready


def test_an_exchange_that_does_not_answer_is_a_failure_only_if_it_was_named() -> None:
    assert connect(Waiting(ready=True), named=True) == (Result.OK, "candles from Binance")
    assert connect(Waiting(ready=False), named=True)[0] is Result.FAILED
    result, detail = connect(Waiting(ready=False), named=False, timeout_s=3)
    assert (result, detail) == (Result.WARNING, "after 3 s still waiting for candles from Binance")


def command(tmp_path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    given = {
        "EXCHANGE": "simulated",
        "SYMBOLS": "BTCUSDT,ETHUSDT",
        "INTERVALS": "1h",
        "HISTORY_CANDLES": "300",
        "INSTANCE_PATH": str(tmp_path / "instance"),
        "DASHBOARD_PASSWORD": "a long enough password",
        **environment,
    }
    return subprocess.run(
        [sys.executable, str(ROOT / "startup_optimizer.py"), *arguments],
        cwd=ROOT,
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def test_the_command_warms_everything_on_the_simulated_exchange(tmp_path: Path) -> None:
    write_model(tmp_path / "models", spec("good"), graph(spec("good")), {})
    answer = command(tmp_path, "--json", MODELS_PATH=str(tmp_path / "models"))
    assert answer.returncode == 0, answer.stdout + answer.stderr
    told = json.loads(answer.stdout)
    steps = {step["name"]: step for step in told["steps"]}
    assert list(steps) == [
        "configuration", "storage", "address", "assets", "database", "exchange", "models", "candles", "indicators",
        "forecasts", "pages",
    ]  # fmt: skip
    assert told["ok"] is True
    assert steps["candles"]["detail"] == "600 candles of 2 of 2 series"
    assert steps["forecasts"]["detail"] == "1h 2 of 2 markets"
    assert steps["pages"]["result"] == "ok", "pages are rendered behind the password too"
    assert "a long enough password" not in answer.stdout + answer.stderr


def test_the_command_ends_with_1_for_an_exchange_that_was_named_not_for_a_broken_model(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "models", spec("good"), graph(spec("good")), {})
    (folder / "model.onnx").write_bytes(b"")
    answer = command(
        tmp_path,
        "--timeout",
        "0.1",
        EXCHANGE="binance",
        BINANCE_REST_URL="http://127.0.0.1:9",
        BINANCE_STREAM_URL="ws://127.0.0.1:9",
        MODELS_PATH=str(tmp_path / "models"),
    )
    assert answer.returncode == 1, answer.stdout + answer.stderr
    failed = [line for line in answer.stdout.splitlines() if " failed " in line]
    assert ["exchange" in line for line in failed] == [True], answer.stdout
    assert re.search(r"warning +models +no model can be used, .*: good: ", answer.stdout)
    assert "still waiting for" in answer.stdout


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **environment: str) -> tuple[int, str]:
    """Exit code and what was printed, where nothing may be built."""

    def never(_settings: Settings) -> NoReturn:
        raise AssertionError("nothing is built from what does not fit")

    for name, text in environment.items():
        monkeypatch.setenv(name, text)
    code = startup_optimizer.main([], never, check_bind)
    return code, capsys.readouterr().out


def test_the_command_ends_with_2_on_what_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("INSTANCE_PATH", str(tmp_path / "file" / "below"))
    code, told = refused(monkeypatch, capsys)
    assert (code, "set INSTANCE_PATH to one that this user may write" in told) == (2, True), told
    code, told = refused(monkeypatch, capsys, INSTANCE_PATH=str(tmp_path), HOST="0.0.0.0")
    assert (code, "set DASHBOARD_PASSWORD" in told) == (2, True), told
    code, told = refused(monkeypatch, capsys, HOST="127.0.0.1", LOG_LEVEL="LOUD")
    assert (code, "LOUD" in told) == (2, True), told


def test_a_database_that_does_not_answer_is_told_and_nothing_after_it(tmp_path: Path) -> None:
    def build(_settings: Settings) -> NoReturn:
        raise StoreError("the database server does not answer")

    steps = startup_optimizer.run(load_settings({}, None, instance_path=str(tmp_path)), build)
    assert [step.name for step in steps] == ["assets", "database"]
    assert steps[-1].detail == "StoreError: the database server does not answer"
    assert not report(steps)["ok"]
