"""Request weight, Retry-After and bans: obeyed by everyone, before a request leaves, and after a restart."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from data.binance_gateway import BinanceGateway
from data.gateway_errors import Answer
from data.interval import Interval
from data.rate_budget import RateBudget
from tests.support.exchange import RunningExchange, quick_settings, running_exchange
from tests.support.market import BTC, ETH, running_gateway, wait_until
from utils.clock import ManualClock
from utils.errors import Banned, ExchangeError, ExchangeUnavailable, RateLimited

MINUTE_MS = 60_000
NOON = 1_700_000_040_000 // MINUTE_MS * MINUTE_MS
KLINES = "/api/v3/klines"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def exchange(clock: ManualClock) -> Iterator[RunningExchange]:
    with running_exchange(clock=clock, settings=quick_settings(weight_limit=100)) as running:
        yield running


@pytest.fixture
def gateway(exchange: RunningExchange, clock: ManualClock) -> Iterator[BinanceGateway]:
    with running_gateway(exchange, clock=clock) as made:
        made.klines(BTC, Interval.M1, limit=1)
        exchange.journal.clear()
        yield made


def refuse(exchange: RunningExchange, status: int, *, retry_after: str = "", body: str = "{}") -> None:
    headers = {"Retry-After": retry_after} if retry_after else {}
    exchange.faults.add("status", KLINES, status=status, body=body, headers=headers)


def ask(gateway: BinanceGateway) -> str:
    try:
        gateway.klines(BTC, Interval.M1, limit=1)
    except ExchangeError as error:
        return type(error).__name__
    return "ok"


def test_after_a_429_nobody_asks_until_its_time_is_over(
    exchange: RunningExchange, gateway: BinanceGateway, clock: ManualClock
) -> None:
    refuse(exchange, 429, retry_after="30")
    assert ask(gateway) == "RateLimited"
    exchange.journal.clear()
    with ThreadPoolExecutor(16) as threads:
        assert set(threads.map(lambda _: ask(gateway), range(64))) == {"RateLimited"}
    with pytest.raises(RateLimited) as caught:
        gateway.tickers([BTC, ETH])
    assert caught.value.retry_after_s == pytest.approx(30, abs=0.1)
    assert gateway.status().backoff_until_ms == pytest.approx(NOON + 30_000, abs=100)
    clock.tick(29.9)
    assert ask(gateway) == "RateLimited"
    assert len(exchange.journal) == 0
    clock.tick(0.2)
    assert ask(gateway) == "ok"
    assert gateway.status().backoff_until_ms is None


def test_a_429_without_a_time_waits_for_the_exchanges_minute(
    exchange: RunningExchange, gateway: BinanceGateway, clock: ManualClock
) -> None:
    clock.tick(20)
    refuse(exchange, 429)
    assert ask(gateway) == "RateLimited"
    clock.tick(39)
    assert ask(gateway) == "RateLimited"
    clock.tick(1.1)
    assert ask(gateway) == "ok"


def test_a_403_is_waited_out_ever_longer(
    exchange: RunningExchange, gateway: BinanceGateway, clock: ManualClock
) -> None:
    for wait_s in (60, 120, 240):
        refuse(exchange, 403, body="<html>forbidden</html>")
        assert ask(gateway) == "RateLimited"
        clock.tick(wait_s - 1)
        exchange.journal.clear()
        assert ask(gateway) == "RateLimited"
        assert len(exchange.journal) == 0
        clock.tick(2)
    assert ask(gateway) == "ok"


def test_a_ban_is_obeyed_by_all_and_after_a_restart(
    exchange: RunningExchange, clock: ManualClock, tmp_path: Path
) -> None:
    until_ms = NOON + 120_000
    state = tmp_path / "limits.json"
    with running_gateway(exchange, clock=clock, state_path=state) as gateway:
        gateway.klines(BTC, Interval.M1, limit=1)
        body = f'{{"code":-1003,"msg":"Way too much request weight used; IP banned until {until_ms}."}}'
        refuse(exchange, 418, retry_after="60", body=body)
        assert ask(gateway) == "Banned"
    exchange.journal.clear()
    with running_gateway(exchange, clock=clock, state_path=state) as restarted:
        with pytest.raises(Banned, match="nothing is sent") as caught:
            restarted.ping()
        assert caught.value.until_ms == restarted.status().banned_until_ms == until_ms
        assert len(exchange.journal) == 0
        clock.tick(121)
        restarted.ping()
        assert restarted.status().banned_until_ms is None


@pytest.mark.parametrize("content", ["", "[]", "{", '{"banned_until_ms":"soon"}'])
def test_a_damaged_note_of_a_ban_is_no_ban(tmp_path: Path, clock: ManualClock, content: str) -> None:
    path = tmp_path / "limits.json"
    path.write_text(content, "utf-8")
    assert RateBudget(clock, state_path=path).banned_until_ms is None


def test_a_ban_without_a_date_lasts_two_minutes_and_is_noted(tmp_path: Path, clock: ManualClock) -> None:
    budget = RateBudget(clock, state_path=tmp_path / "limits.json")
    budget.answered(2, budget.reserve(2), Answer(418, {}, b""))
    assert budget.banned_until_ms == NOON + 120_000
    assert json.loads((tmp_path / "limits.json").read_text("utf-8")) == {"banned_until_ms": NOON + 120_000}


def test_nothing_is_sent_near_the_limit_until_the_minute_turns(
    exchange: RunningExchange, gateway: BinanceGateway, clock: ManualClock
) -> None:
    gateway.exchange_info([BTC])
    assert gateway.status().weight_limit == 100
    results = [ask(gateway) for _ in range(60)]
    assert results[0] == "ok"
    assert results[-1] == "RateLimited"
    used = gateway.status().used_weight
    assert 96 <= used <= 98
    assert {entry.status for entry in exchange.journal} == {200}
    clock.tick(60)
    assert gateway.status().used_weight == 0
    assert ask(gateway) == "ok"


def test_who_has_much_to_ask_leaves_room_for_readers(exchange: RunningExchange, gateway: BinanceGateway) -> None:
    gateway.exchange_info([BTC])
    start_ms = Interval.M1.shift_ms(NOON, -100)
    with ThreadPoolExecutor(1) as threads:
        pager = threads.submit(lambda: [list(gateway.history(BTC, Interval.M1, start_ms, NOON)) for _ in range(60)])
        wait_until(lambda: gateway.status().used_weight >= 94)
        assert ask(gateway) == "ok", "there is room for one more reader"
        assert 95 < gateway.status().used_weight <= 98
        gateway.close()
        with pytest.raises(ExchangeUnavailable):
            pager.result()


def test_many_threads_together_do_not_overrun_the_budget(exchange: RunningExchange, gateway: BinanceGateway) -> None:
    gateway.exchange_info([BTC])
    with ThreadPoolExecutor(16) as threads:
        results = list(threads.map(lambda _: ask(gateway), range(200)))
    assert set(results) == {"ok", "RateLimited"}
    assert {entry.status for entry in exchange.journal} == {200}
    assert sum(entry.weight for entry in exchange.journal) <= 98


def test_a_pager_waits_for_the_next_minute_where_a_reader_is_told(
    exchange: RunningExchange, gateway: BinanceGateway, clock: ManualClock
) -> None:
    clock.tick(59.8)
    gateway.exchange_info([BTC])
    while ask(gateway) == "ok":
        pass
    turn = threading.Timer(0.25, clock.tick, (1.0,))
    turn.start()
    start_ms = Interval.M1.shift_ms(NOON, -50)
    pages = list(gateway.history(BTC, Interval.M1, start_ms, NOON))
    turn.join()
    assert [len(page) for page in pages] == [50]


def test_an_answer_that_crossed_the_minute_does_not_burden_the_new_one(clock: ManualClock) -> None:
    budget = RateBudget(clock)
    window = budget.reserve(2)
    clock.tick(60)
    budget.answered(2, window, Answer(200, {"x-mbx-used-weight-1m": "5900"}, b"[]"))
    assert budget.used_weight == 0
    budget.reserve(2)


def test_a_request_without_an_answer_counts(clock: ManualClock) -> None:
    budget = RateBudget(clock)
    budget.reserve(40)
    budget.lost(40)
    assert budget.used_weight == 40
