"""Every route has a budget declared beside it, and what costs more is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from routes.budgets import Breach, Budget, breaches, budgets_of, declared
from tests.support.browser import Replay
from tests.support.pages import client, replay
from tests.support.whole_app import whole_app
from utils.minutes import RouteMinute
from utils.performance_monitor import performance_monitor
from utils.request_trace import stage_seconds

__all__ = ["client", "replay"]

FAST, SLOW = 130, 190
"""Buckets of about 2 ms and 0.2 s."""


def test_every_route_has_a_budget(tmp_path: Path) -> None:
    with whole_app(tmp_path, dashboard_password="correct horse") as app:
        without = [
            rule.rule for rule in app.url_map.iter_rules() if declared(app.view_functions[rule.endpoint]) is None
        ]
        assert without == [], "declare @budget(p95_ms=…, size_bytes=…, weight=…, queries=…) below the route"
        named = budgets_of(app)
        assert {"/symbol/<symbol>", "POST /theme", "/login", "POST /login"} <= named.keys()
        assert app.extensions["services"].budgets == named
        assert all(one.p95_ms > 0 and one.size_bytes > 0 for one in named.values())


def test_what_is_over_budget_is_named_worst_first() -> None:
    budgets = {"/a": Budget(50, 1000, 0, 2), "/b": Budget(50, 1000, 0, 2)}
    seen = {
        "/a": RouteMinute(buckets={SLOW: 30}, peak_bytes=900, peak_queries=3),
        "/b": RouteMinute(buckets={FAST: 30}, peak_bytes=1000, peak_queries=2),
        "(not found)": RouteMinute(buckets={SLOW: 30}),
    }
    found = breaches(budgets, seen)
    assert [(one.route, one.what) for one in found] == [("/a", "p95_ms"), ("/a", "queries")]
    assert found[0].seen > 150
    assert found[1] == Breach("/a", "queries", 3, 2)


def test_a_handful_of_requests_has_no_percentile_but_a_largest_answer() -> None:
    seen = {"/a": RouteMinute(buckets={SLOW: 19}, peak_weight=2)}
    assert [one.what for one in breaches({"/a": Budget(50, 1000, 0, 2)}, seen)] == ["weight"]
    assert breaches({"/a": Budget(50, 1000, 2, 2)}, {"/a": RouteMinute(buckets={SLOW: 20})})[0].what == "p95_ms"


def test_the_pages_keep_to_their_budgets(replay: Replay, client: FlaskClient) -> None:
    """Bytes, statements and exchange weight, which no slow machine can change."""
    packed = {"Accept-Encoding": "br"}
    addresses = (
        "/",
        "/live",
        "/symbol/BTCUSDT",
        "/symbol/BTCUSDT/live",
        "/symbol/BTCUSDT/chart.json",
        "/forecasts",
        "/models",
        "/performance",
        "/performance/live",
        "/alerts",
        "/api/v1/candles/BTCUSDT",
        "/metrics",
    )
    replay.app.extensions["services"].pages.clear()
    performance_monitor.routes(take_peaks=True)
    for address in addresses:
        assert client.get(address, headers=packed).status_code == 200, address
    counted = performance_monitor.routes()
    seen = {
        name: RouteMinute({1: 1}, peak_bytes=one.peak_bytes, peak_queries=one.peak_queries, peak_weight=one.peak_weight)
        for name, one in counted.items()
    }
    assert max(one.peak_queries for one in seen.values()) > 0, "statements are counted"
    assert min(seen[name].peak_bytes for name in ("/", "/symbol/<symbol>")) > 2_000
    assert breaches(replay.app.extensions["services"].budgets, seen) == ()


def test_the_split_of_a_cold_page_names_every_stage(replay: Replay, client: FlaskClient) -> None:
    replay.app.extensions["services"].pages.clear()
    timing = client.get("/symbol/ETHUSDT", headers={"Accept-Encoding": "br"}).headers["Server-Timing"]
    parts = server_timing(timing)
    assert {"total", "candles", "indicators", "forecast", "score", "render", "compress"} <= parts.keys()
    assert parts["total"] >= sum(value for name, value in parts.items() if name != "total")
    again = client.get("/symbol/ETHUSDT", headers={"Accept-Encoding": "br"}).headers["Server-Timing"]
    assert "render" not in again, "stored bytes are not rendered"


@pytest.mark.parametrize(
    ("address", "spans"),
    [
        ("/alerts", {"render", "database"}),
        ("/alerts/live", {"render", "database"}),
        ("/models/train", {"render"}),
        ("/models", {"render", "database"}),
        ("/performance/profiles", {"render"}),
        ("/nothing/of/that/name", {"render"}),
    ],
)
def test_every_page_tells_what_its_time_went_into_kept_or_not(
    replay: Replay, client: FlaskClient, address: str, spans: set[str]
) -> None:
    replay.app.extensions["services"].pages.clear()
    parts = server_timing(client.get(address).headers["Server-Timing"])
    assert spans <= parts.keys()
    assert stage_seconds(parts).keys() >= {"data" if one == "database" else one for one in spans}
    assert parts["total"] >= sum(value for name, value in parts.items() if name != "total")


def test_an_answer_that_was_to_stay_uncompressed_is_not_the_largest(replay: Replay, client: FlaskClient) -> None:
    """Scripts ask for `identity` in so many words; the budget is that of a compressed answer."""
    budgets, largest = replay.app.extensions["services"].budgets, {}
    for reader in ("identity", "br;q=0", "br"):
        performance_monitor.routes(take_peaks=True)
        assert client.get("/performance", headers={"Accept-Encoding": reader}).status_code == 200
        largest[reader] = performance_monitor.routes()["/performance"].peak_bytes
    assert (largest["identity"], largest["br;q=0"]) == (0, 0)
    assert 1_000 < largest["br"] < budgets["/performance"].size_bytes


def server_timing(header: str) -> dict[str, float]:
    """Milliseconds by name."""
    return {name: float(value) for name, _, value in (part.partition(";dur=") for part in header.split(", "))}
