"""Forecaster: the latest forecasts of many markets by every model, one batch per model, once per closed candle."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from data.candles import Candles
from data.interval import Interval
from data.symbol import Symbol
from models.baseline import naive_log_returns
from models.batch_record import BatchRecord, BatchStats
from models.champions import Champion, Champions, interval_of, members_of, serves
from models.conformal import stretched
from models.ensemble import combined
from models.ensemble_entry import EnsembleEntry, mixed
from models.following import Following, beginning
from models.forecast import Forecast as Forecast
from models.forecast import NoForecast as NoForecast
from models.forecast import Novelty, Stretch
from models.input_source import check_inputs
from models.joining import Joined
from models.kept_answers import Answer, AnswerKey, KeptAnswers, KeptStats
from models.novelty import Known, known_by, novelties
from models.registry import Registry, RegistryEntry
from models.spec import ModelSpec
from models.windows import Windows, newest_windows
from utils.clock import Clock
from utils.errors import InvalidInput, ModelError, SchemaMismatch, StoreError
from utils.model_cache import ModelCache
from utils.model_utils import Session, predict_batches

log = logging.getLogger(__name__)

_Job = tuple[RegistryEntry, Candles, Candles | None]
"""A model, a market, and the other market that the model looks at."""
Beside = Callable[[Symbol, Interval], Candles | None]
"""The newest candles of another market; None where it is not followed."""


def nobody(symbol: Symbol, interval: Interval) -> Candles | None:
    """For a forecaster that knows no market but those it is shown."""
    return None


class Forecaster:
    """Thread-safe. Every usable model forecasts the markets of its interval; the one chosen to serve comes first.

    Threads that ask at the same time share the work (models.joining); at most one of them per processor computes.
    How much history a market is computed from depends on the longest memory among the models asked together, and
    changes nothing a model could see: `ModelSpec.warm_up` is long enough.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        model_cache: ModelCache,
        batch_size: int,
        max_workers: int,
        clock: Clock,
        beside: Beside = nobody,
        followings: Callable[[str], Mapping[Symbol, Following]] | None = None,
    ) -> None:
        """`followings`: by a model's digest, the factors that stretch its bands; without it they stay the model's."""
        self._champions = Champions(registry)
        self._cache = model_cache
        self._batch_size = batch_size
        self._max_workers = max_workers
        self._clock = clock
        self._beside = beside
        self._followings = followings
        self._trained: dict[str, Known | None] = {}
        self._kept = KeptAnswers()
        self._models: frozenset[str] = frozenset()
        self._batches = BatchRecord()
        self._joined: Joined[AnswerKey, _Job, Answer] = Joined(self._computed, min(max_workers, os.cpu_count() or 1))

    def models(self, interval: Interval, symbol: Symbol | None = None) -> tuple[Champion, ...]:
        """What can forecast candles of this interval, or this market of it: what serves first, then the other models,
        then the other ensembles, by id."""
        champions = self._champions
        first = champions.of(interval) if symbol is None else champions.serving(interval, symbol)
        usable = [one for one in champions.all() if interval_of(one) is interval]
        others = [one for one in usable if symbol is None or serves(one, interval, symbol)]
        return (
            *([first] if first is not None else []),
            *(one for one in others if first is None or one.id != first.id),
        )

    def forecast_all(self, candles: Sequence[Candles]) -> dict[Symbol, Forecast]:
        """The forecasts of these markets (of one interval each) by the model that serves; a market that cannot have one
        is left out."""
        return {answer.symbol: answer for answer in self.answers(candles) if isinstance(answer, Forecast)}

    def forecast(self, candles: Candles) -> Forecast | None:
        """None where there is none; `answer` says why."""
        answer = self.answer(candles)
        return answer if isinstance(answer, Forecast) else None

    def answer(self, candles: Candles, model_id: str | None = None) -> Answer:
        """The forecast, or why there is none."""
        return self.answers([candles], model_id)[0]

    def answers(self, candles: Sequence[Candles], model_id: str | None = None) -> list[Answer]:
        """One answer per market, in the order given; a model that cannot be used is a reason, not an error.

        By what serves the market or its interval, or by the model or ensemble named: ModelNotFound where none is so
        named, InvalidInput where that one is of another interval.
        """
        intervals = {one.interval for one in candles}
        named = self._named(model_id, intervals) if model_id is not None else None
        own = self._champions.owners() if named is None else {}
        common = {interval: named or self._champions.of(interval) for interval in intervals}
        asked = [(own.get((one.interval, one.symbol), common[one.interval]), one) for one in candles]
        wanted = [(member, one) for chosen, one in asked for member in members_of(chosen)]
        jobs = self._jobs(wanted, candles)
        found = self._found({_key(job): job for job in jobs})
        by_place = {(job[0].id, job[1].digest): found[_key(job)] for job in jobs}
        return [_answer(chosen, one, by_place) for chosen, one in asked]

    def _named(self, model_id: str, intervals: set[Interval]) -> Champion:
        named = self._champions.named(model_id)
        if intervals - {interval_of(named)}:
            raise InvalidInput(
                f"model {named.id!r} forecasts {interval_of(named)} candles; take one of this interval, or none"
            )
        return named

    def every(self, candles: Sequence[Candles]) -> list[Forecast]:
        """All there is to forecast of these markets, by every usable model of their intervals, and every ensemble.

        One batch per model; what several models want to see of a market is computed once.
        """
        intervals = {one.interval for one in candles}
        entries = {interval: self.models(interval) for interval in intervals}
        plain = {interval: [one for one in entries[interval] if isinstance(one, RegistryEntry)] for interval in entries}
        asked = [(entry, one) for one in candles for entry in plain[one.interval] if _serves(entry, one)]
        jobs = self._jobs(asked, candles)
        answers = self._found({_key(job): job for job in jobs}).values()
        made = [answer for answer in answers if isinstance(answer, Forecast)]
        mixes = [one for found in entries.values() for one in found if isinstance(one, EnsembleEntry)]
        return made + [
            one for mix in mixes for one in combined(mix.ensemble, [one for one in made if mix.serves(one.symbol)])
        ]

    def stats(self) -> BatchStats:
        """The batches so far, and how many forecasts wait for a processor."""
        return self._batches.stats(self._joined.waiting)

    def held(self) -> tuple[int, int]:
        """(how many answers are kept, about how many bytes they take)."""
        return self._kept.held()

    def kept_stats(self) -> KeptStats:
        """How often a forecast was there when asked for."""
        return self._kept.stats()

    def clear(self) -> None:
        """Forgets every kept forecast, for instance under memory pressure; they are computed again when asked for."""
        self._kept.clear()

    def _jobs(self, asked: Sequence[tuple[RegistryEntry, Candles]], shown: Sequence[Candles]) -> list[_Job]:
        known: dict[tuple[Symbol, Interval], Candles | None] = {(one.symbol, one.interval): one for one in shown}

        def context(entry: RegistryEntry, interval: Interval) -> Candles | None:
            symbol = entry.spec.context if entry.spec is not None else None
            if symbol is None:
                return None
            if (symbol, interval) not in known:
                known[symbol, interval] = self._beside(symbol, interval)
            return known[symbol, interval]

        return [(entry, one, context(entry, one.interval)) for entry, one in asked]

    def _found(self, jobs: Mapping[AnswerKey, _Job]) -> dict[AnswerKey, Answer]:
        known = self._kept.find(jobs)
        missing = {key: job for key, job in jobs.items() if key not in known}
        return known | self._joined.get(missing) if missing else known

    def _computed(self, jobs: Mapping[AnswerKey, _Job]) -> dict[AnswerKey, Answer]:
        """Interval by interval; kept for whoever asks next."""
        answers: dict[AnswerKey, Answer] = {}
        for interval in {candles.interval for _, candles, _ in jobs.values()}:
            answers |= self._of_interval([job for job in jobs.values() if job[1].interval is interval])
        self._keep(answers, jobs)
        return answers

    def _keep(self, answers: Mapping[AnswerKey, Answer], jobs: Mapping[AnswerKey, _Job]) -> None:
        """Where a model is new, another may be gone: what it forecast goes too."""
        if not self._models.issuperset(key.model for key in answers):
            there = {entry.digest for entry in self._champions.registry.usable()}
            self._models = frozenset(there | {key.model for key in answers})
            self._kept.keep_only(self._models)
            for gone in self._trained.keys() - self._models:
                self._trained.pop(gone, None)
        lasting = {key: one for key, one in answers.items() if isinstance(one, Forecast) or one.lasting}
        self._kept.keep(lasting, {key: jobs[key][1] for key in lasting})

    def _of_interval(self, jobs: Sequence[_Job]) -> dict[AnswerKey, Answer]:
        entries = {entry.digest: entry for entry, _, _ in jobs}
        markets = {candles.digest: candles for _, candles, _ in jobs}
        contexts = {entry.digest: context for entry, _, context in jobs}
        opened: dict[str, tuple[ModelSpec, Session]] = {}
        refused: dict[str, str] = {}
        for digest, entry in entries.items():
            try:
                opened[digest] = self._opened(entry)
            except ModelError as error:
                refused[digest] = str(error)
        specs, beside = [spec for spec, _ in opened.values()], [contexts[digest] for digest in opened]
        windows = dict(zip(opened, newest_windows(specs, list(markets.values()), beside), strict=True))
        made = {
            digest: self._made(entries[digest], spec, session, windows[digest], list(markets.values()))
            for digest, (spec, session) in opened.items()
        }
        places = {digest: place for place, digest in enumerate(markets)}
        return {
            _key(job): NoForecast(job[1].symbol, refused[job[0].digest], lasting=False)
            if job[0].digest in refused
            else made[job[0].digest][places[job[1].digest]]
            for job in jobs
        }

    def _opened(self, entry: RegistryEntry) -> tuple[ModelSpec, Session]:
        """Of an entry that is ok. ModelError where it cannot be used all the same."""
        spec = entry.spec
        if spec is None:
            raise SchemaMismatch(f"model {entry.id!r} has no spec; train it again")
        check_inputs(spec)
        session = self._cache.get(entry.id, entry.digest, entry.open)
        if tuple(session.output_shape[1:]) != spec.baseline_array.shape:
            raise SchemaMismatch(
                f"model {spec.id!r} answers {session.output_shape}, its spec says otherwise; train it again"
            )
        return spec, session

    def _made(
        self, entry: RegistryEntry, spec: ModelSpec, session: Session, windows: Windows, markets: Sequence[Candles]
    ) -> dict[int, Answer]:
        """By the markets' places."""
        answers: dict[int, Answer] = dict(windows.reasons)
        if not windows.places:
            return answers
        started_s = self._clock.monotonic()
        try:
            scaled = predict_batches(session, np.concatenate(windows.blocks), self._batch_size, self._max_workers)
        except ModelError as error:
            return answers | {
                place: NoForecast(markets[place].symbol, str(error), lasting=False) for place in windows.places
            }
        self._batches.add(len(scaled), self._clock.monotonic() - started_s)
        shown = [markets[place] for place in windows.places]
        stretches = self._stretches(entry, spec, shown, scaled)
        strange = self._strange(entry, spec, windows)
        made = _forecasts(entry, spec, shown, windows, scaled, stretches, strange, self._clock.now_ms())
        return answers | dict(zip(windows.places, made, strict=True))

    def _strange(self, entry: RegistryEntry, spec: ModelSpec, windows: Windows) -> list[Novelty] | list[None]:
        """How far each market's newest inputs lie from what the model was trained on."""
        if entry.digest not in self._trained:
            self._trained[entry.digest] = known_by(entry)
        known = self._trained.get(entry.digest)
        if known is None:
            return [None] * len(windows.places)
        return novelties(known, np.concatenate([block[:, -1] for block in windows.blocks]), spec.features)

    def _stretches(
        self, entry: RegistryEntry, spec: ModelSpec, markets: Sequence[Candles], scaled: NDArray[np.float32]
    ) -> list[Stretch] | None:
        """By which factors each market's bands are stretched, from outcomes before its newest candle alone."""
        start = beginning(entry.report, spec.horizons, spec.quantiles)
        if start is None or self._followings is None:
            return None
        try:
            known = self._followings(entry.digest)
        except StoreError as error:
            log.warning("bands of %s begin anew, for their factors cannot be read: %s", entry.id, error)
            known = {}
        begun = Following.begun(start.factors)
        stretches = []
        for answer, candles in zip(scaled, markets, strict=True):
            following = known.get(candles.symbol, begun)
            factors = following.at(candles.last_open_time_ms)
            outcomes = 0 if factors is None else following.outcomes
            stretches.append(
                Stretch(answer, start.factors if factors is None else factors, start.factors, start.count, outcomes)
            )
        return stretches


def _forecasts(
    entry: RegistryEntry,
    spec: ModelSpec,
    markets: Sequence[Candles],
    windows: Windows,
    scaled: NDArray[np.float32],
    stretches: Sequence[Stretch] | None,
    strange: Sequence[Novelty | None],
    made_at_ms: int,
) -> Iterator[Forecast]:
    """From the model's answers (n, h, q) in units of sigma."""
    sigmas = np.array(windows.sigmas)
    log_returns = scaled.astype(np.float64) * sigmas[:, None, None]
    if stretches is not None:
        log_returns = stretched(log_returns, np.stack([one.factors for one in stretches]), spec.quantiles)
    baseline = naive_log_returns(spec.baseline_array, sigmas)
    log_returns.flags.writeable = baseline.flags.writeable = False
    for place, candles in enumerate(markets):
        yield Forecast(
            model_id=entry.id,
            model_digest=entry.digest,
            symbol=candles.symbol,
            interval=candles.interval,
            candles_digest=candles.digest,
            last_open_time_ms=candles.last_open_time_ms,
            last_close=candles.last_close,
            sigma=windows.sigmas[place],
            made_at_ms=made_at_ms,
            quantiles=spec.quantiles,
            horizons=spec.horizons,
            log_returns=log_returns[place],
            baseline_log_returns=baseline[place],
            stretch=None if stretches is None else stretches[place],
            novelty=strange[place],
        )


def _key(job: _Job) -> AnswerKey:
    entry, candles, context = job
    shown = candles.digest if context is None else f"{candles.digest}+{context.digest}"
    return AnswerKey(entry.digest, shown)


def _serves(entry: RegistryEntry, candles: Candles) -> bool:
    return entry.spec is not None and entry.spec.serves(candles.symbol)


def _answer(chosen: Champion | None, candles: Candles, found: Mapping[tuple[str, str], Answer]) -> Answer:
    """Out of what was found by model id and candles digest."""
    if chosen is None:
        return NoForecast(candles.symbol, f"there is no model for {candles.interval} candles yet; train one")
    told = {entry.id: found[entry.id, candles.digest] for entry in members_of(chosen)}
    return mixed(chosen, candles.symbol, told) if isinstance(chosen, EnsembleEntry) else told[chosen.id]
