"""Forecaster: the latest forecast of many markets, one batch per model, computed once per closed candle."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from data.candles import Candles
from data.interval import Interval
from data.symbol import Symbol
from models.baseline import naive_log_returns
from models.inputs import INPUTS, input_matrix
from models.registry import Registry, RegistryEntry
from models.samples import cut, known_sigma, usable_ends
from models.spec import ModelSpec
from utils.clock import Clock
from utils.errors import ModelError, SchemaMismatch
from utils.model_cache import ModelCache
from utils.model_utils import predict_batches

Floats = NDArray[np.float64]
_KEPT = 4096
"""Forecasts kept, of about 4 KB each."""


@dataclass(frozen=True)
class Forecast:
    """Quantiles of the coming log returns of one market, made from its closed candles alone."""

    model_id: str
    model_digest: str
    symbol: Symbol
    interval: Interval
    candles_digest: str
    last_open_time_ms: int
    last_close: float
    sigma: float
    """EWMA volatility per candle of log returns."""
    made_at_ms: int
    quantiles: tuple[float, ...]
    horizons: tuple[int, ...]
    """Candles ahead."""
    log_returns: Floats = field(repr=False)
    """(h, q) from the last close."""
    baseline_log_returns: Floats = field(repr=False)
    """(h, q) of the naive forecast."""

    @cached_property
    def prices(self) -> Floats:
        """(h, q) in the quote asset."""
        return np.asarray(self.last_close * np.exp(self.log_returns))

    @cached_property
    def baseline_prices(self) -> Floats:
        """(h, q) in the quote asset."""
        return np.asarray(self.last_close * np.exp(self.baseline_log_returns))


@dataclass(frozen=True, slots=True)
class NoForecast:
    """Why a market has none."""

    symbol: Symbol
    reason: str


@dataclass(frozen=True, slots=True)
class _Ready:
    """One market's model input: its last window (1, window, features) and what turns the answer into returns."""

    candles: Candles
    window: NDArray[np.float32]
    sigma: float


class Forecaster:
    """Thread-safe. The newest usable model of each interval serves all markets of that interval."""

    def __init__(
        self, *, registry: Registry, model_cache: ModelCache, batch_size: int, max_workers: int, clock: Clock
    ) -> None:
        self._registry = registry
        self._cache = model_cache
        self._batch_size = batch_size
        self._max_workers = max_workers
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str], Forecast | NoForecast] = OrderedDict()

    def forecast_all(self, candles: Sequence[Candles]) -> dict[Symbol, Forecast]:
        """The forecasts of these markets (of one interval each); a market that cannot have one is left out."""
        answers = self.answers(candles)
        return {answer.symbol: answer for answer in answers if isinstance(answer, Forecast)}

    def forecast(self, candles: Candles) -> Forecast | None:
        """None where there is none; `answer` says why."""
        answer = self.answer(candles)
        return answer if isinstance(answer, Forecast) else None

    def answer(self, candles: Candles) -> Forecast | NoForecast:
        """The forecast, or why there is none."""
        return self.answers([candles])[0]

    def answers(self, candles: Sequence[Candles]) -> list[Forecast | NoForecast]:
        """One answer per market, in the order given; a model that cannot be used is a reason, not an error."""
        entries = {interval: self._registry.default(interval) for interval in {one.interval for one in candles}}
        keys = [(_digest(entries[one.interval]), one.digest) for one in candles]
        with self._lock:
            known = {key: self._kept[key] for key in keys if key in self._kept}
        fresh: dict[tuple[str, str], Forecast | NoForecast] = {}
        for interval, entry in entries.items():
            todo = [
                one for key, one in zip(keys, candles, strict=True) if one.interval is interval and key not in known
            ]
            fresh.update(self._computed(entry, todo))
        self._keep({key: answer for key, answer in fresh.items() if key[0]})
        return [known.get(key) or fresh[key] for key in keys]

    def clear(self) -> None:
        """Forgets every kept forecast, for instance under memory pressure; they are computed again when asked for."""
        with self._lock:
            self._kept.clear()

    def _computed(
        self, entry: RegistryEntry | None, markets: Sequence[Candles]
    ) -> dict[tuple[str, str], Forecast | NoForecast]:
        if not markets:
            return {}
        digests = [(_digest(entry), candles.digest) for candles in markets]
        if entry is None or entry.spec is None:
            reasons = [f"there is no model for {candles.interval} candles yet; train one" for candles in markets]
            return dict(zip(digests, map(NoForecast, (one.symbol for one in markets), reasons), strict=True))
        try:
            answers = self._run(entry, entry.spec, markets)
        except ModelError as error:  # not kept for long: the registry entry changes when the model is repaired
            return dict(zip(digests, (NoForecast(one.symbol, str(error)) for one in markets), strict=True))
        return dict(zip(digests, answers, strict=True))

    def _run(self, entry: RegistryEntry, spec: ModelSpec, markets: Sequence[Candles]) -> list[Forecast | NoForecast]:
        check_features(spec)
        session = self._cache.get(entry.id, entry.digest, entry.open)
        if tuple(session.output_shape[1:]) != spec.baseline_array.shape:
            raise SchemaMismatch(
                f"model {spec.id!r} answers {session.output_shape}, its spec says otherwise; train it again"
            )
        prepared = [prepare(spec, candles) for candles in markets]
        ready = [one for one in prepared if isinstance(one, _Ready)]
        if not ready:
            return [one for one in prepared if isinstance(one, NoForecast)]
        windows = np.concatenate([one.window for one in ready])
        scaled = iter(predict_batches(session, windows, self._batch_size, self._max_workers))
        made_at_ms = self._clock.now_ms()
        return [
            one if isinstance(one, NoForecast) else _forecast(entry, spec, one, next(scaled), made_at_ms)
            for one in prepared
        ]

    def _keep(self, fresh: dict[tuple[str, str], Forecast | NoForecast]) -> None:
        with self._lock:
            self._kept.update(fresh)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)


def check_features(spec: ModelSpec) -> None:
    """SchemaMismatch where the model wants features that this version does not compute."""
    if unknown := [name for name in spec.features if name not in INPUTS]:
        raise SchemaMismatch(
            f"model {spec.id!r} wants {', '.join(unknown)}, which this version does not compute; train it again"
        )


def prepare(spec: ModelSpec, candles: Candles) -> _Ready | NoForecast:
    """The model's input from the newest candles alone, or why it cannot be made."""
    recent = candles.tail(spec.history)
    if not spec.serves(candles.symbol):
        return NoForecast(candles.symbol, f"model {spec.id!r} serves {', '.join(spec.symbols)} only")
    if len(recent) < spec.history:
        return NoForecast(candles.symbol, f"{len(recent)} of {spec.history} closed candles are there")
    features = input_matrix(recent, spec.features)
    sigma = float(known_sigma(recent, spec.sigma_half_life)[-1])
    ends = usable_ends(recent, features, spec.window, spec.warm_up)
    if not np.isfinite(sigma):
        return NoForecast(candles.symbol, "the price has not moved: no volatility to scale a forecast with")
    if not len(ends) or ends[-1] != len(recent) - 1:
        return NoForecast(candles.symbol, _why_not(recent, spec.window))
    return _Ready(candles, cut(features, ends[-1:], spec.window), sigma)


def _why_not(recent: Candles, window: int) -> str:
    holes = recent.tail(window).holes()
    if holes:
        missing = sum((after - first) // recent.interval.ms for first, after in holes)
        return f"{missing} candles are missing among the newest {window}: a hole is not guessed over"
    return f"a feature cannot be computed within the newest {window} candles"


def _forecast(
    entry: RegistryEntry, spec: ModelSpec, ready: _Ready, scaled: NDArray[np.float32], made_at_ms: int
) -> Forecast:
    candles = ready.candles
    log_returns = scaled.astype(np.float64) * ready.sigma
    baseline = naive_log_returns(spec.baseline_array, ready.sigma)
    log_returns.flags.writeable = baseline.flags.writeable = False
    return Forecast(
        model_id=entry.id,
        model_digest=entry.digest,
        symbol=candles.symbol,
        interval=candles.interval,
        candles_digest=candles.digest,
        last_open_time_ms=candles.last_open_time_ms,
        last_close=candles.last_close,
        sigma=ready.sigma,
        made_at_ms=made_at_ms,
        quantiles=spec.quantiles,
        horizons=spec.horizons,
        log_returns=log_returns,
        baseline_log_returns=baseline,
    )


def _digest(entry: RegistryEntry | None) -> str:
    return entry.digest if entry is not None else ""
