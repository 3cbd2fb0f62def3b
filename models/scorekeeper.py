"""The scorekeeper: after each close it scores what has come true, then writes the next forecasts down."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from data.candles import Candles
from data.interval import Interval
from data.symbol import Symbol
from models.ensembles import Ensembles
from models.forecaster import Forecaster
from models.ledger import Ledger
from utils.errors import DashboardError

log = logging.getLogger(__name__)

_Event = tuple[Symbol, Interval] | None


@dataclass(frozen=True, slots=True)
class Round:
    """What one round did: forecasts newly written, and ledger rows newly scored."""

    forecasts: int
    scored: int


class Scorekeeper:
    """Owns one thread, so that no request waits for it.

    Closes that arrive within `settle_s` seconds of each other are one round: all their symbols share a batch.
    """

    def __init__(
        self,
        *,
        forecaster: Forecaster,
        ledger: Ledger,
        candles: Callable[[Symbol, Interval], Candles],
        ensembles: Ensembles | None = None,
        settle_s: float = 1.0,
    ) -> None:
        self._forecaster = forecaster
        self._ledger = ledger
        self._candles = candles
        self._ensembles = ensembles
        self._settle_s = settle_s
        self._events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def notice(self, symbol: Symbol, interval: Interval, _candles: Candles | None = None) -> None:
        """A candle of this market has closed: returns at once, the work is done in the scorekeeper's thread."""
        self._events.put((symbol, interval))

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="scorekeeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        if self._thread is not None:
            self._events.put(None)
            self._thread.join(timeout=10)
            self._thread = None

    def keep(self, interval: Interval, symbols: Sequence[Symbol]) -> Round:
        """Score, weigh the ensembles that are due, then forecast these markets once, by every model and ensemble.

        Markets without data are left out.
        """
        known = [candles for symbol in symbols if (candles := self._known(symbol, interval)) is not None]
        scored = sum(self._ledger.score(candles) for candles in known)
        self._weigh(interval)
        written = self._ledger.append(self._forecaster.every(known))
        return Round(written, scored)

    def _weigh(self, interval: Interval) -> None:
        """Where the weights cannot be written, those of before are used on."""
        try:
            if self._ensembles is not None:
                self._ensembles.weigh_due(interval)
        except DashboardError as error:
            log.warning("ensembles of %s were not weighed again: %s", interval, error)

    def _known(self, symbol: Symbol, interval: Interval) -> Candles | None:
        try:
            return self._candles(symbol, interval)
        except DashboardError as error:
            log.warning("no forecast for %s %s: %s", symbol, interval, error)
            return None

    def _run(self) -> None:
        while (event := self._events.get()) is not None:
            markets, more = self._gather(event)
            for interval in dict.fromkeys(interval for _, interval in markets):
                self._keep_or_log(interval, [symbol for symbol, other in markets if other == interval])
            if not more:
                return

    def _gather(self, first: tuple[Symbol, Interval]) -> tuple[list[tuple[Symbol, Interval]], bool]:
        markets = {first: None}
        while True:
            try:
                event = self._events.get(timeout=self._settle_s)
            except queue.Empty:
                return list(markets), True
            if event is None:
                return list(markets), False
            markets[event] = None

    def _keep_or_log(self, interval: Interval, symbols: Sequence[Symbol]) -> None:
        try:
            done = self.keep(interval, symbols)
        except DashboardError as error:
            log.error("forecasts of %s could not be kept: %s", interval, error)  # noqa: TRY400 - the tree's texts suffice
        except Exception:  # without this thread no forecast would ever be written again; the next candle may do better
            log.exception("forecasts of %s could not be kept: an unforeseen error", interval)
        else:
            log.info("kept score of %s: %d forecasts written, %d scored", interval, done.forecasts, done.scored)
