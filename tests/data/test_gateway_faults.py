"""The gateway against an exchange that misbehaves, over real sockets: each fault its own error, in bounded time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from data.binance_gateway import BinanceGateway
from data.gateway_errors import Answer, Hold, error_of
from data.interval import Interval
from data.symbol import Symbol
from tests.support.exchange import RunningExchange, running_exchange
from tests.support.market import BTC, ETH, running_gateway, wait_until
from utils.errors import (
    BadData,
    Banned,
    ExchangeError,
    ExchangeUnavailable,
    RateLimited,
    RegionRestricted,
    Rejected,
)

KLINES = "/api/v3/klines"


@pytest.fixture(scope="module")
def shared_exchange() -> Iterator[RunningExchange]:
    with running_exchange() as exchange:
        yield exchange


@pytest.fixture
def exchange(shared_exchange: RunningExchange) -> Iterator[RunningExchange]:
    shared_exchange.journal.clear()
    yield shared_exchange
    shared_exchange.faults.clear()


@pytest.fixture
def gateway(exchange: RunningExchange) -> Iterator[BinanceGateway]:
    with running_gateway(exchange) as made:
        made.ping()
        exchange.journal.clear()
        yield made


def asked(exchange: RunningExchange, path: str = "klines") -> int:
    return len(exchange.journal.entries(path))


@pytest.mark.parametrize(
    ("kind", "given", "error", "words"),
    [
        ("status", {"status": 500, "body": "[]"}, ExchangeUnavailable, "HTTP 500"),
        ("status", {"status": 503, "body": '{"code":-1008,"msg":"overloaded"}'}, ExchangeUnavailable, "HTTP 503"),
        ("status", {"status": 504, "body": ""}, ExchangeUnavailable, "HTTP 504"),
        ("reset", {}, ExchangeUnavailable, "connection broke"),
        ("truncate", {}, BadData, "cut short"),
        ("bad_json", {}, BadData, "did not answer JSON"),
        ("nan", {}, BadData, "did not answer JSON"),
        ("wrong_shape", {}, BadData, "klines answered"),
        ("html", {}, BadData, "web page instead of data"),
        ("redirect", {}, BadData, "redirected to http://127.0.0.1:9/elsewhere"),
        ("status", {"status": 404, "body": "what?"}, BadData, "HTTP 404"),
    ],
)
def test_a_read_that_fails_is_tried_twice_more_and_then_told(
    exchange: RunningExchange, gateway: BinanceGateway, kind: str, given: dict[str, Any], error: Any, words: str
) -> None:
    exchange.faults.add(kind, KLINES, times=None, **given)
    with pytest.raises(error, match=words):
        gateway.klines(BTC, Interval.M1, limit=10)
    assert asked(exchange) == 3
    status = gateway.status()
    assert status.retries == 2
    assert status.errors == {error.__name__: 1}
    assert status.last_error


@pytest.mark.parametrize("kind", ["status", "reset", "truncate", "bad_json", "nan", "html", "huge"])
def test_one_failure_is_not_even_noticed(exchange: RunningExchange, gateway: BinanceGateway, kind: str) -> None:
    exchange.faults.add(kind, KLINES, times=1)
    assert len(gateway.klines(BTC, Interval.M1, limit=10).closed) == 9
    assert gateway.status().retries == 1


@pytest.mark.parametrize("kind", ["hang", "drip_body", "drip_headers"])
def test_the_deadline_is_total_however_slowly_an_answer_drips(
    exchange: RunningExchange, gateway: BinanceGateway, kind: str
) -> None:
    gateway.klines(BTC, Interval.M1, limit=1)
    exchange.faults.add(kind, KLINES, times=None, delay_s=0.05)
    began = time.monotonic()
    with pytest.raises(ExchangeUnavailable, match=r"no complete answer to klines within 0\.5 s"):
        gateway.klines(BTC, Interval.M1, limit=100, deadline_s=0.5)
    assert time.monotonic() - began == pytest.approx(0.5, rel=0.3)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, '{"code":-1121,"msg":"Invalid symbol."}', Rejected),
        (200, '{"code":-1121,"msg":"Invalid symbol."}', Rejected),
        (451, '{"code":0,"msg":"Service unavailable from a restricted location"}', RegionRestricted),
        (403, "<html>WAF</html>", RateLimited),
        (429, '{"code":-1003,"msg":"Too much request weight used"}', RateLimited),
        (418, '{"code":-1003,"msg":"IP banned until 99999999999999."}', Banned),
    ],
)
def test_what_will_not_get_better_is_asked_once(
    exchange: RunningExchange, gateway: BinanceGateway, status: int, body: str, error: type[ExchangeError]
) -> None:
    exchange.faults.add("status", KLINES, times=None, status=status, body=body, headers={"Retry-After": "7"})
    with pytest.raises(error):
        gateway.klines(BTC, Interval.M1, limit=10)
    assert asked(exchange) == 1


def test_a_rejection_carries_the_exchanges_own_words(gateway: BinanceGateway) -> None:
    with pytest.raises(Rejected, match=r"Invalid symbol\. \(-1121\)") as caught:
        gateway.klines(Symbol("NOSUCHUSDT"), Interval.M1)
    assert (caught.value.code, caught.value.msg) == (-1121, "Invalid symbol.")


def test_a_refused_connection_is_said_in_words() -> None:
    with running_gateway() as gateway, pytest.raises(ExchangeUnavailable, match=r"127\.0\.0\.1:9 .*refused"):
        gateway.ping()


def test_a_name_that_does_not_resolve_is_said_in_words() -> None:
    with (
        running_gateway(rest_url="https://no-such.invalid", deadline_s=5) as gateway,
        pytest.raises(ExchangeUnavailable, match=r"DNS|within 5 s"),
    ):
        gateway.ping()


def test_tls_is_never_given_up_for_a_server_that_speaks_plain_http(exchange: RunningExchange) -> None:
    with (
        running_gateway(rest_url=exchange.rest_url.replace("http:", "https:"), deadline_s=5) as gateway,
        pytest.raises(ExchangeUnavailable, match=r"TLS|broke|refused"),
    ):
        gateway.ping()
    assert len(exchange.journal) == 0


def test_environment_proxies_are_not_used(exchange: RunningExchange, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with running_gateway(exchange) as gateway:
        gateway.ping()


def test_a_redirect_takes_neither_the_key_nor_the_question_elsewhere(exchange: RunningExchange) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere, running_gateway(exchange, api_key="canary") as gateway:
        elsewhere.settimeout(0.3)
        target = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/"
        exchange.faults.add("redirect", "/api/v3/ping", times=None, body=target)
        with pytest.raises(BadData, match="redirects are not followed"):
            gateway.ping()
        with pytest.raises(TimeoutError):
            elsewhere.accept()
        assert "canary" not in repr(gateway.status())


def test_a_clock_that_the_exchange_calls_wrong_is_measured_again_and_the_question_repeated(
    exchange: RunningExchange, gateway: BinanceGateway
) -> None:
    gateway.klines(BTC, Interval.M1, limit=1)
    exchange.journal.clear()
    exchange.faults.add("status", KLINES, status=400, body='{"code":-1021,"msg":"Timestamp for this request"}')
    assert gateway.klines(BTC, Interval.M1, limit=3).rows == 3
    assert (asked(exchange, "time"), asked(exchange)) == (5, 2)


def test_one_unknown_market_does_not_take_the_others_along(gateway: BinanceGateway) -> None:
    unknown = Symbol("NOSUCHUSDT")
    asked_for = [BTC, unknown, ETH, Symbol("BNBUSDT"), Symbol("ALSONOTUSDT")]
    assert set(gateway.tickers(asked_for)) == {BTC, ETH, Symbol("BNBUSDT")}
    assert {market.symbol for market in gateway.exchange_info(asked_for)} == {BTC, ETH, Symbol("BNBUSDT")}


def test_before_start_and_after_close_nothing_hangs(exchange: RunningExchange) -> None:
    gateway = BinanceGateway(rest_url=exchange.rest_url)
    with pytest.raises(ExchangeUnavailable, match="not running"):
        gateway.ping()
    gateway.start()
    gateway.ping()
    gateway.close()
    gateway.close()
    with pytest.raises(ExchangeUnavailable, match="not running"):
        gateway.ping()
    gateway.start()
    gateway.ping()
    gateway.close()


def test_closing_ends_the_calls_under_way(exchange: RunningExchange) -> None:
    failed: list[str] = []
    with running_gateway(exchange) as gateway:
        gateway.klines(BTC, Interval.M1, limit=1)
        exchange.faults.add("hang", KLINES, times=None)

        def ask() -> None:
            try:
                gateway.klines(BTC, Interval.M1, limit=1)
            except ExchangeUnavailable as error:
                failed.append(str(error))

        asker = threading.Thread(target=ask)
        asker.start()
        wait_until(lambda: gateway.status().calls["klines"] == 2)
    asker.join(3)
    assert not asker.is_alive()
    assert failed == ["the gateway was closed before the answer came"]


def test_every_fault_of_the_libraries_has_its_error() -> None:
    """Whatever aiohttp and python-binance may raise is in the table, now and after an upgrade."""
    import aiohttp

    from data.binance_library import BinanceAPIException, BinanceRequestException
    from data.gateway_client import translated

    def below(kind: type[BaseException]) -> set[type[BaseException]]:
        return {kind}.union(*(below(child) for child in kind.__subclasses__()))

    raised = below(aiohttp.ClientError) | {TimeoutError, ConnectionResetError, OSError}
    raised |= {BinanceAPIException, BinanceRequestException}
    for kind in raised:
        error = translated(kind.__new__(kind), "host", "klines")
        assert isinstance(error, ExchangeUnavailable | BadData), kind
        assert type(error) is not ExchangeError
    assert translated(KeyError("a bug of ours"), "host", "klines") is None
    told = str(translated(TimeoutError(), "api.binance.com", "time"))
    assert told == "api.binance.com was asked for its time, but it gave no complete answer in time"


def test_every_kind_of_error_is_reached_by_some_answer() -> None:
    answers = [(500, ""), (429, ""), (418, ""), (451, ""), (302, ""), (400, '{"code":-1100,"msg":"no"}')]
    found = {type(error_of(Answer(status, {}, body.encode()), "klines", Hold(1.0, 1))) for status, body in answers}
    assert found == set(ExchangeError.__subclasses__())


def test_an_answer_from_outside_cannot_break_a_log_line() -> None:
    error = error_of(Answer(500, {}, b"one\r\ntwo\x1b[31m" + b"x" * 10_000), "klines", Hold(0, None))
    assert error is not None
    assert str(error).isprintable()
    assert len(str(error)) < 300
