"""AssetHost: whether the host that styles and scripts are served from gives what it should, asked again and again."""

from __future__ import annotations

import logging
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha384

from utils.repeating import Repeating

log = logging.getLogger(__name__)

_PERIOD_S = 10.0
_DOUBT_S = 1.0
"""The pause after a look that says other than what is believed."""
_DEADLINE_S = 3.0
"""A page is not drawn before its stylesheet is there: who waits longer than this sees nothing for too long."""
_MOST_BYTES = 2_000_000
_AGREEING = 2
"""Looks in a row that say the same before it is believed; the first look is believed at once."""
_CHUNK_BYTES = 65_536

Fetch = Callable[[str, float], tuple[bytes, str]]
"""(address, seconds) → (body, who may use it: Access-Control-Allow-Origin). OSError where it does not come."""


@dataclass(frozen=True, slots=True)
class AssetHostStats:
    """`problem` is empty where the newest look found nothing wrong; `usable` says whether pages name that host."""

    address: str
    usable: bool
    problem: str
    looks: int
    failures: int


class AssetHost:
    """Looks for one file below `address` every ten seconds, in doubt a second later.

    `changed()` is called when `usable` has become another.

    Browsers draw nothing until the stylesheet has come or has failed: with a host that takes connections and says
    nothing that is minutes. While it is not usable, pages name their own server's files instead.
    """

    def __init__(
        self,
        address: str,
        *,
        changed: Callable[[], object],
        fetch: Fetch | None = None,
    ) -> None:
        self.address = address
        self.usable = True
        self._problem = ""
        self._changed = changed
        self._fetch = fetch or fetch_file
        self._path = self._integrity = ""
        self._looks = self._failures = self._agreeing = 0
        self._looking = Repeating(self.look, name="asset-host", period_s=lambda: self.pause_s, at_once=True)

    def expect(self, path: str, integrity: str) -> None:
        """The file to look for, below the address, and its SHA-384 as browsers are told it."""
        self._path, self._integrity = path, integrity

    def look(self) -> str:
        """Asks once; what is wrong, in words, or nothing."""
        self._problem = problem = self._found()
        first, fine = not self._looks, not problem
        self._looks += 1
        self._failures += not fine
        self._agreeing = 0 if fine == self.usable else self._agreeing + 1
        if self._agreeing and (first or self._agreeing >= _AGREEING):
            self._turn(fine, problem)
        return problem

    @property
    def pause_s(self) -> float:
        """Until the next look: a short one while the last has not been believed."""
        return _DOUBT_S if self._agreeing else _PERIOD_S

    def stats(self) -> AssetHostStats:
        return AssetHostStats(self.address, self.usable, self._problem, self._looks, self._failures)

    def start(self) -> None:
        self._looking.start()

    def close(self) -> None:
        self._looking.close()

    def _turn(self, usable: bool, problem: str) -> None:
        self.usable, self._agreeing = usable, 0
        if usable:
            log.warning("ASSET_BASE_URL %s can be used again: pages name its files", self.address)
        else:
            log.warning("ASSET_BASE_URL %s cannot be used, pages name their own files: %s", self.address, problem)
        self._changed()

    def _found(self) -> str:
        address = f"{self.address}/{self._path}"
        try:
            body, allowed = self._fetch(address, _DEADLINE_S)
        except OSError as error:
            reason = getattr(error, "reason", None)
            return f"{address}: {reason if isinstance(reason, OSError) else error}"
        if "sha384-" + b64encode(sha384(body).digest()).decode() != self._integrity:
            return f"{address} is another file than this version's; browsers refuse it. Export or fetch the files anew"
        if not allowed:
            return f"{address} comes without Access-Control-Allow-Origin, so browsers refuse it; have it pass that on"
        return ""


def fetch_file(address: str, deadline_s: float) -> tuple[bytes, str]:
    """The whole file within the time, however slowly bytes drip. The library is loaded when first wanted."""
    from http.client import HTTPException
    from urllib.request import Request, urlopen

    until_s = time.monotonic() + deadline_s
    asked = Request(address, headers={"Origin": "null", "Accept-Encoding": "identity"})  # noqa: S310 - checked setting
    try:
        with urlopen(asked, timeout=deadline_s) as answer:  # noqa: S310 - http or https: utils.kinds.asset_base
            body = b""
            while part := answer.read1(_CHUNK_BYTES):
                body += part
                if time.monotonic() > until_s:
                    raise TimeoutError(f"not whole within {deadline_s:.0f} s")
                if len(body) > _MOST_BYTES:
                    raise OSError(f"more than {_MOST_BYTES:,} bytes, which no file of ours has")
            return body, answer.headers.get("Access-Control-Allow-Origin") or ""
    except HTTPException as error:
        raise OSError(f"no answer of HTTP: {error!r}") from error
