"""Each kind of fault, as a raw client sees it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from data.simulated_exchange.faults import ANSWER_KINDS, CONTENT_KINDS, KINDS, STREAM_KINDS, TRANSPORT_KINDS, FaultPlan
from data.simulated_exchange.market import Market
from data.simulated_exchange.synthetic import SyntheticSource
from tests.support.exchange import RunningExchange, running_exchange
from utils.clock import ManualClock
from utils.errors import InvalidInput

NOW_MS = 1_782_000_012_345
KLINES = "/api/v3/klines"
HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def running() -> Iterator[RunningExchange]:
    with running_exchange(Market(SyntheticSource(symbols=1)), ManualClock(NOW_MS)) as running:
        yield running


@pytest.fixture
def exchange(running: RunningExchange) -> Iterator[RunningExchange]:
    yield running
    running.faults.clear()


class Raw:
    """A client that sees every byte."""

    def __init__(self, exchange: RunningExchange, path: str = f"{KLINES}?symbol=BTCUSDT&interval=1h&limit=10") -> None:
        self.socket = socket.create_connection(("127.0.0.1", exchange.port), timeout=5)
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        self.socket.sendall(request.encode())

    def rest(self) -> bytes:
        with self.socket:
            found = b""
            while part := self.socket.recv(65_536):
                found += part
            return found

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        head, _, body = self.rest().partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        return int(first.split()[1]), headers, body


def rows(exchange: RunningExchange) -> Any:
    return json.loads(Raw(exchange).answer()[2])


def opens(found: list[list[Any]]) -> list[int]:
    return [row[0] for row in found]


def test_status_body_and_headers(exchange: RunningExchange) -> None:
    exchange.faults.add("status", KLINES, status=503, body='{"code":-1008}', headers={"Retry-After": "3"})
    status, headers, body = Raw(exchange).answer()
    assert (status, headers["retry-after"], body) == (503, "3", b'{"code":-1008}')
    assert "x-mbx-used-weight-1m" in headers
    assert Raw(exchange).answer()[0] == 200, "once means once"


def test_html_instead_of_json(exchange: RunningExchange) -> None:
    exchange.faults.add("html", KLINES)
    status, headers, body = Raw(exchange).answer()
    assert status == 200
    assert headers["content-type"].startswith("text/html")
    assert body.startswith(b"<html>")


def test_redirect(exchange: RunningExchange) -> None:
    exchange.faults.add("redirect", KLINES, body="http://169.254.169.254/")
    status, headers, _ = Raw(exchange).answer()
    assert (status, headers["location"]) == (302, "http://169.254.169.254/")


def test_delay(exchange: RunningExchange) -> None:
    exchange.faults.add("delay", KLINES, delay_s=0.2)
    begun = time.monotonic()
    assert Raw(exchange).answer()[0] == 200
    assert time.monotonic() - begun >= 0.2


def test_hang_says_nothing(exchange: RunningExchange) -> None:
    exchange.faults.add("hang", KLINES)
    client = Raw(exchange)
    client.socket.settimeout(0.3)
    with client.socket, pytest.raises(TimeoutError):
        client.socket.recv(1)
    assert Raw(exchange).answer()[0] == 200, "others are served meanwhile"


@pytest.mark.parametrize(("kind", "whole_head"), [("drip_body", True), ("drip_headers", False)])
def test_drips_come_byte_by_byte(exchange: RunningExchange, kind: str, whole_head: bool) -> None:
    exchange.faults.add(kind, KLINES, delay_s=0.02)
    client = Raw(exchange)
    begun, found = time.monotonic(), b""
    with client.socket:
        while time.monotonic() - begun < 0.3:
            found += client.socket.recv(4096)
    head, mark, body = found.partition(b"\r\n\r\n")
    assert bool(mark) is whole_head
    assert 2 <= len(body if whole_head else head) <= 16


def test_truncated_body(exchange: RunningExchange) -> None:
    exchange.faults.add("truncate", KLINES)
    status, headers, body = Raw(exchange).answer()
    assert status == 200
    assert 0 < len(body) < int(headers["content-length"])


def test_reset(exchange: RunningExchange) -> None:
    exchange.faults.add("reset", KLINES)
    try:
        seen = Raw(exchange).rest()
    except ConnectionError:
        seen = b""
    assert seen == b""


def test_huge(exchange: RunningExchange) -> None:
    exchange.faults.add("huge", KLINES)
    client = Raw(exchange)
    with client.socket:
        head = client.socket.recv(65_536).decode(errors="replace").lower()
    assert "content-length: 100000008" in head


def test_cut_json_has_the_length_it_says(exchange: RunningExchange) -> None:
    exchange.faults.add("bad_json", KLINES)
    _, headers, body = Raw(exchange).answer()
    assert len(body) == int(headers["content-length"])
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)


def test_nan_passes_only_a_lenient_parser(exchange: RunningExchange) -> None:
    exchange.faults.add("nan", KLINES)
    found = rows(exchange)
    assert found[0][1] != found[0][1]
    assert len(found) == 10


def test_wrong_shape(exchange: RunningExchange) -> None:
    exchange.faults.add("wrong_shape", KLINES)
    assert list(rows(exchange)) == ["rows"]
    exchange.faults.add("wrong_shape", "/api/v3/time")
    assert json.loads(Raw(exchange, "/api/v3/time").answer()[2]) == [{"serverTime": NOW_MS}]


@pytest.mark.parametrize(
    ("kind", "holds"),
    [
        ("gap", lambda good, bad: len(bad) == 8 and bad == [at for at in good if at in bad]),
        ("duplicate", lambda good, bad: len(bad) == 12 and sorted(set(bad)) == good),
        ("reorder", lambda good, bad: bad != good and sorted(bad) == good),
        ("stale", lambda good, bad: bad == good[:-2]),
    ],
)
def test_rows_are_spoiled(exchange: RunningExchange, kind: str, holds: Callable[[list[int], list[int]], bool]) -> None:
    good = opens(rows(exchange))
    assert all(later - earlier == HOUR_MS for earlier, later in pairwise(good))
    exchange.faults.add(kind, KLINES, count=2)
    assert holds(good, opens(rows(exchange)))
    assert opens(rows(exchange)) == good


def test_counts_skips_and_patterns() -> None:
    plan = FaultPlan()
    always = plan.add("status", "/api/*", times=None)
    later = plan.add("delay", KLINES, times=2, skip=1)
    seen = [[fault.kind for fault in plan.strike(KLINES)] for _ in range(4)]
    assert seen == [["status"], ["status", "delay"], ["status", "delay"], ["status"]]
    assert plan.strike("btcusdt@kline_1h") == []
    assert (always.struck, later.struck, later.spent) == (4, 2, True)
    plan.clear()
    assert plan.strike(KLINES) == []


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match="fault kind 'explode' is unknown; use one of delay, bad_json"):
        FaultPlan().add("explode")


def test_every_kind_belongs_to_one_family() -> None:
    families = ("delay", *CONTENT_KINDS, *TRANSPORT_KINDS, *ANSWER_KINDS, *STREAM_KINDS)
    assert sorted(families) == sorted(set(KINDS))


def test_no_route_of_the_port_can_change_the_plan(exchange: RunningExchange) -> None:
    for path in ("/faults", "/api/v3/faults", "/admin", "/control", "/_faults"):
        assert Raw(exchange, path).answer()[0] == 404
    exchange.faults.add("status", KLINES, times=None)
    assert Raw(exchange).answer()[0] == 500


def test_a_transport_fault_is_in_the_journal_as_0(exchange: RunningExchange) -> None:
    exchange.journal.clear()
    exchange.faults.add("truncate", KLINES)
    Raw(exchange).rest()
    Raw(exchange).rest()
    assert [entry.status for entry in exchange.journal] == [0, 200]
