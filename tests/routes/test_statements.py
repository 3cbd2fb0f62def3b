"""Pages and interface ask the database as often for many models as for one."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.interval import Interval
from models.inputs import WARM_UP
from models.scorekeeper import Scorekeeper
from tests.support import tiny_model
from tests.support.browser import Replay, replayed_app
from utils.performance_monitor import performance_monitor

ADDRESSES = {
    "/": "/",
    "/symbol/BTCUSDT": "/symbol/<symbol>",
    "/forecasts": "/forecasts",
    "/forecasts.csv": "/forecasts.csv",
    "/api/v1/forecasts": "/api/v1/forecasts",
    "/models": "/models",
}


def asked(replay: Replay) -> dict[str, int]:
    """Statements of each page with nothing kept."""
    client, services = replay.app.test_client(), replay.app.extensions["services"]
    counts = {}
    for address, route in ADDRESSES.items():
        services.data_cache.clear()
        services.pages.clear()
        performance_monitor.routes(take_peaks=True)
        assert client.get(address).status_code == 200, address
        counts[address] = performance_monitor.routes(take_peaks=True)[route].peak_queries
    return counts


def with_models(folder: Path, count: int) -> dict[str, int]:
    """Beside the one that the replay brings along; all have forecast, and something is scored."""
    for number in range(1, count):
        tiny_model.save(folder / "models", tiny_model.spec(f"other-{number}", created_ms=1, warm_up=WARM_UP))
    with replayed_app(folder, ("BTCUSDT", "ETHUSDT")) as made:
        keeper: Scorekeeper = made.app.extensions["parts"].scorekeeper
        keeper.keep(Interval.H1, made.market.symbols)
        made.close_candle()
        keeper.keep(Interval.H1, made.market.symbols)
        told = made.app.test_client().get("/api/v1/forecasts").get_json()
        assert len(told["models"]) == count
        assert all(max(model["coverage"]["scored"]) == 2 for model in told["models"])
        return asked(made)


def test_six_models_cost_as_many_statements_as_one(tmp_path: Path) -> None:
    one, six = (with_models(tmp_path / str(count), count) for count in (1, 6))
    assert min(one.values()) > 0, "statements are counted"
    assert six == pytest.approx(one, abs=2)
