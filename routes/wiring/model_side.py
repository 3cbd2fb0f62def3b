"""Model side: the registry and what trains, promotes, forecasts with and keeps score of its models, as one value."""

from __future__ import annotations

from dataclasses import dataclass

from config import Settings
from data import venue as venues
from data.database import Database
from models.ensembles import Ensembles
from models.forecaster import Forecaster
from models.jobs import JobStore
from models.ledger import Ledger
from models.promotion import Promotion
from models.registry import Registry
from models.result_store import ResultStore
from models.retrainer import Retrainer
from models.schedules import ScheduleStore
from models.scorekeeper import Scorekeeper
from models.training_history import TrainingHistory
from models.training_runner import TrainingRunner
from routes.wiring.market_side import Market
from utils.clock import Clock
from utils.model_cache import model_cache


@dataclass(frozen=True, slots=True)
class Models:
    """What knows the models; forecasts and their scores go by the exchange's time, trainings by the machine's."""

    registry: Registry
    promotion: Promotion
    results: ResultStore
    training: TrainingRunner
    retrainer: Retrainer
    ledger: Ledger
    forecaster: Forecaster
    scorekeeper: Scorekeeper
    ensembles: Ensembles


def build_models(settings: Settings, clock: Clock, database: Database, market: Market) -> Models:
    """With nothing running; the market tells the scorekeeper of each close from now on."""
    registry = Registry(settings.models_path)
    promotion = Promotion(registry=registry, clock=clock)
    results = ResultStore(database)
    ledger = Ledger(database, market.gateway.clock, venue=venues.UNKNOWN)
    ensembles = Ensembles(registry=registry, ledger=ledger, clock=market.gateway.clock)
    training = _build_training(settings, clock, database, market, promotion)
    retrainer = Retrainer(
        schedules=ScheduleStore(database),
        runner=training,
        registry=registry,
        promotion=promotion,
        results=results,
        ensembles=ensembles,
        followed=lambda: market.data.symbols,
        clock=clock,
    )
    training.look_after(retrainer.tick)
    forecaster = Forecaster(
        registry=registry,
        model_cache=model_cache,
        batch_size=settings.batch_size,
        max_workers=settings.max_workers,
        clock=market.gateway.clock,
        beside=market.known_candles,
        followings=ledger.followings,
    )
    scorekeeper = Scorekeeper(forecaster=forecaster, ledger=ledger, candles=market.data.candles, ensembles=ensembles)
    market.data.listen(scorekeeper.notice)
    return Models(
        registry=registry,
        promotion=promotion,
        results=results,
        training=training,
        retrainer=retrainer,
        ledger=ledger,
        forecaster=forecaster,
        scorekeeper=scorekeeper,
        ensembles=ensembles,
    )


def _build_training(
    settings: Settings, clock: Clock, database: Database, market: Market, promotion: Promotion
) -> TrainingRunner:
    return TrainingRunner(
        jobs=JobStore(database),
        promotion=promotion,
        models_path=settings.models_path,
        folder=settings.instance_path / "trainings",
        history=TrainingHistory(store=market.store, fetch=market.gateway.history, clock=market.gateway.clock),
        clock=clock,
        max_jobs=settings.max_training_jobs,
        scheduler=settings.dask_scheduler,
    )
