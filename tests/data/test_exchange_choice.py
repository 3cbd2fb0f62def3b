"""Which exchange is used: what is named is never replaced, auto replaces a silent Binance, and everyone is told."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from data.binance_gateway import BinanceGateway
from data.exchange import BINANCE, MARKET_DATA_HOST, TESTNET, Simulation, choose, probe
from data.interval import Interval
from data.simulated_process import SimulatedProcess
from tests.support.exchange import RunningExchange, running_exchange
from tests.support.in_time import in_time
from tests.support.market import BTC, no_thread_left, running_gateway
from utils.errors import ConfigError, ExchangeUnavailable

ROOT = Path(__file__).resolve().parents[2]


class Played:
    """Stands where the simulated process would be, and remembers what it was asked to play."""

    rest_url = "http://127.0.0.1:5"
    stream_url = "ws://127.0.0.1:5"

    def __init__(self) -> None:
        self.simulations: list[Simulation] = []
        self.closed = 0

    def start(self, simulation: Simulation) -> Played:
        self.simulations.append(simulation)
        return self

    def close(self) -> None:
        self.closed += 1


def never(*_: object) -> int:
    pytest.fail("an exchange that is named is not asked whether it answers")


@pytest.fixture(scope="module")
def exchange() -> Iterator[RunningExchange]:
    with running_exchange() as running:
        yield running


def host_of(exchange: RunningExchange) -> str:
    return exchange.rest_url.removesuffix("/api")


@pytest.mark.parametrize(("setting", "expected"), [("binance", BINANCE), ("testnet", TESTNET)])
def test_an_exchange_that_is_named_is_taken_whether_it_answers_or_not(setting: str, expected: object) -> None:
    assert choose(setting, probe_host=never) == expected


def test_the_test_network_says_what_its_prices_are() -> None:
    assert "play-money" in choose("testnet").notice
    assert choose("binance").notice == ""


def test_auto_is_binance_when_that_answers() -> None:
    played = Played()
    chosen = choose("auto", probe_host=lambda *_: 200, start_simulation=played.start)
    assert chosen == BINANCE
    assert played.simulations == []


def test_auto_takes_the_market_data_host_where_the_region_is_refused() -> None:
    asked: list[str] = []

    def answer(url: str, timeout_s: float) -> int:
        asked.append(url)
        assert timeout_s <= 2.0
        return 451 if url == BINANCE.rest_url else 200

    chosen = choose("auto", probe_host=answer, start_simulation=Played().start)
    assert chosen == MARKET_DATA_HOST
    assert (chosen.rest_url, chosen.stream_url) == (
        "https://data-api.binance.vision",
        "wss://data-stream.binance.vision",
    )
    assert asked == [BINANCE.rest_url, MARKET_DATA_HOST.rest_url]


@pytest.mark.parametrize(
    ("statuses", "words"),
    [((0,), "did not answer within 2 s"), ((503,), "did not answer"), ((451, 0), "does not serve this region")],
)
def test_auto_plays_the_simulated_exchange_otherwise_and_says_so(statuses: tuple[int, ...], words: str) -> None:
    played = Played()
    answers = iter(statuses)
    simulation = Simulation(seed=5)
    chosen = choose("auto", probe_host=lambda *_: next(answers), simulation=simulation, start_simulation=played.start)
    assert chosen.simulated
    assert chosen.notice.startswith("SIMULATED MARKET: invented prices")
    assert words in chosen.notice
    assert played.simulations == [simulation]
    chosen.close()
    assert played.closed == 1


def test_a_replay_is_called_a_replay() -> None:
    chosen = choose("simulated", simulation=Simulation(replay_path=Path("klines")), start_simulation=Played().start)
    assert "a replay of past prices" in chosen.notice
    assert "EXCHANGE=simulated" in chosen.notice


def test_another_address_is_used_for_what_it_is(exchange: RunningExchange) -> None:
    chosen = choose(
        "auto", rest_override=host_of(exchange) + "/", stream_override=exchange.stream_url, probe_host=never
    )
    assert (chosen.rest_url, chosen.stream_url) == (host_of(exchange), exchange.stream_url)
    assert not chosen.simulated
    assert "BINANCE_REST_URL" in chosen.notice
    with running_gateway(rest_url=chosen.rest_url) as gateway:
        gateway.ping()


def test_a_simulated_exchange_elsewhere_is_still_simulated(exchange: RunningExchange) -> None:
    chosen = choose("simulated", rest_override=host_of(exchange), stream_override=exchange.stream_url)
    assert chosen.simulated
    assert "SIMULATED" in chosen.notice


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:80", "http://localhost:8080", "http://[::1]:9", "https://mirror.example"]
)
def test_addresses_that_fit(url: str) -> None:
    assert choose("binance", rest_override=url).rest_url == url


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://mirror.example", "without encryption is only for this machine"),
        ("http://127.0.0.1.evil.example", "without encryption"),
        ("http://169.254.169.254", "without encryption"),
        ("ftp://127.0.0.1", "use https://host"),
        ("file:///etc/passwd", "use https://host"),
        ("mirror.example", "use https://host"),
        ("https://user:canary@mirror.example", "use https://host"),
        ("https://mirror.example/?a=b", "use https://host"),
        ("https://", "use https://host"),
    ],
)
def test_addresses_that_do_not_fit_are_refused_with_what_does(url: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        choose("binance", rest_override=url)
    assert "BINANCE_REST_URL" in str(caught.value)
    assert "canary" not in str(caught.value)


def test_streams_over_plain_ws_stay_on_this_machine() -> None:
    with pytest.raises(ConfigError, match="BINANCE_STREAM_URL"):
        choose("binance", stream_override="ws://stream.example")


def test_an_unknown_setting_names_those_that_exist() -> None:
    with pytest.raises(ConfigError, match="use auto, binance, testnet or simulated"):
        choose("bitcoin")


def test_the_probe_tells_the_status_of_a_real_answer(exchange: RunningExchange) -> None:
    host = host_of(exchange)
    assert probe(host, 2.0) == 200
    exchange.faults.add("status", "/api/v3/ping", status=451, body="{}")
    assert probe(host, 2.0) == 451
    exchange.faults.add("html", "/api/v3/ping")
    assert probe(host, 2.0) == 0, "a login page is no exchange"
    exchange.faults.add("redirect", "/api/v3/ping", body=host + "/api/v3/ping")
    assert probe(host, 2.0) == 302, "a redirect is not followed"


@pytest.mark.parametrize("kind", ["hang", "drip_headers", "drip_body", "reset"])
def test_the_probe_never_takes_longer_than_it_may(exchange: RunningExchange, kind: str) -> None:
    exchange.faults.add(kind, "/api/v3/ping", delay_s=1.0, times=None)
    assert in_time(lambda: probe(host_of(exchange), 0.4), 1.0) == 0


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "https://no-such.invalid"])
def test_the_probe_finds_nothing_where_nothing_is(url: str) -> None:
    assert probe(url, 2.0) == 0


def test_choosing_does_not_import_the_client_library() -> None:
    code = (
        "import sys; import data.exchange, data.binance_gateway, data.market_data, data.market_feed; "
        "data.exchange.probe('http://127.0.0.1:9', 1.0); "
        "data.binance_gateway.BinanceGateway(); "
        "print([m for m in ('binance', 'aiohttp', 'websockets', 'requests', 'pandas') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_the_simulated_exchange_runs_in_its_own_process_and_is_gone_when_closed() -> None:
    with no_thread_left():
        chosen = choose("simulated", simulation=Simulation(seed=3))
        process = chosen.process
        assert isinstance(process, SimulatedProcess)
        try:
            gateway = BinanceGateway()
            gateway.start(chosen.rest_url, chosen.stream_url)
            try:
                assert len(gateway.klines(BTC, Interval.H1, limit=10).closed) >= 9
            finally:
                gateway.close()
        finally:
            chosen.close()
        assert not process.running
        assert probe(chosen.rest_url, 1.0) == 0
        chosen.close()


def test_a_simulated_exchange_that_cannot_start_says_why() -> None:
    with pytest.raises(ExchangeUnavailable, match="no date"):
        choose("simulated", simulation=Simulation(start="yesterday-ish"))


def test_a_simulated_exchange_ends_with_the_process_that_started_it() -> None:
    code = (
        "import os\n"
        "from data.exchange import choose\n"
        "chosen = choose('simulated')\n"
        "print(chosen.process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    pid = int(said.stdout)
    deadline = time.monotonic() + 60
    while Path(f"/proc/{pid}/cmdline").exists() and b"simulated_exchange" in Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < deadline, "it outlived its parent"
        time.sleep(0.05)
