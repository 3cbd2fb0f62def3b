"""Market relay: what crosses to the other processes arrives as it was, also what no source told."""

from __future__ import annotations

import math
import socket
import threading
from dataclasses import astuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from data.candles import Candle
from data.exchange import TESTNET, Exchange
from data.interval import Interval
from data.market_relay import MarketFollower, exchange_words, series_news, series_words
from data.market_series import MarketSeries
from data.symbol import Symbol


def test_a_series_crosses_and_both_count_alike() -> None:
    series = MarketSeries(Symbol("BTCUSDT"), Interval.H1)
    series.form(
        Candle(3_600_000, 1.0, 2.0, 0.5, 1.5, 10.0, math.nan, math.nan, math.nan, math.nan, closed=False), 3_700_000
    )
    series.heard(3_700_000)
    series.problem = "refused"
    news = series_news(orjson.loads(orjson.dumps(series_words(series.news()))))
    other = MarketSeries(news.symbol, news.interval)
    other.take(news)
    assert (type(news.symbol), type(news.interval)) == (Symbol, Interval)
    assert other.changes == series.changes
    assert (other.heard_ms, other.problem, other.forming_event_ms) == (3_700_000, "refused", 3_700_000)
    assert other.forming is not None
    assert astuple(other.forming)[:6] == (3_600_000, 1.0, 2.0, 0.5, 1.5, 10.0)
    assert math.isnan(other.forming.quote_volume)
    assert other.forming.closed is False


def test_a_series_of_which_nothing_is_known_crosses_too() -> None:
    news = series_news(orjson.loads(orjson.dumps(series_words(MarketSeries(Symbol("X"), Interval.M1).news()))))
    assert (news.forming, news.heard_ms, news.changes) == (None, None, 0)


def test_the_exchange_crosses_without_its_process() -> None:
    class Process:
        rest_url = stream_url = ""

        def close(self) -> None:
            raise AssertionError("it belongs to whoever started it")

    words = orjson.loads(orjson.dumps(exchange_words(Exchange(**exchange_words(TESTNET), process=Process()))))
    told = Exchange(**words)
    assert told == TESTNET
    told.close()


def test_what_cannot_be_read_is_logged_and_the_next_word_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    taken = threading.Event()

    class Market:
        def follow(self, *, following: bool) -> None: ...

        def take_ticker_changes(self, counts: dict[str, int]) -> None:
            assert counts == {"BTCUSDT": 3}
            taken.set()

    side: Any = SimpleNamespace(market=Market(), feed=SimpleNamespace(told=None))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as teller:
        teller.bind(str(tmp_path / "feed"))
        teller.listen()
        teller.settimeout(90)
        follower = MarketFollower(tmp_path / "feed", side, on_more=lambda _: None)
        follower.start()
        try:
            for words in (b"this is no JSON\n", b'{"ticker_changes": {"BTCUSDT": 3}}\n'):
                told, _ = teller.accept()
                with told:
                    told.sendall(words)
            assert taken.wait(90)
        finally:
            follower.close()
    assert "could not be taken over" in caplog.text
