"""Alerts book: what the alerts' page asks the database in one go, or what is known while that does not answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from utils.alert_delivery import Delivery
from utils.alert_news import Alert
from utils.alert_rules import Rule
from utils.alerts import Alerts
from utils.errors import StoreError
from utils.last_known import Known, LastKnown, Silence

HISTORY = 50
DELIVERIES = 30


class BookStore(Protocol):
    """What of data.alert_store is read here."""

    def rules(self) -> tuple[Rule, ...]: ...
    def missing_presets(self) -> tuple[Rule, ...]: ...
    def open_alerts(self) -> tuple[Alert, ...]: ...
    def history(self, limit: int) -> tuple[Alert, ...]: ...
    def deliveries(self, limit: int) -> tuple[Delivery, ...]: ...


@dataclass(frozen=True, slots=True)
class AlertBook:
    """`removed`: the titles of our own rules that are gone; `raised`: how many alerts are open.

    `silence` where the database does not answer and this is what is known; `judged_only` where that is no more than the
    rules that were judged last."""

    rules: Sequence[Rule]
    removed: tuple[str, ...] = ()
    deliveries: Sequence[Delivery] = ()
    history: Sequence[Alert] = ()
    raised: int = 0
    silence: Silence | None = None
    judged_only: bool = False


def alert_book(store: BookStore, alerts: Alerts, known: LastKnown) -> AlertBook:
    """StoreError where the database does not answer, and neither was it read before nor was any rule judged."""
    said: Known[AlertBook] = known.read("alerts", lambda: _read(store))
    if said.silence is None and said.value is not None:
        return said.value
    judged = alerts.judged()
    raised = sum(one.state in ("raised", "recovering") for one in judged)
    if said.value is not None:
        return replace(said.value, silence=said.silence, raised=raised if judged else said.value.raised)
    rules = tuple({one.rule.key: one.rule for one in judged}.values())
    if not rules:
        raise StoreError(said.silence.reason if said.silence is not None else "the database does not answer")
    return AlertBook(rules, raised=raised, silence=said.silence, judged_only=True)


def _read(store: BookStore) -> AlertBook:
    return AlertBook(
        rules=store.rules(),
        removed=tuple(rule.title for rule in store.missing_presets()),
        deliveries=store.deliveries(DELIVERIES),
        history=store.history(HISTORY),
        raised=len(store.open_alerts()),
    )
