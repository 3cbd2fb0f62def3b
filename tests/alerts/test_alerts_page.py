"""/alerts in the real application: readable without JavaScript, clear about what is wrong, from breach to webhook."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from routes import alerts
from routes.alerts_readings import DEFAULT_BUDGET_MS, WINDOW_S, AlertReadings
from routes.metrics import ModelSkill
from tests.support.alerting import FORM, OURS, equip, receiver
from tests.support.browser import Replay, replayed_app
from utils.alert_rules import MOST_RULES, PRESETS, READINGS
from utils.alert_send import send
from utils.performance_monitor import performance_monitor
from utils.redis_stats import RedisStats


@dataclass
class Desk:
    replay: Replay
    watch: alerts.Watch

    @property
    def client(self) -> FlaskClient:
        return self.replay.app.test_client()

    def page(self) -> str:
        """The page's text, tags taken out, and what they said kept in order."""
        text = self.client.get("/alerts").get_data(as_text=True)
        return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", text)))

    def post(self, path: str, **form: str) -> Any:
        return self.client.post(path, data=form, headers=OURS)


@contextmanager
def desk_in(folder: Path, targets: tuple[str, ...] = (), **options: Any) -> Iterator[Desk]:
    with replayed_app(folder, ("BTCUSDT", "ETHUSDT")) as made:
        yield Desk(made, equip(made.app, targets=targets, **options))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with desk_in(tmp_path) as made:
        yield made


def test_before_anything_happened_the_page_says_so(desk: Desk) -> None:
    text = desk.page()
    assert "The rules were not judged yet" in text
    assert "No rule was broken yet" in text
    assert "set ALERT_TARGETS" in text
    for rule in PRESETS:
        assert rule.title in text
    assert text.count("nothing to judge yet") == len(PRESETS)
    for reading in READINGS.values():
        assert reading.title in text


def test_the_page_needs_no_script_and_holds_every_label(desk: Desk) -> None:
    html = desk.client.get("/alerts").get_data(as_text=True)
    main = html[html.index("<main") : html.index("</main>")]
    assert "<script" not in main
    controls = set(re.findall(r'<(?:input|select)[^>]*\bid="(\w+)"', main))
    assert controls == set(re.findall(r'<label for="(\w+)"', main)) == set(FORM)
    assert main.count('<form method="post"') == 2 * len(PRESETS) + 1
    assert desk.client.get("/alerts").headers["Cache-Control"] == "private, no-store"


def test_a_rule_is_added_judged_switched_off_and_removed(desk: Desk) -> None:
    answer = desk.post("/alerts/rules", **FORM)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/alerts#rules")
    for _ in range(30):
        performance_monitor.observe("/slow/<name>", 0.4, kind="route")
        performance_monitor.observe("/fast", 0.0001, kind="route")
    desk.watch.alerts.check()
    text = desk.page()
    assert "Many pages p95 of a route above 1 ms" in text
    assert "1 raised." in text
    assert re.search(r"raised (39\d|40\d|41\d)(\.\d)? ms /slow/<name> for 0 s", text)
    assert desk.post("/alerts/rules/many-pages", action="disable").status_code == 303
    desk.watch.alerts.check()
    text = desk.page()
    assert "p95 of a route above 1 ms switched off" in text
    assert "the rule was switched off or removed" in text
    assert desk.post("/alerts/rules/many-pages", action="enable").status_code == 303
    assert desk.post("/alerts/rules/many-pages", action="remove").status_code == 303
    assert "many-pages" not in [rule.key for rule in desk.watch.store.rules()]
    assert desk.post("/alerts/rules/many-pages", action="remove").status_code == 404
    assert desk.post("/alerts/rules/error-rate", action="explode").status_code == 400
    assert "recovered" in desk.page()


def test_removing_asks_first_and_what_came_with_us_can_be_brought_back(desk: Desk) -> None:
    html = desk.client.get("/alerts").get_data(as_text=True)
    for one in re.findall(r'<button[^>]*value="remove".*?</button>', html):
        opened = html[: html.index(one)].rindex("<details ")
        assert "</details>" not in html[opened : html.index(one)], "it is inside of what has to be opened first"
    assert "Bring" not in html
    for key in ("error-rate", "feed-stale"):
        desk.post(f"/alerts/rules/{key}", action="remove")
    desk.post("/alerts/rules", **FORM | {"title": "Error rate"})
    assert "Removed of those that come with the program: Error rate, Stale feed. Bring them back" in desk.page()
    assert desk.post("/alerts/presets").headers["Location"] == "/alerts#rules"
    rules = desk.watch.store.rules()
    assert rules[-2:] == tuple(rule for rule in PRESETS if rule.key in ("error-rate", "feed-stale"))
    assert [rule.key for rule in rules if rule.title == "Error rate"] == ["error-rate-2", "error-rate"]
    assert "Bring" not in desk.page()
    desk.post("/alerts/presets")
    assert desk.watch.store.rules() == rules, "asked twice, nothing comes twice"


def test_presets_that_find_no_room_say_what_to_do(desk: Desk) -> None:
    store = desk.watch.store
    store.remove_rule("error-rate")
    for number in range(MOST_RULES - len(store.rules())):
        store.add_rule(replace(PRESETS[0], key=f"mine-{number}"))
    answer = desk.post("/alerts/presets")
    assert answer.status_code == 400
    assert f"here are {MOST_RULES} rules and {MOST_RULES} is the most; remove 1" in answer.get_data(as_text=True)


def test_the_page_renews_itself_where_something_changed(desk: Desk) -> None:
    def ask(version: str) -> Any:
        return desk.client.get(f"/alerts/live?version={version}")

    shown = version_of(desk.client.get("/alerts").get_data(as_text=True))
    assert ask(shown).status_code == 204
    desk.post("/alerts/rules/error-rate", action="disable")
    answer = ask(shown)
    text = answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert "switched off" in text
    assert 'id="threshold"' not in text, "the form is left to who types in it"
    assert ask(version_of(text)).status_code == 204
    desk.watch.alerts.check()
    assert ask(version_of(text)).status_code == 200, "judged anew"


def version_of(html: str) -> str:
    found = re.search(r'id="alerts-rules" data-version="(\w+)"', html)
    assert found is not None
    return found[1]


def test_a_form_that_does_not_fit_comes_back_with_what_is_wrong(desk: Desk) -> None:
    answer = desk.post("/alerts/rules", **FORM | {"threshold": '"><img src=x>', "minutes": "9999", "title": "Kept"})
    html = answer.get_data(as_text=True)
    assert answer.status_code == 400
    assert 'role="alert">The rule was not added: 2 of its fields do not fit.' in html
    assert 'aria-invalid="true" aria-describedby="fault-threshold"' in html
    assert 'id="fault-minutes" class="problem">minutes is &#39;9999&#39;; use a number from 0 to 1440' in html
    assert 'value="Kept"' in html
    assert "<img" not in html
    assert "&lt;img src=x&gt;" in html
    assert len(desk.watch.store.rules()) == len(PRESETS)


def test_changes_from_elsewhere_are_refused(desk: Desk) -> None:
    foreign: tuple[dict[str, str], ...] = ({}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"})
    for headers in foreign:
        for path in ("/alerts/rules", "/alerts/rules/error-rate", "/alerts/presets", "/alerts/test"):
            answer = desk.client.post(path, data=FORM | {"action": "remove"}, headers=headers)
            assert answer.status_code == 403, (path, headers)
    assert desk.watch.store.rules() == PRESETS
    for path in ("/alerts/rules", "/alerts/rules/error-rate", "/alerts/test"):
        assert desk.client.get(path).status_code == 405


def test_the_test_button_sends_once_and_shows_how_it_went(tmp_path: Path) -> None:
    with receiver() as hook, desk_in(tmp_path, (f"json://{hook.url}/canary-secret-path",), send=send) as desk:
        hook.statuses[:] = [503]
        for _ in range(3):
            assert desk.post("/alerts/test").headers["Location"] == "/alerts#deliveries"
        assert len(desk.watch.store.deliveries(9)) == 1, "one that is on its way is enough"
        assert "waiting" in desk.page()
        assert desk.watch.courier.deliver_due() == 0
        text = desk.page()
        assert "503" in text
        assert re.search(r"waiting again \d\d:\d\d:\d\d UTC", text)
        desk.replay.clock.tick(15)
        assert desk.watch.courier.deliver_due() == 1
        text = desk.page()
        assert re.search(r"Binance AI Dashboard: a test test .* sent 2 ", text)
        assert "canary" not in text
        assert "Webhook json://127.0.0.1" in text
        assert [path for path, _ in hook.requests] == ["/canary-secret-path"] * 2


def test_a_target_that_is_not_understood_is_told_on_the_page(tmp_path: Path) -> None:
    with desk_in(tmp_path, targets=("nosuchservice://canary", "json://here/x")) as desk:
        before = desk.client.get("/alerts").text
        assert "does not understand" not in before, "nobody has looked yet"
        desk.watch.courier.check_targets()
        page = desk.client.get("/alerts").text
        assert page.count("Apprise does not understand this address") == 1
        assert "canary" not in page


def test_a_test_without_targets_says_what_to_set(desk: Desk) -> None:
    answer = desk.post("/alerts/test")
    assert answer.status_code == 400
    assert "set ALERT_TARGETS" in answer.get_data(as_text=True)


def test_a_breach_reaches_the_webhook_and_so_does_its_end(tmp_path: Path) -> None:
    with receiver() as hook, desk_in(tmp_path, (f"json://{hook.url}/hook",)) as desk:
        for rule in PRESETS:
            desk.watch.store.remove_rule(rule.key)
        desk.post("/alerts/rules", **FORM | {"reading": "feed_age_s", "threshold": "60", "title": "Stale feed"})
        desk.replay.clock.tick(61)
        desk.watch.alerts.check()
        desk.watch.courier.deliver_due()
        desk.post("/alerts/rules/stale-feed", action="disable")
        desk.watch.alerts.check()
        desk.watch.courier.deliver_due()
        titles = [body["title"] for _, body in hook.requests]
        assert titles == ["Binance AI Dashboard: Stale feed", "Binance AI Dashboard: Recovered: Stale feed"]
        assert "Age of the newest stream event above 60 s" in hook.requests[0][1]["message"]


def readings_of(desk: Desk, **options: Any) -> AlertReadings:
    parts = desk.replay.app.extensions["services"]
    given = {"skills": lambda: (), **options}
    return AlertReadings(monitor=performance_monitor, services=parts, **given)


def test_readings_are_of_the_last_minutes_not_since_the_start(desk: Desk) -> None:
    clock, read = desk.replay.clock, readings_of(desk, budgets=lambda: {"/a": 100.0})
    for _ in range(100):
        performance_monitor.observe("/a", 0.05, kind="route")
        performance_monitor.observe("/b", 0.5, kind="route", error=True)
        performance_monitor.observe("/ready", 0.001, kind="route", error=True)
    first = read()
    assert first["p95_ms"]["/a"] == pytest.approx(50, rel=0.05)
    assert first["p95_of_budget_percent"]["/a"] == pytest.approx(50, rel=0.05)
    assert first["p95_of_budget_percent"]["/b"] == pytest.approx(500 / DEFAULT_BUDGET_MS * 100, rel=0.05)
    assert first["error_percent"][""] == 50.0
    for _ in range(round(WINDOW_S / 15) + 8):
        clock.tick(15)
        read()
    assert read()["p95_ms"] == {}, "nothing was asked for five minutes"
    assert read()["error_percent"] == {}, "of nothing there is no rate"
    for _ in range(20):
        performance_monitor.observe("/a", 0.01, kind="route")
    latest = read()
    assert latest["p95_ms"] == {"/a": pytest.approx(10, rel=0.05)}
    assert latest["error_percent"] == {"": 0.0}


def test_readings_come_from_the_parts(desk: Desk) -> None:
    performance_monitor.sample()
    for _ in range(60):
        desk.client.get("/")
    read = readings_of(
        desk,
        skills=lambda: (
            ModelSkill("lost", "1h", 500, -0.05, 0.01),
            ModelSkill("new", "1h", 99, -0.5, 0.01),
            ModelSkill("unsure", "1h", 500, -0.05, None),
        ),
    )
    values = read()
    assert values["model_skill_percent"] == {"lost": -5.0, "unsure": -5.0}
    assert values["model_skill_upper_percent"] == {"lost": pytest.approx(-3.0)}
    assert values["cache_hit_percent"]["page"] > 90
    assert 0 < values["memory_percent"][""] <= 100
    assert values["rss_mb"][""] > 50
    assert values["exchange_weight_percent"] == {"": 0.0}
    assert values["exchange_banned"] == {"": 0.0}
    assert values["stale_series"] == {"": 0.0}
    assert values["database_errors"] == {"": 0.0}
    assert set(values) == set(READINGS) - {"shared_cache_down"}, "every reading a rule may name is read, and no other"
    desk.replay.clock.tick(120)
    assert read()["stale_series"] == {"": 2.0}


def test_the_watch_starts_and_ends_with_the_program(tmp_path: Path) -> None:
    with receiver() as hook, desk_in(tmp_path, (f"json://{hook.url}/hook",), period_s=0.01) as desk:
        desk.watch.start()
        desk.watch.close()
        assert desk.watch.alerts.checked_at_ms is not None
        assert "Judged" in desk.page()


def test_a_rule_of_what_there_is_not_is_refused_and_what_there_is_is_proposed(desk: Desk) -> None:
    html = desk.client.get("/alerts").get_data(as_text=True)
    proposed = {unescape(one) for one in re.findall(r'<option value="([^"]*)">', html[html.index("<datalist") :])}
    model = next(iter(desk.replay.app.extensions["services"].registry.usable())).id
    assert {"/symbol/<symbol>", "POST /theme", "data", "page", model} <= proposed
    for reading, subject, told in (
        ("p95_ms", "qqq", "there is no route 'qqq'; the performance page lists those there are. Leave it empty for"),
        ("p95_ms", "/symbol/<x>", "do you mean /symbol/<symbol>? Leave it empty"),
        ("cache_hit_percent", "page_cache", "there is no cache 'page_cache'; do you mean page?"),
        ("cache_hit_percent", "zzz", "there is no cache 'zzz'; use data, model, page, forecasts, or leave it empty"),
        ("model_skill_percent", "zzz", f"there is no model 'zzz'; use {model}, or leave it empty"),
    ):
        answer = desk.post("/alerts/rules", **FORM | {"reading": reading, "subject": subject})
        assert answer.status_code == 400
        assert told in unescape(answer.get_data(as_text=True))
    assert desk.watch.store.rules() == PRESETS
    for reading, subject in (
        ("p95_ms", "/symbol/<symbol>"),
        ("cache_hit_percent", "page"),
        ("model_skill_percent", model),
    ):
        assert desk.post("/alerts/rules", **FORM | {"reading": reading, "subject": subject}).status_code == 303


def test_a_shared_cache_that_does_not_answer_can_be_watched(desk: Desk) -> None:
    services = desk.replay.app.extensions["services"]
    read = AlertReadings(monitor=performance_monitor, services=services, skills=tuple)
    assert "shared_cache_down" not in read(), "there is none"
    stats = RedisStats("closed", True, 1, 0, 0, 0, 0, 0, 0, 0, 0.0, "")
    performance_monitor.add_source("redis", lambda: stats)
    assert read()["shared_cache_down"] == {"": 0.0}
    stats = replace(stats, breaker="open")
    assert read()["shared_cache_down"] == {"": 1.0}
    assert "redis" in desk.client.get("/alerts").get_data(as_text=True)
