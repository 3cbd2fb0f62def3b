"""Several workers behind one port: the same market in each, one feed, shared logins, and nobody irreplaceable."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.exchange import RunningExchange, running_exchange
from tests.support.running_app import RunningApp, running_app

pytestmark = pytest.mark.slow

PASSWORD = "correct horse battery"
TOKEN = "t" * 20
WITHIN_S = 120.0


@dataclass
class Team:
    """The program with two workers on one simulated exchange."""

    app: RunningApp
    exchange: RunningExchange
    folder: Path
    cookie: str = ""

    @property
    def workers(self) -> dict[int, psutil.Process]:
        """By number; one that has ended is none, whether or not it has been waited for yet."""
        found = {}
        for process in psutil.Process(self.app.process.pid).children():
            with suppress(psutil.NoSuchProcess):  # a zombie's command line is refused with a kind of this
                numbers = re.search(r"--worker (\d+)", " ".join(process.cmdline()))
                if numbers and process.status() != psutil.STATUS_ZOMBIE:
                    found[int(numbers[1])] = process
        return found

    @property
    def leader(self) -> int | None:
        """Which worker says in its log, last of all, that it leads; None while that one is gone."""
        said = [
            (line, number)
            for number in (1, 2)
            for line in self._log(number).splitlines()
            if "this process leads" in line
        ]
        return max(said)[1] if said else None

    def _log(self, number: int) -> str:
        path = self.folder / "instance" / "logs" / f"worker-{number}" / "dashboard.log"
        return path.read_text() if path.exists() else ""

    def ask(self, path: str, data: bytes | None = None) -> tuple[int, bytes, str]:
        """(status, body, which process answered), on a connection of its own, so that either may be met."""
        request = urllib.request.Request(
            self.app.address + path,
            data,
            {"Cookie": self.cookie, "Origin": self.app.address, "Connection": "close", "Sec-Fetch-Dest": "empty"},
        )
        opener = urllib.request.build_opener(Quiet)
        with opener.open(request, timeout=60) as answer:
            if data is not None:
                self.cookie = (answer.headers.get("Set-Cookie") or self.cookie).partition(";")[0]
            return answer.status, answer.read(), answer.headers["X-Request-ID"].partition("-")[0]

    def everyone(self, path: str) -> dict[str, Any]:
        """The JSON at `path` from each of two processes, by its mark; as often as it takes to meet both."""
        answers: dict[str, Any] = {}
        until_s = time.monotonic() + WITHIN_S
        while len(answers) < 2 and time.monotonic() < until_s:
            status, body, process = self.ask(path)
            assert status == 200, body
            answers[process] = json.loads(body)
        assert len(answers) == 2, f"only {set(answers)} ever answered"
        return answers

    def wait_until_ready(self) -> None:
        """Eight answers in a row, from both processes."""

        def ready() -> bool:
            answers = [self.ask("/ready") for _ in range(8)]
            return {status for status, _, _ in answers} == {200} and len({who for _, _, who in answers}) == 2

        eventually(ready, lambda: "".join(self.app.output[-20:]))


class Quiet(urllib.request.HTTPErrorProcessor):
    """Redirects and errors are answers."""

    def http_response(self, request: Any, response: Any) -> Any:
        return response

    https_response = http_response


def eventually(holds: Callable[[], bool], why: Callable[[], str] = str) -> None:
    until_s = time.monotonic() + WITHIN_S
    while time.monotonic() < until_s:
        try:
            if holds():
                return
        except (OSError, urllib.error.URLError):
            pass  # a process that was killed hangs up
        time.sleep(0.1)
    raise AssertionError(why())


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    folder = tmp_path_factory.mktemp("workers")
    with running_exchange() as exchange:
        settings = {
            "EXCHANGE": "binance",
            "BINANCE_REST_URL": f"http://{exchange.host}:{exchange.port}",
            "BINANCE_STREAM_URL": exchange.stream_url,
            "SYMBOLS": "BTCUSDT,ETHUSDT",
            "INTERVALS": "1m",
            "HISTORY_CANDLES": "100",
            "WORKERS": "2",
            "METRICS_TOKEN": TOKEN,
            "DASHBOARD_PASSWORD": PASSWORD,
        }
        with running_app(folder, **settings) as app:
            app.wait_for_address()
            made = Team(app, exchange, folder)
            eventually(lambda: made.ask("/login", f"password={PASSWORD}".replace(" ", "+").encode())[0] == 303)
            made.wait_until_ready()
            yield made


def test_a_login_at_one_worker_is_one_at_both_and_so_is_the_logout(team: Team) -> None:
    team.everyone("/api/v1/candles/BTCUSDT")
    cookie = team.cookie
    team.cookie = ""
    assert {team.ask("/api/v1/candles/BTCUSDT")[0] for _ in range(8)} == {401}
    team.ask("/login", f"password={PASSWORD}".replace(" ", "+").encode())
    other = team.cookie
    assert other != cookie
    assert team.ask("/logout", b"")[0] == 303
    team.cookie = other
    assert {team.ask("/api/v1/candles/BTCUSDT")[0] for _ in range(8)} == {401}
    team.cookie = cookie
    team.everyone("/api/v1/candles/BTCUSDT")


def test_both_have_the_same_market_by_one_feed(team: Team) -> None:
    one, other = team.everyone("/api/v1/candles/BTCUSDT?limit=50").values()
    assert one["rows"] == other["rows"]
    assert len(one["rows"]) == 50
    connected = {
        answer["metrics"]["sources"]["feed"]["connected"] for answer in team.everyone("/api/v1/performance").values()
    }
    assert connected == {team.exchange.stream_count()}, "each tells of the one feed there is"


def test_news_reach_the_pages_of_both(team: Team) -> None:
    before = team.everyone("/api/v1/candles/BTCUSDT?limit=1")
    time_of = {name: answer["forming"] for name, answer in before.items()}

    def newer() -> bool:
        now = team.everyone("/api/v1/candles/BTCUSDT?limit=1")
        return all(answer["forming"] != time_of[name] for name, answer in now.items())

    eventually(newer)


def test_metrics_are_those_of_both(team: Team) -> None:
    request = urllib.request.Request(f"{team.app.address}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        told = set(re.findall(r'dashboard_ready\{worker="(\d)"\}', answer.read().decode()))
    assert told == {"1", "2"}


def test_the_performance_page_of_either_tells_of_both(team: Team) -> None:
    rows = re.compile(r'<th scope="row">(\d) <small>process (\d+)</small></th><td class="lean">(leads|follows)([^<]*)')
    pages: dict[str, list[tuple[str, ...]]] = {}

    def both() -> bool:
        _, body, process = team.ask("/performance")
        pages[process] = rows.findall(body.decode())
        return len(pages) == 2 and all(settled(found) for found in pages.values())

    def settled(found: list[tuple[str, ...]]) -> bool:  # each worker tells the others every few seconds what it does
        return sorted(role for _, _, role, _ in found) == ["follows", "leads"]

    eventually(both, lambda: str(pages))
    for found in pages.values():
        named = {int(number): int(process) for number, process, _, _ in found}
        assert named == {number: one.pid for number, one in team.workers.items()}, "as their logs are called"
        assert [more for *_, more in found if more] == [", answered this page"]


def test_alerts_are_judged_by_one_and_shown_by_both(team: Team) -> None:
    judged: dict[str, object] = {}

    def same() -> bool:
        _, body, process = team.ask("/alerts")
        judged[process] = re.findall(rb'Judged <time[^>]+data-at="(\d+)"', body), body.count(b"nothing to judge yet")
        return len(judged) == 2 and len(set(map(str, judged.values()))) == 1 and b"Judged" in body

    eventually(same, lambda: str(judged))


def test_a_cache_that_is_cleared_through_one_is_empty_in_both(team: Team) -> None:
    def kept() -> list[int]:
        told = team.everyone("/api/v1/performance").values()
        return [answer["metrics"]["sources"]["page_cache"]["entries"] for answer in told]

    for limit in range(1, 31):
        team.ask(f"/api/v1/candles/BTCUSDT?limit={limit}")
    eventually(lambda: min(kept()) >= 5, lambda: str(kept()))
    assert team.ask("/performance/caches/page_cache/clear", b"")[0] == 303
    eventually(lambda: max(kept()) < 5, lambda: str(kept()))


def test_a_killed_leader_is_succeeded_and_replaced(team: Team) -> None:
    leader = team.leader
    assert leader is not None
    old = team.workers[leader]
    follower = next(number for number in team.workers if number != leader)
    old.kill()
    eventually(lambda: team.leader == follower, lambda: "nobody leads")
    eventually(lambda: len(team.workers) == 2 and team.workers[leader].pid != old.pid, lambda: str(team.workers))
    team.wait_until_ready()
    test_both_have_the_same_market_by_one_feed(team)
    test_news_reach_the_pages_of_both(team)
    test_the_performance_page_of_either_tells_of_both(team)


def test_workers_end_when_the_program_is_killed(team: Team) -> None:
    workers = list(team.workers.values())
    assert len(workers) == 2
    team.app.kill()
    gone, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive, "an orphan would hold the port and the lock"
    assert len(gone) == 2
