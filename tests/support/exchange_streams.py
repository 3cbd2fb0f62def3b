"""Exchange streams: a small simulated exchange on a clock that the test moves, and a WebSocket client to read it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from data.simulated_exchange.market import Market
from data.simulated_exchange.synthetic import SyntheticSource
from tests.support.exchange import RunningExchange, running_exchange
from utils.clock import ManualClock

MINUTE_MS = 60_000
OPEN_MS = 1_782_000_000_000
"""a full minute, hour and day"""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(OPEN_MS + 12_345)


@pytest.fixture
def exchange(clock: ManualClock) -> Iterator[RunningExchange]:
    with running_exchange(Market(SyntheticSource(symbols=3)), clock) as running:
        yield running


@contextmanager
def listen(exchange: RunningExchange, path: str, **options: Any) -> Iterator[ClientConnection]:
    with connect(f"{exchange.stream_url}/{path}", proxy=None, close_timeout=1, **options) as client:
        yield client


def receive(client: ClientConnection) -> Any:
    return json.loads(client.recv(timeout=60))


def ask(client: ClientConnection, **request: object) -> Any:
    """Sends a control request and skips events until its answer."""
    client.send(json.dumps(request))
    while True:
        answer = receive(client)
        if "id" in answer or "code" in answer:
            return answer


def silent(client: ClientConnection, seconds: float = 0.15) -> bool:
    try:
        client.recv(timeout=seconds)
    except TimeoutError:
        return True
    return False


def kinds(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: kinds(part) for key, part in value.items()}
    return type(value).__name__
