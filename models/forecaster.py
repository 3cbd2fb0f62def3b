"""Forecaster: the latest forecasts of many markets by every model, one batch per model, once per closed candle."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence

from data.candles import Candles
from data.interval import Interval
from data.symbol import Symbol
from models.batch_record import BatchStats
from models.champions import Champion, Champions, interval_of, members_of, serves
from models.ensemble import combined
from models.ensemble_entry import EnsembleEntry, mixed
from models.following import Following
from models.forecast import Forecast as Forecast
from models.forecast import NoForecast as NoForecast
from models.joining import Joined
from models.kept_answers import Answer, AnswerKey, KeptAnswers, KeptStats
from models.model_batches import ModelBatches, Question
from models.registry import Registry
from models.registry_entry import RegistryEntry
from utils.clock import Clock
from utils.errors import InvalidInput
from utils.model_cache import ModelCache

log = logging.getLogger(__name__)

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
        self._beside = beside
        self._kept = KeptAnswers(clock)
        self._clock = clock
        self._models: frozenset[str] = frozenset()
        self._batches = ModelBatches(
            model_cache=model_cache,
            batch_size=batch_size,
            max_workers=max_workers,
            clock=clock,
            followings=followings,
        )
        self._joined: Joined[AnswerKey, Question, Answer] = Joined(
            self._computed, min(max_workers, os.cpu_count() or 1)
        )

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
        questions = self._questions(wanted, candles)
        found = self._found({one.key: one for one in questions})
        by_place = {(one.entry.id, one.candles.digest): found[one.key] for one in questions}
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
        answers = self._found({one.key: one for one in self._questions(asked, candles)}).values()
        made = [answer for answer in answers if isinstance(answer, Forecast)]
        mixes = [one for found in entries.values() for one in found if isinstance(one, EnsembleEntry)]
        return made + [
            one for mix in mixes for one in combined(mix.ensemble, [one for one in made if mix.serves(one.symbol)])
        ]

    def stats(self) -> BatchStats:
        """The batches so far, and how many forecasts wait for a processor."""
        return self._batches.record.stats(self._joined.waiting)

    def held(self) -> tuple[int, int]:
        """(how many answers are kept, about how many bytes they take)."""
        return self._kept.held()

    def kept_stats(self) -> KeptStats:
        """How often a forecast was there when asked for."""
        return self._kept.stats()

    def clear(self) -> None:
        """Forgets every kept forecast, for instance under memory pressure; they are computed again when asked for."""
        self._kept.clear()

    def _questions(self, asked: Sequence[tuple[RegistryEntry, Candles]], shown: Sequence[Candles]) -> list[Question]:
        """With the market that each model looks at besides, from those shown or from elsewhere, read once."""
        known: dict[tuple[Symbol, Interval], Candles | None] = {(one.symbol, one.interval): one for one in shown}

        def context(entry: RegistryEntry, interval: Interval) -> Candles | None:
            symbol = entry.spec.context if entry.spec is not None else None
            if symbol is None:
                return None
            if (symbol, interval) not in known:
                known[symbol, interval] = self._beside(symbol, interval)
            return known[symbol, interval]

        return [Question(entry, one, context(entry, one.interval)) for entry, one in asked]

    def _found(self, questions: Mapping[AnswerKey, Question]) -> dict[AnswerKey, Answer]:
        known = self._kept.find(questions)
        missing = {key: one for key, one in questions.items() if key not in known}
        return known | self._joined.get(missing) if missing else known

    def _computed(self, questions: Mapping[AnswerKey, Question]) -> dict[AnswerKey, Answer]:
        """Interval by interval; kept for whoever asks next."""
        started_s = self._clock.monotonic()
        answers: dict[AnswerKey, Answer] = {}
        for interval in {one.candles.interval for one in questions.values()}:
            answers |= self._batches.answers([one for one in questions.values() if one.candles.interval is interval])
        self._kept.note(len(answers), self._clock.monotonic() - started_s)
        self._keep(answers, questions)
        return answers

    def _keep(self, answers: Mapping[AnswerKey, Answer], questions: Mapping[AnswerKey, Question]) -> None:
        """Where a model is new, another may be gone: what it forecast goes too."""
        if not self._models.issuperset(key.model for key in answers):
            there = {entry.digest for entry in self._champions.registry.usable()}
            self._models = frozenset(there | {key.model for key in answers})
            self._kept.keep_only(self._models)
            self._batches.forget_all_but(self._models)
        lasting = {key: one for key, one in answers.items() if isinstance(one, Forecast) or one.lasting}
        self._kept.keep(lasting, {key: questions[key].candles for key in lasting})


def _serves(entry: RegistryEntry, candles: Candles) -> bool:
    return entry.spec is not None and entry.spec.serves(candles.symbol)


def _answer(chosen: Champion | None, candles: Candles, found: Mapping[tuple[str, str], Answer]) -> Answer:
    """Out of what was found by model id and candles digest."""
    if chosen is None:
        return NoForecast(candles.symbol, f"there is no model for {candles.interval} candles yet; train one")
    told = {entry.id: found[entry.id, candles.digest] for entry in members_of(chosen)}
    return mixed(chosen, candles.symbol, told) if isinstance(chosen, EnsembleEntry) else told[chosen.id]
