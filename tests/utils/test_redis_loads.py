"""Two levels over a real Redis: one load for several processes, and what wins over a load."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.redis_processes import (
    KEY,
    PATIENCE_S,
    Process,
    eventually,
    never,
    process,
    running,
    server,
)
from tests.support.servers import RedisServer

__all__ = ["process", "running", "server"]

PATIENT = True


ROOT = Path(__file__).resolve().parents[2]


def test_a_load_that_began_before_a_set_does_not_overwrite_it(server: RedisServer, process: Process) -> None:
    (one, _), (other, _) = process(server.url), process(server.url)
    inside, release = threading.Event(), threading.Event()

    def slow() -> str:
        inside.set()
        release.wait(PATIENCE_S)
        return "old"

    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(one.get_or_load, KEY, slow)
        assert inside.wait(PATIENCE_S)
        other.set(KEY, "new")
        release.set()
        assert loading.result(PATIENCE_S) == "old"
    eventually(lambda: one.get(KEY) == "new")
    assert other.get(KEY) == "new"


def test_two_processes_missing_together_load_once(server: RedisServer, process: Process) -> None:
    (one, _), (other, level) = process(server.url), process(server.url, wait_s=PATIENCE_S)
    inside, release = threading.Event(), threading.Event()

    def load() -> str:
        inside.set()
        release.wait(PATIENCE_S)
        return "loaded"

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(one.get_or_load, KEY, load)
        assert inside.wait(PATIENCE_S)
        second = pool.submit(other.get_or_load, KEY, never)
        eventually(lambda: level.stats().calls >= 2)
        release.set()
        assert first.result(PATIENCE_S) == second.result(PATIENCE_S) == "loaded"
    assert level.stats().waited == 1


def test_a_failed_load_lets_the_waiting_process_try(server: RedisServer, process: Process) -> None:
    (one, _), (other, _) = process(server.url), process(server.url, wait_s=PATIENCE_S)
    inside, release = threading.Event(), threading.Event()

    def fail() -> str:
        inside.set()
        release.wait(PATIENCE_S)
        raise ValueError("no answer")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(one.get_or_load, KEY, fail)
        assert inside.wait(PATIENCE_S)
        second = pool.submit(other.get_or_load, KEY, lambda: "mine")
        release.set()
        with pytest.raises(ValueError, match="no answer"):
            first.result(PATIENCE_S)
        assert second.result(PATIENCE_S) == "mine"


def test_waiting_for_another_process_ends(server: RedisServer, process: Process) -> None:
    (one, _), (other, _) = process(server.url), process(server.url, wait_s=0.2)
    inside, release = threading.Event(), threading.Event()

    def stuck() -> str:
        inside.set()
        release.wait(PATIENCE_S)
        return "late"

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(one.get_or_load, KEY, stuck)
        assert inside.wait(PATIENCE_S)
        assert other.get_or_load(KEY, lambda: "mine") == "mine"
        release.set()
        assert first.result(PATIENCE_S) == "late"


STAMPEDE = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
from data.candle_codec import CANDLE_CODEC
from tests.support.made_candles import made_candles
from utils.cache_codecs import Codecs
from utils.data_cache import DataCache
from utils.redis_level import RedisLevel
options = {"namespace": "test", "regions": ("candles",), "codecs": Codecs(CANDLE_CODEC)}
level = RedisLevel(sys.argv[1], **options, deadline_s=2.0, wait_s=20)
cache = DataCache("test")
cache.configure(second_level=level)
level.start()
assert level.wait_until_heard(10)
loads = []
def load(number):
    loads.append(number)
    return made_candles(500, seed=number)
print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(8) as pool:
    digests = list(pool.map(lambda n: cache.get_or_load(("candles", n % 25), lambda: load(n % 25)).digest, range(200)))
print(len(loads), len(set(digests)), flush=True)
level.close()
"""


def test_a_stampede_of_two_real_processes_loads_each_key_once(server: RedisServer) -> None:
    children = [
        subprocess.Popen(
            [sys.executable, "-c", STAMPEDE, server.url],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    answers = [child.communicate(timeout=400)[0].split() for child in children]
    assert [answer[1] for answer in answers] == ["25", "25"]
    assert sum(int(answer[0]) for answer in answers) == 25


def test_an_old_value_may_stand_in_when_the_newer_cannot_be_loaded(server: RedisServer, process: Process) -> None:
    (one, _), (other, level) = process(server.url), process(server.url)
    assert one.get_or_load(KEY, lambda: "old", stale_if_error_s=60) == "old"
    other.set(KEY, object())
    eventually(lambda: one.get(KEY) is None)

    def fail() -> str:
        raise ValueError("no answer")

    assert one.get_or_load(KEY, fail) == "old"
    assert level.stats().failures == 0
