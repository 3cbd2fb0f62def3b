"""Alerts: judges the rules against the readings, raises each alert once, notes when it is over, has it delivered."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from utils.alert_news import Alert, News, Place, amount, duration, headline, message
from utils.alert_rules import Rule
from utils.clock import Clock
from utils.repeating import tried

log = logging.getLogger(__name__)

_LONGEST_END_S = 10.0

Readings = Mapping[str, Mapping[str, float]]
"""Values by reading and subject (`""` for the whole); what is not known at the moment is not there."""
State = Literal["ok", "pending", "raised", "recovering"]


@dataclass(frozen=True, slots=True)
class Judged:
    """A rule and a subject as last judged; `since_s` seconds in that state, `value` None where it was not read."""

    rule: Rule
    subject: str
    value: float | None
    state: State
    since_s: float


class AlertStoreFace(Protocol):
    """Where rules and alerts are kept."""

    def rules(self) -> tuple[Rule, ...]: ...
    def open_alerts(self) -> tuple[Alert, ...]: ...
    def raise_alert(self, rule: Rule, subject: str, value: float, at_ms: int) -> Alert | None: ...
    def recover(self, alert: Alert, at_ms: int, worst: float, note: str) -> Alert | None: ...


class CourierFace(Protocol):
    """Who tells people."""

    def announce(self, title: str, body: str, *, kind: str, alert: int | None) -> int: ...
    def deliver_due(self) -> int: ...
    def check_targets(self) -> None: ...


class Alerts:
    """Judges every `period_s` seconds between `start()` and `close()`; edge-triggered, each edge told once.

    What is open is kept in the store, so a restart neither tells it again nor forgets that it recovered.
    """

    def __init__(
        self,
        *,
        store: AlertStoreFace,
        read: Callable[[], Readings],
        courier: CourierFace,
        clock: Clock,
        product: str = "Dashboard",
        period_s: float = 15.0,
    ) -> None:
        self._store = store
        self._read = read
        self._courier = courier
        self._clock = clock
        self._product = product
        self._period_s = period_s
        self._changing: dict[Place, float] = {}
        self._states: dict[Place, tuple[State, float]] = {}
        self._worst: dict[Place, float] = {}
        self._judged: tuple[Judged, ...] = ()
        self._words: Mapping[str, Any] = {}
        self._news: list[News] = []
        self._checked_at_ms: int | None = None
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    @property
    def checked_at_ms(self) -> int | None:
        """When the rules were judged last; None before the first time."""
        return self._checked_at_ms

    def judged(self) -> tuple[Judged, ...]:
        """Every enabled rule and subject as judged last, here or by the process that this one follows."""
        return self._judged

    def words(self) -> Mapping[str, Any]:
        """What was judged last, as JSON can say it, for processes that do not judge; empty before the first time."""
        return self._words

    def follow(self, words: Mapping[str, Any]) -> None:
        """Takes over what another process has judged."""
        if words and words["at_ms"] != self._checked_at_ms:
            self._judged = tuple(Judged(**(one | {"rule": Rule(**one["rule"])})) for one in words["judged"])
            self._checked_at_ms = words["at_ms"]

    def check(self) -> tuple[Alert, ...]:
        """Reads, judges every rule, and queues what there is to tell. The alerts raised or recovered just now."""
        with self._lock:
            readings = self._read()
            rules = {rule.key: rule for rule in self._store.rules() if rule.enabled}
            still_open = {alert.place: alert for alert in self._store.open_alerts()}
            edges = [self._withdrawn(alert) for alert in still_open.values() if alert.rule.key not in rules]
            judged: list[Judged] = []
            for rule in rules.values():
                values = _values(rule, readings)
                subjects = [*values, *(subject for key, subject in still_open if key == rule.key)]
                for subject in dict.fromkeys(subjects):
                    alert = still_open.get((rule.key, subject))
                    one, edge = self._judge(rule, subject, values.get(subject), alert)
                    judged.append(one)
                    edges.append(edge)
            self._tell()
            self._forget_all_but({(one.rule.key, one.subject) for one in judged})
            self._judged = tuple(judged)
            self._checked_at_ms = self._clock.now_ms()
            self._words = {"at_ms": self._checked_at_ms, "judged": [asdict(one) for one in judged]}
            return tuple(edge for edge in edges if edge is not None)

    def _judge(self, rule: Rule, subject: str, value: float | None, alert: Alert | None) -> tuple[Judged, Alert | None]:
        place, now_s = (rule.key, subject), self._clock.monotonic()
        beyond = value is not None and rule.beyond(value)
        if alert is not None and value is not None:
            self._worst[place] = rule.worse(value, self._worst.get(place, alert.worst))
        edge = None
        if beyond == (alert is not None):
            self._changing.pop(place, None)
        elif now_s - self._changing.setdefault(place, now_s) >= rule.for_s:
            del self._changing[place]
            edge = self._raised(rule, subject, value or 0.0) if alert is None else self._recovered(rule, alert, value)
        state = _state(raised=(alert is None) if edge else (alert is not None), changing=place in self._changing)
        since_s = self._entered(place, state, now_s)
        return Judged(rule, subject, value, state, since_s), edge

    def _raised(self, rule: Rule, subject: str, value: float) -> Alert | None:
        alert = self._store.raise_alert(rule, subject, value, self._clock.now_ms())
        if alert is not None:  # None: another process was first
            self._worst[alert.place] = value
            self._news.append(News("raised", alert, f"now {amount(rule, value)}"))
        return alert

    def _recovered(self, rule: Rule, alert: Alert, value: float | None) -> Alert | None:
        note = "no longer measured" if value is None else f"now {amount(rule, value)}"
        return self._over(alert, note)

    def _withdrawn(self, alert: Alert) -> Alert | None:
        return self._over(alert, "the rule was switched off or removed")

    def _over(self, alert: Alert, note: str) -> Alert | None:
        worst = self._worst.pop(alert.place, alert.worst)
        over = self._store.recover(alert, self._clock.now_ms(), worst, note)
        if over is not None:
            lasted_s = ((over.recovered_at_ms or 0) - over.raised_at_ms) / 1000
            text = f"{note}; it lasted {duration(lasted_s)}, at worst {amount(alert.rule, worst)}"
            self._news.append(News("recovered", over, text))
        return over

    def _tell(self) -> None:
        """One message per rule, however many of its subjects changed at once."""
        news, self._news = self._news, []
        for one in news:
            log.warning("alert %s: %s (%s)", one.kind, headline(one.alert), one.text)
        for kind, key in dict.fromkeys((one.kind, one.alert.rule.key) for one in news):
            group = [one for one in news if (one.kind, one.alert.rule.key) == (kind, key)]
            title, body = message(group)
            self._courier.announce(f"{self._product}: {title}", body, kind=kind, alert=group[0].alert.key)

    def _entered(self, place: Place, state: State, now_s: float) -> float:
        """Seconds since this place came into that state."""
        known = self._states.get(place)
        if known is None or known[0] != state:
            known = self._states[place] = (state, now_s)
        return now_s - known[1]

    def _forget_all_but(self, places: set[Place]) -> None:
        for kept in (self._changing, self._worst, self._states):
            for place in kept.keys() - places:
                del kept[place]

    def start(self) -> None:
        """Judges and delivers in a thread of its own."""
        if self._thread is None:
            self._closing = False
            self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Ends the thread; what was not delivered yet stays in the store for the next start. Waits ten seconds at most
        for a message that is just being sent."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._closing = True
            self._wake.set()
            thread.join(_LONGEST_END_S)

    def wake(self) -> None:
        """Judges and delivers now rather than at the next turn: a rule was changed, a test was asked for."""
        self._wake.set()

    def _run(self) -> None:
        while not self._closing:
            for step in (self.check, self._courier.deliver_due, self._courier.check_targets):
                tried(step, "alerts")
            self._wake.wait(self._period_s)
            self._wake.clear()


def _values(rule: Rule, readings: Readings) -> dict[str, float]:
    values = readings.get(rule.reading, {})
    return {subject: value for subject, value in values.items() if rule.subject in ("", subject)}


def _state(*, raised: bool, changing: bool) -> State:
    if raised:
        return "recovering" if changing else "raised"
    return "pending" if changing else "ok"
