"""Readers of the dashboard, for Locust: one who watches the overview, one who opens markets, one program at the API.

`make load` runs them against an application it has started. By hand, with Locust's own page:
`locust -f benchmarks/locustfile.py --host http://127.0.0.1:5000`.
"""

from __future__ import annotations

import random
import re
import time
from http import HTTPStatus

from locust import FastHttpUser, between, constant_pacing, task

_VERSION = re.compile(r'data-version="([^"]+)"')
_MARKET = re.compile(r'<tr data-symbol="(\w+)"')
_BROWSER = {"Accept-Encoding": "gzip, deflate, br", "Accept": "text/html"}
_PROGRAM = {"Accept-Encoding": "gzip, deflate, br", "Accept": "application/json"}
_UNCHANGED = (HTTPStatus.OK, HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)


class Reader(FastHttpUser):
    """What all share: they know the markets of the overview, and ask again only for what they have not."""

    abstract = True
    connection_timeout = network_timeout = 10.0

    def on_start(self) -> None:
        self.versions: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.markets = _MARKET.findall(self.page("/", "overview")) or ["BTCUSDT"]

    def page(self, path: str, name: str) -> str:
        """A whole page as a browser asks for it, with the ETag of the one it keeps."""
        text = self.ask(path, name, _BROWSER)
        found = _VERSION.search(text)
        if found is not None:
            self.versions[name] = found[1]
        return text

    def live(self, path: str, name: str, page: str) -> None:
        """The question for news that a page asks every two seconds."""
        joint = "&" if "?" in path else "?"
        text = self.ask(f"{path}{joint}version={self.versions.get(page, '')}", name, _BROWSER)
        found = _VERSION.search(text)
        if found is not None:
            self.versions[page] = found[1]

    def ask(self, path: str, name: str, headers: dict[str, str]) -> str:
        """The text of an answer; empty where there is nothing new. Anything else than that counts as a failure."""
        known = self.tags.get(path)
        given = headers if known is None else {**headers, "If-None-Match": known}
        with self.client.get(path, name=name, headers=given, catch_response=True) as answer:
            if answer.status_code not in _UNCHANGED:
                answer.failure(f"status {answer.status_code}")
                return ""
            answer.success()
            if answer.headers.get("ETag"):
                self.tags[path] = answer.headers["ETag"]
            return answer.text or ""


class Watcher(Reader):
    """Keeps the overview open; its page asks for news every two seconds."""

    weight = 6
    wait_time = constant_pacing(2)

    @task
    def look(self) -> None:
        self.live("/live", "overview, news", "overview")


class Trader(Reader):
    """Opens one market after the other with its chart, stays for some news, looks at the forecasts and at models."""

    weight = 3
    wait_time = between(1, 3)

    @task(6)
    def open_market(self) -> None:
        symbol = random.choice(self.markets)
        interval = random.choice(("1h", "1h", "15m"))
        self.page(f"/symbol/{symbol}?interval={interval}", "market")
        self.ask(
            f"/symbol/{symbol}/chart.json?interval={interval}&show=ema_50&show=rsi", "market, chart data", _PROGRAM
        )
        for _ in range(3):
            time.sleep(2)  # gevent's, in Locust's process
            self.live(f"/symbol/{symbol}/live?interval={interval}", "market, news", "market")

    @task(2)
    def read_forecasts(self) -> None:
        self.page("/forecasts", "forecasts")

    @task(1)
    def look_around(self) -> None:
        self.page("/models", "models")
        self.page("/performance", "performance")
        self.page("/", "overview")


class Program(Reader):
    """A script that follows the JSON interface, asking for one market after the other."""

    weight = 1
    wait_time = between(0.1, 0.3)

    @task(3)
    def candles(self) -> None:
        self.ask(f"/api/v1/candles/{random.choice(self.markets)}?interval=1h", "API, candles", _PROGRAM)

    @task(1)
    def indicators(self) -> None:
        self.ask(f"/api/v1/indicators/{random.choice(self.markets)}?interval=1h", "API, indicators", _PROGRAM)

    @task(2)
    def forecast(self) -> None:
        self.ask(f"/api/v1/forecast/{random.choice(self.markets)}?interval=1h", "API, forecast", _PROGRAM)
