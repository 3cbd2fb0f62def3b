"""Market relay: what crosses to the other processes arrives as it was, also what no source told."""

from __future__ import annotations

import math
from dataclasses import astuple

import orjson

from data.candles import Candle
from data.exchange import TESTNET, Exchange
from data.interval import Interval
from data.market_relay import exchange_words, series_news, series_words
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
