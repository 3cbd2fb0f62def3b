"""Parts: what `create_app` built and `main` starts, ends or watches, and which of it runs in which process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from config import Settings
from data.binance_gateway import BinanceGateway
from data.candle_store import CandleStore
from data.database import Database
from data.market_connection import MarketConnection
from data.market_data import MarketData
from data.market_relay import FeedView
from models.ledger import Ledger
from models.scorekeeper import Scorekeeper
from models.training_runner import TrainingRunner
from routes.alerts import Watch
from routes.services import Services
from utils.access_log import AccessLog
from utils.asset_host import AssetHost
from utils.leadership import Part
from utils.memory_guard import MemoryGuard
from utils.minute_recorder import MinuteRecorder
from utils.performance_monitor import performance_monitor
from utils.profile_recorder import ProfileRecorder
from utils.worker_files import WorkerFiles

if TYPE_CHECKING:
    from utils.redis_level import RedisLevel

PARTS = "parts"
"""The key in `app.extensions`."""


@dataclass(frozen=True, slots=True)
class Worker:
    """One of several processes on one socket. `channel` is where the one with the feed tells the others."""

    number: int
    channel: Path


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything with a thread, a file or a connection of its own, and the services made of it."""

    database: Database
    shared_cache: RedisLevel | None
    store: CandleStore
    gateway: BinanceGateway
    market: MarketData
    feed: FeedView
    ledger: Ledger
    connection: MarketConnection
    scorekeeper: Scorekeeper
    training: TrainingRunner
    memory_guard: MemoryGuard
    access_log: AccessLog
    watch: Watch
    recorder: MinuteRecorder
    profiles: ProfileRecorder
    worker_files: WorkerFiles | None
    asset_host: AssetHost | None
    services: Services


def background(settings: Settings, parts: Parts) -> list[Part]:
    """The parts with threads of their own that every process has, in the order in which they start."""
    chosen: list[Part] = [] if parts.shared_cache is None else [parts.shared_cache]
    chosen.append(parts.profiles)
    if parts.asset_host is not None:
        chosen.append(parts.asset_host)
    if settings.enable_performance_logging:
        chosen += [parts.access_log, parts.recorder, performance_monitor]
    if settings.enable_memory_monitoring:
        chosen.append(parts.memory_guard)
    return chosen


def leading(settings: Settings, parts: Parts) -> list[Part]:
    """Those that a dashboard has once, however many processes answer requests."""
    chosen: list[Part] = [parts.scorekeeper, parts.connection, parts.training]
    return [*chosen, parts.watch] if settings.enable_performance_logging else chosen
