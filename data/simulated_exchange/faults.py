"""Fault plan: what shall go wrong, where and how often; set in the same process, never over the API's port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from threading import Lock

from utils.errors import InvalidInput

CONTENT_KINDS = ("bad_json", "nan", "wrong_shape", "gap", "duplicate", "reorder", "stale")
"""The answer is otherwise well, but its content is not."""
TRANSPORT_KINDS = ("hang", "drip_body", "drip_headers", "truncate", "reset", "huge")
"""The answer does not arrive as it should."""
ANSWER_KINDS = ("status", "html", "redirect")
"""Another answer altogether."""
STREAM_KINDS = (
    "ws_close", "ws_abort", "ws_silent", "ws_bad_frame", "ws_burst", "no_ping", "server_shutdown",
)  # fmt: skip
"""Of streams alone; the content kinds work on stream events too."""
KINDS = ("delay", *CONTENT_KINDS, *TRANSPORT_KINDS, *ANSWER_KINDS, *STREAM_KINDS)

_HTML = "<html><head><title>Maintenance</title></head><body><h1>We will be back soon</h1></body></html>"


@dataclass(slots=True)
class Fault:
    """One planned fault and how often it has struck."""

    kind: str
    where: str
    times: int | None
    skip: int = 0
    delay_s: float = 0.0
    status: int = 500
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    code: int = 1001
    count: int = 1
    struck: int = 0

    @property
    def spent(self) -> bool:
        return self.times is not None and self.struck >= self.times


class FaultPlan:
    """Faults by path (`/api/v3/klines`, `/api/*`) or stream name (`btcusdt@kline_1h`, `*@kline_*`), shell patterns.

    A lone `*` means requests and events alike; faults of a stream's handshake go by its path (`/stream`, `/ws/…`).
    """

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = Lock()

    def add(
        self,
        kind: str,
        where: str = "*",
        *,
        times: int | None = 1,
        skip: int = 0,
        delay_s: float = 0.5,
        status: int = 500,
        body: str = "",
        headers: Mapping[str, str] | None = None,
        code: int = 1001,
        count: int = 1,
    ) -> Fault:
        """Plans a fault.

        `times`: how often it strikes (None: always), after letting `skip` matches pass. `delay_s`: of `delay`, and
        between single bytes of the drips. `status`, `body`, `headers`: of `status`, `html` and `redirect`. `code`: of
        `ws_close`. `count`: events of `ws_burst`, rows of `gap` and `stale`.
        """
        if kind not in KINDS:
            raise InvalidInput(f"fault kind {kind!r} is unknown; use one of {', '.join(KINDS)}")
        if kind == "html" and not body:
            body, status = _HTML, 200 if status == 500 else status
        fault = Fault(kind, where, times, skip, delay_s, status, body, dict(headers or {}), code, count)
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Everything goes well again; what hangs or is silent already stays so until its connection ends."""
        with self._lock:
            self._faults.clear()

    def strike(self, place: str, kinds: tuple[str, ...] = KINDS) -> list[Fault]:
        """The faults that strike now at this path or stream, counted."""
        struck = []
        with self._lock:
            for fault in self._faults:
                if fault.spent or fault.kind not in kinds or not fnmatchcase(place, fault.where):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.struck += 1
                struck.append(fault)
        return struck
