"""Alert store: rules, the history of alerts, and the messages on their way, in the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from data.database import Database
from utils.alert_delivery import Delivery
from utils.alert_news import Alert
from utils.alert_rules import MOST_RULES, Rule
from utils.errors import InvalidInput, NotFound

MOST_ALERTS = 2_000
"""Alerts that are over, kept; the oldest go first, and their messages with them."""
MOST_DELIVERIES = 2_000

_METADATA = sa.MetaData()
_RULE = ("title", "reading", "subject", "comparison", "threshold", "for_s")


def _rule_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("title", sa.String(80), nullable=False),
        sa.Column("reading", sa.String(40), nullable=False),
        sa.Column("subject", sa.String(120), nullable=False),
        sa.Column("comparison", sa.String(1), nullable=False),
        sa.Column("threshold", sa.Double, nullable=False),
        sa.Column("for_s", sa.Double, nullable=False),
    ]


_RULES = sa.Table(
    "alert_rules",
    _METADATA,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("place", sa.Integer, nullable=False),
    *_rule_columns(),
    sa.Column("enabled", sa.Boolean, nullable=False),
)

_PRESETS = sa.Table(
    "alert_presets",
    _METADATA,
    sa.Column("key", sa.String(64), primary_key=True),  # of each that was ever put among the rules
)

_ALERTS = sa.Table(
    "alerts",
    _METADATA,
    sa.Column("key", sa.Integer, primary_key=True),
    sa.Column("rule", sa.String(64), nullable=False),
    *_rule_columns(),  # as the rule was: it may be gone by now
    sa.Column("about", sa.String(200), nullable=False),
    sa.Column("value", sa.Double, nullable=False),
    sa.Column("worst", sa.Double, nullable=False),
    sa.Column("raised_at_ms", sa.BigInteger, nullable=False),
    sa.Column("recovered_at_ms", sa.BigInteger),
    sa.Column("note", sa.String(200), nullable=False),
)
_OPEN = _ALERTS.c.recovered_at_ms.is_(None)
sa.Index("alerts_open", _ALERTS.c.rule, _ALERTS.c.about, unique=True, sqlite_where=_OPEN)

_DELIVERIES = sa.Table(
    "alert_deliveries",
    _METADATA,
    sa.Column("key", sa.Integer, primary_key=True),
    sa.Column("alert", sa.Integer, index=True),  # none: a test
    sa.Column("kind", sa.String(10), nullable=False),
    sa.Column("target", sa.String(12), nullable=False),  # a digest: the address is a secret
    sa.Column("label", sa.String(300), nullable=False),
    sa.Column("title", sa.String(400), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("made_at_ms", sa.BigInteger, nullable=False),
    sa.Column("next_at_ms", sa.BigInteger, nullable=False),
    sa.Column("done_at_ms", sa.BigInteger),
    sa.Column("problem", sa.String(300), nullable=False),
)
_WAITING = _DELIVERIES.c.state == "waiting"
sa.Index("alert_deliveries_due", _DELIVERIES.c.next_at_ms, sqlite_where=_WAITING)


class AlertStore:
    """Safe for many threads and processes: what is raised, or claimed for sending, is so by one of them alone."""

    def __init__(self, database: Database, presets: Sequence[Rule] = ()) -> None:
        """`presets` join the rules the first time they are seen; one that was removed comes back only by
        `restore_presets`."""
        self._database = database
        self._presets = tuple(presets)
        database.create_tables(_METADATA)
        with database.write() as connection:
            seen = set(connection.execute(sa.select(_PRESETS.c.key)).scalars())
            new = [rule for rule in presets if rule.key not in seen]
            for rule in new:
                connection.execute(sa.insert(_PRESETS).values(key=rule.key))
                _insert_rule(connection, rule)

    def rules(self) -> tuple[Rule, ...]:
        """In the order in which they came."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(_RULES).order_by(_RULES.c.place, _RULES.c.key)).all()
        return tuple(_rule(row, row.key, row.subject, enabled=row.enabled) for row in rows)

    def add_rule(self, rule: Rule) -> None:
        """InvalidInput where a rule of that key is there."""
        with self._database.write() as connection:
            if connection.execute(sa.select(_RULES.c.key).where(_RULES.c.key == rule.key)).scalar() is not None:
                raise InvalidInput(f"there is a rule {rule.key!r} already; give this one another title")
            _insert_rule(connection, rule)

    def set_enabled(self, key: str, *, enabled: bool) -> None:
        self._change(key, sa.update(_RULES).where(_RULES.c.key == key).values(enabled=enabled))

    def remove_rule(self, key: str) -> None:
        """Its alerts stay in the history."""
        self._change(key, sa.delete(_RULES).where(_RULES.c.key == key))

    def missing_presets(self) -> tuple[Rule, ...]:
        """Those that were removed."""
        there = {rule.key for rule in self.rules()}
        return tuple(rule for rule in self._presets if rule.key not in there)

    def restore_presets(self) -> tuple[Rule, ...]:
        """Puts back those that were removed, after the other rules; what was put back. InvalidInput where there is no
        room."""
        with self._database.write() as connection:
            there = set(connection.execute(sa.select(_RULES.c.key)).scalars())
            missing = tuple(rule for rule in self._presets if rule.key not in there)
            if len(there) + len(missing) > MOST_RULES:
                raise InvalidInput(
                    f"there are {len(there)} rules and {MOST_RULES} is the most; remove {len(missing)} to make room"
                )
            for rule in missing:
                _insert_rule(connection, rule)
        return missing

    def open_alerts(self) -> tuple[Alert, ...]:
        return self._alerts(sa.select(_ALERTS).where(_OPEN).order_by(_ALERTS.c.key))

    def history(self, limit: int) -> tuple[Alert, ...]:
        """The newest, open ones among them, newest first."""
        return self._alerts(sa.select(_ALERTS).order_by(_ALERTS.c.key.desc()).limit(limit))

    def raise_alert(self, rule: Rule, subject: str, value: float, at_ms: int) -> Alert | None:
        """The alert, now open; None where that rule has one open about the subject."""
        about = (_ALERTS.c.rule == rule.key, _ALERTS.c.about == subject, _OPEN)
        row = {name: getattr(rule, name) for name in _RULE}
        row |= {"rule": rule.key, "about": subject, "value": value, "worst": value, "raised_at_ms": at_ms, "note": ""}
        with self._database.write() as connection:
            if connection.execute(sa.select(_ALERTS.c.key).where(*about)).scalar() is not None:
                return None
            key = connection.execute(sa.insert(_ALERTS).values(row)).inserted_primary_key
            self._prune(connection)
        return Alert(int(key[0]) if key else 0, rule, subject, value, value, at_ms)

    def recover(self, alert: Alert, at_ms: int, worst: float, note: str) -> Alert | None:
        """The alert, now over; None where it was so before."""
        done = (
            sa.update(_ALERTS)
            .where(_ALERTS.c.key == alert.key, _OPEN)
            .values(recovered_at_ms=at_ms, worst=worst, note=note)
        )
        with self._database.write() as connection:
            if not connection.execute(done).rowcount:
                return None
        return Alert(alert.key, alert.rule, alert.subject, alert.value, worst, alert.raised_at_ms, at_ms, note)

    def queue(self, deliveries: Sequence[Delivery]) -> None:
        with self._database.write() as connection:
            connection.execute(sa.insert(_DELIVERIES), [_delivery_row(one) for one in deliveries])

    def claim_due(self, now_ms: int, until_ms: int, limit: int) -> tuple[Delivery, ...]:
        """What is due, oldest first; nobody else is given it before `until_ms`, when whoever took it has died."""
        query = (
            sa.select(_DELIVERIES)
            .where(_WAITING, _DELIVERIES.c.next_at_ms <= now_ms)
            .order_by(_DELIVERIES.c.key)
            .limit(limit)
        )
        with self._database.write() as connection:
            rows = connection.execute(query.with_for_update(skip_locked=True)).all()
            if rows:
                taken = _DELIVERIES.c.key.in_([row.key for row in rows])
                connection.execute(sa.update(_DELIVERIES).where(taken).values(next_at_ms=until_ms))
        return tuple(_delivery(row) for row in rows)

    def keep(self, delivery: Delivery) -> None:
        row = _delivery_row(delivery)
        with self._database.write() as connection:
            connection.execute(sa.update(_DELIVERIES).where(_DELIVERIES.c.key == delivery.key).values(row))

    def deliveries(self, limit: int) -> tuple[Delivery, ...]:
        """Newest first."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(_DELIVERIES).order_by(_DELIVERIES.c.key.desc()).limit(limit)).all()
        return tuple(_delivery(row) for row in rows)

    def _alerts(self, query: sa.Select[Any]) -> tuple[Alert, ...]:
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return tuple(
            Alert(
                row.key,
                _rule(row, row.rule, row.subject),
                row.about,
                row.value,
                row.worst,
                row.raised_at_ms,
                row.recovered_at_ms,
                row.note,
            )
            for row in rows
        )

    def _change(self, key: str, statement: sa.Update | sa.Delete) -> None:
        with self._database.write() as connection:
            changed = connection.execute(statement).rowcount
        if not changed:
            raise NotFound(f"there is no alert rule {key[:64]!r}; it may have been removed meanwhile")

    def _prune(self, connection: sa.Connection) -> None:
        for table, most, over in (
            (_ALERTS, MOST_ALERTS, _ALERTS.c.recovered_at_ms.is_not(None)),
            (_DELIVERIES, MOST_DELIVERIES, _DELIVERIES.c.state != "waiting"),
        ):
            edge = sa.select(table.c.key).order_by(table.c.key.desc()).offset(most).limit(1).scalar_subquery()
            connection.execute(sa.delete(table).where(over, table.c.key <= edge))


def _insert_rule(connection: sa.Connection, rule: Rule) -> None:
    last = connection.execute(sa.select(sa.func.max(_RULES.c.place))).scalar()
    row = {name: getattr(rule, name) for name in _RULE}
    row |= {"key": rule.key, "enabled": rule.enabled, "place": (last or 0) + 1}
    connection.execute(sa.insert(_RULES).values(row))


def _rule(row: Any, key: str, subject: str, *, enabled: bool = True) -> Rule:
    return Rule(key, row.title, row.reading, row.comparison, row.threshold, row.for_s, subject, enabled)


def _delivery_row(one: Delivery) -> dict[str, Any]:
    names = [column.name for column in _DELIVERIES.columns if column.name != "key"]
    return {name: getattr(one, name) for name in names}


def _delivery(row: Any) -> Delivery:
    return Delivery(**row._mapping)
