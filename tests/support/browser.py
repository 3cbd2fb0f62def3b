"""The real application with real candles in its market, and a Chromium to look at it, for tests and screenshots."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from flask import Flask
from werkzeug.serving import make_server

from data.candles import Candle, Candles
from data.interval import Interval
from data.market_data import MarketData
from data.symbol import Symbol
from data.ticker import Ticker
from models.spec import Kind
from tests.support import tiny_model
from tests.support.real_candles import real_candles
from tests.support.whole_app import whole_app
from utils.clock import ManualClock

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright

SYMBOLS = (
    "BTCUSDT",
    "ETHUSDT",
    "BNBUSDT",
    "SOLUSDT",
    "XRPUSDT",
    "ADAUSDT",
    "DOGEUSDT",
    "LINKUSDT",
    "LTCUSDT",
    "TRXUSDT",
)
SHORTER = 25
"""The last hours of the shared candles that the market does not hold at first: its day, and the candle that forms."""
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass
class Replay:
    """The application, and real candles that can be told to it one by one, as the feed would."""

    app: Flask
    clock: ManualClock
    real: dict[Symbol, Candles]
    place: int

    @property
    def market(self) -> MarketData:
        market: MarketData = self.app.extensions["parts"].market
        return market

    def tell_forming(self, part: float) -> None:
        """The next candle of every market as it stood when that part of its hour (0 … 1) was over."""
        for symbol, candles in self.real.items():
            candle = candles.row(self.place)
            at_ms = candle.open_time_ms + round(part * candles.interval.ms)
            close = candle.open + (candle.close - candle.open) * part
            seen = Candle(
                candle.open_time_ms,
                candle.open,
                max(candle.open, close, candle.open + (candle.high - candle.open) * part),
                min(candle.open, close, candle.open + (candle.low - candle.open) * part),
                close,
                candle.volume * part,
                candle.quote_volume * part,
                candle.trades,
                candle.taker_buy_base * part,
                candle.taker_buy_quote * part,
                closed=False,
            )
            self.clock.set_wall(at_ms)
            self.market.on_forming(symbol, candles.interval, seen, at_ms)
            self.market.on_ticker(self._ticker(symbol, close, at_ms))

    def close_candle(self) -> None:
        """The forming candle of every market closes as it really did; the clock goes to the next one's start."""
        for symbol, candles in self.real.items():
            self.clock.set_wall(candles.interval.next_open_ms(candles.row(self.place).open_time_ms) + 500)
            self.market.on_closed(candles.slice(self.place, self.place + 1))
            assert (
                self.market.candles(symbol, candles.interval).last_open_time_ms == candles.row(self.place).open_time_ms
            )
        self.place += 1

    def _ticker(self, symbol: Symbol, price: float, at_ms: int) -> Ticker:
        day = self.real[symbol].slice(self.place - 24, self.place)
        return Ticker(
            symbol,
            price,
            float(day.open[0]),
            max(price, float(day.high.max())),
            min(price, float(day.low.min())),
            float(day.volume.sum()),
            float(day.quote_volume.sum()),
            at_ms,
        )


@contextmanager
def replayed_app(folder: Path, symbols: Sequence[str] = SYMBOLS, /, **overrides: str) -> Iterator[Replay]:
    """`create_app` as it is, no network: its market is told real hourly candles, its model is a small real one.

    With another `symbols` among the settings it follows markets that nothing is told of."""
    real = {Symbol(name): real_candles(name, "1h", -1100) for name in symbols}
    first = next(iter(real.values()))
    clock = ManualClock(first.last_open_time_ms)
    default_model(folder / "models")
    given = {"symbols": ",".join(symbols), "intervals": "1h", "exchange": "simulated", **overrides}
    with whole_app(folder, clock, **given) as app:
        replay = Replay(app, clock, real, len(first) - SHORTER)
        for candles in real.values():
            clock.set_wall(candles.row(replay.place - 1).open_time_ms + candles.interval.ms + 1000)
            replay.market.on_closed(candles.slice(None, replay.place))
        replay.tell_forming(0.4)
        yield replay


def default_model(root: Path) -> None:
    """The model of the repository where there is one, else a tiny one."""
    ours = Path(__file__).resolve().parents[2] / "saved_models"
    models = [path for path in ours.iterdir() if (path / "manifest.json").is_file()] if ours.is_dir() else []
    for path in models:
        shutil.copytree(path, root / path.name)
    if not models:
        tiny_model.save(root, tiny_model.spec("tiny-tcn-1h", kind=Kind.TCN, interval=Interval.H1))


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """The application on a free port of this machine; its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, name="browser-test-server")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def chromium_path() -> str:
    """The system's Chromium, or a skip that says why (a failure where REQUIRE_BROWSER=1)."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if (path := shutil.which(name)) is not None:
            return path
    message = "no Chromium on this machine: install chromium to run the browser tests"
    if os.environ.get("REQUIRE_BROWSER") == "1":
        pytest.fail(message)
    pytest.skip(message)


def launch(playwright: Playwright) -> Browser:
    """A headless Chromium that asks nobody but the pages it is sent to."""
    return playwright.chromium.launch(executable_path=chromium_path(), headless=True, args=list(CHROMIUM_FLAGS))


def laid_out(page: Page) -> None:
    """Returns when what the stylesheets leave for after the first picture is there as well: who measures it before
    makes the browser lay out what is hidden, which it complains about in its console."""
    page.evaluate(
        "() => Promise.allSettled(document.getAnimations().filter((one) => one.animationName === 'later')"
        ".map((one) => one.finished)).then(() => null)"
    )
