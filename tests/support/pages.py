"""The whole application on real candles of three markets, for the tests of pages and JSON."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from tests.support.browser import Replay, replayed_app

THREE = ("BTCUSDT", "ETHUSDT", "XRPUSDT")


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    with replayed_app(tmp_path_factory.mktemp("pages"), THREE) as made:
        yield made


@pytest.fixture
def client(replay: Replay) -> FlaskClient:
    return replay.app.test_client()
