"""Start-up: checks what must be right and warms what can be warmed, each step timed.

`python startup_optimizer.py [--json]` does it once, by itself, before a start or a deploy; the application does the
same with its own parts while it already answers. The exit code is 1 if something that must work does not, 2 if a
setting, its folder or its address does not fit.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

import download_assets
from config import Settings, load_settings
from data.candles import Candles
from data.interval import Interval
from data.symbol import Symbol
from models.forecast import Forecast, NoForecast
from models.registry import Registry
from models.registry_entry import RegistryEntry, Status
from utils.asset_host import AssetHost
from utils.end_signals import leave_after
from utils.errors import ModelError, NotFound, NotReady
from utils.logs import start_logging
from utils.model_cache import model_cache
from utils.model_utils import predict_batches
from utils.phrases import some
from utils.start_checks import (
    SharedCache,
    check_address,
    check_alerts,
    check_asset_host,
    check_redis,
    check_storage,
)
from utils.start_steps import Outcome, Result, Step, report, table, timed

ASSETS = Path(__file__).resolve().parent / "static" / "vendor"
CONNECT_TIMEOUT_S = 60.0
OK, NOT_READY = 200, 503
_NAMED = 3
"""Of what is missing, so many are told by name."""

Render = Callable[[str], tuple[int, int]]
"""From an address to (status, bytes sent)."""


class Market(Protocol):
    @property
    def symbols(self) -> tuple[Symbol, ...]: ...
    @property
    def known(self) -> tuple[Symbol, ...]: ...
    @property
    def intervals(self) -> tuple[Interval, ...]: ...
    def candles(self, symbol: Symbol, interval: Interval, limit: int | None = None) -> Candles: ...


class Forecasts(Protocol):
    def models(self, interval: Interval) -> Sequence[Any]: ...
    def answers(self, candles: Sequence[Candles]) -> Sequence[Forecast | NoForecast]: ...


class Connection(Protocol):
    @property
    def waiting_for(self) -> str: ...
    @property
    def exchange(self) -> Any: ...
    def start(self) -> None: ...
    def wait(self, timeout_s: float) -> bool: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What there is to warm. `render` answers a page, or is None where there are no pages."""

    registry: Registry
    market: Market
    indicators: Callable[[Candles], Any]
    forecaster: Forecasts
    render: Render | None = None
    shared_cache: SharedCache | None = None
    asset_host: AssetHost | None = None


def optimize(parts: Parts, timer: Callable[[], float] = time.perf_counter) -> list[Step]:
    """Loads every model, computes every indicator and forecast, renders every page, of what the market holds now."""
    held: list[Candles] = []
    steps = [
        timed("models", lambda: check_models(parts.registry), timer),
        timed("candles", lambda: read_candles(parts.market, held), timer),
        timed("indicators", lambda: compute_indicators(parts.indicators, shown_first(held)), timer),
        timed("forecasts", lambda: forecast(parts.forecaster, held), timer),
    ]
    if parts.render is not None:
        render = parts.render
        steps.append(timed("pages", lambda: render_pages(render, parts.market), timer))
    return steps


def check_assets(folder: Path = ASSETS) -> Outcome:
    """Pages work without these files, only plainer."""
    problems = download_assets.check(folder)
    if problems:
        return Result.WARNING, f"{problems[0]} (and {len(problems) - 1} more): run `python download_assets.py`"
    return Result.OK, f"{len(download_assets.ASSETS)} files are those that were pinned"


def check_models(registry: Registry) -> Outcome:
    """Hash, load and one prediction of each. A broken model is a warning, the only one too: pages then say why they
    show no forecast, and the models' page is where it is mended."""
    entries = [entry for entry in registry.all() if entry.status is not Status.UNSUPPORTED]
    if not entries:
        return Result.WARNING, f"no model in {registry.path}; pages show no forecast until one is trained"
    problems = {entry.id: reason for entry in entries if (reason := _problem(entry))}
    told = "; ".join(f"{name}: {reason}" for name, reason in problems.items())
    if len(problems) == len(entries):
        return Result.WARNING, f"no model can be used, so pages show no forecast until one is trained: {told}"
    works = f"{len(entries) - len(problems)} of {len(entries)} verified, loaded and tried"
    return (Result.WARNING, f"{works}; {told}") if problems else (Result.OK, works)


def read_candles(market: Market, held: list[Candles]) -> Outcome:
    """Puts the candles of every followed market into `held`."""
    wanted = [(symbol, interval) for interval in market.intervals for symbol in market.symbols]
    missing = []
    for symbol, interval in wanted:
        try:
            held.append(market.candles(symbol, interval))
        except (NotFound, NotReady):
            missing.append(f"{symbol} {interval}")
    rows = sum(map(len, held))
    told = f"{rows} candles of {len(held)} of {len(wanted)} series"
    return (Result.WARNING, f"{told}; none yet of {some(missing, _NAMED)}") if missing else (Result.OK, told)


def shown_first(held: Sequence[Candles]) -> list[Candles]:
    """Those of the interval that pages show first: the others' indicators are computed when somebody looks."""
    return [candles for candles in held if candles.interval == held[0].interval]


def compute_indicators(indicators: Callable[[Candles], Any], held: Sequence[Candles]) -> Outcome:
    columns = [len(indicators(candles).names) for candles in held]
    return Result.OK, f"{sum(columns)} columns of {len(columns)} series"


def forecast(forecaster: Forecasts, held: Sequence[Candles]) -> Outcome:
    """One batch per interval. An interval that nobody has trained a model for is told, and is no failure; a market that
    a model could not forecast is a warning with its reason."""
    told, result = [], Result.OK
    for interval in dict.fromkeys(candles.interval for candles in held):
        if not forecaster.models(interval):
            told.append(f"{interval} has no usable model")
            continue
        answers = forecaster.answers([candles for candles in held if candles.interval is interval])
        without = [one for one in answers if isinstance(one, NoForecast)]
        told.append(f"{interval} {len(answers) - len(without)} of {len(answers)} markets")
        if without:
            result = Result.WARNING
            told[-1] += f" ({without[0].symbol}: {without[0].reason})"
    return result, ", ".join(told) or "nothing to forecast yet"


def render_pages(render: Render, market: Market) -> Outcome:
    """Every page once. 503 is the right answer of a page whose candles are not there yet."""
    answers = {path: render(path) for path in page_paths(market)}
    missing = [f"{path} answered {status}" for path, (status, _) in answers.items() if status != OK]
    broken = any(status not in (OK, NOT_READY) for status, _ in answers.values())
    size_bytes = sum(size for _, size in answers.values())
    told = f"{len(answers) - len(missing)} pages, {size_bytes / 1024:.0f} KB compressed"
    if not missing:
        return Result.OK, told
    return (Result.FAILED if broken else Result.WARNING), f"{told}; {some(missing, _NAMED)}"


def page_paths(market: Market) -> Iterator[str]:
    yield "/"
    yield "/performance"
    for symbol in market.known:
        yield f"/symbol/{symbol}"


def connect(connection: Connection, *, named: bool, timeout_s: float = CONNECT_TIMEOUT_S) -> Outcome:
    """Waits for the exchange and the candles. One that was asked for by name must be there; else it is a warning."""
    connection.start()
    if connection.wait(timeout_s):
        return Result.OK, f"candles from {connection.exchange.name}"
    reason = f"after {timeout_s:.0f} s still waiting for {connection.waiting_for}"
    return (Result.FAILED if named else Result.WARNING), reason


def _problem(entry: RegistryEntry) -> str:
    """Why the model cannot be used; empty if it answered."""
    if entry.status is not Status.OK or entry.spec is None:
        return entry.reason
    spec = entry.spec
    window = np.zeros((1, spec.window, len(spec.features)), dtype=np.float32)
    try:
        session = model_cache.get(entry.id, entry.digest, entry.open)
        answer = predict_batches(session, window, 1)
    except ModelError as error:
        return str(error)
    wanted = (1, len(spec.horizons), len(spec.quantiles))
    if answer.shape != wanted or not np.isfinite(answer).all():
        return f"a prediction has shape {answer.shape} or is not finite; the spec promises {wanted}"
    return ""


Build = Callable[[Settings], AbstractContextManager[tuple[Parts, Connection]]]
"""Makes the application's parts and closes them again."""


def run(settings: Settings, build: Build, *, timeout_s: float = CONNECT_TIMEOUT_S) -> list[Step]:
    """Everything, in order, with parts of its own; no further than the parts where these cannot be made."""
    steps = [timed("assets", check_assets)]
    if settings.alert_targets:
        steps.append(timed("alerts", lambda: check_alerts(settings.alert_targets)))
    made: list[tuple[Parts, Connection]] = []
    with ExitStack() as building:

        def make() -> Outcome:
            made.append(building.enter_context(build(settings)))
            return Result.OK, "opened, its tables are those of this version"

        steps.append(timed("database", make))
        if made:
            named = settings.exchange not in ("auto", "simulated")
            steps += _with_parts(*made[0], named=named, timeout_s=timeout_s)
    return steps


def _with_parts(parts: Parts, connection: Connection, *, named: bool, timeout_s: float) -> list[Step]:
    shared = parts.shared_cache
    steps = [] if shared is None else [timed("redis", lambda: check_redis(shared))]
    if (host := parts.asset_host) is not None:
        steps.append(timed("asset host", lambda: check_asset_host(host)))
    steps.append(timed("exchange", lambda: connect(connection, named=named, timeout_s=timeout_s)))
    return steps + optimize(parts)


def of_application(create_app: Callable[[Settings], Any], renderer: Callable[[Any], Render]) -> Build:
    """Parts as the application wires them; handed in, since this floor lies below it."""

    @contextmanager
    def build(settings: Settings) -> Iterator[tuple[Parts, Connection]]:
        app = create_app(settings)
        own, services = app.extensions["parts"], app.extensions["services"]
        parts = Parts(
            registry=services.registry,
            market=services.market,
            indicators=services.indicators,
            forecaster=services.forecaster,
            render=renderer(app),
            shared_cache=own.shared_cache,
            asset_host=own.asset_host,
        )
        try:
            yield parts, own.connection
        finally:
            own.connection.close()
            own.database.close()

    return build


def main(arguments: Sequence[str] | None, build: Build, refuse: Callable[[str, str], None]) -> int:
    """`refuse` is asked whether the address may be served at all, with the host and the password."""
    parser = argparse.ArgumentParser(
        description="Check and warm everything the dashboard needs, and say how long it took."
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--timeout", type=float, default=CONNECT_TIMEOUT_S, help="seconds to wait for the exchange")
    options = parser.parse_args(arguments)
    settings, steps = before_anything(refuse)
    wrong = settings is None or any(step.result is Result.FAILED for step in steps)
    if settings is not None and not wrong:
        logs = start_logging(level=settings.log_level, folder=settings.instance_path / "logs", console=None)
        try:
            steps += run(settings, build, timeout_s=options.timeout)
        finally:
            logs.close()
    print(json.dumps(report(steps)) if options.json else table(steps))
    return 2 if wrong else 0 if report(steps)["ok"] else 1


def before_anything(refuse: Callable[[str, str], None]) -> tuple[Settings | None, list[Step]]:
    """The settings, the folder they name and the address; None where the settings themselves are wrong."""
    known: list[Settings] = []

    def settle() -> Outcome:
        known.append(load_settings())
        return Result.OK, "every setting fits"

    settled = timed("configuration", settle)
    if not known:
        return None, [settled]
    settings = known[0]
    storage = timed("storage", lambda: check_storage(settings.instance_path))
    address = timed(
        "address",
        lambda: check_address(settings.host, settings.port, password=settings.dashboard_password, refuse=refuse),
    )
    return settings, [settled, storage, address]


if __name__ == "__main__":
    from app import create_app
    from routes.security import check_bind
    from routes.warm_pages import page_renderer

    leave_after(partial(main, None, of_application(create_app, page_renderer), check_bind))
