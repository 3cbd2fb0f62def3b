"""Ledger: every forecast written before its outcome is known, scored once when the candles arrive, never rewritten.

A row per forecast holds all its horizons; a row per decided horizon its score; daily sums beside them, written in the
same transaction, keep the skill over a million scores a matter of milliseconds. This is its one face; the work is in
models.ledger_writing, ledger_scoring, ledger_reading and ledger_many.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from itertools import groupby

from data.candles import Candles
from data.database import Database
from data.interval import Interval
from data.symbol import Symbol
from data.venue import BINANCE
from models import ledger_calibrations, ledger_many, ledger_mixes, ledger_reading, ledger_scoring, ledger_writing
from models.following import Following
from models.forecast import Forecast
from models.ledger_chain import Verification, Walk
from models.ledger_mixes import Weighing
from models.ledger_models import known_models, newest_models
from models.ledger_scores import NOTHING_SCORED, Latest, LedgerModel, LedgerRow, Skill
from models.ledger_sums import BAND_SUMS, EVERY_HORIZON, EVERY_SYMBOL, Bands, Detail
from models.ledger_tables import METADATA
from utils.clock import Clock


class Ledger:
    """Append-only. Its promises hold over restarts and clock steps: they rest on unique keys, not on memory."""

    def __init__(self, database: Database, clock: Clock, *, venue: str = BINANCE) -> None:
        self._database = database
        self._clock = clock
        self._venue = venue
        self._changes = 0
        self._changes_elsewhere = 0
        self._walk = Walk(venue)
        self._walking = threading.Lock()
        database.create_tables(METADATA)
        ledger_scoring.complete_sums(database)

    @property
    def version(self) -> str:
        """Changes whenever this process, or the one it follows, writes something down, and with the venue."""
        return f"{self._venue} {self._changes + self._changes_elsewhere}"

    @property
    def venue(self) -> str:
        """Whose score is kept."""
        return self._venue

    @property
    def changes(self) -> int:
        """How often something was written down, for processes that only read."""
        return self._changes + self._changes_elsewhere

    def told_changes(self, changes: int) -> None:
        """The process that keeps the score has written this often."""
        self._changes_elsewhere = changes - self._changes

    def use(self, venue: str) -> None:
        """From now on keeps the score of this venue: what was forecast of an invented market says nothing of the real.

        The scores of past simulations that do not last go: their time has begun anew.
        """
        self._venue = venue
        self._changes += 1
        with self._walking:
            self._walk = Walk(venue)
        with self._database.write() as connection:
            ledger_writing.forget_simulations(connection, venue)

    def append(self, forecasts: Iterable[Forecast]) -> int:
        """Writes those not yet there (by model digest, market, interval, last candle); returns how many were new."""
        ordered = sorted(forecasts, key=lambda one: (one.model_digest, one.interval))
        if not ordered:
            return 0
        with self._database.write() as connection:
            groups = groupby(ordered, key=lambda one: (one.model_digest, one.interval))
            added = sum(
                ledger_writing.append(self._database, connection, self._venue, list(group)) for _, group in groups
            )
        self._changes += added > 0
        return added

    def score(self, candles: Candles) -> int:
        """Decides each open horizon that these closed candles can decide, once; returns how many were decided.

        The outcome is the log return from the close the forecast started at to the candle exactly `horizon` later.
        Where that candle is a hole, or the forecast was made after it closed, the horizon is unscorable.
        """
        if not len(candles):
            return 0
        with self._database.write() as connection:
            decided = ledger_scoring.score(self._database, connection, self._venue, candles, self._clock.now_ms())
        self._changes += decided > 0
        return decided

    def skill(
        self,
        *,
        model_id: str,
        symbol: Symbol | None = None,
        horizon: int | None = None,
        interval: Interval | None = None,
        digest: str | None = None,
        since_ms: int | None = None,
    ) -> Skill:
        """Over the scored forecasts of the model (every digest of that id, unless one is named) that fit, and were made
        from candles of that day on."""
        name = EVERY_SYMBOL if symbol is None else str(symbol)
        found = self._skills((), [name], [horizon or EVERY_HORIZON], model_id, interval, digest, since_ms)
        return found.get((), NOTHING_SCORED)

    def skills(
        self,
        *,
        model_id: str,
        symbols: Sequence[Symbol],
        horizon: int | None = None,
        interval: Interval | None = None,
        digest: str | None = None,
    ) -> dict[Symbol, Skill]:
        """The same for each of these markets, asked at once."""
        names = [str(symbol) for symbol in symbols]
        found = self._skills(("symbol",), names, [horizon or EVERY_HORIZON], model_id, interval, digest)
        return {symbol: found.get((str(symbol),), NOTHING_SCORED) for symbol in symbols}

    def skills_by_horizon(
        self,
        *,
        model_id: str,
        horizons: Sequence[int],
        symbols: Sequence[Symbol | None],
        interval: Interval | None = None,
        digest: str | None = None,
    ) -> dict[tuple[Symbol | None, int], Skill]:
        """For each market (None: all together) and horizon, asked at once."""
        names = [EVERY_SYMBOL if symbol is None else str(symbol) for symbol in symbols]
        found = self._skills(("symbol", "horizon"), names, horizons, model_id, interval, digest)
        return {
            (symbol, horizon): found.get((name, horizon), NOTHING_SCORED)
            for symbol, name in zip(symbols, names, strict=True)
            for horizon in horizons
        }

    def skills_of(
        self,
        records: Sequence[str],
        *,
        horizons: Sequence[int] = (EVERY_HORIZON,),
        symbols: Sequence[Symbol | None] = (None,),
        interval: Interval | None = None,
    ) -> dict[tuple[str, Symbol | None, int], Skill]:
        """Of many models by their records (digest, or what the versions of an ensemble have in common), asked at once:
        for each market (None: all together) and horizon (0: all together)."""
        names = {symbol: EVERY_SYMBOL if symbol is None else str(symbol) for symbol in symbols}
        with self._database.read() as connection:
            found = ledger_many.skills(connection, self._venue, records, list(names.values()), horizons, interval)
        return {
            (record, symbol, horizon): found.get((record, name, horizon), NOTHING_SCORED)
            for record in records
            for symbol, name in names.items()
            for horizon in horizons
        }

    def against(self, record: str, other: str) -> Skill:
        """The one's skill over the other, whose loss is its baseline, from the days on which both have as many scored
        forecasts: of what is forecast together, those are the same."""
        with self._database.read() as connection:
            return ledger_reading.against(connection, self._venue, record, other)

    def followings(self, digest: str) -> dict[Symbol, Following]:
        """By market: the factors by which this version of a model has its bands stretched."""
        with self._database.read() as connection:
            return ledger_calibrations.followings(connection, self._venue, digest)

    def bands(self, *, digest: str, symbol: Symbol | None, horizons: Sequence[int]) -> dict[int, Bands]:
        """By horizon: what calibration did to a version's scored forecasts of a market (None: all together)."""
        name = EVERY_SYMBOL if symbol is None else str(symbol)
        with self._database.read() as connection:
            models = known_models(connection, self._venue, digest=digest)
            found = ledger_calibrations.bands(connection, list(models), [name], horizons)
        nothing = Bands.of(dict.fromkeys(BAND_SUMS, 0.0))
        return {ahead: found.get((name, ahead), nothing) for ahead in horizons}

    def models(self, interval: Interval) -> tuple[LedgerModel, ...]:
        """Those that have forecast here, each id with its newest version, by id."""
        with self._database.read() as connection:
            return tuple(newest_models(connection, self._venue, interval).values())

    def weighings(self, record: str, limit: int = 20) -> list[Weighing]:
        """The newest versions of an ensemble that have forecast, the newest first: which weights made which rows."""
        with self._database.read() as connection:
            return ledger_mixes.weighings(connection, self._venue, record, limit)

    def latest(self, models: Sequence[LedgerModel]) -> dict[int, dict[Symbol, Latest]]:
        """By the model's key, its newest forecast of each market."""
        with self._database.read() as connection:
            return ledger_many.latest(connection, models)

    def details(
        self, models: Sequence[LedgerModel], horizons: Iterable[int], points: int
    ) -> dict[tuple[int, int], Detail]:
        """By the model's key and horizon: ranks of the outcomes, course in at most so many stretches, and weather."""
        with self._database.read() as connection:
            return ledger_many.details(connection, models, horizons, points)

    def recent(self, symbol: Symbol, interval: Interval, limit: int) -> list[LedgerRow]:
        """The newest `limit` rows of a market, newest forecast first, then by horizon."""
        with self._database.read() as connection:
            return ledger_reading.recent(connection, self._venue, symbol, interval, limit)

    def counts(self) -> dict[str, int]:
        """Of every venue: how many forecasts are stored, and how many horizons were scored or found unscorable."""
        with self._database.read() as connection:
            return ledger_reading.counts(connection)

    def verify(self) -> Verification:
        """Walks the whole chain of this venue; takes some seconds for a million forecasts."""
        with self._database.read() as connection:
            return ledger_writing.walked(connection, self._venue, Walk(self._venue), most=None)

    def check(self, most: int = 20_000) -> Verification:
        """Walks on by at most so many rows from where the last call stopped, and begins anew after the end."""
        with self._walking, self._database.read() as connection:
            found = ledger_writing.walked(connection, self._venue, self._walk, most=most)
            if found.complete:
                self._walk = Walk(self._venue)
            return found

    def _skills(
        self,
        groups: tuple[str, ...],
        symbols: Sequence[str],
        horizons: Sequence[int],
        model_id: str,
        interval: Interval | None,
        digest: str | None,
        since_ms: int | None = None,
    ) -> dict[tuple[object, ...], Skill]:
        with self._database.read() as connection:
            return ledger_reading.skills(
                connection, self._venue, groups, symbols, horizons, model_id, interval, digest, since_ms
            )
