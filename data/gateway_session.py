"""GatewaySession: the gateway's asynchronous side, in its loop thread: sends, retries, counts, keeps time."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import urlsplit

from data.gateway_errors import CLOCK_IS_OFF, Answer, error_of
from data.gateway_parsing import parse_server_time
from data.gateway_status import GatewayCounters
from data.rate_budget import RateBudget
from utils.clock import OffsetClock
from utils.errors import BadData, ExchangeError, ExchangeUnavailable, Rejected

if TYPE_CHECKING:
    from data.gateway_client import StrictClient

log = logging.getLogger(__name__)

T = TypeVar("T")

_RETRIES = 2
_RETRY_PAUSE_S = 0.15
_TIME_SAMPLES = 5


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """What to ask, what it weighs, and how its answer is read.

    `read(body, asked_ms)`: a moment of exchange time that was certainly not later than the answer was made. What had
    closed by then is whole in it; what closed while it was on its way is not.
    """

    path: str
    params: Mapping[str, str | int]
    weight: int
    read: Callable[[bytes, int], T]
    needs_time: bool = False
    bulk: bool = False
    """one of many that can wait: it leaves room for others"""


class GatewaySession:
    """Made and used in one event loop. Every answer is either the value asked for or an ExchangeError."""

    def __init__(
        self,
        rest_url: str,
        *,
        open_client: Callable[[], StrictClient],
        clock: OffsetClock,
        budget: RateBudget,
        counters: GatewayCounters,
    ) -> None:
        self._host = urlsplit(rest_url).netloc or "the exchange"
        self._open_client = open_client
        self._client: StrictClient | None = None
        self._clock = clock
        self._budget = budget
        self._counters = counters
        self._clock_measured = False
        self._uncertainty_ms = 0
        self._measuring = asyncio.Lock()

    async def answer(self, question: Question[T], deadline_s: float, patience_s: float) -> T:
        """Waits at most `patience_s` for leave to send, then at most `deadline_s` for everything else."""
        try:
            await self._wait_for_room(question, patience_s)
            async with asyncio.timeout(deadline_s):
                result = await self._with_retries(question)
        except TimeoutError:
            raise self._noted(
                ExchangeUnavailable(f"{self._host} gave no complete answer to {question.path} within {deadline_s:g} s")
            ) from None
        except ExchangeError as error:
            raise self._noted(error)  # noqa: B904 - the same error, counted on its way
        self._counters.last_success_ms = self._clock.now_ms()
        return result

    async def measure_clock(self) -> int:
        """Sets the clock by the fastest of five answers, the nearest to the server's moment; the offset in ms."""
        samples = [await self._time_sample() for _ in range(_TIME_SAMPLES)]
        round_trip_s, self._clock.offset_ms = min(samples)
        self._uncertainty_ms = math.ceil(round_trip_s * 500)
        self._clock_measured = True
        return self._clock.offset_ms

    async def keep_time(self, every_s: float) -> None:
        """Measures the clock again and again, for as long as the session lives."""
        while True:
            await asyncio.sleep(every_s)
            try:
                async with asyncio.timeout(every_s):
                    await self.measure_clock()
            except (ExchangeError, TimeoutError) as error:
                log.info("exchange time could not be measured this time: %s", error)

    async def close(self) -> None:
        """Closes the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close_connection()

    async def _wait_for_room(self, question: Question[T], patience_s: float) -> None:
        """Waits while nothing may be sent, unless that outlasts the asker's patience: then sending will raise."""
        while 0 < (wait_s := self._hold(question)) <= patience_s:
            patience_s -= wait_s
            await asyncio.sleep(wait_s + 0.01)

    def _hold(self, question: Question[T]) -> float:
        return self._budget.hold(question.weight, bulk=question.bulk).retry_after_s

    async def _with_retries(self, question: Question[T]) -> T:
        for attempt in range(_RETRIES):
            try:
                return await self._once(question)
            except (ExchangeUnavailable, BadData) as error:
                log.info("asking again for %s: %s", question.path, error)
            except Rejected as error:
                if error.code != CLOCK_IS_OFF:
                    raise
                self._clock_measured = False
                await self.know_the_time()
            self._counters.retries += 1
            await asyncio.sleep(_RETRY_PAUSE_S * 2**attempt * (0.5 + random.random()))
        return await self._once(question)

    async def _once(self, question: Question[T]) -> T:
        if question.needs_time:
            await self.know_the_time()
        window = self._budget.reserve(question.weight, bulk=question.bulk)
        asked_ms = self._clock.now_ms() - self._uncertainty_ms
        try:
            answer = await self._fetch(question)
        except BaseException:
            self._budget.lost(question.weight)
            raise
        self._budget.answered(question.weight, window, answer)
        error = error_of(answer, question.path, self._budget.hold(question.weight))
        if error is not None:
            raise error
        return question.read(answer.body, asked_ms)

    async def _fetch(self, question: Question[T]) -> Answer:
        if self._client is None:
            self._client = self._open_client()
        self._counters.calls[question.path] += 1
        try:
            return await self._client.fetch(question.path, question.params)
        except Exception as error:
            from data.gateway_client import translated

            ours = translated(error, self._host, question.path)
            if ours is None:
                raise
            raise ours from error

    async def know_the_time(self) -> None:
        """Measures the clock unless it was measured before; one of many askers does."""
        if self._clock_measured:
            return
        async with self._measuring:
            if not self._clock_measured:
                await self.measure_clock()

    async def _time_sample(self) -> tuple[float, int]:
        sent_s, sent_ms = self._clock.monotonic(), self._clock.now_ms() - self._clock.offset_ms
        server_ms = await self._once(Question("time", {}, 1, lambda body, _: parse_server_time(body)))
        round_trip_s = self._clock.monotonic() - sent_s
        return round_trip_s, server_ms - (sent_ms + round(round_trip_s * 500))

    def _noted(self, error: ExchangeError) -> ExchangeError:
        self._counters.errors[type(error).__name__] += 1
        self._counters.last_error = str(error)
        return error
