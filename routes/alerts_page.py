"""Alerts page: rules with what they read now, where alerts go, what was sent, and the history."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from routes.alerts_book import AlertBook
from utils.alert_delivery import Courier, Delivery
from utils.alert_news import Alert, amount, condition, duration
from utils.alert_rules import COMPARISONS, READINGS, Reading, Rule
from utils.alert_send import UNKNOWN
from utils.alerts import Alerts, Judged, State
from utils.last_known import Silence

_SUBJECTS_SHOWN = 5
_LOOKS: Mapping[State, str] = {"ok": "live", "pending": "late", "raised": "stale", "recovering": "stale"}
_WORDS: Mapping[State, str] = {"ok": "fine", "pending": "pending", "raised": "raised", "recovering": "recovering"}
_WORST_FIRST: Mapping[State, int] = {"raised": 0, "recovering": 1, "pending": 2, "ok": 3}
EMPTY_FORM = {"title": "", "reading": "p95_ms", "comparison": ">", "threshold": "", "minutes": "5", "subject": ""}


@dataclass(frozen=True, slots=True)
class Seen:
    """What a rule read of one subject; `look` is the shape and colour of its state, which `word` says too."""

    subject: str
    value: str
    word: str
    look: str
    since: str


@dataclass(frozen=True, slots=True)
class RuleRow:
    """A rule; `more` counts the subjects that are fine and not shown."""

    key: str
    title: str
    condition: str
    enabled: bool
    seen: tuple[Seen, ...]
    more: int


@dataclass(frozen=True, slots=True)
class AlertRow:
    """One line of the history; `recovered_at_ms` is None while it is open, `worst` the reading farthest beyond."""

    title: str
    subject: str
    condition: str
    raised_at_ms: int
    recovered_at_ms: int | None
    lasted: str
    worst: str
    note: str


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A message; `next_at_ms` None where it is not tried again; `kind` raised, recovered or test."""

    label: str
    kind: str
    title: str
    state: str
    look: str
    attempts: int
    made_at_ms: int
    done_at_ms: int | None
    next_at_ms: int | None
    problem: str


@dataclass(frozen=True, slots=True)
class TargetRow:
    """Where alerts go, without its secrets; `problem` is why nothing can arrive there, empty where something may."""

    label: str
    problem: str


@dataclass(frozen=True, slots=True)
class AlertsPage:
    """Everything the page shows; `version` names what changes by itself, `removed` the titles of our own rules that are
    gone, `form` is what was typed and `faults` what is wrong with it, by field."""

    at_ms: int
    version: str
    checked_at_ms: int | None
    rules: tuple[RuleRow, ...]
    removed: tuple[str, ...]
    raised: int
    targets: tuple[TargetRow, ...]
    deliveries: tuple[DeliveryRow, ...]
    history: tuple[AlertRow, ...]
    readings: tuple[Reading, ...]
    comparisons: Mapping[str, str]
    subjects: tuple[str, ...]
    form: Mapping[str, str]
    faults: Mapping[str, str] = field(default_factory=dict)
    silence: Silence | None = None
    """Since when the database does not answer, where that is so."""
    judged_only: bool = False
    """Of what it holds, no more is known than the rules that were judged last."""


def alerts_page(
    *,
    book: AlertBook,
    alerts: Alerts,
    courier: Courier,
    now_ms: int,
    subjects: Mapping[str, Sequence[str]],
    form: Mapping[str, str] | None = None,
    faults: Mapping[str, str] | None = None,
) -> AlertsPage:
    """`subjects`: names to be proposed.

    `form` and `faults`: a rule that was asked and refused, to be shown again with what is wrong with it."""
    judged = alerts.judged()
    rows = tuple(_rule_row(rule, [one for one in judged if one.rule.key == rule.key]) for rule in book.rules)
    targets = tuple(TargetRow(one.label, UNKNOWN if one.key in courier.unknown else "") for one in courier.targets)
    deliveries = tuple(_delivery_row(one) for one in book.deliveries)
    history = tuple(_alert_row(one, now_ms) for one in book.history)
    return AlertsPage(
        at_ms=now_ms,
        version=_version(alerts.checked_at_ms, rows, book.removed, targets, deliveries, history, book.silence),
        checked_at_ms=alerts.checked_at_ms,
        rules=rows,
        removed=book.removed,
        raised=book.raised,
        targets=targets,
        deliveries=deliveries,
        history=history,
        readings=tuple(READINGS.values()),
        comparisons={str(sign): word for sign, word in COMPARISONS.items()},
        subjects=tuple(name for names in subjects.values() for name in names),
        form={**EMPTY_FORM, **(form or {})},
        faults=faults or {},
        silence=book.silence,
        judged_only=book.judged_only,
    )


def _version(*shown: object) -> str:
    """By what is shown, since a rule changed by anybody changes no time."""
    return hashlib.sha256(repr(shown).encode()).hexdigest()[:16]


def _rule_row(rule: Rule, judged: Sequence[Judged]) -> RuleRow:
    """The subjects that are not fine, and of the others the worst."""
    sign = -1 if rule.comparison == ">" else 1
    ordered = sorted(judged, key=lambda one: (_WORST_FIRST[one.state], sign * (one.value or 0.0)))
    calm = sum(one.state == "ok" for one in ordered)
    shown = ordered[: max(_SUBJECTS_SHOWN, len(ordered) - calm)] if len(ordered) > 1 else ordered
    seen = tuple(_seen(one) for one in shown)
    return RuleRow(rule.key, rule.title, condition(rule), rule.enabled, seen, len(ordered) - len(shown))


def _seen(one: Judged) -> Seen:
    value = "not measured" if one.value is None else amount(one.rule, one.value)
    since = "" if one.state == "ok" else f"for {duration(round(one.since_s))}"
    return Seen(one.subject, value, _WORDS[one.state], _LOOKS[one.state], since)


def _alert_row(one: Alert, now_ms: int) -> AlertRow:
    until_ms = now_ms if one.recovered_at_ms is None else one.recovered_at_ms
    return AlertRow(
        title=one.rule.title,
        subject=one.subject,
        condition=condition(one.rule),
        raised_at_ms=one.raised_at_ms,
        recovered_at_ms=one.recovered_at_ms,
        lasted=duration(max(0, until_ms - one.raised_at_ms) // 1000),
        worst=amount(one.rule, one.worst),
        note=one.note,
    )


def _delivery_row(one: Delivery) -> DeliveryRow:
    looks = {"sent": "live", "waiting": "late", "given up": "stale"}
    return DeliveryRow(
        label=one.label,
        kind=one.kind,
        title=one.title,
        state=one.state,
        look=looks[one.state],
        attempts=one.attempts,
        made_at_ms=one.made_at_ms,
        done_at_ms=one.done_at_ms,
        next_at_ms=one.next_at_ms if one.state == "waiting" and one.attempts else None,
        problem=one.problem,
    )
