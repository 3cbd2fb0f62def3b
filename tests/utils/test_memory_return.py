"""Memory returned to the machine: library files leave the resident set and work on, and who holds what adds up."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from routes.memory_use import memory_use
from utils.data_cache import DataCache
from utils.memory_holders import Held, memory_holders, resident_bytes
from utils.memory_return import collect_later_objects
from utils.model_cache import ModelCache
from utils.response_cache import ResponseCache

ROOT = Path(__file__).resolve().parents[2]

LETTING_GO = """
import numpy, sqlite3, ssl
from utils.memory_holders import resident_bytes
from utils.memory_return import let_go_of_files

before = resident_bytes()[1]
assert let_go_of_files() > 10
after = resident_bytes()[1]
assert after < 0.6 * before, (before, after)
assert numpy.linalg.norm(numpy.ones((30, 30)) @ numpy.ones((30, 30))) == 900.0
assert sqlite3.connect(":memory:").execute("SELECT sum(value) FROM json_each('[1, 2, 3]')").fetchone() == (6,)
assert len(ssl.create_default_context().get_ciphers()) > 3
print("worked on")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can")
def test_library_files_leave_the_resident_set_and_work_on() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LETTING_GO], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "worked on\n"), done.stderr


ALLOCATING = """
import ctypes, os
import app  # must not have loaded the web server, which reads this once
from utils.memory_return import hold_less

hold_less()
libc = ctypes.CDLL(None)
libc.getenv.restype = ctypes.c_char_p
os.environ["_RJEM_MALLOC_CONF"] = libc.getenv(b"_RJEM_MALLOC_CONF").decode() + ",stats_print:true"
import utils.web_server
"""


@pytest.mark.skipif(sys.platform != "linux", reason="granian brings this allocator on Linux alone")
def test_the_web_servers_allocator_is_told_before_it_is_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", ALLOCATING], cwd=ROOT, capture_output=True, text=True, timeout=120)
    told = {line.strip() for line in done.stderr.splitlines()}
    assert done.returncode == 0, done.stderr
    assert {"opt.narenas: 1", "opt.muzzy_decay_ms: 0 (arenas.muzzy_decay_ms: 0)"} <= told


STAYING = """
import gc, weakref
from utils.memory_return import give_back

class Node:
    pass

def cycle():
    node = Node()
    node.itself = node
    return node

gc.disable()
alive = [cycle() for _ in range(1000)]
seen = [weakref.ref(node) for node in alive]
give_back()
assert gc.get_freeze_count() > 1000
del alive[:]
gc.collect()
assert all(ref() is not None for ref in seen)  # nobody looked at what was there
later = weakref.ref(cycle())
gc.collect()
assert later() is None
give_back()
assert all(ref() is None for ref in seen)
print("worked on")
"""


def test_what_lives_is_looked_at_again_when_memory_is_given_back_and_no_sooner() -> None:
    done = subprocess.run([sys.executable, "-c", STAYING], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "worked on\n"), done.stderr


def test_the_holders_add_up_to_the_process_and_come_largest_first() -> None:
    made = memory_holders([Held("candles", "arrays", 3_000, 2), Held("pages", "bytes", 5_000)], max_rss_bytes=7)
    sizes = [holder.size_bytes for holder in made.holders]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes) == made.rss_bytes > 10_000_000
    assert {holder.name for holder in made.holders} == {"candles", "pages", "library files", "interpreter"}
    assert made.max_rss_bytes == 7
    whole, files = resident_bytes()
    assert 0 <= files < whole


def test_what_the_parts_of_the_application_hold() -> None:
    cache, pages = DataCache(), ResponseCache(max_bytes=1000)
    cache.set(("candles", "BTCUSDT"), 1, size_bytes=80_000)
    cache.set(("candles", "ETHUSDT"), 1, size_bytes=80_000)
    cache.set(("indicators", "1", "digest"), 1, size_bytes=360_000)
    cache.set(("model speed", "digest"), 0.1, size_bytes=100)
    made = memory_use(
        data_cache=cache, pages=pages, models=ModelCache(), forecasts=lambda: (3, 900), max_rss_bytes=150_000_000
    )
    held = {holder.name: (holder.entries, holder.size_bytes) for holder in made.holders}
    assert held["candles"] == (2, 160_000)
    assert held["indicators"] == (1, 360_000)
    assert held["other data"] == (1, 100)
    assert held["forecasts"] == (3, 900)
    assert held["pages"] == held["models"] == (0, 0)
    cache.clear()
    assert memory_use(
        data_cache=cache, pages=pages, models=ModelCache(), forecasts=lambda: (0, 0), max_rss_bytes=0
    ).rss_bytes


def test_after_the_start_cycles_are_looked_for_among_later_objects() -> None:
    gc.disable()
    try:
        collect_later_objects()
        assert gc.isenabled()
        assert gc.get_freeze_count() > 1000
    finally:
        gc.enable()
        gc.unfreeze()
