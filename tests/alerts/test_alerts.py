"""Alerts: raised once, after their time, noted when over; across restarts, changed rules and missing readings."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from data.alert_store import MOST_ALERTS, AlertStore
from data.database import Database, connect
from utils.alert_delivery import Courier, Delivery
from utils.alert_news import amount, condition, duration
from utils.alert_rules import PRESETS, Rule
from utils.alert_send import Message
from utils.alerts import Alerts, Readings
from utils.clock import ManualClock
from utils.errors import InvalidInput, NotFound, StoreError

RULE = Rule("slow", "Slow page", "p95_ms", ">", 250.0, 60.0)


class Desk:
    """The evaluator over a real database, with readings that the test sets and a clock that it moves."""

    def __init__(self, database: Database, *rules: Rule, clock: ManualClock | None = None) -> None:
        self.clock = clock or ManualClock()
        self.values: dict[str, dict[str, float]] = {}
        self.store = AlertStore(database)
        for rule in rules:
            self.store.add_rule(rule)
        self.sent: list[Message] = []
        self.courier = Courier(store=self.store, targets=["json://there"], send=self._send, clock=self.clock)
        self.alerts = self.another()

    def another(self) -> Alerts:
        """As after a restart: the same store, nothing remembered."""
        return Alerts(store=self.store, read=self._read, courier=self.courier, clock=self.clock, period_s=3600.0)

    def after(self, seconds: float, **values: float) -> list[str]:
        """Time passes, `/` is read as so many milliseconds; what was raised (+) and what was over (−) at once."""
        self.clock.tick(seconds)
        if "p95" in values:
            self.values = {"p95_ms": {"/": values["p95"]}}
        edges = self.alerts.check()
        return [("-" if edge.recovered_at_ms is not None else "+") + edge.subject for edge in edges]

    def titles(self) -> list[str]:
        self.courier.deliver_due()
        return [message.title for message in self.sent]

    def _send(self, messages: object) -> list[str]:
        assert isinstance(messages, list)
        self.sent += messages
        return [""] * len(messages)

    def _read(self) -> Readings:
        return self.values


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = connect(f"sqlite:///{tmp_path / 'alerts.db'}")
    yield made
    made.close()


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database, RULE)


def test_it_is_raised_once_after_its_time_and_its_end_is_noted(desk: Desk) -> None:
    assert desk.after(0, p95=300.0) == []
    assert desk.alerts.judged()[0].state == "pending"
    assert desk.after(59) == []
    assert desk.after(1, p95=420.0) == ["+/"]
    assert [desk.after(15, p95=900.0), desk.after(600, p95=300.0)] == [[], []], "an edge is told once"
    assert desk.alerts.judged()[0].state == "raised"
    assert desk.after(15, p95=250.0) == []
    assert desk.alerts.judged()[0].state == "recovering"
    assert desk.after(60) == ["-/"]
    (alert,) = desk.store.history(10)
    assert (alert.value, alert.worst, alert.subject) == (420.0, 900.0, "/")
    assert alert.recovered_at_ms is not None
    assert alert.recovered_at_ms - alert.raised_at_ms == (15 + 600 + 15 + 60) * 1000
    assert alert.note == "now 250 ms"
    assert desk.titles() == ["Dashboard: Slow page: /", "Dashboard: Recovered: Slow page: /"]
    assert desk.sent[0].body == "p95 of a route above 250 ms for 1 min\nnow 420 ms"
    condition_text = "p95 of a route above 250 ms for 1 min"
    assert desk.sent[1].body == f"{condition_text}\nnow 250 ms; it lasted 11 min 30 s, at worst 900 ms"


def test_a_break_begins_the_time_anew(desk: Desk) -> None:
    desk.after(0, p95=300.0)
    desk.after(50, p95=200.0)
    assert desk.after(15, p95=300.0) == []
    assert desk.after(59) == []
    assert desk.after(1) == ["+/"]


def test_a_value_that_flaps_neither_recovers_nor_tells_again(desk: Desk) -> None:
    desk.after(0, p95=300.0)
    desk.after(60)
    for _ in range(20):
        assert desk.after(15, p95=100.0) == []
        assert desk.after(15, p95=300.0) == []
    assert len(desk.titles()) == 1


def test_a_rule_without_a_time_is_raised_at_once(database: Database) -> None:
    desk = Desk(database, Rule("banned", "Banned", "exchange_banned", ">", 0.0, 0.0))
    desk.values = {"exchange_banned": {"": 1.0}}
    assert desk.after(0) == ["+"]
    desk.values = {"exchange_banned": {"": 0.0}}
    assert desk.after(0) == ["-"]


def test_every_subject_is_judged_on_its_own_and_a_rule_may_name_one(database: Database) -> None:
    desk = Desk(database, RULE, Rule("one", "Only one", "p95_ms", ">", 250.0, 0.0, "/b"))
    desk.values = {"p95_ms": {"/a": 300.0, "/b": 300.0, "/c": 10.0}}
    assert [(edge.rule.key, edge.subject) for edge in desk.alerts.check()] == [("one", "/b")]
    desk.clock.tick(60)
    assert [(edge.rule.key, edge.subject) for edge in desk.alerts.check()] == [("slow", "/a"), ("slow", "/b")]
    desk.values["p95_ms"]["/a"] = 1.0
    assert desk.after(0) == []
    assert desk.after(60) == ["-/a"]


def test_what_happens_to_many_at_once_is_told_in_one_message(desk: Desk) -> None:
    desk.values = {"p95_ms": {f"/{name}": 300.0 + number for number, name in enumerate("abc")}}
    desk.after(0)
    desk.after(60)
    assert len(desk.store.open_alerts()) == 3
    assert desk.titles() == ["Dashboard: Slow page: /a and 2 more"]
    lines = desk.sent[0].body.splitlines()
    assert lines[1:] == ["/a: now 300 ms", "/b: now 301 ms", "/c: now 302 ms"]
    desk.values = {}
    desk.after(0)
    desk.after(60)
    assert desk.titles()[1:] == ["Dashboard: Recovered: Slow page: /a and 2 more"]
    assert "/c: no longer measured; it lasted 1 min, at worst 302 ms" in desk.sent[1].body


def test_a_restart_neither_tells_again_nor_forgets_the_end(desk: Desk) -> None:
    desk.after(0, p95=300.0)
    desk.after(60)
    desk.alerts = desk.another()
    assert desk.after(3600) == []
    assert desk.alerts.judged()[0].state == "raised"
    desk.after(0, p95=10.0)
    assert desk.after(60) == ["-/"]
    assert len(desk.store.history(10)) == 1
    assert len(desk.titles()) == 2


def test_two_processes_raise_it_once(desk: Desk) -> None:
    other = desk.another()
    desk.after(0, p95=300.0)
    other.check()
    desk.clock.tick(60)
    assert len(desk.alerts.check()) == 1
    assert other.check() == ()
    assert len(desk.store.history(10)) == len(desk.titles()) == 1


def test_what_is_no_longer_measured_is_over_after_its_time(desk: Desk) -> None:
    desk.after(0, p95=300.0)
    desk.after(60)
    desk.values = {}
    assert desk.after(15) == []
    assert desk.alerts.judged()[0].value is None
    assert desk.after(60) == ["-/"]
    assert desk.store.history(1)[0].note == "no longer measured"


@pytest.mark.parametrize("removed", [True, False])
def test_switching_a_rule_off_or_removing_it_ends_its_alert(desk: Desk, removed: bool) -> None:
    desk.after(0, p95=300.0)
    desk.after(60)
    desk.store.remove_rule("slow") if removed else desk.store.set_enabled("slow", enabled=False)
    assert desk.after(1) == ["-/"]
    assert desk.store.history(1)[0].note == "the rule was switched off or removed"
    assert desk.store.history(1)[0].rule.threshold == 250.0
    assert desk.after(600) == []


def test_a_clock_that_is_set_changes_no_duration(desk: Desk) -> None:
    desk.after(0, p95=300.0)
    desk.clock.set_wall(desk.clock.now_ms() + 86_400_000)
    assert desk.after(30) == []
    assert desk.after(30) == ["+/"]


def test_below_is_watched_as_above_is(database: Database) -> None:
    desk = Desk(database, Rule("cold", "Cold", "cache_hit_percent", "<", 50.0, 0.0))
    for value in (50.0, 40.0, 10.0, 30.0, 60.0):
        desk.values = {"cache_hit_percent": {"data": value}}
        desk.alerts.check()
    (alert,) = desk.store.history(10)
    assert (alert.value, alert.worst) == (40.0, 10.0)


def test_the_store_keeps_rules_and_presets_come_once(database: Database) -> None:
    store = AlertStore(database, PRESETS)
    assert store.rules() == PRESETS
    store.remove_rule("memory-short")
    store.set_enabled("error-rate", enabled=False)
    store.add_rule(RULE)
    again = AlertStore(database, (*PRESETS, Rule("new", "New", "rss_mb", ">", 1.0, 0.0))).rules()
    assert "memory-short" not in [rule.key for rule in again]
    assert [rule.enabled for rule in again if rule.key == "error-rate"] == [False]
    assert [rule.key for rule in again][-2:] == ["slow", "new"]
    with pytest.raises(InvalidInput, match="another title"):
        store.add_rule(RULE)
    with pytest.raises(NotFound, match="no alert rule 'none'"):
        store.remove_rule("none")
    with pytest.raises(NotFound, match="no alert rule 'none'"):
        store.set_enabled("none", enabled=True)


def test_the_history_is_bounded_and_what_is_open_stays(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_ALERTS >= 1000
    monkeypatch.setattr("data.alert_store.MOST_ALERTS", 5)
    monkeypatch.setattr("data.alert_store.MOST_DELIVERIES", 3)
    store = AlertStore(database)
    first = store.raise_alert(RULE, "stays open", 1.0, 1)
    for number in range(20):
        alert = store.raise_alert(RULE, f"/{number}", 1.0, number)
        assert alert is not None
        store.recover(alert, number + 1, 1.0, "")
        store.queue([Delivery(0, alert.key, "raised", "t", "T", "title", "body", "sent", 1, number, number)])
    kept = store.history(100)
    assert kept[-1] == first
    assert len(kept) == 6
    assert len(store.deliveries(100)) <= 4


def test_the_thread_judges_delivers_survives_failures_and_ends(desk: Desk) -> None:
    told, read = threading.Event(), threading.Event()
    desk.values = {"p95_ms": {"/": 300.0}}
    desk.store.remove_rule("slow")
    desk.store.add_rule(Rule("now", "Now", "p95_ms", ">", 250.0, 0.0))

    def send(messages: object) -> list[str]:
        told.set()
        return [""]

    failures = [StoreError("the disk is full"), RuntimeError("unforeseen")]

    def reads() -> Readings:
        if failures:
            read.set()
            raise failures.pop()
        return desk.values

    courier = Courier(store=desk.store, targets=["json://there"], send=send, clock=desk.clock)
    alerts = Alerts(store=desk.store, read=reads, courier=courier, clock=desk.clock, period_s=0.01)
    alerts.start()
    alerts.start()
    assert read.wait(90)
    assert told.wait(90)
    alerts.close()
    alerts.close()
    assert "alerts" not in [thread.name for thread in threading.enumerate()]
    assert desk.store.deliveries(1)[0].state == "sent"


def test_waking_does_not_wait_for_the_next_turn(desk: Desk) -> None:
    turns = threading.Semaphore(0)

    def reads() -> Readings:
        turns.release()
        return {}

    alerts = Alerts(store=desk.store, read=reads, courier=desk.courier, clock=desk.clock, period_s=3600.0)
    alerts.start()
    assert turns.acquire(timeout=90)
    alerts.wake()
    assert turns.acquire(timeout=90)
    alerts.close()


def test_words_have_units() -> None:
    assert condition(RULE) == "p95 of a route above 250 ms for 1 min"
    assert condition(replace(RULE, for_s=0.3)).endswith("above 250 ms for 0.3 s")
    assert amount(Rule("k", "t", "model_skill_percent", "<", -1.5, 0.0), -1.5) == "−1.5 %"
    lasting = {0: "0 s", 0.004: "0.004 s", 0.3: "0.3 s", 1.5: "1.5 s", 2.0: "2 s", 45.4: "45 s", 81: "1 min 21 s"}
    lasting |= {900: "15 min", 5_400: "1 h 30 min", 172_830: "2 d"}
    assert [duration(seconds) for seconds in lasting] == list(lasting.values())
