"""The whole application with its training parts, whether `create_app` wires them yet or not, over made history."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from flask import Flask

from data.candles import Candles
from data.interval import Interval
from data.symbol import Symbol
from data.venue import BINANCE
from models.jobs import JobStore
from models.promotion import Promotion
from models.training_history import TrainingHistory
from models.training_runner import TrainingRunner
from routes import models, training
from routes.services import EXTENSION, Services
from tests.support import tiny_model
from tests.support.whole_app import whole_app
from utils.clock import Clock

History = Callable[[str, int, int, int], Candles]
"""Of a symbol so many candles until a time (UTC ms), by a seed."""


@dataclass
class Bench:
    """The application, its services and the folder everything is in."""

    app: Flask
    folder: Path

    @property
    def services(self) -> Services:
        parts: Services = self.app.extensions[EXTENSION]
        return parts

    @property
    def runner(self) -> TrainingRunner:
        runner: TrainingRunner = self.services.training
        return runner

    @property
    def models(self) -> Path:
        return self.folder / "models"


@contextmanager
def bench(
    folder: Path,
    symbols: Sequence[str] = ("BTCUSDT", "ETHUSDT"),
    count: int = 2500,
    *,
    clock: Clock | None = None,
    made_by: History | None = None,
) -> Iterator[Bench]:
    """With `count` made candles of each market in the store and in the market; the runner's thread is not started."""
    with whole_app(folder, clock, symbols=",".join(symbols), intervals="1h") as app:
        made = Bench(app, folder)
        wire(app)
        parts = app.extensions["parts"]
        parts.store.use(BINANCE)
        parts.services.ledger.use(BINANCE)
        made.runner.use(BINANCE)
        now_ms = Interval.H1.open_ms(made.services.clock.now_ms())
        for number, symbol in enumerate(symbols):
            candles = (made_by or history)(symbol, count, now_ms, number)
            parts.store.write(candles)
            parts.market.on_closed(candles.tail(1000))
        try:
            yield made
        finally:
            made.runner.close()


def history(symbol: str, count: int, until_ms: int, seed: int) -> Candles:
    start_ms = until_ms - count * Interval.H1.ms
    return tiny_model.candles(count, symbol=Symbol(symbol), seed=seed, start_ms=start_ms)


def wire(app: Flask) -> None:
    """What `create_app` has not done itself."""
    parts = app.extensions["parts"]
    services: Services = app.extensions[EXTENSION]
    if services.training is None:
        settings = services.settings
        promotion = Promotion(registry=services.registry, clock=services.clock)
        runner = TrainingRunner(
            jobs=JobStore(parts.database),
            promotion=promotion,
            models_path=settings.models_path,
            folder=settings.instance_path / "trainings",
            history=TrainingHistory(store=parts.store, fetch=parts.gateway.history, clock=services.clock),
            clock=services.clock,
            max_jobs=settings.max_training_jobs,
        )
        app.extensions[EXTENSION] = replace(services, training=runner, promotion=promotion)
    for blueprint in (models.bp, training.bp):
        if blueprint.name not in app.blueprints:
            app.register_blueprint(blueprint)
