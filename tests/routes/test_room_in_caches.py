"""Room in the caches: what the pages of all tracked markets keep fits, so that no reader drops another's."""

from __future__ import annotations

from pathlib import Path

from tests.support.browser import replayed_app
from tests.support.pages import THREE
from utils.data_cache import data_cache


def test_readers_of_every_market_drop_nothing_of_each_other(tmp_path: Path) -> None:
    with replayed_app(tmp_path, THREE, max_cache_size="1") as replay:
        client = replay.app.test_client()
        pages = ["/", "/forecasts", *(f"/symbol/{name}" for name in THREE)]
        pages += [f"/symbol/{name}?show=rsi" for name in THREE]
        before = data_cache.stats().evictions
        for close in (0.4, 0.5):
            replay.tell_forming(close)
            assert {client.get(page).status_code for page in pages} == {200}
        assert data_cache.stats().evictions == before
        assert data_cache.stats().max_entries < 100
