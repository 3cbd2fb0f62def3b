"""Alerts: a page of rules and their history, and the forms that change them; see docs/alerts.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

from flask import Blueprint, Flask, Response, current_app, render_template, request

from data.alert_store import AlertStore
from data.database import Database
from routes.alerts_book import alert_book
from routes.alerts_page import AlertsPage, alerts_page
from routes.alerts_readings import AlertReadings
from routes.alerts_subjects import Subjects, alert_subjects
from routes.budgets import budget
from routes.metrics import SkillReader
from routes.services import Services
from utils.alert_delivery import Courier, Send
from utils.alert_rules import PRESETS, RuleFaults, parse_rule
from utils.alert_send import send as send_in_its_own_process
from utils.alerts import Alerts
from utils.clock import Clock
from utils.errors import InvalidInput
from utils.last_known import LastKnown
from utils.performance_monitor import PerformanceMonitor
from utils.request_trace import traced

bp = Blueprint("alerts", __name__, url_prefix="/alerts")

EXTENSION = "alerts"
"""The key in `app.extensions`."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Everything that alerts consist of; `alerts` has the thread, to be started and closed."""

    store: AlertStore
    courier: Courier
    alerts: Alerts
    clock: Clock
    subjects: Callable[[], Subjects]
    """The names a rule may be of."""
    known: LastKnown

    def start(self) -> None:
        self.alerts.start()

    def close(self) -> None:
        self.alerts.close()


def make_watch(
    *,
    database: Database,
    services: Services,
    monitor: PerformanceMonitor,
    clock: Clock,
    targets: Sequence[str],
    product: str = "Binance AI Dashboard",
    budgets: Callable[[], Mapping[str, float]] = dict,
    send: Send = send_in_its_own_process,
    period_s: float = 15.0,
) -> Watch:
    """Wired from the application's parts, with nothing running. `targets` are Apprise addresses; they are secrets.

    `clock` is the machine's own: the exchange's may be set to another year while messages wait for their next attempt.
    """
    store = AlertStore(database, PRESETS)
    courier = Courier(store=store, targets=targets, send=send, clock=clock)
    read = AlertReadings(monitor=monitor, services=services, skills=SkillReader(services), budgets=budgets)
    alerts = Alerts(store=store, read=read, courier=courier, clock=clock, product=product, period_s=period_s)
    return Watch(store, courier, alerts, clock, partial(alert_subjects, services), services.known)


def install(app: Flask, watch: Watch) -> None:
    app.extensions[EXTENSION] = watch


def raised_alerts() -> tuple[str, ...]:
    """The titles of the rules that are broken now, as last judged; of the application that is asked."""
    watch: Watch | None = current_app.extensions.get(EXTENSION)
    judged = watch.alerts.judged() if watch is not None else ()
    return tuple(dict.fromkeys(one.rule.title for one in judged if one.state in ("raised", "recovering")))


@bp.get("")
@budget(p95_ms=150, size_bytes=60_000, queries=20)
def page() -> Response:
    return _page(200)


@bp.get("/live")
@budget(p95_ms=150, size_bytes=60_000, queries=20)
def live() -> Response:
    """What changes by itself, all but the form; 204 while `version` still names what the reader has."""
    with traced("render"):
        value = _value()
        if request.args.get("version") == value.version:
            return Response(status=204)
        return _fresh(render_template("_alerts_live.html", page=value))


@bp.post("/rules")
@budget(p95_ms=250, size_bytes=60_000, queries=20)
def add() -> Response:
    """Adds a rule; one that does not fit is shown again with what is wrong."""
    watch = _watch()
    try:
        taken = [rule.key for rule in watch.store.rules()]
        watch.store.add_rule(parse_rule(request.form, taken, watch.subjects()))
    except RuleFaults as refused:
        return _page(400, form=request.form.to_dict(), faults=refused.faults)
    return _changed("rules")


@bp.post("/rules/<key>")
@budget(p95_ms=250, size_bytes=2_000, queries=20)
def change(key: str) -> Response:
    """`action` enable, disable or remove."""
    watch, action = _watch(), request.form.get("action", "")
    if action in ("enable", "disable"):
        watch.store.set_enabled(key, enabled=action == "enable")
    elif action == "remove":
        watch.store.remove_rule(key)
    else:
        raise InvalidInput(f"action {action[:20]!r} is unknown; use enable, disable or remove")
    return _changed("rules")


@bp.post("/presets")
@budget(p95_ms=250, size_bytes=2_000, queries=20)
def bring_back() -> Response:
    """Puts the rules that come with the program, and were removed, among the others again."""
    _watch().store.restore_presets()
    return _changed("rules")


@bp.post("/test")
@budget(p95_ms=250, size_bytes=2_000, queries=20)
def test() -> Response:
    """Sends a message to every target, unless the last such message is still on its way."""
    watch = _watch()
    if not watch.courier.targets:
        raise InvalidInput("there is nobody to send it to; set ALERT_TARGETS, such as jsons://host/path, and restart")
    if not any(one.kind == "test" and one.state == "waiting" for one in watch.store.deliveries(_RECENT)):
        watch.courier.announce("Binance AI Dashboard: a test", _TEST, kind="test", alert=None)
    return _changed("deliveries")


_RECENT = 50
_TEST = "Somebody pressed the test button of the alerts page. Alerts arrive here."


def _watch() -> Watch:
    return cast(Watch, current_app.extensions[EXTENSION])


def _changed(part: str) -> Response:
    _watch().alerts.wake()
    return Response(status=303, headers={"Location": f"{bp.url_prefix}#{part}"})


def _value(form: Mapping[str, str] | None = None, faults: Mapping[str, str] | None = None) -> AlertsPage:
    watch = _watch()
    return alerts_page(
        book=alert_book(watch.store, watch.alerts, watch.known),
        alerts=watch.alerts,
        courier=watch.courier,
        subjects=watch.subjects(),
        now_ms=watch.clock.now_ms(),
        form=form,
        faults=faults,
    )


def _page(status: int, form: Mapping[str, str] | None = None, faults: Mapping[str, str] | None = None) -> Response:
    with traced("render"):
        return _fresh(render_template("alerts.html", page=_value(form, faults)), status)


def _fresh(body: str, status: int = 200) -> Response:
    """Made anew each time: it is rarely read, and must show what was changed a moment ago."""
    return Response(body, status, mimetype="text/html", headers={"Cache-Control": "private, no-store"})
