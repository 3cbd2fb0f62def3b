"""Scorekeeper: every model's forecasts are in the ledger before their outcome, and scored when it comes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from data.candles import Candles
from data.database import connect
from data.interval import Interval
from data.symbol import Symbol
from models.forecast import Forecast
from models.forecaster import Forecaster
from models.ledger import Ledger
from models.registry import Registry
from models.scorekeeper import Round, Scorekeeper
from tests.support import tiny_model
from utils.clock import ManualClock
from utils.errors import NotReady
from utils.model_cache import ModelCache

MARKETS = (Symbol("AAAUSDT"), Symbol("BBBUSDT"), Symbol("NEWUSDT"))


class Feed:
    """Two markets, of which `shown` candles are known; the third has none."""

    def __init__(self) -> None:
        self.shown = 300
        self._whole = {symbol: tiny_model.candles(400, symbol=symbol, seed=n) for n, symbol in enumerate(MARKETS[:2])}

    def candles(self, symbol: Symbol, _interval: Interval) -> Candles:
        if symbol not in self._whole:
            raise NotReady(f"no candle of {symbol} is known yet")
        return self._whole[symbol].slice(0, self.shown)


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[tuple[Feed, Ledger, Scorekeeper]]:
    for number, name in enumerate(("champion", "challenger")):
        tiny_model.save(tmp_path, tiny_model.spec(name, created_ms=tiny_model.START_MS - number), seed=number)
    cache = ModelCache()
    cache.configure(enabled=True, max_models=4, load_timeout_s=5)
    database = connect("sqlite://")
    feed, clock = Feed(), ManualClock(now_ms=tiny_model.START_MS + 300 * 3_600_000)
    ledger = Ledger(database, clock)
    forecaster = Forecaster(registry=Registry(tmp_path), model_cache=cache, batch_size=32, max_workers=2, clock=clock)
    yield feed, ledger, Scorekeeper(forecaster=forecaster, ledger=ledger, candles=feed.candles, settle_s=0.01)
    database.close()


def test_every_model_is_written_down_and_scored(parts: tuple[Feed, Ledger, Scorekeeper]) -> None:
    feed, ledger, keeper = parts
    assert keeper.keep(Interval.H1, MARKETS) == Round(forecasts=4, scored=0)
    assert keeper.keep(Interval.H1, MARKETS) == Round(forecasts=0, scored=0)
    feed.shown += 1
    assert keeper.keep(Interval.H1, MARKETS) == Round(forecasts=4, scored=4)
    assert [model.id for model in ledger.models(Interval.H1)] == ["challenger", "champion"]
    feed.shown += 24
    assert keeper.keep(Interval.H1, MARKETS).scored == 4 * 23 + 4 * 24
    assert ledger.skill(model_id="challenger", horizon=24).count == 4


def test_a_close_is_noticed_in_a_thread_of_its_own(parts: tuple[Feed, Ledger, Scorekeeper]) -> None:
    _, ledger, keeper = parts
    for symbol in MARKETS:
        keeper.notice(symbol, Interval.H1)
    keeper.start()
    keeper.close()
    assert ledger.counts()["forecasts"] == 4


def test_an_unforeseen_error_does_not_end_the_thread(
    parts: tuple[Feed, Ledger, Scorekeeper], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _, ledger, keeper = parts
    written, asked = ledger.append, []

    def append(forecasts: Sequence[Forecast]) -> int:
        asked.append(len(forecasts))
        if len(asked) == 1:
            raise RuntimeError("a fault of ours")
        return written(forecasts)

    monkeypatch.setattr(ledger, "append", append)
    keeper.notice(MARKETS[0], Interval.H1)
    keeper.notice(MARKETS[0], Interval.M15)  # a round of its own
    keeper.start()
    keeper.close()
    assert "an unforeseen error" in caplog.text
    assert asked == [2, 2]
    assert ledger.counts()["forecasts"] == 2
