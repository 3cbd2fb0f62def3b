"""Every kind of answer carries its id and its times: rendered, stored, unchanged, a file, an error, a redirect; and the
settings that turn things off are obeyed."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from routes.wiring.parts import background
from tests.support.pages import client, replay
from tests.support.whole_app import settings_in, whole_app
from utils.logs import start_logging
from utils.performance_monitor import performance_monitor

__all__ = ["client", "replay"]


def test_every_kind_of_answer_has_its_id_and_its_times(client: FlaskClient) -> None:
    packed = {"Accept-Encoding": "br"}
    first = client.get("/symbol/BTCUSDT", headers=packed)
    style = re.findall(r'href="(/assets/own/[^"]+\.css)"', client.get("/symbol/BTCUSDT").text)[0]
    answers = {
        200: [first, client.get("/symbol/BTCUSDT", headers=packed), client.get(style, headers=packed)],
        304: [client.get("/symbol/BTCUSDT", headers={**packed, "If-None-Match": first.headers["ETag"]})],
        204: [client.get("/performance/live", query_string={"version": _version(client)})],
        404: [client.get("/nowhere"), client.get("/symbol/NOPEUSDT"), client.get("/assets/own/x/css/none.css")],
        400: [client.get("/", headers={"Host": "evil.example"}), client.get("/symbol/BTCUSDT?interval=7m")],
        405: [client.delete("/health", headers={"Sec-Fetch-Site": "same-origin"})],
        403: [client.post("/theme", headers={"Sec-Fetch-Site": "cross-site"})],
        303: [client.get("/symbol/ETHUSDT?profile=1")],
    }
    seen = set()
    for status, several in answers.items():
        for answer in several:
            assert answer.status_code == status
            assert answer.headers["Server-Timing"].startswith("total;dur=")
            seen.add(answer.headers["X-Request-ID"])
    assert len(seen) == sum(map(len, answers.values()))


def _version(client: FlaskClient) -> str:
    return str(re.findall(r'data-version="([^"]+)"', client.get("/performance").text)[0])


def test_timing_turned_off_leaves_the_id_and_starts_nothing(tmp_path: Path) -> None:
    with whole_app(tmp_path, enable_performance_logging="False") as app:
        parts = app.extensions["parts"]
        settings = settings_in(tmp_path, enable_performance_logging="False")
        chosen = background(settings, parts)
        assert not {id(one) for one in chosen} & {id(parts.access_log), id(parts.recorder), id(performance_monitor)}
        answer = app.test_client().get("/health")
        assert "X-Request-ID" in answer.headers
        assert "Server-Timing" not in answer.headers
        assert "Timing is off" in app.test_client().get("/performance").text
        assert performance_monitor.get_metrics()["routes"] == []


@pytest.mark.parametrize(("level", "written"), [("WARNING", False), ("INFO", True)])
def test_the_log_level_decides_what_is_written(tmp_path: Path, level: str, written: bool) -> None:
    logs = start_logging(level=level, secrets=(), folder=tmp_path)
    try:
        logging.getLogger("app").info("warmed for the test")
    finally:
        logs.close()
    text = "".join(path.read_text() for path in tmp_path.rglob("*.log"))
    assert ("warmed for the test" in text) == written
