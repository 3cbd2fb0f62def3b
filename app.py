"""The table of contents: what the application is made of, and how it is served.

`python app.py [--host H] [--port P]` serves; `create_app(settings)` builds the same application without starting it.
"""

from __future__ import annotations

import argparse
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import xxhash
from flask import Flask, Response, request
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
from data.market_relay import FeedView, MarketFollower, MarketSide, MarketTeller
from data.performance_store import PerformanceStore
from data.symbol import Symbol
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
from routes import alerts, metrics, profiling, register
from routes.budgets import budgets_of
from routes.login import IDLE_S
from routes.memory_use import memory_use
from routes.observed import observe_requests
from routes.security import MAX_REQUEST_BYTES, check_bind, secure
from routes.services import EXTENSION, Services
from routes.session_store import SharedSessionStore
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
from utils.leadership import Leadership, Part
from utils.logs import start_logging
from utils.memory_guard import MemoryGuard, TrimStep
from utils.memory_return import give_back, hold_less
from utils.minute_recorder import MinuteRecorder
from utils.model_cache import model_cache
from utils.performance_monitor import performance_monitor
from utils.profile_recorder import ProfileRecorder
from utils.profile_store import ProfileStore
from utils.response_cache import ResponseCache
from utils.worker_processes import WorkerProcesses, end_with_parent

if TYPE_CHECKING:
    from utils.redis_level import RedisLevel

VERSION = "0.1.0"
PARTS = "parts"
"""The key in `app.extensions` of what has to be started and ended."""
AT_ONCE = "at-once"
"""The same of the question whether a request can be answered from stored bytes."""
WORKER_METRICS = "worker-metrics"
"""The same of what several workers share for `/metrics`; None for a single process."""
_ENTRIES_PER_SERIES = 4
"""Cache entries one market and interval needs: its candles, its indicators, and room for a reader's choice of them."""
_MEGABYTE = 1024 * 1024
_MB = 1_000_000
_SWITCH_S = 0.0003
"""How long a thread that makes a page may keep one waiting that has an answer to give; Python's own is 5 ms."""

log = logging.getLogger("app")


@dataclass(frozen=True, slots=True)
class Worker:
    """One of several processes on one socket. `channel` is where the one with the feed tells the others."""

    number: int
    channel: Path


@dataclass(frozen=True, slots=True)
class Parts:
    """What `create_app` built and `main` starts, ends or watches."""

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
    watch: alerts.Watch
    recorder: MinuteRecorder
    profiles: ProfileRecorder
    services: Services


def create_app(settings: Settings | None = None, *, clock: Clock | None = None, worker: Worker | None = None) -> Flask:
    """The whole application, wired once, with nothing running yet: no thread, no network."""
    settings = settings or load_settings()
    clock = clock or SystemClock()
    parts = assemble(settings, clock, worker)
    app = Flask(__name__, static_folder=None)
    app.extensions[EXTENSION] = parts.services
    app.extensions[PARTS] = parts
    watch(parts)
    app.config["COMPRESS_ALGORITHM"] = ["zstd", "br", "gzip"]
    app.config["COMPRESS_BR_LEVEL"] = 4
    app.config["COMPRESS_ZSTD_LEVEL"] = 3
    Compress(app)
    register(app, asset_base_url=settings.asset_base_url)
    alerts.install(app, parts.watch)
    app.extensions[WORKER_METRICS] = metrics.install(
        app,
        performance_monitor,
        parts.services,
        token=settings.metrics_token,
        guarded=bool(settings.dashboard_password),
        folder=settings.instance_path / "metrics" if settings.workers > 1 else None,
    )
    app.extensions[AT_ONCE] = answer_stored(app, parts.services.pages).at_once
    secure(
        app,
        secret_key=install_secret(settings),
        trusted_hosts=settings.trusted_hosts,
        password=settings.dashboard_password,
        clock=clock,
        sessions=shared_sessions(settings, clock),
        workers=settings.workers,
        asset_base_url=settings.asset_base_url,
    )
    profiling.install(app, parts.profiles)
    parts.services.budgets.update(budgets_of(app))
    parts.connection.when_ready(partial(warm_up, app))
    observe_requests(app, performance_monitor, parts.access_log if settings.enable_performance_logging else None)
    return app


def shared_sessions(settings: Settings, clock: Clock) -> SharedSessionStore | None:
    """Where several processes ask for the password, whoever is logged in at one is at all."""
    if settings.workers == 1 or not settings.dashboard_password:
        return None
    return SharedSessionStore(settings.instance_path / "sessions", clock, idle_s=IDLE_S)


def assemble(settings: Settings, clock: Clock, worker: Worker | None = None) -> Parts:
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
    feed_view = FeedView(feed)
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
        scheduler=settings.dask_scheduler,
    )

    results = ResultStore(database)
    retrainer = Retrainer(
        schedules=ScheduleStore(database),
        runner=training,
        registry=registry,
        promotion=promotion,
        results=results,
        followed=lambda: market.symbols,
        clock=clock,
    )
    training.look_after(retrainer.tick)

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
        renew=begin_anew,
    )
    forecaster = Forecaster(
        registry=registry,
        model_cache=model_cache,
        batch_size=settings.batch_size,
        max_workers=settings.max_workers,
        clock=gateway.clock,
        beside=partial(_known_candles, market),
        followings=ledger.followings,
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
        feed=feed_view,
        training=training,
        promotion=promotion,
        ensembles=Ensembles(registry=registry, skill=ledger.skill),
        results=results,
        retrainer=retrainer,
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
        feed=feed_view,
        ledger=ledger,
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
        access_log=AccessLog(log_folder(settings, worker), secrets=secrets_of(settings)),
        recorder=recorder,
        profiles=ProfileRecorder(ProfileStore(settings.instance_path / "profiles"), clock),
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
        "forecaster": parts.services.forecaster.stats,
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


def serve(settings: Settings, listener: socket.socket, worker: Worker | None = None) -> None:
    """Serves until the process is asked to end, then ends every part in the opposite order of its start."""
    secrets = secrets_of(settings)
    with ExitStack() as running:
        logs = start_logging(level=settings.log_level, secrets=secrets, folder=log_folder(settings, worker))
        running.callback(logs.close)
        app = create_app(settings, worker=worker)
        parts: Parts = app.extensions[PARTS]
        running.callback(parts.database.close)
        chosen = background(settings, parts)
        if worker is None:
            chosen += leading(settings, parts)
            say_where(listener)
        else:
            chosen += [led(app, settings, worker), app.extensions[WORKER_METRICS]]
        for part in chosen:
            part.start()
            running.callback(part.close)
        run_server(settings, app, listener)


def run_server(settings: Settings, app: Flask, listener: socket.socket) -> None:
    """Answers requests until this thread is interrupted, with the server that is chosen; its library is loaded here."""
    if chosen_server(settings.server) == "granian":
        from utils.web_server import WebServer

        sys.setswitchinterval(_SWITCH_S)
        WebServer(
            app,
            listener,
            threads=settings.max_workers,
            most_body_bytes=MAX_REQUEST_BYTES,
            at_once=app.extensions[AT_ONCE],
        ).run()
        return
    import waitress

    waitress.serve(
        app,
        sockets=[listener],
        threads=settings.max_workers,
        max_request_body_size=MAX_REQUEST_BYTES,
        ident=None,
        clear_untrusted_proxy_headers=True,
        _quiet=True,
    )


def chosen_server(asked: str) -> str:
    """`auto`: granian where there is a Unix and it is installed; on Windows our way of using it has not been tried."""
    if asked != "auto":
        return asked
    return "granian" if os.name == "posix" and find_spec("granian") is not None else "waitress"


def say_where(listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    print(f"Serving on http://{shown}:{port} (Ctrl+C ends it)", flush=True)


def log_folder(settings: Settings, worker: Worker | None) -> Path:
    """Each worker writes and rotates files of its own."""
    return settings.instance_path / "logs" / (f"worker-{worker.number}" if worker else "")


def background(settings: Settings, parts: Parts) -> list[Part]:
    """The parts with threads of their own that every process has, in the order in which they start."""
    chosen: list[Part] = [] if parts.shared_cache is None else [parts.shared_cache]
    chosen.append(parts.profiles)
    if settings.enable_performance_logging:
        chosen += [parts.access_log, parts.recorder, performance_monitor]
    if settings.enable_memory_monitoring:
        chosen.append(parts.memory_guard)
    return chosen


def leading(settings: Settings, parts: Parts) -> list[Part]:
    """Those that a dashboard has once, however many processes answer requests."""
    chosen: list[Part] = [parts.scorekeeper, parts.connection, parts.training]
    return [*chosen, parts.watch] if settings.enable_performance_logging else chosen


def led(app: Flask, settings: Settings, worker: Worker) -> Leadership:
    """What this worker does beside answering: everything that is done once, or to hear of it from who does."""
    parts: Parts = app.extensions[PARTS]
    side = MarketSide(parts.market, parts.connection, parts.gateway, parts.feed)

    def look() -> None:
        parts.training.look()
        parts.watch.alerts.wake()

    teller = MarketTeller(worker.channel, side, more=lambda: {"ledger": parts.ledger.changes}, on_look=look)
    follower = MarketFollower(worker.channel, side, on_more=lambda more: parts.ledger.told_changes(more["ledger"]))

    def changed(response: Response) -> Response:
        if request.method == "POST":
            follower.look()
        return response

    app.after_request(changed)
    lock = settings.instance_path / "leader.lock"
    return Leadership(lock, follow=follower, lead=[*leading(settings, parts), teller])


def begin_anew() -> None:
    """This worker knows another market than the one that is there now: it ends, and another takes its place."""
    log.warning("the market is another than before; this process begins anew")
    os.kill(os.getpid(), signal.SIGTERM)


def supervise(settings: Settings, listener: socket.socket) -> None:
    """Several workers on one socket, until this process is asked to end."""
    if os.name != "posix":
        raise ConfigError(f"WORKERS is {settings.workers}; more than one process needs a Unix: set WORKERS=1")
    sessions = shared_sessions(settings, SystemClock())
    if sessions is not None:
        sessions.clear()
    with TemporaryDirectory(prefix="dashboard-") as folder:
        channel = Path(folder) / "feed"
        here = ["--host", settings.host, "--port", str(settings.port), "--socket", str(listener.fileno())]
        processes = WorkerProcesses(
            lambda number, lifeline: [
                *[sys.executable, str(Path(__file__).resolve()), *here, "--channel", str(channel)],
                *["--worker", str(number), "--lifeline", str(lifeline)],
            ],
            count=settings.workers,
            handles=[listener.fileno()],
            timer=SystemClock().monotonic,
            say=lambda words: print(words, file=sys.stderr, flush=True),
        )
        say_where(listener)
        processes.run()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Serve the dashboard to a browser on this machine.")
    parser.add_argument("--host", help="address to serve on (HOST)")
    parser.add_argument("--port", help="port to serve on (PORT)")
    for name, kind in (("--socket", int), ("--worker", int), ("--lifeline", int), ("--channel", Path)):
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)  # said by ourselves, to a worker
    options = parser.parse_args(arguments)
    given = {name: text for name in ("host", "port") if (text := getattr(options, name)) is not None}
    try:
        settings = load_settings(**given)
        check_bind(settings.host, settings.dashboard_password)
        inherited = options.socket is not None
        listener = socket.socket(fileno=options.socket) if inherited else listen(settings.host, settings.port)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, end)
    hold_less()
    with listener:
        try:
            if options.worker is not None:
                end_with_parent(options.lifeline)
                serve(settings, listener, Worker(options.worker, options.channel))
            elif settings.workers > 1:
                supervise(settings, listener)
            else:
                serve(settings, listener)
        except DashboardError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


def end(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
