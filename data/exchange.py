"""The exchange in use: Binance, its test network, or the simulated exchange, chosen by one setting."""

from __future__ import annotations

import http.client
import logging
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol
from urllib.parse import urlsplit

from data import venue as venues
from data.simulated_process import SimulatedProcess, Simulation
from utils.clock import SystemClock
from utils.errors import ConfigError
from utils.loopback import is_loopback

__all__ = ["Exchange", "SimulatedProcess", "Simulation", "choose", "probe"]

log = logging.getLogger(__name__)

PROBE_S = 2.0
_ANSWERED = 200
_REGION_REFUSED = 451
_SILENT = 0


class Running(Protocol):
    """An exchange that was started for this program and runs until it is closed."""

    @property
    def rest_url(self) -> str: ...
    @property
    def stream_url(self) -> str: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Exchange:
    """Where candles come from. `notice` has to be read by everyone who sees its prices; empty for the real market."""

    name: str
    rest_url: str
    stream_url: str
    simulated: bool
    notice: str
    venue: str = venues.BINANCE
    """Under which name its candles and forecasts are kept."""
    process: Running | None = field(default=None, repr=False, compare=False)

    def close(self) -> None:
        """Ends the simulated exchange, if one was started for this."""
        if self.process is not None:
            self.process.close()


BINANCE = Exchange("Binance", "https://api.binance.com", "wss://stream.binance.com:9443", simulated=False, notice="")
MARKET_DATA_HOST = replace(
    BINANCE,
    name="Binance (market data host)",
    rest_url="https://data-api.binance.vision",
    stream_url="wss://data-stream.binance.vision",
)
TESTNET = Exchange(
    "Binance testnet",
    "https://testnet.binance.vision",
    "wss://stream.testnet.binance.vision",
    simulated=False,
    notice="Binance's test network: these are play-money prices, not those of the market.",
    venue=venues.TESTNET,
)

Probe = Callable[[str, float], int]
StartSimulation = Callable[[Simulation], Running]


def choose(
    setting: str,
    *,
    rest_override: str = "",
    stream_override: str = "",
    simulation: Simulation | None = None,
    probe_host: Probe | None = None,
    start_simulation: StartSimulation = SimulatedProcess.start,
) -> Exchange:
    """The exchange that `setting` (auto, binance, testnet or simulated) stands for.

    An exchange named by setting or address is returned without asking whether it answers: if it fails, it is shown as
    failing. Only `auto` replaces a Binance that does not answer within 2 s, by the simulated exchange. Raises
    ConfigError for a wrong setting, ExchangeUnavailable if the simulated exchange does not start.
    """
    if setting not in ("auto", "binance", "testnet", "simulated"):
        raise ConfigError(f"EXCHANGE is {setting!r}; use auto, binance, testnet or simulated")
    if rest_override or stream_override:
        return _overridden(setting, rest_override, stream_override)
    if setting == "binance":
        return BINANCE
    if setting == "testnet":
        return TESTNET
    if setting == "simulated":
        return _simulated("EXCHANGE=simulated is set", simulation, start_simulation)
    found, why = _answering(probe_host or probe)
    return found or _simulated(why, simulation, start_simulation)


def probe(rest_url: str, timeout_s: float) -> int:
    """The HTTP status of the exchange's ping; 0 for anything that is not an exchange's answer within `timeout_s`.

    Looks neither at proxies nor at redirects. The wait is total: a name server or a host that drips cannot prolong it.
    """
    found: list[int] = []
    worker = threading.Thread(
        target=lambda: found.append(_ping(rest_url, timeout_s)), name="exchange-probe", daemon=True
    )
    worker.start()
    worker.join(timeout_s)
    return found[0] if found else _SILENT


def check_url(name: str, url: str, secure: str) -> str:
    """The address without a trailing slash. `secure` is https or wss; plain only towards this very machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    plain = {"https": "http", "wss": "ws"}[secure]
    if parts.scheme not in (secure, plain) or not host or parts.username or parts.query or parts.fragment:
        raise ConfigError(
            f"{name} is {_without_login(url)!r}; use {secure}://host or, on this machine, {plain}://127.0.0.1:port"
        )
    if parts.scheme == plain and not is_loopback(host):
        raise ConfigError(
            f"{name} is {url!r}: {plain} without encryption is only for this machine; use {secure}://{host}"
        )
    return url.rstrip("/")


def _answering(probe_host: Probe) -> tuple[Exchange | None, str]:
    """Binance or its market-data host, whichever answers within 2 s altogether; else why neither does."""
    clock = SystemClock()
    deadline_s = clock.monotonic() + PROBE_S
    status = probe_host(BINANCE.rest_url, PROBE_S)
    if status == _ANSWERED:
        return BINANCE, ""
    if status != _REGION_REFUSED:
        return None, f"Binance did not answer within {PROBE_S:g} s"
    left_s = max(0.5, deadline_s - clock.monotonic())
    if probe_host(MARKET_DATA_HOST.rest_url, left_s) == _ANSWERED:
        log.info("Binance refuses this region; its market-data host is used")
        return MARKET_DATA_HOST, ""
    return None, "Binance does not serve this region, and its market-data host did not answer"


def _simulated(why: str, simulation: Simulation | None, start: StartSimulation) -> Exchange:
    played = simulation or Simulation()
    process = start(played)
    return Exchange(
        name="Simulated exchange",
        rest_url=process.rest_url,
        stream_url=process.stream_url,
        simulated=True,
        notice=_simulated_notice(why, replayed=played.replay_path is not None),
        venue=venues.invented(played.seed) if played.in_real_time else venues.run(SystemClock().now_ms()),
        process=process,
    )


def _simulated_notice(why: str, *, replayed: bool) -> str:
    prices = "a replay of past prices" if replayed else "invented prices"
    return f"SIMULATED MARKET: {prices}, not today's market ({why})."


def _overridden(setting: str, rest_override: str, stream_override: str) -> Exchange:
    base = TESTNET if setting == "testnet" else BINANCE
    rest_url = check_url("BINANCE_REST_URL", rest_override or base.rest_url, "https")
    stream_url = check_url("BINANCE_STREAM_URL", stream_override or base.stream_url, "wss")
    if setting == "simulated":
        return Exchange(
            "Simulated exchange",
            rest_url,
            stream_url,
            True,
            _simulated_notice("EXCHANGE=simulated is set", replayed=False),
            venue=venues.run(SystemClock().now_ms()),
        )
    host = urlsplit(rest_url).netloc
    notice = f"Prices come from {host}, an address set in BINANCE_REST_URL, not from Binance itself."
    return Exchange(
        host, rest_url, stream_url, False, notice if rest_override else base.notice, venue=venues.mirror(host)
    )


def _ping(rest_url: str, timeout_s: float) -> int:
    parts = urlsplit(rest_url)
    port = parts.port
    host = parts.hostname or ""
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(host, port, timeout=timeout_s, context=ssl.create_default_context())
    else:
        connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", "/api/v3/ping", headers={"Accept": "application/json"})
        answer = connection.getresponse()
        body = answer.read(64)
    except (OSError, http.client.HTTPException) as error:
        log.info("%s does not answer: %s", host, error)
        return _SILENT
    finally:
        connection.close()
    if answer.status == _ANSWERED and body.strip() != b"{}":
        log.info("%s answers something that is not an exchange's ping", host)
        return _SILENT
    return answer.status


def _without_login(url: str) -> str:
    return url if "@" not in url else "…@" + url.rpartition("@")[2]
