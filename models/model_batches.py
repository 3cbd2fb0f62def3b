"""Model batches: what models say of many markets at once, one batch per model, as forecasts or as why there is none."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.candles import Candles
from data.symbol import Symbol
from models.baseline import naive_log_returns
from models.batch_record import BatchRecord
from models.conformal import stretched
from models.following import Following, beginning
from models.forecast import Forecast, NoForecast, Novelty, Stretch
from models.input_source import check_inputs
from models.kept_answers import Answer, AnswerKey
from models.novelty import Known, known_by, novelties
from models.registry_entry import RegistryEntry
from models.spec import ModelSpec
from models.windows import Windows, newest_windows
from utils.clock import Clock
from utils.errors import ModelError, SchemaMismatch, StoreError
from utils.model_cache import ModelCache
from utils.model_utils import Session, predict_batches

log = logging.getLogger(__name__)


class Question(NamedTuple):
    """A model, a market, and the other market that the model looks at."""

    entry: RegistryEntry
    candles: Candles
    context: Candles | None

    @property
    def key(self) -> AnswerKey:
        shown = self.candles.digest if self.context is None else f"{self.candles.digest}+{self.context.digest}"
        return AnswerKey(self.entry.digest, shown)


class ModelBatches:
    """Thread-safe: whoever asks at the same time computes beside the others."""

    def __init__(
        self,
        *,
        model_cache: ModelCache,
        batch_size: int,
        max_workers: int,
        clock: Clock,
        followings: Callable[[str], Mapping[Symbol, Following]] | None,
    ) -> None:
        """`followings`: by a model's digest, the factors that stretch its bands; without it they stay the model's."""
        self.record = BatchRecord()
        self._cache = model_cache
        self._batch_size = batch_size
        self._max_workers = max_workers
        self._clock = clock
        self._followings = followings
        self._trained: dict[str, Known | None] = {}

    def answers(self, questions: Sequence[Question]) -> dict[AnswerKey, Answer]:
        """All of one interval. What several models want to see of a market is computed once."""
        entries = {one.entry.digest: one.entry for one in questions}
        markets = {one.candles.digest: one.candles for one in questions}
        contexts = {one.entry.digest: one.context for one in questions}
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
            one.key: NoForecast(one.candles.symbol, refused[one.entry.digest], lasting=False)
            if one.entry.digest in refused
            else made[one.entry.digest][places[one.candles.digest]]
            for one in questions
        }

    def forget_all_but(self, models: Collection[str]) -> None:
        """Models by their digests: what is known of the training of others goes."""
        for gone in self._trained.keys() - models:
            self._trained.pop(gone, None)

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
        self.record.add(len(scaled), self._clock.monotonic() - started_s)
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
