"""Every route of the whole application is observed, under its own name; strangers' addresses share one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask, Response

from routes.observed import always, observe_requests
from routes.warm_pages import page_renderer
from tests.support.whole_app import address, every_address, whole_app
from utils.access_log import AccessLog, AccessRecord
from utils.clock import ManualClock
from utils.performance_monitor import PerformanceMonitor, performance_monitor


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[Flask]:
    with whole_app(tmp_path) as made:
        yield made


def counts(monitor: PerformanceMonitor) -> dict[str, int]:
    return {entry["name"]: entry["count"] for entry in monitor.get_metrics()["routes"]}


def test_every_route_in_the_map_is_observed_under_its_template(whole: Flask) -> None:
    client = whole.test_client()
    rules = [rule for rule in whole.url_map.iter_rules() if "GET" in (rule.methods or ())]
    for rule in rules:
        client.get(address(rule))
    seen = counts(performance_monitor)
    assert {rule.rule for rule in rules} - seen.keys() == set()
    assert not [name for name in seen if "BTCUSDT" in name], "addresses are not names"


def test_every_answer_has_an_id_of_its_own_and_its_times(whole: Flask) -> None:
    client, ids = whole.test_client(), set()
    addresses = every_address(whole)
    for method, path in addresses:
        answer = client.open(path, method=method, headers={"X-Request-ID": "forged"})
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{6}", answer.headers["X-Request-ID"])
        assert re.fullmatch(r"total;dur=[\d.]+(, [\w-]+;dur=[\d.]+)*", answer.headers["Server-Timing"])
        ids.add(answer.headers["X-Request-ID"])
    assert len(ids) == len(addresses)


def test_what_the_program_asks_itself_is_answered_and_not_counted(whole: Flask) -> None:
    """Its cold pages would be over budget after every start, and no reader waited for them."""
    status, size_bytes = page_renderer(whole, host="localhost")("/alerts")
    assert (status, size_bytes > 1_000) == (200, True)
    assert counts(performance_monitor) == {}
    assert performance_monitor.slowest() == ()
    client = whole.test_client()
    client.get("/alerts", headers={"dashboard.ours": "1", "Dashboard-Ours": "1"})
    assert counts(performance_monitor) == {"/alerts": 1}, "a stranger cannot say so"


def test_strangers_addresses_are_counted_together(whole: Flask) -> None:
    client = whole.test_client()
    for number in range(50):
        client.get(f"/wp-admin/{number}.php")
        client.get("/health", headers={"Host": f"evil{number}.example"})
        client.open("/health", method="DELETE", headers={"Sec-Fetch-Site": "same-origin"})
    seen = counts(performance_monitor)
    assert (seen["(not found)"], seen["(refused)"], seen["(method not allowed)"]) == (50, 50, 50)
    assert len(seen) == 3


class Kept(AccessLog):
    """Keeps what it is given instead of writing it."""

    def __init__(self, folder: Path, *, clock: ManualClock) -> None:
        super().__init__(folder, clock=clock)
        self.records: list[AccessRecord] = []

    def record(self, record: AccessRecord) -> None:
        self.records.append(record)


class Small:
    """A small application of the test's own, with a monitor and an access log that keeps what it is given."""

    def __init__(self, tmp_path: Path, *, enabled: bool = True, ready: Callable[[], bool] = always) -> None:
        self.monitor = PerformanceMonitor()
        self.monitor.configure(enabled=enabled, clock=ManualClock())
        self.access = Kept(tmp_path, clock=ManualClock())
        self.records = self.access.records
        self.app = Flask("small")
        self.app.add_url_rule("/page", view_func=self.page, methods=["GET", "POST"])
        self.app.add_url_rule("/fail", view_func=self.fail)
        self.app.add_url_rule("/stream", view_func=self.stream)
        observe_requests(self.app, self.monitor, self.access, ready=ready)

    def page(self) -> str:
        for name in ("data", "model/onnx run", "data"):
            with self.monitor.span(name):
                pass
        return "x" * 100

    def fail(self) -> str:
        raise LookupError("planted")

    def stream(self) -> Response:
        return Response(iter([b"one", b"two"]), mimetype="text/plain")

    def route(self, name: str) -> dict[str, object]:
        (entry,) = [entry for entry in self.monitor.get_metrics()["routes"] if entry["name"] == name]
        return dict(entry)


def test_spans_show_in_server_timing(tmp_path: Path) -> None:
    small = Small(tmp_path)
    timing = small.app.test_client().get("/page").headers["Server-Timing"]
    assert re.fullmatch(r"total;dur=[\d.]+, data;dur=[\d.]+, model_onnx_run;dur=[\d.]+", timing)
    parts = [float(part.rpartition("=")[2]) for part in timing.split(", ")]
    assert parts[0] >= sum(parts[1:])


def test_errors_bytes_and_methods_are_counted(tmp_path: Path) -> None:
    small = Small(tmp_path)
    client = small.app.test_client()
    client.get("/page")
    client.head("/page")
    client.post("/page")
    client.get("/fail")
    assert (small.route("/page")["count"], small.route("/page")["size_bytes"]) == (2, 100)
    assert small.route("POST /page")["count"] == 1
    assert (small.route("/fail")["count"], small.route("/fail")["errors"]) == (1, 1)
    assert [record.status for record in small.records] == [200, 200, 200, 500]


def test_while_the_program_starts_503_is_no_error(tmp_path: Path) -> None:
    ready: list[bool] = []
    small = Small(tmp_path, ready=lambda: bool(ready))
    small.app.add_url_rule("/wait", view_func=lambda: Response("not yet", 503))
    client = small.app.test_client()
    client.get("/wait")
    client.get("/fail")
    assert (small.route("/wait")["errors"], small.route("/fail")["errors"]) == (0, 1)
    ready.append(True)
    client.get("/wait")
    assert small.route("/wait")["errors"] == 1


def test_a_stream_counts_when_it_has_been_sent(tmp_path: Path) -> None:
    small = Small(tmp_path)
    assert small.app.test_client().get("/stream").data == b"onetwo"
    assert small.route("/stream")["size_bytes"] == 6
    assert [record.size_bytes for record in small.records] == [6]


def test_an_error_that_leaves_the_application_is_counted_too(tmp_path: Path) -> None:
    small = Small(tmp_path)
    small.app.testing = True
    with pytest.raises(LookupError, match="planted"):
        small.app.test_client().get("/fail")
    assert small.route("(unrouted)")["errors"] == 1


def test_off_there_is_an_id_and_nothing_else(tmp_path: Path) -> None:
    small = Small(tmp_path, enabled=False)
    answer = small.app.test_client().get("/page")
    assert "X-Request-ID" in answer.headers
    assert "Server-Timing" not in answer.headers
    assert small.monitor.get_metrics()["routes"] == []
