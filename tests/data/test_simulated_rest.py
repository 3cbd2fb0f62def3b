"""REST of the simulated exchange, held against the real one's recorded answers, its error table and its client."""

from __future__ import annotations

import asyncio
import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode

import pytest

from data.interval import Interval
from data.simulated_exchange.market import Market
from data.simulated_exchange.synthetic import SyntheticSource
from tests.support.exchange import RunningExchange, running_exchange
from tests.support.shared_data import recorded_dir
from utils.clock import ManualClock

NOW_MS = 1_782_000_012_345
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
DECIMAL = re.compile(r"^-?\d+\.\d+$")


@pytest.fixture(scope="module")
def exchange() -> Iterator[RunningExchange]:
    with running_exchange(Market(SyntheticSource()), ManualClock(NOW_MS)) as running:
        yield running


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def get(exchange: RunningExchange, path: str, headers: dict[str, str] | None = None, /, **params: object) -> Answer:
    connection = HTTPConnection("127.0.0.1", exchange.port, timeout=90)
    try:
        query = "?" + urlencode(params) if params else ""
        connection.request("GET", f"/api/v3/{path}{query}", headers=headers or {})
        answer = connection.getresponse()
        sent = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, sent, answer.read())
    finally:
        connection.close()


def shape(value: Any) -> Any:
    """Key sets and value types; a decimal string is another type than a word."""
    if isinstance(value, dict):
        return {key: shape(part) for key, part in value.items()}
    if isinstance(value, list):
        parts = [shape(part) for part in value]
        return (
            parts[:1] if parts and all(part == parts[0] for part in parts) and not isinstance(parts[0], str) else parts
        )
    if isinstance(value, str):
        return "decimal" if DECIMAL.match(value) else "text"
    return type(value).__name__


RECORDED = [
    ("ping", {}, "ping_response.json"),
    ("time", {}, "server_time_response.json"),
    ("klines", {"symbol": "BTCUSDT", "interval": "1m"}, "klines_response.json"),
    ("klines", {"symbol": "BTCUSDT", "interval": "1m"}, "http_spot_market_klines.json"),
    ("uiKlines", {"symbol": "BTCUSDT", "interval": "1w"}, "klines_response.json"),
    ("avgPrice", {"symbol": "BTCUSDT"}, "avg_price_response.json"),
    ("ticker/bookTicker", {"symbol": "BTCUSDT"}, "book_ticker_response.json"),
    ("ticker/24hr", {"symbol": "BTCUSDT"}, "ticker_24hr_response.json"),
    ("ticker/price", {"symbol": "BTCUSDT"}, "ticker_price_response.json"),
    ("depth", {"symbol": "BTCUSDT", "limit": 5}, "depth_response.json"),
    ("trades", {"symbol": "BTCUSDT", "limit": 5}, "trades_response.json"),
    ("trades", {"symbol": "BTCUSDT", "limit": 5}, "http_spot_market_trades.json"),
    ("aggTrades", {"symbol": "BTCUSDT", "limit": 5}, "http_spot_market_agg_trades.json"),
]


@pytest.mark.shared
@pytest.mark.parametrize(("path", "params", "file"), RECORDED, ids=[f"{path}-{file}" for path, _, file in RECORDED])
def test_answers_have_the_shape_of_the_recorded_ones(
    exchange: RunningExchange, path: str, params: dict[str, object], file: str
) -> None:
    recorded = json.loads((recorded_dir() / "rest" / file).read_bytes())
    answer = get(exchange, path, **params)
    assert answer.status == 200
    assert shape(answer.json) == shape(recorded)


@pytest.mark.shared
def test_exchange_info_has_the_recorded_keys_limits_and_filters(exchange: RunningExchange) -> None:
    folder = recorded_dir() / "exchange_info"
    recorded = json.loads((folder / "spot_mainnet_20260621_12sym.json").read_bytes())
    real = next(one for one in recorded["symbols"] if one["symbol"] == "BTCUSDT")
    answer = get(exchange, "exchangeInfo", symbol="BTCUSDT").json
    ours = answer["symbols"][0]
    assert answer.keys() == recorded.keys()
    assert answer["rateLimits"] == recorded["rateLimits"]
    assert {key: type(value) for key, value in ours.items()} == {key: type(value) for key, value in real.items()}
    assert ours["orderTypes"] == real["orderTypes"]
    filters = {one["filterType"]: shape({key: one[key] for key in sorted(one)}) for one in ours["filters"]}
    for one in real["filters"]:
        kind = one["filterType"]
        assert filters[kind].keys() == one.keys()
        assert all((type(one[key]) is int) == (filters[kind][key] == "int") for key in one), kind
    steps = {one["filterType"]: one for one in real["filters"]}
    named = {one["filterType"]: one for one in ours["filters"]}
    assert named["PRICE_FILTER"] == steps["PRICE_FILTER"]
    assert named["LOT_SIZE"]["stepSize"] == steps["LOT_SIZE"]["stepSize"]


def test_exchange_info_selects(exchange: RunningExchange) -> None:
    every = get(exchange, "exchangeInfo").json["symbols"]
    assert len(every) == 20
    some = get(exchange, "exchangeInfo", symbols='["ETHUSDT","BTCUSDT"]', showPermissionSets="false").json["symbols"]
    assert [one["symbol"] for one in some] == ["ETHUSDT", "BTCUSDT"]
    assert "permissionSets" not in some[0]
    assert get(exchange, "exchangeInfo", symbolStatus="BREAK").json["symbols"] == []


ERRORS = [
    ("klines", {"symbol": "BTCUSDT"}, -1102,
     "Mandatory parameter 'interval' was not sent, was empty/null, or malformed."),
    ("klines", {"symbol": "", "interval": "1h"}, -1102,
     "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."),
    ("klines", {"symbol": "BTCUSDT", "interval": "7m"}, -1120, "Invalid interval."),
    ("klines", {"symbol": "BTCUSDT", "interval": "1H"}, -1120, "Invalid interval."),
    ("klines", {"symbol": "NOPEUSDT", "interval": "1h"}, -1121, "Invalid symbol."),
    ("klines", {"symbol": "btcusdt", "interval": "1h"}, -1100,
     "Illegal characters found in parameter 'symbol'; legal range is '^[A-Z0-9-_.]{1,20}$'."),
    ("klines", {"symbol": "BTCUSDT", "interval": "1h", "limit": "abc"}, -1100,
     "Illegal characters found in parameter 'limit'; legal range is '^[0-9]{1,20}$'."),
    ("klines", {"symbol": "BTCUSDT", "interval": "1h", "limit": "0"}, -1130,
     "Data sent for parameter 'limit' is not valid."),
    ("klines", {"symbol": "BTCUSDT", "interval": "1h", "startTime": "-1"}, -1100,
     "Illegal characters found in parameter 'startTime'; legal range is '^[0-9]{1,20}$'."),
    ("klines", {"symbol": "BTCUSDT", "interval": "1h", "startTime": ""}, -1105, "Parameter 'startTime' was empty."),
    ("klines", {"symbol": "BTCUSDT", "interval": "1h", "startTme": "1"}, -1104,
     "Not all sent parameters were read; read '2' parameter(s) but was sent '3'."),
    ("klines", {"symbol": "BTCUSDT", "interval": "1h", "timeZone": "15"}, -1130,
     "Data sent for parameter 'timeZone' is not valid."),
    ("ping", {"x": "1"}, -1104, "Not all sent parameters were read; read '0' parameter(s) but was sent '1'."),
    ("depth", {}, -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."),
    ("ticker/price", {"symbol": "BTCUSDT", "symbols": '["ETHUSDT"]'}, -1128,
     "Combination of optional parameters invalid."),
    ("ticker/price", {"symbols": '["ETHUSDT","ETHUSDT"]'}, -1151, "Symbol is present multiple times in the list."),
    ("ticker/price", {"symbols": "ETHUSDT"}, -1100,
     "Illegal characters found in parameter 'symbols'; "
     r"""legal range is '^\[("[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}){0,1}\]$'."""),
    ("ticker/24hr", {"symbol": "BTCUSDT", "type": "HUGE"}, -1130, "Data sent for parameter 'type' is not valid."),
    ("ticker/24hr", {"symbol": "BTCUSDT", "symbolStatus": "HALT"}, -1220,
     "The symbol's status does not match the requested symbolStatus."),
    ("exchangeInfo", {"symbolStatus": "ASLEEP"}, -1122, "Invalid symbolStatus."),
    ("aggTrades", {"symbol": "BTCUSDT", "fromId": "1", "startTime": "1"}, -1128,
     "Combination of optional parameters invalid."),
]  # fmt: skip


@pytest.mark.parametrize(("path", "params", "code", "msg"), ERRORS)
def test_refusals_have_the_real_code_and_words(
    exchange: RunningExchange, path: str, params: dict[str, str], code: int, msg: str
) -> None:
    answer = get(exchange, path, **params)
    assert answer.status == 400
    assert answer.json == {"code": code, "msg": msg}
    assert "x-mbx-used-weight-1m" in answer.headers


def test_a_parameter_sent_twice_is_refused(exchange: RunningExchange) -> None:
    answer = get(exchange, "klines?symbol=BTCUSDT&symbol=ETHUSDT&interval=1h")
    assert answer.json == {"code": -1101, "msg": "Duplicate values for a parameter detected."}


def test_an_unknown_path_is_html_only_for_browsers(exchange: RunningExchange) -> None:
    plain = get(exchange, "nope")
    assert (plain.status, plain.body) == (404, b"")
    shown = get(exchange, "nope", {"Accept": "text/html,*/*"})
    assert (shown.status, shown.body) == (404, b"<html><body><h2>404 Not found</h2></body></html>")


def test_another_host_name_is_refused(exchange: RunningExchange) -> None:
    assert get(exchange, "ping", {"Host": "evil.example"}).status == 400
    assert get(exchange, "ping", {"Host": f"localhost:{exchange.port}"}).status == 200


def rows(exchange: RunningExchange, **params: object) -> list[list[Any]]:
    answer = get(exchange, "klines", **{"symbol": "ETHUSDT", "interval": "1h", **params})
    assert answer.status == 200
    found: list[list[Any]] = answer.json
    return found


def opens(found: list[list[Any]]) -> list[int]:
    return [row[0] for row in found]


def test_without_a_range_klines_are_the_newest_and_the_last_is_open(exchange: RunningExchange) -> None:
    found = rows(exchange)
    last = Interval.H1.open_ms(NOW_MS)
    assert opens(found) == [last - hour * HOUR_MS for hour in range(499, -1, -1)]
    assert found[-1][6] == last + HOUR_MS - 1 > NOW_MS
    assert float(found[-1][5]) < float(found[-2][5]), "twelve seconds old"
    assert len(rows(exchange, limit=99_999)) == 1000


def test_klines_between_times(exchange: RunningExchange) -> None:
    base = Interval.H1.open_ms(NOW_MS) - 100 * HOUR_MS
    assert opens(rows(exchange, startTime=base, limit=3)) == [base, base + HOUR_MS, base + 2 * HOUR_MS]
    assert opens(rows(exchange, startTime=base + 1, limit=1)) == [base + HOUR_MS]
    assert opens(rows(exchange, endTime=base, limit=2)) == [base - HOUR_MS, base]
    assert opens(rows(exchange, endTime=base - 1, limit=1)) == [base - HOUR_MS]
    assert opens(rows(exchange, startTime=base, endTime=base + HOUR_MS)) == [base, base + HOUR_MS]
    assert rows(exchange, startTime=base + 1, endTime=base) == []
    assert rows(exchange, startTime=base // 1000, endTime=NOW_MS // 1000) == [], "seconds instead of milliseconds"
    assert rows(exchange, startTime=NOW_MS + HOUR_MS) == []
    assert opens(rows(exchange, startTime=NOW_MS - HOUR_MS)) == [Interval.H1.open_ms(NOW_MS)]


def test_pages_meet_without_overlap(exchange: RunningExchange) -> None:
    start = Interval.H1.open_ms(NOW_MS) - 2500 * HOUR_MS
    seen: list[int] = []
    while page := rows(exchange, startTime=seen[-1] + 1 if seen else start, limit=1000):
        seen += opens(page)
    assert seen == list(range(start, NOW_MS, HOUR_MS))


@pytest.mark.parametrize("interval", list(Interval))
def test_every_interval_lies_on_its_grid(exchange: RunningExchange, interval: Interval) -> None:
    found = rows(exchange, interval=interval, limit=40)
    assert len(found) == 40
    for row, after in pairwise(found):
        assert row[0] == interval.open_ms(row[0])
        assert row[6] + 1 == after[0]
    assert found[-1][0] == interval.open_ms(NOW_MS)


@pytest.mark.parametrize(
    ("zone", "ahead_ms"), [("8", 8 * HOUR_MS), ("-3:30", -7 * HOUR_MS // 2), ("+05:30", 11 * HOUR_MS // 2)]
)
def test_days_of_another_zone_begin_at_its_midnight(exchange: RunningExchange, zone: str, ahead_ms: int) -> None:
    found = rows(exchange, interval="1d", timeZone=zone, limit=5)
    assert len(found) == 5
    assert all((row[0] + ahead_ms) % DAY_MS == 0 for row in found)
    assert all(row[6] == row[0] + DAY_MS - 1 for row in found)
    assert found[-1][0] <= NOW_MS <= found[-1][6]
    minutes = rows(exchange, interval="30m", startTime=found[1][0], endTime=found[1][6], limit=1000)
    assert len(minutes) == 48
    assert found[1][1] == minutes[0][1]
    assert float(found[1][2]) == max(float(row[2]) for row in minutes)
    assert found[1][8] == sum(row[8] for row in minutes)


def test_ticker_is_the_last_day(exchange: RunningExchange) -> None:
    ticker = get(exchange, "ticker/24hr", symbol="SOLUSDT").json
    minutes = rows(exchange, symbol="SOLUSDT", interval="1m", startTime=NOW_MS // 60_000 * 60_000 - DAY_MS, limit=1000)
    minutes += rows(exchange, symbol="SOLUSDT", interval="1m", startTime=minutes[-1][6], limit=1000)
    assert ticker["openPrice"] == minutes[0][1]
    assert ticker["lastPrice"] == minutes[-1][4]
    assert float(ticker["highPrice"]) == max(float(row[2]) for row in minutes)
    assert ticker["count"] == sum(row[8] for row in minutes)
    assert float(ticker["volume"]) == pytest.approx(sum(float(row[5]) for row in minutes))
    assert ticker["lastId"] - ticker["firstId"] >= ticker["count"] - 1
    assert float(ticker["priceChange"]) == pytest.approx(float(ticker["lastPrice"]) - float(ticker["openPrice"]))
    assert float(ticker["bidPrice"]) < float(ticker["askPrice"])
    mini = get(exchange, "ticker/24hr", symbols='["SOLUSDT"]', type="MINI").json[0]
    assert mini.items() < ticker.items()


def test_price_book_and_trades_agree(exchange: RunningExchange) -> None:
    price = get(exchange, "ticker/price", symbol="XRPUSDT").json["price"]
    book = get(exchange, "ticker/bookTicker", symbol="XRPUSDT").json
    depth = get(exchange, "depth", symbol="XRPUSDT", limit=50).json
    trades = get(exchange, "trades", symbol="XRPUSDT", limit=50).json
    assert price in (book["bidPrice"], book["askPrice"])
    assert depth["bids"][0] == [book["bidPrice"], book["bidQty"]]
    assert depth["asks"][0] == [book["askPrice"], book["askQty"]]
    assert [float(bid[0]) for bid in depth["bids"]] == sorted({float(bid[0]) for bid in depth["bids"]}, reverse=True)
    assert len(depth["asks"]) == 50
    assert trades[-1]["price"] == price
    assert [trade["id"] for trade in trades] == list(range(trades[0]["id"], trades[0]["id"] + 50))
    assert all(earlier["time"] <= later["time"] for earlier, later in pairwise(trades))
    average = float(get(exchange, "avgPrice", symbol="XRPUSDT").json["price"])
    assert average == pytest.approx(float(price), rel=0.02)


def test_trades_add_up_to_their_second(exchange: RunningExchange) -> None:
    second = NOW_MS // 1000 * 1000 - 4000
    (candle,) = rows(exchange, symbol="BTCUSDT", interval="1s", startTime=second, endTime=second)
    trades = get(exchange, "aggTrades", symbol="BTCUSDT", startTime=second, endTime=second + 999).json
    assert len(trades) == candle[8] > 0
    assert sum(float(trade["q"]) for trade in trades) == pytest.approx(float(candle[5]), abs=1e-9)
    assert max(float(trade["p"]) for trade in trades) <= float(candle[2])
    assert trades[-1]["p"] == candle[4]
    same = get(exchange, "aggTrades", symbol="BTCUSDT", fromId=trades[0]["a"], limit=len(trades)).json
    assert same == trades


WEIGHTS: list[tuple[str, dict[str, object], int]] = [
    ("ping", {}, 1), ("time", {}, 1), ("exchangeInfo", {}, 20),
    ("klines", {"symbol": "BTCUSDT", "interval": "1h", "limit": 1000}, 2),
    ("depth", {"symbol": "BTCUSDT"}, 5), ("depth", {"symbol": "BTCUSDT", "limit": 500}, 25),
    ("depth", {"symbol": "BTCUSDT", "limit": 1000}, 50), ("depth", {"symbol": "BTCUSDT", "limit": 6000}, 250),
    ("trades", {"symbol": "BTCUSDT", "limit": 1}, 25), ("aggTrades", {"symbol": "BTCUSDT", "limit": 1}, 4),
    ("avgPrice", {"symbol": "BTCUSDT"}, 2), ("ticker/24hr", {"symbol": "BTCUSDT"}, 2),
    ("ticker/24hr", {"symbols": '["BTCUSDT"]'}, 2), ("ticker/24hr", {}, 80),
    ("ticker/price", {"symbol": "BTCUSDT"}, 2), ("ticker/price", {}, 4), ("ticker/bookTicker", {}, 4),
]  # fmt: skip


def test_weights_are_counted_and_told() -> None:
    with running_exchange(Market(SyntheticSource(symbols=2)), ManualClock(NOW_MS)) as exchange:
        used = 0
        for path, params, weight in WEIGHTS:
            answer = get(exchange, path, **params)
            used += weight
            assert answer.headers["x-mbx-used-weight-1m"] == str(used), path
            assert answer.headers["x-mbx-used-weight"] == str(used)
        assert [entry.weight for entry in exchange.journal] == [weight for _, _, weight in WEIGHTS]


def test_the_journal_remembers_what_was_asked(exchange: RunningExchange) -> None:
    exchange.journal.clear()
    get(exchange, "klines", symbol="BTCUSDT", interval="1d", limit=7)
    (entry,) = exchange.journal.entries("/klines")
    assert (entry.method, entry.path, entry.weight, entry.status) == ("GET", "/api/v3/klines", 2, 200)
    assert entry.params == (("symbol", "BTCUSDT"), ("interval", "1d"), ("limit", "7"))
    assert entry.param("limit") == "7"
    assert entry.at_ms == NOW_MS


def test_the_real_client_reads_it(exchange: RunningExchange) -> None:
    async def read() -> tuple[Any, Any, Any, Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of websockets, inside python-binance
            from binance import AsyncClient
            from binance.exceptions import BinanceAPIException

        class Client(AsyncClient):  # type: ignore[misc]  # python-binance carries no types
            API_URL = exchange.rest_url

        client = await Client.create()
        try:
            klines = await client.get_klines(symbol="BTCUSDT", interval="1h", limit=1000)
            info = await client.get_exchange_info()
            ticker = await client.get_ticker(symbol="BTCUSDT")
            with pytest.raises(BinanceAPIException) as refused:
                await client.get_klines(symbol="NOPE", interval="1h")
            return klines, info, ticker, refused.value
        finally:
            await client.close_connection()

    klines, info, ticker, refused = asyncio.run(read())
    assert len(klines) == 1000
    assert len(info["symbols"]) == 20
    assert ticker["symbol"] == "BTCUSDT"
    assert (refused.status_code, refused.code, refused.message) == (400, -1121, "Invalid symbol.")
