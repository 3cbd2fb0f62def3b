"""Assembly: every part of the application, built from the settings. Nothing runs yet: no thread, no network."""

from __future__ import annotations

import logging
import secrets

from config import Settings
from data.data_processor import indicators
from data.database import Database, connect
from data.market_connection import MarketConnection
from data.market_relay import FeedView
from data.performance_store import PerformanceStore
from models.speeds import ModelSpeeds
from routes.alerts import Watch, make_watch
from routes.services import Services
from routes.wiring.caches import asset_host, cache_clearing, configure_caches, guard_memory, page_cache, shared_cache
from routes.wiring.market_side import Market, build_market, connection_to
from routes.wiring.model_side import Models, build_models
from routes.wiring.parts import Parts, Worker
from routes.wiring.private_logs import log_folder, secrets_of
from routes.wiring.workers import worker_files, worker_reports
from utils.access_log import AccessLog
from utils.build_id import build_id
from utils.clock import Clock
from utils.data_cache import data_cache
from utils.last_known import PATIENCE_S, LastKnown
from utils.minute_recorder import MinuteRecorder
from utils.performance_monitor import performance_monitor
from utils.profile_recorder import ProfileRecorder
from utils.profile_store import ProfileStore
from utils.response_cache import ResponseCache
from utils.worker_reports import WorkerReports

VERSION = "0.1.0"

log = logging.getLogger(__name__)


def assemble(settings: Settings, clock: Clock, worker: Worker | None = None) -> Parts:
    """No part reads the settings itself, and only this package hands them on."""
    shared = shared_cache(settings, clock)
    configure_caches(settings, clock, shared)
    database = connect(settings.database_address, on_notice=log.warning)
    market = build_market(settings, clock, database)
    models = build_models(settings, clock, database, market)

    def enter(venue: str) -> None:
        market.store.use(venue)
        if shared is not None:
            shared.use(venue)
        models.ledger.use(venue)
        models.training.use(venue)

    connection = connection_to(market, settings, enter)
    feed = FeedView(market.feed)
    pages = page_cache(settings)
    recorder = MinuteRecorder(
        performance_monitor,
        clock,
        store=PerformanceStore(database, worker=secrets.token_hex(4)),
        version=build_id(VERSION),
        shared=settings.workers > 1,
    )
    files = worker_files(settings, worker)
    reports = worker_reports(files, recorder, clock)
    known = LastKnown(
        clock,
        failing=database.failing,
        answered_s=database.answered_s,
        patience_s=PATIENCE_S if database.is_remote else None,
    )
    services = _services(settings, clock, market, models, connection, feed, pages, recorder, reports, known)
    return Parts(
        database=database,
        shared_cache=shared,
        store=market.store,
        gateway=market.gateway,
        market=market.data,
        feed=feed,
        ledger=models.ledger,
        connection=connection,
        scorekeeper=models.scorekeeper,
        training=models.training,
        memory_guard=guard_memory(settings, pages, market.data),
        watch=_watch(settings, clock, database, services),
        access_log=AccessLog(log_folder(settings, worker), secrets=secrets_of(settings)),
        recorder=recorder,
        profiles=ProfileRecorder(
            ProfileStore(settings.instance_path / "profiles"), clock, who=f"worker {worker.number}" if worker else ""
        ),
        worker_files=files,
        asset_host=asset_host(settings, pages),
        services=services,
    )


def _services(
    settings: Settings,
    clock: Clock,
    market: Market,
    models: Models,
    connection: MarketConnection,
    feed: FeedView,
    pages: ResponseCache,
    recorder: MinuteRecorder,
    reports: WorkerReports | None,
    known: LastKnown,
) -> Services:
    return Services(
        settings=settings,
        connection=connection,
        clock=market.gateway.clock,
        market=market.data,
        indicators=indicators,
        forecaster=models.forecaster,
        ledger=models.ledger,
        monitor=performance_monitor,
        data_cache=data_cache,
        pages=pages,
        app_version=VERSION,
        started_at_ms=clock.now_ms(),
        registry=models.registry,
        feed=feed,
        training=models.training,
        promotion=models.promotion,
        ensembles=models.ensembles,
        results=models.results,
        retrainer=models.retrainer,
        recorder=recorder,
        speeds=ModelSpeeds(clock),
        workers=reports,
        clearing=cache_clearing(pages, models.forecaster),
        known=known,
    )


def _watch(settings: Settings, clock: Clock, database: Database, services: Services) -> Watch:
    return make_watch(
        database=database,
        services=services,
        monitor=performance_monitor,
        clock=clock,
        targets=settings.alert_targets,
        budgets=lambda: {name: one.p95_ms for name, one in services.budgets.items()},
    )
