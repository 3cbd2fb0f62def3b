"""/metrics: a real scrape of the real application; dashboard and rules name only what is there; promtool agrees."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from models.ledger import Ledger
from models.ledger_scores import Skill
from routes import metrics
from tests.support.browser import Replay, replayed_app
from tests.support.scraping import equip, equipped_anew, families, promtool, sample_names, value
from utils.clock import ManualClock
from utils.histogram import EDGES_S, percentile_s
from utils.metric_families import OTHERS, labelled
from utils.metrics_export import MetricsExport
from utils.performance_monitor import PerformanceMonitor, performance_monitor
from utils.redis_stats import RedisStats
from utils.redis_watch import RedisServerFacts

ROOT = Path(__file__).resolve().parents[2]
RULES, RULE_TESTS = ROOT / "docs/prometheus/alerts.yml", ROOT / "docs/prometheus/alerts_test.yml"
CONFIG, DASHBOARD = ROOT / "docs/prometheus/prometheus.yml", ROOT / "docs/grafana/dashboard.json"
BY_PROMETHEUS = {"up"}
NAME = re.compile(r"\b(?:dashboard|process|python)_[a-z_]+\b|\bup\b(?=\{)")
HOURS = 30
TOKEN = "a-token-only-prometheus-knows"


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    """Two markets whose forecasts were scored over a day of candles."""
    with replayed_app(tmp_path_factory.mktemp("metrics"), ("BTCUSDT", "ETHUSDT")) as made:
        equip(made.app)
        services = made.app.extensions["services"]
        for _ in range(HOURS - 8):
            series = [made.market.candles(symbol, made.market.intervals[0]) for symbol in made.market.symbols]
            services.ledger.append(services.forecaster.forecast_all(series).values())
            made.close_candle()
        for symbol in made.market.symbols:
            services.ledger.score(made.market.candles(symbol, made.market.intervals[0]))
        performance_monitor.sample()
        performance_monitor.sample()  # what the CPU did is known between two
        client = made.app.test_client()
        for path in ("/", "/symbol/BTCUSDT", "/symbol/ETHUSDT", "/performance", "/no/such/page", "/also/not"):
            client.get(path)
        client.post("/theme", data={"theme": "dark"}, headers={"Sec-Fetch-Site": "same-origin"})
        yield made


@pytest.fixture
def client(replay: Replay) -> FlaskClient:
    return replay.app.test_client()


def test_a_scrape_says_what_the_parts_say(client: FlaskClient, replay: Replay) -> None:
    answer = client.get("/metrics")
    text = answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain; version=0.0.4")
    assert answer.headers["Cache-Control"] == "no-store"
    parts = replay.app.extensions["parts"]
    pages, store = parts.services.pages.stats(), parts.store.stats()
    assert value(text, "dashboard_cache_hits_total", cache="page") == pages.hits
    packed = value(text, "dashboard_compression_out_bytes_total", encoding="zstd")
    assert 0 < packed < value(text, "dashboard_compression_in_bytes_total", encoding="zstd")
    assert value(text, "dashboard_dictionaries_bytes") == 0
    assert value(text, "dashboard_dictionaries_evictions_total") == 0
    assert "dashboard_dictionaries_age" not in text, "there is none that could be old"
    ages = [value(text, f"dashboard_cache_entry_age_{which}_seconds", cache="page") for which in ("median", "oldest")]
    assert 0 < ages[0] <= ages[1]
    assert value(text, "dashboard_cache_misses_total", cache="page") == pages.misses > 0
    assert value(text, "dashboard_cache_size_bytes", cache="page") == pages.size_bytes
    assert value(text, "dashboard_store_candles") == store.candles > 1000
    assert value(text, "dashboard_exchange_weight_limit") == parts.gateway.status().weight_limit
    assert value(text, "dashboard_feed_state", state=parts.feed.status().state) == 1
    assert value(text, "dashboard_source_up", source="database") == 1
    assert value(text, "dashboard_market_series", interval="1h", state="live") == 2
    assert value(text, "process_resident_memory_bytes") > 1e6
    assert value(text, "dashboard_http_request_duration_seconds_count", route="/symbol/<symbol>") == 2
    assert value(text, "dashboard_http_request_duration_seconds_count", method="POST", route="/theme") == 1
    assert value(text, "dashboard_http_request_duration_seconds_count", route="(not found)") == 2
    assert value(text, "dashboard_http_request_response_bytes_total", route="/symbol/<symbol>") > 10_000
    skill = parts.services.ledger.skill(model_id=next(iter(parts.services.registry.usable())).id)
    assert skill.count > 20
    assert value(text, "dashboard_model_scored_forecasts") == skill.count
    assert value(text, "dashboard_model_skill_ratio") == pytest.approx(skill.skill_fraction)


def test_openmetrics_is_spoken_where_it_is_asked(client: FlaskClient) -> None:
    answer = client.get("/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"})
    assert answer.content_type.startswith("application/openmetrics-text; version=1.0.0")
    text = answer.get_data(as_text=True)
    assert text.endswith("# EOF\n")
    assert {family.name for family in parse_openmetrics(text)}  # type: ignore[no-untyped-call]  # theirs >= {"dashboard_http_request_duration_seconds"}


def test_scraping_twice_counts_nothing_twice(client: FlaskClient) -> None:
    first, second = (client.get("/metrics").get_data(as_text=True) for _ in range(2))
    name, route = "dashboard_http_request_duration_seconds_count", "/symbol/<symbol>"
    assert value(first, name, route=route) == value(second, name, route=route) == 2
    assert value(second, name, route="/metrics") == value(first, name, route="/metrics") + 1


def test_labels_are_route_templates_and_bounded(client: FlaskClient) -> None:
    for number in range(120):
        client.get(f"/invented/{number}")
        client.get(f"/symbol/NOPE{number}")
    text = client.get("/metrics").get_data(as_text=True)
    routes = {sample.labels["route"] for sample in families(text)["dashboard_http_request_duration_seconds"].samples}
    assert "NOPE" not in text
    assert "invented" not in text
    known = {rule.rule for rule in client.application.url_map.iter_rules()}
    assert {route for route in routes if not route.startswith("(")} <= known


def test_more_values_than_a_label_may_have_are_added_up() -> None:
    made = labelled("counter", "calls", "Calls.", "endpoint", [(f"e{number:03}", 1.0) for number in range(80)])
    assert len(made.samples) == 51
    assert {sample.labels["endpoint"]: sample.value for sample in made.samples}[OTHERS] == 30


def test_buckets_hold_exactly_what_lies_below_their_edge() -> None:
    monitor = PerformanceMonitor()
    monitor.configure(enabled=True, clock=ManualClock())
    durations = np.random.default_rng(3).lognormal(np.log(0.01), 1.5, 5_000)
    for seconds in durations.tolist():
        monitor.observe("/page", seconds, kind="route")
    text = MetricsExport(monitor).page()[0].decode()
    found = families(text)["dashboard_http_request_duration_seconds"].samples
    buckets = {float(one.labels["le"]): one.value for one in found if one.name.endswith("_bucket")}
    assert len(buckets) > 30
    assert list(buckets.values()) == sorted(buckets.values())
    for edge, below in buckets.items():
        assert below == np.count_nonzero(durations <= edge), edge
    assert value(text, "dashboard_http_request_duration_seconds_sum") == pytest.approx(durations.sum())
    (counted,) = monitor.routes().values()
    for fraction in (0.5, 0.95, 0.99):
        true = float(np.quantile(durations, fraction, method="inverted_cdf"))
        assert percentile_s(counted.buckets, fraction) == pytest.approx(true, rel=0.04)
    assert percentile_s(counted.buckets - counted.buckets, 0.5) is None
    assert EDGES_S[0] > 1e-7


def test_a_part_that_fails_takes_only_its_own_metrics_away() -> None:
    monitor = PerformanceMonitor()
    monitor.configure(enabled=True, clock=ManualClock())

    def broken() -> object:
        raise OSError("the disk is gone")

    monitor.add_source("store", broken)
    monitor.add_source("database", lambda: {"count": 7, "errors": 0, "total_s": 0.5, "slowest_s": 0.1})
    text = MetricsExport(monitor).page()[0].decode()
    assert value(text, "dashboard_source_up", source="store") == 0
    assert value(text, "dashboard_source_up", source="database") == 1
    assert value(text, "dashboard_database_queries_total") == 7
    assert "dashboard_store_candles" not in text


def with_shared_cache(breaker: str) -> str:
    """A scrape of a program that was given a Redis."""
    monitor = PerformanceMonitor()
    facts = RedisServerFacts("7", 60.0, 2, 3 << 20, 0, "noeviction", 12, 5, 6, 7, 8)
    held = {"entries": 4, "age_median_s": 30.0, "evictions": 5, "server": facts}
    stats = RedisStats(breaker, True, 40, 3, 135, 9, 9, 0, 0, 0, 0.05, "ConnectionError", **held)  # type: ignore[arg-type]  # each is of its own
    monitor.add_source("redis", lambda: stats)
    return MetricsExport(monitor).page()[0].decode()


def test_a_shared_cache_that_is_gone_is_scraped_and_where_there_is_none_nothing_is(client: FlaskClient) -> None:
    up, down = with_shared_cache("closed"), with_shared_cache("open")
    assert (value(up, "dashboard_shared_cache_up"), value(down, "dashboard_shared_cache_up")) == (1, 0)
    assert value(down, "dashboard_shared_cache_refused_total") == 135
    assert value(down, "dashboard_cache_entries", cache="redis") == 4
    assert value(down, "dashboard_cache_entry_age_median_seconds", cache="redis") == 30
    assert value(down, "dashboard_shared_cache_server_memory_bytes") == 3 << 20
    assert value(down, "dashboard_shared_cache_server_evicted_keys_total") == 5
    assert "dashboard_shared_cache" not in client.get("/metrics").get_data(as_text=True)


def test_the_budget_of_a_route_has_the_labels_of_its_times(client: FlaskClient) -> None:
    text = client.get("/metrics").get_data(as_text=True)
    for method, route, budget_s in (("GET", "/symbol/<symbol>", 0.05), ("POST", "/theme", None)):
        assert value(text, "dashboard_http_request_duration_seconds_count", method=method, route=route) > 0
        found = value(text, "dashboard_http_request_budget_seconds", method=method, route=route)
        assert found == (budget_s or found) > 0


def test_every_metric_of_dashboard_and_rules_is_in_a_real_scrape(client: FlaskClient) -> None:
    scraped = sample_names(client.get("/metrics").get_data(as_text=True)) | BY_PROMETHEUS
    scraped |= sample_names(with_shared_cache("open"))
    panels = json.loads(DASHBOARD.read_text("utf-8"))
    expressions = [target["expr"] for panel in panels["panels"] for target in panel.get("targets", ())]
    expressions += [re.sub(r"(?m)^ *(summary|description|#).*$", "", RULES.read_text("utf-8"))]
    named = {name for expression in expressions for name in NAME.findall(expression)}
    assert len(named) > 30
    # A counter with labels appears with its first event; these are announced even so.
    announced = {f"{family}_total" for family in families(client.get("/metrics").get_data(as_text=True))}
    assert named - scraped - announced == set()


def test_the_dashboard_draws_all_that_is_told_of_the_shared_cache() -> None:
    told = {name for name in sample_names(with_shared_cache("open")) if name.startswith("dashboard_shared_cache")}
    assert len(told) == 11
    assert {name for name in told if name not in DASHBOARD.read_text("utf-8")} == set()


def test_the_dashboard_is_one_that_grafana_can_draw() -> None:
    made = json.loads(DASHBOARD.read_text("utf-8"))
    ids = [panel["id"] for panel in made["panels"]]
    assert len(ids) == len(set(ids)) > 20
    drawn = [panel for panel in made["panels"] if panel["type"] != "row"]
    assert all(panel["targets"] and panel["fieldConfig"]["defaults"]["unit"] for panel in drawn)
    places = [(p["gridPos"]["x"] + column, p["gridPos"]["y"]) for p in drawn for column in range(p["gridPos"]["w"])]
    assert len(places) == len(set(places)), "panels lie over each other"
    assert max(x for x, _ in places) < 24
    assert all(target["datasource"]["uid"] == "${datasource}" for panel in drawn for target in panel["targets"])


def test_promtool_accepts_rules_their_tests_and_the_configuration() -> None:
    for arguments in (("check", "rules", RULES), ("test", "rules", RULE_TESTS), ("check", "config", CONFIG)):
        run = promtool(*map(str, arguments))
        assert run.returncode == 0, run.stdout + run.stderr


def test_promtool_parses_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    expressions = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    rules = [
        {
            "record": f"panel:expression:{number}",
            "expr": text.replace("$__rate_interval", "1m").replace("$instance", ".*"),
        }
        for number, text in enumerate(expressions)
    ]
    file = tmp_path / "panels.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    run = promtool("check", "rules", str(file))
    assert run.returncode == 0, run.stdout + run.stderr


def test_promtool_finds_nothing_to_better_in_our_metrics(client: FlaskClient) -> None:
    text = client.get("/metrics").get_data(as_text=True)
    run = promtool("check", "metrics", given=text)
    complaints = [line for line in run.stdout.splitlines() + run.stderr.splitlines() if line.startswith("dashboard_")]
    assert complaints == [], run.stdout + run.stderr
    assert "error while" not in run.stderr


def test_where_a_password_is_set_the_token_is_asked(replay: Replay) -> None:
    client = replay.app.test_client()
    with equipped_anew(replay.app, token=TOKEN, guarded=True):
        for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
            assert client.get("/metrics", headers=header).status_code == 401, header
        assert client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    with equipped_anew(replay.app, token="", guarded=True):
        assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 401
    assert client.get("/metrics").status_code == 200


def test_before_the_first_event_the_feed_is_as_old_as_the_program(replay: Replay) -> None:
    services = replay.app.extensions["services"]
    assert services.feed.status().last_event_ms is None
    assert metrics.feed_age_s(services, 7.5) == 7.5
    heard = SimpleNamespace(status=lambda: SimpleNamespace(last_event_ms=services.clock.now_ms() - 2_500))
    assert metrics.feed_age_s(dataclasses.replace(services, feed=heard), 7.5) == 2.5


def test_the_skill_is_asked_of_the_ledger_once_a_minute(replay: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    asked: list[str] = []
    real = Ledger.skill

    def counted(ledger: Ledger, **wanted: Any) -> Skill:
        asked.append(wanted["model_id"])
        return real(ledger, **wanted)

    monkeypatch.setattr(Ledger, "skill", counted)
    read = metrics.SkillReader(replay.app.extensions["services"], timer=lambda: now[0])
    first = read()
    assert first
    for seconds in (1.0, 59.0):
        now[0] = seconds
        assert read() is first
    assert len(asked) == len(first)
    now[0] = 61.0
    read()
    assert len(asked) == 2 * len(first)
