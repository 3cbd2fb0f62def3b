"""Two whole applications on one real Redis: it is used, nobody sees it die, and it is used again when it is back."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from benchmarks.served import Served
from benchmarks.two_apps import Readers, redis_stats, two_apps
from tests.support.servers import redis_server

pytestmark = pytest.mark.slow
_PATIENCE_S = 120.0


def test_two_applications_share_a_redis_that_dies_and_comes_back(tmp_path: Path) -> None:
    with redis_server(tmp_path) as redis, two_apps(tmp_path, redis.url) as apps:
        with Readers([app.port for app in apps]) as readers:
            for app in apps:
                _wait_for_more_hits(app)
            before = readers.turn(1.0)
            redis.kill()
            killed = readers.turn(2.0)
            gone = [redis_stats(app) for app in apps]
            redis.start()
            for app in apps:
                _wait_for_more_hits(app)
            after = readers.turn(1.0)
        for seen in (before, killed, after):
            assert (set(seen.statuses), seen.problems) <= ({200}, []), seen
        assert sum(killed.statuses.values()) > 0
        assert all(stats["failures"] > 0 for stats in gone), "nobody noticed that the server was gone"


def _wait_for_more_hits(app: Served) -> None:
    """Until this application has used values that the other one, or itself before, had put into Redis."""
    first = int(redis_stats(app)["hits"])
    deadline_s = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline_s:
        if int(redis_stats(app)["hits"]) > first:
            return
        time.sleep(0.1)
    raise AssertionError(f"Redis is not used: {redis_stats(app)}")
