"""Limits of the simulated exchange: the weight of a minute, 429, the ban, and who is told what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import pytest

from data.simulated_exchange.errors import ApiError
from data.simulated_exchange.limits import Limits
from data.simulated_exchange.market import Market
from data.simulated_exchange.settings import ExchangeSettings
from data.simulated_exchange.synthetic import SyntheticSource
from tests.support.exchange import RunningExchange, quick_settings, running_exchange
from utils.clock import ManualClock

MINUTE_MS = 1_782_000_000_000
"""a full minute"""
POLLING = "Please use WebSocket Streams for live updates to avoid polling the API."


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(MINUTE_MS + 20_000)


@pytest.fixture
def exchange(clock: ManualClock) -> Iterator[RunningExchange]:
    settings = quick_settings(weight_limit=30, patience=3)
    with running_exchange(Market(SyntheticSource(symbols=1)), clock, settings=settings) as running:
        yield running


def ask(exchange: RunningExchange, path: str = "time") -> tuple[int, dict[str, str], Any]:
    connection = HTTPConnection("127.0.0.1", exchange.port, timeout=90)
    try:
        connection.request("GET", f"/api/v3/{path}")
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, json.loads(answer.read())
    finally:
        connection.close()


def test_429_names_the_limit_and_the_rest_of_the_minute(exchange: RunningExchange, clock: ManualClock) -> None:
    assert ask(exchange, "exchangeInfo")[1]["x-mbx-used-weight-1m"] == "20"
    status, headers, body = ask(exchange, "exchangeInfo")
    assert status == 429
    assert headers["retry-after"] == "40"
    assert body["code"] == -1003
    assert body["msg"] == f"Too much request weight used; current limit is 30 request weight per 1 MINUTE. {POLLING}"
    clock.tick(39.9)
    assert ask(exchange)[0] == 429
    clock.tick(0.2)
    status, headers, _ = ask(exchange)
    assert (status, headers["x-mbx-used-weight-1m"]) == (200, "1")


def test_who_keeps_asking_is_banned_longer_each_time(exchange: RunningExchange, clock: ManualClock) -> None:
    ask(exchange, "exchangeInfo")
    assert [ask(exchange, "exchangeInfo")[0] for _ in range(4)] == [429, 429, 429, 418]
    status, headers, body = ask(exchange)
    until = MINUTE_MS + 20_000 + 120_000
    assert (status, headers["retry-after"], body["code"]) == (418, "120", -1003)
    assert body["msg"] == (
        f"Way too much request weight used; IP banned until {until}. "
        "Please use WebSocket Streams for live updates to avoid bans."
    )
    clock.tick(119)
    assert ask(exchange)[1]["retry-after"] == "1"
    clock.tick(2)
    assert ask(exchange)[0] == 200
    ask(exchange, "exchangeInfo")
    banned = [ask(exchange, "exchangeInfo") for _ in range(4)][-1]
    assert (banned[0], banned[1]["retry-after"]) == (418, "240")


def test_a_ban_never_exceeds_three_days() -> None:
    clock = ManualClock(MINUTE_MS)
    limits = Limits(clock, ExchangeSettings(weight_limit=1, patience=0))
    waits = []
    for _ in range(14):
        with pytest.raises(ApiError) as refused:
            limits.charge("ip", 2)
        waits.append(int(refused.value.headers["Retry-After"]))
        clock.tick(waits[-1] + 60)
    assert waits[:3] == [120, 240, 480]
    assert waits[-1] == 3 * 86_400


def test_addresses_are_counted_apart() -> None:
    limits = Limits(ManualClock(MINUTE_MS), ExchangeSettings(weight_limit=10))
    assert [limits.charge("one", 6), limits.charge("two", 9)] == [6, 9]
    with pytest.raises(ApiError, match="Too much request weight"):
        limits.charge("one", 6)
    assert limits.charge("two", 1) == 10


def test_raw_requests_are_counted_by_five_minutes() -> None:
    clock = ManualClock(MINUTE_MS - MINUTE_MS % 300_000 + 290_000)
    limits = Limits(clock, ExchangeSettings(raw_limit=2))
    limits.charge("ip", 1)
    limits.charge("ip", 1)
    with pytest.raises(ApiError, match="current limit is 2 requests per 5 MINUTE") as refused:
        limits.charge("ip", 1)
    assert refused.value.headers["Retry-After"] == "10"
    clock.tick(10)
    assert limits.charge("ip", 1) == 1


def test_windows_pass_although_the_market_clock_stands_still() -> None:
    class Stopped(ManualClock):
        def now_ms(self) -> int:
            return MINUTE_MS

    clock = Stopped()
    limits = Limits(clock, ExchangeSettings(weight_limit=5))
    assert limits.charge("ip", 5) == 5
    clock.tick(60)
    assert limits.charge("ip", 5) == 5


def test_refusals_are_in_the_journal(exchange: RunningExchange) -> None:
    for _ in range(3):
        ask(exchange, "exchangeInfo")
    assert [entry.status for entry in exchange.journal] == [200, 429, 429]
