"""Redis processes: caches that share a real Redis server, as several processes of the dashboard would."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from data.candle_codec import CANDLE_CODEC
from tests.support.servers import RedisServer, redis_server
from utils.cache_codecs import Codecs
from utils.data_cache import DataCache
from utils.redis_level import RedisLevel

KEY = ("candles", "BTCUSDT", "1h")
CODECS = Codecs(CANDLE_CODEC)
PATIENCE_S = 90.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(running: RedisServer) -> RedisServer:
    """Empty; shared by the tests that do not hurt it."""
    with redis.Redis.from_url(running.url) as client:
        client.flushall()
    return running


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


Process = Callable[..., tuple[DataCache, RedisLevel]]


@pytest.fixture
def process(request: pytest.FixtureRequest) -> Iterator[Process]:
    """As many as a test likes: a cache and its level are all that a process has of its own. A module whose server
    answers all the time sets PATIENT: on a busy machine 50 ms pass without anything being wrong."""
    with ExitStack() as ending:

        def begin(url: str, *, hears: bool = True, **options: object) -> tuple[DataCache, RedisLevel]:
            settings: dict[str, object] = {"namespace": "test", "regions": ("candles", "plain"), "codecs": CODECS}
            if getattr(request.module, "PATIENT", False):
                settings["deadline_s"] = PATIENCE_S
            level = RedisLevel(url, **(settings | options))  # type: ignore[arg-type]  # the options under test
            cache = DataCache("test")
            cache.configure(second_level=level)
            level.start()
            ending.callback(level.close)
            assert not hears or level.wait_until_heard(PATIENCE_S)
            return cache, level

        yield begin


def never() -> object:
    pytest.fail("this load should not have been made")


def eventually(check: Callable[[], bool]) -> None:
    """Other processes hear within moments, not at once."""
    ends = time.monotonic() + PATIENCE_S
    while not check():
        assert time.monotonic() < ends, "it never came about"
        threading.Event().wait(0.005)
