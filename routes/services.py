"""Services: every part of the running application in one frozen value, and the faces the pages ask of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import numpy as np
from flask import current_app
from numpy.typing import NDArray

from data.candles import Candle, Candles
from data.interval import Interval
from data.symbol import Symbol
from data.ticker import Ticker
from utils.cache_clearing import CacheClearing
from utils.clock import Clock
from utils.last_known import LastKnown

if TYPE_CHECKING:
    from config import Settings
    from models.forecast import Mix, Novelty, Stretch
    from models.ledger_chain import Verification
    from models.ledger_mixes import Weighing
    from models.ledger_scores import Latest, LedgerModel
    from models.ledger_sums import Bands, Detail
    from models.speeds import ModelSpeeds
    from routes.budgets import Budget
    from utils.response_cache import ResponseCache
    from utils.worker_reports import WorkerReports

T = TypeVar("T")

EXTENSION = "services"
"""The key in `app.extensions`."""


class ExchangeFace(Protocol):
    """Where the candles come from; a simulated one says so in `notice`."""

    @property
    def name(self) -> str: ...
    @property
    def simulated(self) -> bool: ...
    @property
    def notice(self) -> str: ...


class ConnectionFace(Protocol):
    """The way to the exchange, which is chosen while pages are already served; `waiting_for` is empty once ready."""

    @property
    def exchange(self) -> ExchangeFace: ...
    @property
    def ready(self) -> bool: ...
    @property
    def waiting_for(self) -> str: ...


class FreshnessFace(Protocol):
    """`state` is live, late, stale or empty; `age_s` seconds since the newest news, None while empty."""

    @property
    def age_s(self) -> float | None: ...
    @property
    def state(self) -> str: ...


class MarketFace(Protocol):
    """The followed markets, from memory."""

    @property
    def symbols(self) -> tuple[Symbol, ...]: ...
    @property
    def intervals(self) -> tuple[Interval, ...]: ...
    def candles(self, symbol: Symbol, interval: Interval, limit: int | None = None) -> Candles: ...
    def stored(self, symbol: Symbol, interval: Interval, start_ms: int, end_ms: int, most: int) -> Candles: ...
    def forming(self, symbol: Symbol, interval: Interval) -> Candle | None: ...
    def ticker(self, symbol: Symbol) -> Ticker | None: ...
    def version(self, symbol: Symbol, interval: Interval) -> str: ...
    def changes(self, interval: Interval) -> str: ...
    def freshness(self, symbol: Symbol, interval: Interval) -> FreshnessFace: ...
    def problem(self, symbol: Symbol, interval: Interval) -> str: ...
    @property
    def unknown(self) -> tuple[Symbol, ...]: ...


class IndicatorsFace(Protocol):
    """Columns of one set of candles, NaN while warming up."""

    @property
    def names(self) -> Sequence[str]: ...
    def column(self, name: str) -> NDArray[np.float64]: ...


class ForecastFace(Protocol):
    """Prices of shape (horizons, quantiles), and those of the naive forecast."""

    @property
    def model_id(self) -> str: ...
    @property
    def model_digest(self) -> str: ...
    @property
    def symbol(self) -> Symbol: ...
    @property
    def interval(self) -> Interval: ...
    @property
    def last_open_time_ms(self) -> int: ...
    @property
    def last_close(self) -> float: ...
    @property
    def sigma(self) -> float: ...
    @property
    def made_at_ms(self) -> int: ...
    @property
    def quantiles(self) -> Any: ...
    @property
    def horizons(self) -> Any: ...
    @property
    def prices(self) -> NDArray[Any]: ...
    @property
    def baseline_prices(self) -> NDArray[Any]: ...
    @property
    def stretch(self) -> Stretch | None: ...
    @property
    def novelty(self) -> Novelty | None: ...
    @property
    def mix(self) -> Mix | None: ...
    @property
    def record(self) -> str: ...


class ForecasterFace(Protocol):
    """`answers` gives one forecast per market by the model that serves or the one named, or a value whose `reason` says
    why there is none; `every` gives all there are by any model; `models` are entries of the registry and of ensembles
    (those that serve the market, where one is named), the serving one first.
    """

    def answers(self, candles: Sequence[Candles], model_id: str | None = None) -> Sequence[Any]: ...
    def every(self, candles: Sequence[Candles]) -> Sequence[Any]: ...
    def models(self, interval: Interval, symbol: Symbol | None = None) -> Sequence[Any]: ...
    def forecast_all(self, candles: Sequence[Candles]) -> Mapping[Symbol, Any]: ...
    def held(self) -> tuple[int, int]: ...
    def kept_stats(self) -> Any: ...
    def stats(self) -> Any: ...


class SkillFace(Protocol):
    """The live score of a model against "no change"; fractions, None or NaN while nothing was scored."""

    @property
    def count(self) -> int: ...
    @property
    def blocks(self) -> int: ...
    @property
    def skill_fraction(self) -> float | None: ...
    @property
    def skill_standard_error(self) -> float | None: ...
    @property
    def coverage_50(self) -> float | None: ...
    @property
    def coverage_90(self) -> float | None: ...


class LedgerFace(Protocol):
    """The record of all forecasts: scores by model, market and horizon, and whether it is whole; see models.ledger."""

    def skill(
        self,
        *,
        model_id: str,
        symbol: Symbol | None = None,
        horizon: int | None = None,
        interval: Interval | None = None,
        digest: str | None = None,
    ) -> SkillFace: ...
    def skills(
        self,
        *,
        model_id: str,
        symbols: Sequence[Symbol],
        horizon: int | None = None,
        interval: Interval | None = None,
        digest: str | None = None,
    ) -> Mapping[Symbol, SkillFace]: ...
    def skills_by_horizon(
        self,
        *,
        model_id: str,
        horizons: Sequence[int],
        symbols: Sequence[Symbol | None],
        interval: Interval | None = None,
        digest: str | None = None,
    ) -> Mapping[tuple[Symbol | None, int], SkillFace]: ...
    def bands(self, *, digest: str, symbol: Symbol | None, horizons: Sequence[int]) -> Mapping[int, Bands]: ...
    def models(self, interval: Interval) -> Sequence[LedgerModel]: ...
    def skills_of(
        self,
        records: Sequence[str],
        *,
        horizons: Sequence[int] = ...,
        symbols: Sequence[Symbol | None] = ...,
        interval: Interval | None = None,
    ) -> Mapping[tuple[str, Symbol | None, int], SkillFace]: ...
    def latest(self, models: Sequence[LedgerModel]) -> Mapping[int, Mapping[Symbol, Latest]]: ...
    def details(
        self, models: Sequence[LedgerModel], horizons: Iterable[int], points: int
    ) -> Mapping[tuple[int, int], Detail]: ...
    def weighings(self, record: str, limit: int = ...) -> Sequence[Weighing]: ...
    def against(self, record: str, other: str) -> SkillFace: ...
    def check(self, most: int = ...) -> Verification: ...
    def verify(self) -> Verification: ...
    @property
    def venue(self) -> str: ...
    @property
    def version(self) -> str: ...


class MonitorFace(Protocol):
    def get_system_info(self) -> dict[str, Any]: ...
    def get_metrics(self) -> dict[str, Any]: ...
    def span(self, name: str) -> AbstractContextManager[object]: ...
    def source(self, name: str) -> dict[str, Any]: ...
    def slowest(self) -> Sequence[Any]: ...


class DataCacheFace(Protocol):
    def get_or_load(
        self,
        key: Any,
        load: Callable[[], T],
        *,
        ttl_s: float | Callable[[T], float] | None = None,
        lane: tuple[Any, int] | None = None,
    ) -> T: ...


class StatusFace(Protocol):
    """A part that has a condition; the answer is a frozen dataclass."""

    def status(self) -> Any: ...


class FeedFace(StatusFace, Protocol):
    """The streams; `state` alone costs little, however many they are."""

    @property
    def state(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Made once by `create_app`; views ask for it with `services()` and hand parts on to what they call."""

    settings: Settings
    connection: ConnectionFace
    clock: Clock
    market: MarketFace
    indicators: Callable[[Candles], IndicatorsFace]
    forecaster: ForecasterFace
    ledger: LedgerFace
    monitor: MonitorFace
    data_cache: DataCacheFace
    pages: ResponseCache
    app_version: str
    started_at_ms: int
    registry: Any = None
    feed: FeedFace | None = None
    training: Any = None
    """models.training_runner.TrainingRunner"""
    promotion: Any = None
    """models.promotion.Promotion"""
    ensembles: Any = None
    """models.ensembles.Ensembles"""
    results: Any = None
    """models.result_store.ResultStore"""
    retrainer: Any = None
    """models.retrainer.Retrainer"""
    recorder: Any = None
    """utils.minute_recorder.MinuteRecorder"""
    speeds: ModelSpeeds | None = None
    workers: WorkerReports | None = None
    """What the other worker processes tell of themselves; None for a single process."""
    clearing: CacheClearing = field(default_factory=CacheClearing)
    """What empties each cache, by the monitor's name of it."""
    budgets: dict[str, Budget] = field(default_factory=dict)
    """What each route may cost, by the monitor's name of it; filled once the routes are known."""
    known: LastKnown = field(default_factory=LastKnown)
    """What the database said last, for pages that are read while it does not answer."""
    waiting: Callable[[], Sequence[str]] = tuple
    """What else must be in place before the application is ready, in words."""

    @property
    def exchange(self) -> ExchangeFace:
        return self.connection.exchange


def services() -> Services:
    """The parts of the current application."""
    return cast(Services, current_app.extensions[EXTENSION])
