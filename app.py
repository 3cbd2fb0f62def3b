"""The table of contents: what the application is made of, and how it is served.

`python app.py [--host H] [--port P]` serves; `create_app(settings)` builds the same application without starting it.
"""

from __future__ import annotations

import argparse
import logging
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import waitress
import xxhash
from flask import Flask
from flask_compress import Compress

from config import Settings, install_secret, load_settings
from data import venue as venues
from data.binance_gateway import BinanceGateway
from data.candle_codec import CANDLE_CODEC
from data.candle_store import CandleStore
from data.candles import Candles
from data.data_processor import indicators
from data.database import Database, connect
from data.exchange import Exchange, Simulation, choose
from data.interval import Interval
from data.market_connection import MarketConnection
from data.market_data import MarketData
from data.market_feed import MarketFeed
from data.performance_store import PerformanceStore
from data.symbol import Symbol
from models.forecaster import Forecaster
from models.jobs import JobStore
from models.ledger import Ledger
from models.promotion import Promotion
from models.registry import Registry
from models.scorekeeper import Scorekeeper
from models.training_history import TrainingHistory
from models.training_runner import TrainingRunner
from routes import alerts, metrics, register
from routes.budgets import budgets_of
from routes.memory_use import memory_use
from routes.observed import observe_requests
from routes.security import MAX_REQUEST_BYTES, check_bind, secure
from routes.services import EXTENSION, Services
from routes.stored_answers import answer_stored
from routes.warm_pages import page_renderer
from startup_optimizer import Parts as Warm
from startup_optimizer import optimize
from utils.access_log import AccessLog
from utils.alert_delivery import secrets_in
from utils.build_id import build_id
from utils.cache_clearing import CacheClearing
from utils.cache_codecs import Codecs
from utils.clock import Clock, SystemClock
from utils.content_encoding import compression
from utils.data_cache import data_cache
from utils.errors import ConfigError, DashboardError, NotFound, NotReady
from utils.logs import start_logging
from utils.memory_guard import MemoryGuard, TrimStep
from utils.memory_return import give_back, hold_less
from utils.minute_recorder import MinuteRecorder
from utils.model_cache import model_cache
from utils.performance_monitor import performance_monitor
from utils.response_cache import ResponseCache

if TYPE_CHECKING:
    from utils.redis_level import RedisLevel

VERSION = "0.1.0"
PARTS = "parts"
"""The key in `app.extensions` of what has to be started and ended."""
_ENTRIES_PER_SERIES = 4
"""Cache entries one market and interval needs: its candles, its indicators, and room for a reader's choice of them."""
_MEGABYTE = 1024 * 1024
_MB = 1_000_000

log = logging.getLogger("app")


class Background(Protocol):
    """A part with a thread of its own."""

    def start(self) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What `create_app` built and `main` starts, ends or watches."""

    database: Database
    shared_cache: RedisLevel | None
    store: CandleStore
    gateway: BinanceGateway
    market: MarketData
    feed: MarketFeed
    connection: MarketConnection
    scorekeeper: Scorekeeper
    training: TrainingRunner
    memory_guard: MemoryGuard
    access_log: AccessLog
    watch: alerts.Watch
    recorder: MinuteRecorder
    services: Services


def create_app(settings: Settings | None = None, *, clock: Clock | None = None) -> Flask:
    """The whole application, wired once, with nothing running yet: no thread, no network."""
    settings = settings or load_settings()
    clock = clock or SystemClock()
    parts = assemble(settings, clock)
    app = Flask(__name__, static_folder=None)
    app.extensions[EXTENSION] = parts.services
    app.extensions[PARTS] = parts
    watch(parts)
    app.config["COMPRESS_ALGORITHM"] = ["zstd", "br", "gzip"]
    app.config["COMPRESS_BR_LEVEL"] = 4
    app.config["COMPRESS_ZSTD_LEVEL"] = 3
    Compress(app)
    register(app)
    alerts.install(app, parts.watch)
    metrics.install(
        app,
        performance_monitor,
        parts.services,
        token=settings.metrics_token,
        guarded=bool(settings.dashboard_password),
    )
    answer_stored(app, parts.services.pages)
    secure(
        app,
        secret_key=install_secret(settings),
        trusted_hosts=settings.trusted_hosts,
        password=settings.dashboard_password,
        clock=clock,
    )
    parts.services.budgets.update(budgets_of(app))
    parts.connection.when_ready(partial(warm_up, app))
    observe_requests(app, performance_monitor, parts.access_log if settings.enable_performance_logging else None)
    return app


def assemble(settings: Settings, clock: Clock) -> Parts:
    """Builds every part from the settings; no other file hands settings to a part."""
    shared = shared_cache(settings, clock)
    configure_caches(settings, clock, shared)
    database = connect(settings.database_address, on_notice=log.warning)
    gateway = BinanceGateway(
        api_key=settings.binance_api_key,
        api_secret=settings.binance_api_secret,
        clock=clock,
        deadline_s=settings.exchange_deadline_seconds,
        state_path=settings.instance_path / "exchange_limits.json",
    )
    store = CandleStore(database, venue=venues.UNKNOWN)
    market = MarketData(
        store=store,
        gateway=gateway,
        cache=data_cache,
        clock=gateway.clock,
        symbols=[Symbol.parse(name) for name in settings.symbols],
        intervals=[Interval.parse(name) for name in settings.intervals],
        history_candles=settings.history_candles,
    )
    feed = MarketFeed(gateway=gateway, market=market)
    ledger = Ledger(database, gateway.clock, venue=venues.UNKNOWN)
    registry = Registry(settings.models_path)
    promotion = Promotion(registry=registry, clock=clock)
    training = TrainingRunner(
        jobs=JobStore(database),
        promotion=promotion,
        models_path=settings.models_path,
        folder=settings.instance_path / "trainings",
        history=TrainingHistory(store=store, fetch=gateway.history, clock=gateway.clock),
        clock=clock,
        max_jobs=settings.max_training_jobs,
    )

    def enter(venue: str) -> None:
        store.use(venue)
        if shared is not None:
            shared.use(venue)
        ledger.use(venue)
        training.use(venue)

    connection = MarketConnection(
        choose=partial(choose_exchange, settings),
        gateway=gateway,
        market=market,
        feed=feed,
        enter=enter,
    )
    forecaster = Forecaster(
        registry=registry,
        model_cache=model_cache,
        batch_size=settings.batch_size,
        max_workers=settings.max_workers,
        clock=gateway.clock,
        beside=partial(_known_candles, market),
    )
    scorekeeper = Scorekeeper(forecaster=forecaster, ledger=ledger, candles=market.candles)
    market.listen(scorekeeper.notice)
    pages = ResponseCache(max_bytes=settings.max_cache_mb * _MEGABYTE, enabled=settings.enable_data_caching)
    recorder = MinuteRecorder(
        performance_monitor,
        clock,
        store=PerformanceStore(database, worker=secrets.token_hex(4)),
        version=build_id(VERSION),
    )
    services = Services(
        settings=settings,
        connection=connection,
        clock=gateway.clock,
        market=market,
        indicators=indicators,
        forecaster=forecaster,
        ledger=ledger,
        monitor=performance_monitor,
        data_cache=data_cache,
        pages=pages,
        app_version=VERSION,
        started_at_ms=clock.now_ms(),
        registry=registry,
        feed=feed,
        training=training,
        promotion=promotion,
        recorder=recorder,
        clearing=CacheClearing(
            {
                "data_cache": data_cache.clear,
                "model_cache": partial(model_cache.trim, keep=0),
                "page_cache": pages.clear,
                "forecasts": forecaster.clear,
            }
        ),
    )
    return Parts(
        database=database,
        shared_cache=shared,
        store=store,
        gateway=gateway,
        market=market,
        feed=feed,
        connection=connection,
        scorekeeper=scorekeeper,
        training=training,
        memory_guard=guard_memory(settings, pages, market),
        watch=alerts.make_watch(
            database=database,
            services=services,
            monitor=performance_monitor,
            clock=clock,
            targets=settings.alert_targets,
            budgets=lambda: {name: one.p95_ms for name, one in services.budgets.items()},
        ),
        access_log=AccessLog(settings.instance_path / "logs", secrets=secrets_of(settings)),
        recorder=recorder,
        services=services,
    )


def _known_candles(market: MarketData, symbol: Symbol, interval: Interval) -> Candles | None:
    """None where the market is not followed, or nothing is known of it yet."""
    try:
        return market.candles(symbol, interval)
    except (NotFound, NotReady):
        return None


def shared_cache(settings: Settings, clock: Clock) -> RedisLevel | None:
    """The cache that several processes share, where one is named; its library is loaded only then."""
    if not settings.redis_url:
        return None
    from utils.redis_level import RedisLevel

    same = f"{settings.database_address}|{settings.exchange}|{settings.history_candles}".encode()
    return RedisLevel(
        settings.redis_url,
        namespace=xxhash.xxh3_64_hexdigest(same),
        regions=("candles",),
        codecs=Codecs(CANDLE_CODEC),
        clock=clock,
    )


def configure_caches(settings: Settings, clock: Clock, second_level: RedisLevel | None) -> None:
    """Gives the three module-level parts their bounds, and begins them anew."""
    series = len(settings.symbols) * len(settings.intervals)
    data_cache.configure(
        enabled=settings.enable_data_caching,
        ttl_s=settings.cache_ttl_seconds,
        max_entries=max(settings.max_cache_size, _ENTRIES_PER_SERIES * series),
        max_bytes=settings.max_cache_mb * _MEGABYTE,
        timer=clock.monotonic,
        second_level=second_level,
    )
    model_cache.configure(
        enabled=settings.enable_model_caching,
        max_models=settings.max_cache_size,
        load_timeout_s=settings.model_load_timeout,
    )
    performance_monitor.configure(enabled=settings.enable_performance_logging, clock=clock)


def guard_memory(settings: Settings, pages: ResponseCache, market: MarketData) -> MemoryGuard:
    """What gives way when memory is short, the cheapest to make again first."""
    steps = (
        TrimStep("pages", pages.trim),
        TrimStep("indicators", partial(data_cache.trim, region="indicators")),
        TrimStep("candles of idle markets", market.trim_idle),
        TrimStep("models", _trim_models),
    )
    return MemoryGuard(
        max_percent=settings.max_memory_usage_percent, max_rss_bytes=settings.max_rss_mb * _MB, steps=steps
    )


def _trim_models(fraction: float) -> int:
    held = model_cache.stats().models
    return model_cache.trim(keep=round(held * (1 - fraction)))


def warm_up(app: Flask) -> None:
    """Once the market is there: scores what was missed, forecasts, warms models and pages."""
    parts: Parts = app.extensions[PARTS]
    settings, market = parts.services.settings, parts.market
    for interval in market.intervals:
        for symbol in market.symbols:
            parts.scorekeeper.notice(symbol, interval)
    if settings.enable_model_preloading:
        render = page_renderer(app, host=settings.trusted_hosts[0])
        steps = optimize(
            Warm(
                registry=parts.services.registry,
                market=market,
                indicators=indicators,
                forecaster=parts.services.forecaster,
                render=render,
            )
        )
        give_back()
        for step in steps:
            log.info("warmed %s: %s, %s (%.0f ms)", step.name, step.result, step.detail, step.took_ms)


def watch(parts: Parts) -> None:
    """Tells the monitor whom to ask when the performance page is drawn."""
    sources: dict[str, Callable[[], Any]] = {
        "data_cache": data_cache.stats,
        "model_cache": model_cache.stats,
        "page_cache": parts.services.pages.stats,
        "exchange": parts.gateway.status,
        "feed": parts.feed.status,
        "market": parts.market.status,
        "store": parts.store.stats,
        "database": parts.database.query_stats,
        "memory_guard": parts.memory_guard.stats,
        "memory_holders": partial(
            memory_use,
            data_cache=data_cache,
            pages=parts.services.pages,
            models=model_cache,
            forecasts=parts.services.forecaster.held,
            max_rss_bytes=parts.services.settings.max_rss_mb * _MB,
        ),
        "compression": compression.stats,
    }
    if parts.shared_cache is not None:
        sources["redis"] = parts.shared_cache.stats
    for name, read in sources.items():
        performance_monitor.add_source(name, read)


def choose_exchange(settings: Settings) -> Exchange:
    return choose(
        settings.exchange,
        rest_override=settings.binance_rest_url,
        stream_override=settings.binance_stream_url,
        simulation=Simulation(
            replay_path=settings.simulated_replay_path,
            start=settings.simulated_start,
            speed=settings.simulated_speed,
            seed=settings.simulated_seed,
            symbols=settings.symbols,
        ),
    )


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """What no log line may hold."""
    secrets: tuple[str, ...] = (
        settings.binance_api_key,
        settings.binance_api_secret,
        settings.dashboard_password,
        settings.secret_key,
        settings.redis_url,
    )
    secrets += (settings.metrics_token, *(part for url in settings.alert_targets for part in secrets_in(url)))
    return tuple(filter(None, secrets))


def listen(host: str, port: int) -> socket.socket:
    """The bound socket, before anything else is started: a busy port is told at once. Raises ConfigError."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(f"host {host!r} is no address of this machine ({error}); use 127.0.0.1, or --host") from None
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"port {port} on {host} cannot be used ({error.strerror}); choose another with --port"
        ) from None
    return listener


def serve(settings: Settings, listener: socket.socket) -> None:
    """Serves until the process is asked to end, then ends every part in the opposite order of its start."""
    secrets = secrets_of(settings)
    with ExitStack() as running:
        logs = start_logging(level=settings.log_level, secrets=secrets, folder=settings.instance_path / "logs")
        running.callback(logs.close)
        app = create_app(settings)
        parts: Parts = app.extensions[PARTS]
        running.callback(parts.database.close)
        for part in background(settings, parts):
            part.start()
            running.callback(part.close)
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        print(f"Serving on http://{shown}:{port} (Ctrl+C ends it)", flush=True)
        waitress.serve(
            app,
            sockets=[listener],
            threads=settings.max_workers,
            max_request_body_size=MAX_REQUEST_BYTES,
            ident=None,
            clear_untrusted_proxy_headers=True,
            _quiet=True,
        )


def background(settings: Settings, parts: Parts) -> list[Background]:
    """The parts with threads of their own, in the order in which they start."""
    chosen: list[Background] = [] if parts.shared_cache is None else [parts.shared_cache]
    chosen += [parts.scorekeeper, parts.connection, parts.training]
    if settings.enable_performance_logging:
        chosen += [parts.access_log, parts.recorder, performance_monitor, parts.watch]
    if settings.enable_memory_monitoring:
        chosen.append(parts.memory_guard)
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Serve the dashboard to a browser on this machine.")
    parser.add_argument("--host", help="address to serve on (HOST)")
    parser.add_argument("--port", help="port to serve on (PORT)")
    options = parser.parse_args(arguments)
    given = {name: text for name, text in vars(options).items() if text is not None}
    try:
        settings = load_settings(**given)
        check_bind(settings.host, settings.dashboard_password)
        listener = listen(settings.host, settings.port)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, end)
    hold_less()
    with listener:
        try:
            serve(settings, listener)
        except DashboardError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


def end(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
