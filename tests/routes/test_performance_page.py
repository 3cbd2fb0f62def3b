"""The performance page: health in one sentence, budgets, splits, caches that can be cleared, a size that stays."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from routes import wording
from routes.budgets import Breach
from routes.performance_caches import cache_rows
from routes.performance_glance import caches_glance, routes_glance, slowest_glance
from routes.performance_health import health
from routes.performance_history import area, compare, courses
from routes.performance_memory import guard_panel, holders
from routes.performance_page import _headlines
from routes.performance_panels import exchange_panel
from routes.performance_parts import Fact, Panel
from routes.performance_redis import redis_panel
from routes.performance_routes import recent_json, route_rows, slices, split_text
from tests.support.browser import Replay
from tests.support.pages import client, replay
from utils.minute_history import FIELDS, MINUTES
from utils.minute_recorder import VersionSum
from utils.minutes import Minute, RouteMinute
from utils.performance_monitor import performance_monitor

__all__ = ["client", "replay"]

OURS = {"Sec-Fetch-Site": "same-origin"}
WELL: dict[str, Any] = {
    "at_ms": 1_000,
    "process": {"memory_percent": 40.0, "rss_bytes": 1e8, "cpu_percent": 5.0, "system_cpu_percent": 20.0},
    "sources": {
        "feed": {"state": "live", "text": "The streams are live."},
        "exchange": {"weight_limit": 6000, "used_weight": 12, "loop_lag_max_s": 0.002},
        "database": {"count": 10, "total_s": 0.01, "errors": 0},
    },
}


def words(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def minute(buckets: dict[int, int], errors: int = 0) -> Minute:
    return Minute(0, 60.0, {"/": RouteMinute(buckets=buckets, errors=errors)}, {})


def test_what_a_folded_section_says_at_a_glance() -> None:
    assert routes_glance(0, 0) == "nothing asked yet"
    assert routes_glance(12, 0) == "12, none over budget"
    assert routes_glance(12, 2) == "2 of 12 over budget"
    caches = {"data": {"hits": 9, "misses": 1}, "page": {"hits": 60, "misses": 30}, "feed": {"state": "live"}}
    assert caches_glance(caches) == "69.0 % of 100 reads hit"
    assert caches_glance({"data": {"hits": 0, "misses": 0}}) == "not read yet"
    assert slowest_glance(()) == "none"
    assert (Panel("A (b)", (Fact("State", "well"),)).figure, Panel("A (b)", ()).key) == ("State well", "part-a--b-")


def test_every_fold_has_an_id_of_its_own_and_says_something(client: FlaskClient) -> None:
    client.get("/")
    html = client.get("/performance").text
    folds = re.findall(r'<details class="card fold" id="([^"]+)"><summary id="\1-fold"><h2>([^<]+)</h2>', html)
    assert len(folds) == html.count('class="card fold"') == len({key for key, _ in folds}) > 10
    figures = dict(re.findall(r'<summary id="([^"]+)-fold"><h2>[^<]+</h2> <span class="figure">([^<]*)</span>', html))
    assert [key for key, _ in folds if not figures[key]] in ([], ["history"]), "before the first minute is over"


def test_all_is_well() -> None:
    seen = health(minute({130: 100}), (), WELL, memory_limit_percent=80)
    assert (seen.state, seen.text) == ("live", "Fast and healthy")
    assert {check.state for check in seen.checks} == {"live"}


@pytest.mark.parametrize(
    ("part", "change", "state", "name"),
    [
        ("process", {"memory_percent": 81.0}, "stale", "memory"),
        ("process", {"memory_percent": 75.0}, "late", "memory"),
        ("process", {"system_cpu_percent": 99.0}, "late", "processor"),
        ("feed", {"state": "polling"}, "late", "streams"),
        ("feed", {"state": "down"}, "stale", "streams"),
        ("exchange", {"banned_until_ms": 2_000}, "stale", "exchange"),
        ("exchange", {"used_weight": 5_000}, "late", "exchange"),
        ("exchange", {"loop_lag_max_s": 0.3}, "stale", "event loop"),
        ("exchange", {"loop_lag_max_s": 0.1}, "late", "event loop"),
        ("database", {"errors": 1, "since_error_s": 20.0}, "late", "database"),
        ("database", {"errors": 1, "since_error_s": 20.0, "failing": True}, "stale", "database"),
    ],
)
def test_one_thing_that_is_not_well_is_named(part: str, change: dict[str, Any], state: str, name: str) -> None:
    metrics = {**WELL, "sources": dict(WELL["sources"]), "process": dict(WELL["process"])}
    place = metrics if part == "process" else metrics["sources"]
    place[part] = {**place[part], **change}
    seen = health(minute({130: 100}), (), metrics, memory_limit_percent=80)
    assert (seen.state, seen.text.rpartition(": ")[2]) == (state, name)


def test_a_failure_of_the_database_is_over_in_the_end() -> None:
    once = {**WELL["sources"]["database"], "errors": 1, "since_error_s": 301.0}
    metrics = {**WELL, "sources": {**WELL["sources"], "database": once}}
    seen = health(minute({130: 100}), (), metrics, memory_limit_percent=80)
    assert seen.text == "Fast and healthy"
    assert [check.text for check in seen.checks if check.name == "Database"] == [
        "1.00 ms per statement, 1 failed since the start"
    ]


def test_errors_and_budgets_count_but_a_start_that_says_so_does_not() -> None:
    assert health(minute({130: 100}, errors=2), (), WELL, memory_limit_percent=80).text == "In trouble: errors"
    over = (Breach("/", "p95_ms", 80, 50), Breach("/", "queries", 8, 5))
    answers = health(minute({130: 100}), over, WELL, memory_limit_percent=80).checks[0]
    assert answers.text.endswith("1 route over budget")
    starting = Minute(0, 60.0, {"/ready": RouteMinute(buckets={130: 5}, errors=5)}, {})
    assert health(starting, (), WELL, memory_limit_percent=80).text == "Fast and healthy"


def test_nothing_is_said_of_what_was_not_measured_yet() -> None:
    compressed = {"compression": {"in_bytes": 1000, "out_bytes": 250}}
    before = {one.name: one for one in _headlines(minute({}), np.empty(0), {}, compressed)}
    assert (before["Sent"].text, before["Sent"].more) == (wording.NOTHING, "nothing in the last minutes")
    assert (before["Errors"].text, before["CPU of one core"].text) == (wording.NOTHING, wording.NOTHING)
    sent = Minute(0, 60.0, {"/": RouteMinute(buckets={1: 3}, errors=0, size_bytes=2048)}, {})
    after = {one.name: one for one in _headlines(sent, np.empty(0), {}, compressed)}
    assert (after["Sent"].text, after["Sent"].more) == ("2.0 KiB", "bodies compressed by 75 % since the start")
    process = {**WELL["process"], "cpu_percent": None, "system_cpu_percent": None}
    sources = {**WELL["sources"], "exchange": {"weight_limit": 6000, "used_weight": 0, "loop_lag_max_s": 0.0}}
    told = health(minute({}), (), {**WELL, "process": process, "sources": sources}, memory_limit_percent=80.0)
    said = {check.name: check.text for check in told.checks}
    assert said["Processor"] == said["Event loop"] == "not measured yet"
    assert told.text == "Fast and healthy"


def test_a_split_adds_up_to_the_whole_bar() -> None:
    parts = slices({"data": 0.002, "render": 0.006}, 0.010)
    assert [(one.stage, one.x, one.width) for one in parts] == [
        ("data", "0.0", "20.0"),
        ("render", "20.0", "60.0"),
        ("rest", "80.0", "20.0"),
    ]
    told = split_text({"data": 0.0012, "render": 0.128}, 0.13)
    assert told == "data 1.2 ms · indicators 0 · model 0 · render 128 · compress 0 · rest 0.8"


def test_a_chart_begins_at_zero_and_breaks_where_nothing_ran() -> None:
    drawn = area(np.array([1.0, 2.0, np.nan, 4.0]))
    assert drawn is not None
    assert drawn.line.count("M") == 2
    assert area(np.full(4, np.nan)) is None
    seen = courses({name: np.full(MINUTES, np.nan) for name in FIELDS})
    assert {one.now for one in seen} == {"–"}


def test_a_version_is_held_against_the_one_before_where_both_were_asked_often_enough() -> None:
    def summed(version: str, bucket: int, rss: float, times: int = 30) -> VersionSum:
        routes = {"/": RouteMinute(buckets={bucket: times}, size_bytes=times * 100), "/rare": RouteMinute({bucket: 3})}
        return VersionSum(version, 0, Minute(0, 60.0, routes, {"rss_bytes": rss}))

    seen = compare([summed("2", 130, 80e6), summed("1", 140, 100e6), summed("0", 100, 1e6)], "2")
    assert (seen.version, seen.before) == ("2", "1")
    assert [(one.name, one.what, one.trend) for one in seen.rows] == [
        ("Process", "memory", "rise"),
        ("/", "p95", "rise"),
        ("/", "bytes per answer", "flat"),
    ]
    assert seen.rows[1].change == "−54 %"
    assert compare([summed("2", 130, 90e6)], "2").rows == ()


def test_memory_holders_end_with_what_nobody_claims() -> None:
    told = {"name": "pages", "what": "rendered", "size_bytes": 30e6, "entries": 12}
    seen = holders({"holders": [told, {"name": "models", "size_bytes": 10e6}]}, 100e6)
    assert [(one.name, one.kept, round(one.share)) for one in seen] == [
        ("Pages", "12", 30),
        ("Models", "", 10),
        ("Nobody", "", 60),
    ]
    assert holders({"rss_bytes": 30e6, "holders": [told]}, 100e6)[0].share == 100
    assert holders(None, 1e8) == holders({}, 1e8) == ()


def test_each_connection_tells_how_long_it_is_open_and_how_old_its_news_is() -> None:
    def told(*connections: tuple[int | None, int | None]) -> dict[str, str]:
        each = [{"streams": 200, "up_since_ms": up, "last_news_ms": news} for up, news in connections]
        panel = exchange_panel({"weight_limit": 6000, "used_weight": 60}, {"each_connection": each}, 10_000_000)
        return {fact.name: fact.text for fact in panel.facts}

    few = told((2_800_000, 9_999_600), (None, None))
    assert few["Connections open for"] == "2 h, down"
    assert few["Their newest news"] == "0.4 s, none old"
    many = told(*((9_000_000 + 100_000 * number, 9_990_000 + number * 1000) for number in range(6)), (None, 9_000_000))
    assert many["Connections open for"] == "8 min to 16 min, 1 down"
    assert many["Their newest news"] == "5.0 s to 1000.0 s old"
    assert "Their newest news" not in told()
    none = told((None, None))
    assert (none["Connections open for"], none["Their newest news"]) == ("none is open", "none yet")


def test_a_route_tells_its_requests_a_minute_once_it_was_watched_for_a_while() -> None:
    def rates(seconds: float, **counts: int) -> dict[str, tuple[str, str]]:
        seen = {f"/{name}": RouteMinute(buckets={130: count}) for name, count in counts.items()}
        rows = route_rows(Minute(0, seconds, seen, {}), ({"name": "/before"},), {}, ())
        return {row.name: (row.rate, row.count) for row in rows}

    assert rates(330.0, live=1650, page=2) == {
        "/live": ("300", "1,650"),
        "/page": ("0.4", "2"),
        "/before": ("0.0", "0"),
    }
    told = recent_json(Minute(0, 330.0, {"/live": RouteMinute(buckets={130: 1650}, errors=2)}, {}))
    route = told["routes"]["/live"]
    assert (told["seconds"], route["count"], route["requests_per_minute"], route["errors"]) == (330.0, 1650, 300.0, 2)
    assert route["p50_ms"] == route["p99_ms"] > 0
    assert (
        recent_json(Minute(0, 9.0, {"/": RouteMinute(buckets={1: 1})}, {}))["routes"]["/"]["requests_per_minute"]
        is None
    )
    assert rates(20.0, live=200_000)["/live"] == ("600,000", "200,000")
    assert rates(9.0, live=3)["/live"] == (wording.NOTHING, "3"), "too short a time to speak of a minute"


def test_dictionaries_have_a_row_among_the_caches() -> None:
    told = {"found": 9, "unknown": 1, "entries": 2, "size_bytes": 2048, "max_bytes": 8192, "taken": 4, "evictions": 2,
            "age_median_s": 30.0, "age_oldest_s": 400.0}  # fmt: skip
    (row,) = cache_rows({"dictionaries": told}, ("dictionaries",))
    assert (row.name, row.hit_rate, row.entries, row.filled) == ("Compression dictionaries", 90.0, "2", 25.0)
    assert (row.evictions, row.loads, row.load_time, row.age) == ("2", "4", wording.NOTHING, "30 s, at most 6 min")


def test_a_cache_tells_how_old_its_entries_are() -> None:
    read = {"hits": 1, "misses": 1, "entries": 3}
    rows = cache_rows({"some": {**read, "age_median_s": 12.5, "age_oldest_s": 400.0}, "empty": read}, ())
    assert [row.age for row in rows] == ["12 s, at most 6 min", "–"]


def test_the_page_answers_first_and_shows_splits_and_budgets(client: FlaskClient) -> None:
    for _ in range(2):
        client.get("/symbol/BTCUSDT", headers={"Accept-Encoding": "br"})
    html = client.get("/performance").text
    shown = words(html)
    first = shown.index("Streams")
    assert first < shown.index("Routes") < shown.index("Caches")
    assert re.search(r'<rect class="render" x="[\d.]+" width="[\d.]+"', html)
    assert "indicators" in shown
    assert "of 50 ms" in shown, "the budget of the market's page"


def test_every_cache_tells_all_that_is_asked_of_it(replay: Replay, client: FlaskClient) -> None:
    """Hit rate, size, evictions, loads and their time, age, and a button: nothing is missing once it was used."""
    client.get("/symbol/BTCUSDT")
    parts = replay.app.extensions["services"]
    rows = cache_rows(performance_monitor.get_metrics()["sources"], parts.clearing)
    assert {row.key for row in rows} >= {"data_cache", "model_cache", "forecasts", "page_cache"}
    for row in rows:
        if row.key == "dictionaries":  # no browser of this test keeps one: tests/utils/test_dictionaries.py
            assert (row.clearable, row.evictions, row.size) == (True, "0", "0 B"), row
            continue
        told = (row.hit_rate_text, row.entries, row.size, row.evictions, row.loads, row.load_time, row.age)
        assert (row.key, wording.NOTHING in told, row.clearable) == (row.key, False, True), told


def test_every_cache_is_cleared_by_its_button_and_by_nobody_elses(replay: Replay, client: FlaskClient) -> None:
    parts = replay.app.extensions["services"]
    client.get("/symbol/BTCUSDT")
    assert parts.pages.stats().entries > 0
    names = re.findall(r'action="(/performance/caches/(\w+)/clear)"', client.get("/performance").text)
    every = {"data_cache", "model_cache", "page_cache", "forecasts", "dictionaries"}
    assert {name for _, name in names} == every == set(parts.clearing)
    assert client.post(names[0][0], headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    for address, _ in names:
        answer = client.post(address, headers=OURS)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/performance#caches")
    assert parts.data_cache.stats().entries == 0
    assert parts.pages.stats().entries == 0
    assert client.get("/symbol/BTCUSDT").status_code == 200
    missing = client.post("/performance/caches/nope/clear", headers=OURS)
    assert missing.status_code == 404
    assert "data_cache" in words(missing.text)


def test_the_foot_of_a_page_tells_what_it_was_made_with(replay: Replay, client: FlaskClient) -> None:
    replay.app.extensions["services"].pages.clear()
    foot = words(client.get("/symbol/ETHUSDT").text).partition("Made with ")[2]
    found = re.match(r"data ([\d.]+) · indicators ([\d.]+) · model ([\d.]+) · render ([\d.]+) ms, kept until", foot)
    assert found, foot[:100]
    assert float(found[4]) > 0
    again = words(client.get("/symbol/ETHUSDT").text).partition("Made with ")[2]
    assert again[:60] == foot[:60], "a stored page tells of its own making"


def test_a_limit_that_cannot_be_kept_is_worth_a_look() -> None:
    guard = {"in_vain": True, "max_rss_bytes": 95_000_000}
    metrics = {**WELL, "sources": {**WELL["sources"], "memory_guard": guard}}
    seen = health(minute({130: 100}), (), metrics, memory_limit_percent=80)
    (memory,) = [one for one in seen.checks if one.name == "Memory"]
    assert memory.state == "late"
    assert "above MAX_RSS_MB 95 even with nothing kept" in memory.text


def test_its_size_does_not_grow_with_what_happened(client: FlaskClient) -> None:
    client.get("/performance")
    before = len(client.get("/performance/live").text)
    for number in range(2_000):
        performance_monitor.observe(f"part {number}", 0.001)
        performance_monitor.observe(f"/invented/{number}", 0.001, kind="route")
    assert len(client.get("/performance/live", query_string={"version": "old"}).text) < 3 * before + 60_000


def test_the_guard_tells_what_each_step_gave_back() -> None:
    report = {"name": "pages", "dropped": 40, "rss_before_bytes": 200 << 20, "rss_after_bytes": 150 << 20}
    guard = {"max_percent": 80, "max_rss_bytes": 300 << 20, "used_percent": 41.0, "rss_bytes": 150 << 20, "rounds": 1,
             "cool_down_s": 30.0, "in_vain": False, "last_reports": [report]}  # fmt: skip
    (panel,) = guard_panel(guard)
    assert Fact("Last time: pages", "200.0 MiB → 150.0 MiB") in panel.facts
    assert Fact("This process is at", "150.0 MiB", 50.0) in panel.facts
    (panel,) = guard_panel({**guard, "max_rss_bytes": 0})
    assert "no limit of its own" in [fact.text for fact in panel.facts]
    assert guard_panel({}) == ()


REDIS = {"breaker": "closed", "hears": True, "calls": 9, "failures": 0, "refused": 0, "waited": 1, "undecodable": 0,
         "slowest_s": 0.002, "last_problem": "", "hits": 4, "misses": 1}  # fmt: skip


def test_the_shared_cache_has_a_row_that_says_with_what_it_is_cleared() -> None:
    (row,) = cache_rows({"redis": {"hits": 3, "misses": 1, "breaker": "closed"}}, ("data_cache",))[:1]
    assert (row.name, row.hit_rate, row.clearable) == ("Shared cache (Redis)", 75.0, False)
    assert row.cleared_with == "with the data cache"


SERVER = {"version": "7.0.15", "uptime_s": 7200.0, "clients": 5, "memory_bytes": 3 << 20, "max_memory_bytes": 12 << 20,
          "policy": "allkeys-lru", "keys": 1204, "evictions": 12, "expired": 4312, "hits": 3, "misses": 1}  # fmt: skip
HELD = {"entries": 40, "size_bytes": 2 << 20, "age_median_s": 30.0, "age_oldest_s": 400.0, "evictions": 12,
        "loads": 4, "load_time_s": 0.2, "asked_s": 7.0, "server": SERVER}  # fmt: skip


def test_the_shared_cache_tells_what_the_server_holds_and_whose_it_dropped() -> None:
    (row,) = cache_rows({"redis": REDIS | HELD}, ())
    assert (row.entries, row.size, row.evictions) == ("40", "2.0 MiB", "12 of anyone’s")
    assert (row.loads, row.load_time, row.age) == ("4", "50.00 ms", "30 s, at most 6 min")
    (panel,) = redis_panel(REDIS | HELD)
    facts = {fact.name: fact for fact in panel.facts}
    assert facts["Server"].text == "Redis 7.0.15, up 2 h, 5 connections"
    assert facts["Its memory"] == Fact("Its memory", "3.0 MiB of 12.0 MiB, then allkeys-lru", 25.0)
    assert facts["Its keys"].text == "1,204, 40 of them values of ours"
    assert facts["Keys it evicted, that expired"].text == "12, 4,312"
    assert facts["Its reads that found a key"].text == "75.0 % of 4"
    assert facts["It was asked"].text == "7 s ago"


def test_a_server_that_tells_nothing_of_itself_has_a_panel_too() -> None:
    silent = dict.fromkeys(SERVER) | {"version": "", "policy": "", "keys": 20_000}
    uncounted = HELD | {"entries": None, "evictions": None, "size_bytes": None, "age_median_s": None, "server": silent}
    (row,) = cache_rows({"redis": REDIS | uncounted}, ())
    assert {row.entries, row.size, row.evictions, row.age} == {wording.NOTHING}
    (panel,) = redis_panel(REDIS | uncounted)
    facts = {fact.name: fact.text for fact in panel.facts}
    assert facts["Server"] == "tells nothing of itself"
    assert facts["Its memory"] == facts["Its reads that found a key"] == wording.NOTHING
    assert facts["Its keys"] == "20,000, ours not counted"
    unlimited = redis_panel(REDIS | HELD | {"server": SERVER | {"max_memory_bytes": 0}})[0].facts
    assert Fact("Its memory", "3.0 MiB, without a limit of its own") in unlimited


def test_a_shared_cache_that_is_gone_is_seen_at_a_glance() -> None:
    metrics = {**WELL, "sources": {**WELL["sources"], "redis": REDIS}}
    seen = health(minute({130: 100}), (), metrics, memory_limit_percent=80)
    assert ("live", "in use") in [(one.state, one.text) for one in seen.checks]
    gone = {**REDIS, "breaker": "open", "hears": False, "last_problem": "ConnectionError"}
    metrics = {**WELL, "sources": {**WELL["sources"], "redis": gone}}
    seen = health(minute({130: 100}), (), metrics, memory_limit_percent=80)
    assert seen.text == "Running; worth a look: shared cache"
    (panel,) = redis_panel(gone)
    assert panel.facts[0].text == "cannot be used (ConnectionError); each process loads for itself"
    assert redis_panel({}) == ()


def test_open_alerts_are_part_of_the_answer() -> None:
    seen = health(
        minute({130: 100}), (), WELL, memory_limit_percent=80, alerts=("Stale feed", "Error rate", "Low hit rate")
    )
    assert seen.text == "Running; worth a look: alerts"
    assert seen.checks[-1].text == "3 raised: Stale feed, Error rate and 1 more"
