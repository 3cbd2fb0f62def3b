"""Alert delivery: every message to every target, tried again with growing pauses, never with a secret in sight."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from utils.alert_send import UNKNOWN, Message
from utils.alert_send import check as check_in_its_own_process
from utils.clock import Clock
from utils.redaction import Redaction

log = logging.getLogger(__name__)

DeliveryState = Literal["waiting", "sent", "given up"]
PAUSES_S = (15.0, 60.0, 300.0, 1_800.0, 7_200.0)
"""After the first, second… failure; the failure after the last pause is the end."""
_LEASE_S = 90.0
_BATCH = 20
_LONGEST_PROBLEM = 200
_NAMES = {"json": "Webhook", "xml": "Webhook", "form": "Webhook", "tgram": "Telegram", "mailto": "E-mail"}
_HOST_IS_NO_SECRET = frozenset({"json", "xml", "form", "mailto"})
_SCHEME = re.compile(r"([a-z][a-z0-9+]{1,30})://.+", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Target:
    """Where alerts go: `key` names the address without telling it, `label` may be shown."""

    key: str
    label: str
    url: str

    def __repr__(self) -> str:
        return f"Target({self.label})"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one target. Times are UTC ms; `kind` raised, recovered or test; `problem` of the last attempt."""

    key: int
    alert: int | None
    kind: str
    target: str
    label: str
    title: str
    body: str
    state: DeliveryState
    attempts: int
    made_at_ms: int
    next_at_ms: int
    done_at_ms: int | None = None
    problem: str = ""


class DeliveryStoreFace(Protocol):
    """Where messages wait; they survive a restart."""

    def queue(self, deliveries: Sequence[Delivery]) -> None: ...
    def claim_due(self, now_ms: int, until_ms: int, limit: int) -> tuple[Delivery, ...]: ...
    def keep(self, delivery: Delivery) -> None: ...
    def deliveries(self, limit: int) -> tuple[Delivery, ...]: ...


Send = Callable[[Sequence[Message]], list[str]]
"""Sends all, and answers for each what went wrong; empty where nothing did."""
Check = Callable[[Sequence[str]], list[str]]
"""Sends nothing, and answers for each address what is wrong with it; empty where nothing is."""


def target_of(url: str) -> Target:
    """`json://host/path?token=x` → labelled `Webhook json://host (3f9a…)`; only hosts that are no secret are shown."""
    digest = hashlib.sha256(url.encode()).hexdigest()[:12]
    match = _SCHEME.fullmatch(url)
    scheme = match[1].lower() if match else "unknown"
    family = scheme.removesuffix("s") if scheme.removesuffix("s") in _NAMES else scheme
    host = _host(url) if family in _HOST_IS_NO_SECRET else ""
    return Target(digest, f"{_NAMES.get(family, scheme)} {scheme}://{host or '••••'} ({digest[:4]})", url)


def secrets_in(url: str) -> tuple[str, ...]:
    """What of an address no page and no log may hold: all of it, and its parts but the host of webhook and mail."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return (url,)
    pieces = [parts.username or "", parts.password or "", *parts.path.split("/"), *parts.netloc.split("@")[:-1]]
    pieces += [value for _, value in parse_qsl(parts.query)]
    if not target_of(url).label.startswith(("Webhook", "E-mail")):
        pieces += [parts.netloc, parts.netloc.replace(":", "/"), *re.split(r"[:@]", parts.netloc)]
    return tuple(dict.fromkeys(spelt for piece in (url, *pieces) for spelt in (piece, unquote(piece)) if spelt))


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


class Courier:
    """Queues messages and delivers those that are due. Safe for many threads; `targets` are Apprise addresses."""

    def __init__(
        self,
        *,
        store: DeliveryStoreFace,
        targets: Sequence[str],
        send: Send,
        clock: Clock,
        check: Check = check_in_its_own_process,
    ) -> None:
        self.targets = tuple({target.key: target for target in map(target_of, targets)}.values())
        self.unknown: frozenset[str] = frozenset()
        """Keys of the targets that Apprise does not understand, once they were checked."""
        self._check: Check | None = check
        self._store = store
        self._send = send
        self._clock = clock
        self._redact = Redaction(secret for target in self.targets for secret in secrets_in(target.url))
        self._lock = threading.Lock()

    def announce(self, title: str, body: str, *, kind: str, alert: int | None) -> int:
        """Queues the message for every target; answers how many there are."""
        now_ms = self._clock.now_ms()
        made = [
            Delivery(0, alert, kind, target.key, target.label, title, body, "waiting", 0, now_ms, now_ms)
            for target in self.targets
        ]
        if made:
            self._store.queue(made)
        return len(made)

    def check_targets(self) -> None:
        """Looks once, at the first call, whether every address is one that Apprise understands, and warns of others."""
        check, self._check = self._check, None
        if check is None or not self.targets:
            return
        problems = dict(zip(self.targets, check([target.url for target in self.targets]), strict=True))
        self.unknown = frozenset(target.key for target, problem in problems.items() if problem == UNKNOWN)
        for target, problem in problems.items():
            if problem:
                log.warning("ALERT_TARGETS, %s: %s", target.label, self._redact(problem))

    def deliver_due(self) -> int:
        """Sends what is due, notes how each went; answers how many arrived."""
        with self._lock:
            now_ms = self._clock.now_ms()
            due = self._store.claim_due(now_ms, now_ms + round(_LEASE_S * 1000), _BATCH)
            if not due:
                return 0
            known = {target.key: target for target in self.targets}
            sent = [one for one in due if one.target in known]
            problems = self._send([Message(known[one.target].url, one.title, one.body) for one in sent]) if sent else []
            outcome = dict(zip([one.key for one in sent], problems, strict=True))
            done = [self._noted(one, outcome.get(one.key)) for one in due]
            for one in done:
                self._store.keep(one)
            return sum(one.state == "sent" for one in done)

    def _noted(self, one: Delivery, problem: str | None) -> Delivery:
        now_ms, attempts = self._clock.now_ms(), one.attempts + 1
        if problem == "":
            return replace(one, state="sent", attempts=attempts, done_at_ms=now_ms, problem="")
        if problem is None:
            text = "this target is no longer in ALERT_TARGETS"
            return replace(one, state="given up", done_at_ms=now_ms, problem=text)
        text = self._redact(" ".join(problem.split()))[:_LONGEST_PROBLEM]
        log.warning("alert to %s was not delivered (attempt %d): %s", one.label, attempts, text)
        if attempts > len(PAUSES_S) or problem == UNKNOWN:
            return replace(one, state="given up", attempts=attempts, done_at_ms=now_ms, problem=text)
        next_at_ms = now_ms + round(PAUSES_S[attempts - 1] * 1000)
        return replace(one, attempts=attempts, next_at_ms=next_at_ms, problem=text)
