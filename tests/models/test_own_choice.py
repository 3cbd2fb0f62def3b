"""Models of their own markets: chosen by name, served there alone, gone back to the common one where they are gone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from data.interval import Interval
from data.symbol import Symbol
from models import own_choice
from models.champions import Champions
from models.forecast import Forecast
from models.forecaster import Forecaster
from models.own_choice import FILE, read_own
from models.promotion import Promotion
from models.registry import Registry
from tests.support import tiny_model
from utils.clock import SystemClock
from utils.errors import InvalidInput
from utils.model_cache import ModelCache

BTC, ETH = Symbol("BTCUSDT"), Symbol("ETHUSDT")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tiny_model.save(tmp_path, tiny_model.spec("common"))
    tiny_model.save(tmp_path, tiny_model.spec("own", symbols=(BTC,), created_ms=tiny_model.START_MS + 1), 2)
    return tmp_path


def served(root: Path) -> list[str]:
    forecaster = Forecaster(
        registry=Registry(root), model_cache=ModelCache(), batch_size=32, max_workers=1, clock=SystemClock()
    )
    answers = forecaster.answers([tiny_model.candles(300), tiny_model.candles(300, symbol="ETHUSDT", seed=2)])
    return [answer.model_id for answer in answers if isinstance(answer, Forecast)]


def choose(root: Path, *more: str, model: str = "own") -> int:
    return own_choice.main(["--models", str(root), "--model", model, *more])


def test_a_chosen_model_serves_its_own_market_alone(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert served(root) == ["common", "common"]
    assert choose(root) == 0
    assert "BTCUSDT 1h: own" in capsys.readouterr().out
    assert served(root) == ["own", "common"]
    assert choose(root, "--clear") == 0
    assert served(root) == ["common", "common"]


def test_one_that_is_gone_gives_way(root: Path) -> None:
    choose(root)
    shutil.rmtree(root / "own")
    assert served(root) == ["common", "common"]
    assert Champions(Registry(root)).serving(Interval.H1, BTC) == Registry(root).default(Interval.H1)


def test_a_model_of_any_market_and_an_unknown_one_are_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert choose(root, model="common") == 2
    assert "serves any market; promote it" in capsys.readouterr().err
    assert choose(root, model="nobody") == 2
    assert choose(root, "--clear", model="common") == 2
    assert "was chosen for no market" in capsys.readouterr().err
    assert read_own(root) == {}


@pytest.mark.parametrize("text", ["", "[]", '{"schema": 2, "own": {}}', '{"schema": 1, "own": {"1h": {"x y": "own"}}}'])
def test_a_damaged_file_chooses_nothing(text: str, root: Path) -> None:
    (root / FILE).write_text(text, "utf-8")
    assert read_own(root) == {}
    assert served(root) == ["common", "common"]


def test_the_dashboard_chooses_the_same_way_and_archives_no_model_that_serves(root: Path) -> None:
    promotion = Promotion(registry=Registry(root), clock=SystemClock())
    promotion.choose_own("own")
    assert promotion.owned() == {"own": [BTC]}
    assert served(root) == ["own", "common"]
    with pytest.raises(InvalidInput, match="serves BTCUSDT alone; give its markets back"):
        promotion.archive("own")
    promotion.give_back("own")
    assert served(root) == ["common", "common"]
    with pytest.raises(InvalidInput, match="chosen for no market"):
        promotion.give_back("own")
    with pytest.raises(InvalidInput, match="serves any market"):
        promotion.choose_own("common")
    promotion.archive("own")
