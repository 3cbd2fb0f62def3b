"""Sessions: a watcher and a trader in a real Chromium for a minute, and every answer that they receive, by its bytes.

What they do and how often is what `benchmarks/locustfile.py` has its readers do: here with the pages' own scripts.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from benchmarks.browsing import fresh_profile

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

READERS = {"watcher": 6, "trader": 3}
"""How many there are of each for one program at the API, which is no browser."""
_STAYS_MS, _LOOKS_MS = 8_000, 2_000
"""At a market: three rounds of news and the mean pause; at another page the mean pause."""
CYCLE = ("market", "market", "market", "forecasts", "market", "market", "market", "forecasts", "around")
"""Six markets, two looks at the forecasts, one around: as often as in Locust's tasks."""
_AROUND = ("/models", "/performance", "/")
_INTERVALS = ("1h", "1h", "15m")


@dataclass(frozen=True, slots=True)
class Received:
    """One answer with a body: its bytes with headers as they travelled, those of its body, and of what it says."""

    reader: str
    path: str
    encoding: str
    transferred_bytes: int
    body_bytes: int
    plain_bytes: int


@dataclass
class Traffic:
    """What the network events of one window have told, which come in any order."""

    reader: str
    _requests: dict[str, dict[str, Any]] = field(default_factory=dict)

    def received(self) -> list[Received]:
        """What had a body that travelled: not what the browser had, not 204 and 304."""
        return [
            Received(self.reader, one["path"], one["encoding"], one["transferred"], one["length"], one["plain"])
            for one in self._requests.values()
            if one.get("status") == HTTPStatus.OK and one.get("transferred")
        ]

    def sent(self, event: Mapping[str, Any]) -> None:
        self._request(event)["path"] = urlsplit(event["request"]["url"]).path

    def headed(self, event: Mapping[str, Any]) -> None:
        """As it came from the network, before the browser puts a 304 and its copy together."""
        headers = {name.lower(): text for name, text in event["headers"].items()}
        self._request(event).update(
            status=event["statusCode"],
            length=int(headers.get("content-length", 0)),
            encoding=headers.get("content-encoding", ""),
        )

    def unpacked(self, event: Mapping[str, Any]) -> None:
        self._request(event)["plain"] += event["dataLength"]

    def finished(self, event: Mapping[str, Any]) -> None:
        self._request(event)["transferred"] = int(event["encodedDataLength"])

    def _request(self, event: Mapping[str, Any]) -> dict[str, Any]:
        return self._requests.setdefault(event["requestId"], {"path": "", "plain": 0})


def sessions(
    browser: Browser, addresses: Mapping[str, str], markets: Sequence[str], cycle: Sequence[str] = CYCLE
) -> dict[str, list[Received]]:
    """One watcher and one trader at each of the addresses, all at the same time, through one cycle of the trader."""
    with _windows(browser, addresses) as opened:
        traders = []
        for name, (watcher, trader, _) in opened.items():
            watcher.goto(f"{addresses[name]}/")
            traders.append((addresses[name], trader))
        places = iter(_places(markets))
        for what in cycle:
            paths, stays_ms = next(places) if what == "market" else _elsewhere(what)
            _visit(traders, paths, stays_ms)
        traders[-1][1].wait_for_timeout(_LOOKS_MS)
        return {name: [one for each in traffic for one in each.received()] for name, (_, _, traffic) in opened.items()}


def _places(markets: Sequence[str]) -> Iterator[tuple[tuple[str, ...], int]]:
    for number in itertools.count():
        symbol, interval = markets[number % len(markets)], _INTERVALS[number % len(_INTERVALS)]
        yield (f"/symbol/{symbol}?interval={interval}",), _STAYS_MS


def _elsewhere(what: str) -> tuple[tuple[str, ...], int]:
    return (_AROUND, _LOOKS_MS // 4) if what == "around" else (("/forecasts",), _LOOKS_MS)


def _visit(traders: Sequence[tuple[str, Page]], paths: Sequence[str], stays_ms: int) -> None:
    for path in paths:
        began_s = time.monotonic()
        for address, page in traders:
            page.goto(address + path, wait_until="load")
        left_ms = stays_ms - 1000 * (time.monotonic() - began_s)
        traders[-1][1].wait_for_timeout(max(0.0, left_ms))


@contextmanager
def _windows(browser: Browser, addresses: Mapping[str, str]) -> Iterator[dict[str, tuple[Page, Page, list[Traffic]]]]:
    """A watcher's and a trader's window for each address, each in a profile of its own, and what they receive."""
    if not addresses:
        yield {}
        return
    name, *others = addresses
    with fresh_profile(browser) as watching, fresh_profile(browser) as trading:
        pages, traffic = [], []
        for context, reader in ((watching, "watcher"), (trading, "trader")):
            page = context.new_page()
            pages.append(page)
            traffic.append(_listen(page, reader))
        with _windows(browser, {other: addresses[other] for other in others}) as more:
            yield {name: (pages[0], pages[1], traffic), **more}


def _listen(page: Page, reader: str) -> Traffic:
    traffic, events = Traffic(reader), page.context.new_cdp_session(page)
    events.on("Network.requestWillBeSent", traffic.sent)
    events.on("Network.responseReceivedExtraInfo", traffic.headed)
    events.on("Network.dataReceived", traffic.unpacked)
    events.on("Network.loadingFinished", traffic.finished)
    events.send("Network.enable")
    return traffic
