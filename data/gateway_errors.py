"""What an answer of the exchange means when it is not the data that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from utils.errors import BadData, Banned, ExchangeError, ExchangeUnavailable, RateLimited, RegionRestricted, Rejected

_SHOWN_CHARACTERS = 200

TOO_MANY_REQUESTS = -1003
CLOCK_IS_OFF = -1021
UNKNOWN_SYMBOL = -1121


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, read to its end. Header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Hold:
    """Until when nothing may be sent: `retry_after_s` from now, or a ban to `banned_until_ms` (exchange time)."""

    retry_after_s: float
    banned_until_ms: int | None


def error_of(answer: Answer, path: str, hold: Hold) -> ExchangeError | None:
    """The error that `answer` to a read of `path` stands for; None for a plain success."""
    code, msg = _code_and_msg(answer.body)
    if answer.status in _BY_STATUS:
        return _BY_STATUS[answer.status](path, msg or excerpt(answer.body), hold)
    if code == TOO_MANY_REQUESTS:
        return _rate_limited(path, msg, hold)
    if code is not None and answer.status < 500:
        return Rejected(f"the exchange refused {path}: {msg} ({code})", code=code, msg=msg)
    return _by_class(answer, path)


def excerpt(body: bytes) -> str:
    """The beginning of a body on one line, fit for a log."""
    text = body[: 4 * _SHOWN_CHARACTERS].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else " " for c in text)[:_SHOWN_CHARACTERS].strip()


def _by_class(answer: Answer, path: str) -> ExchangeError | None:
    if answer.status >= 500:
        return ExchangeUnavailable(
            f"the exchange failed on {path}: HTTP {answer.status} {excerpt(answer.body)}".strip()
        )
    if 300 <= answer.status < 400:
        target = excerpt(answer.headers.get("location", "nowhere").encode())
        return BadData(
            f"{path} was redirected to {target}; redirects are not followed, so check the configured address"
        )
    if not 200 <= answer.status < 300:
        return BadData(f"HTTP {answer.status} on {path} without the exchange's error code: {excerpt(answer.body)}")
    if "html" in answer.headers.get("content-type", "") or answer.body.lstrip()[:1] == b"<":
        return BadData(
            f"{path} answered a web page instead of data (a login page of the network?): {excerpt(answer.body)}"
        )
    return None


def _rate_limited(path: str, msg: str, hold: Hold) -> ExchangeError:
    return RateLimited(
        f"the exchange limits our requests ({path}); waiting {hold.retry_after_s:.0f} s: {msg}",
        retry_after_s=hold.retry_after_s,
    )


def _banned(path: str, msg: str, hold: Hold) -> ExchangeError:
    return Banned(f"the exchange has banned this address ({path}): {msg}", until_ms=hold.banned_until_ms or 0)


def _firewall(path: str, msg: str, hold: Hold) -> ExchangeError:
    return RateLimited(
        f"the exchange's firewall refused {path} (HTTP 403); waiting {hold.retry_after_s:.0f} s: {msg}",
        retry_after_s=hold.retry_after_s,
    )


def _region(path: str, msg: str, hold: Hold) -> ExchangeError:
    return RegionRestricted(
        f"the exchange does not serve this region from this host (HTTP 451 on {path}): {msg}. "
        "Set EXCHANGE=auto to use its market-data host, or EXCHANGE=simulated"
    )


_BY_STATUS: dict[int, Callable[[str, str, Hold], ExchangeError]] = {
    429: _rate_limited,
    418: _banned,
    403: _firewall,
    451: _region,
}


def _code_and_msg(body: bytes) -> tuple[int | None, str]:
    """The exchange's own error, from an object such as {"code": -1121, "msg": "Invalid symbol."}."""
    if body.lstrip()[:1] != b"{":
        return None, ""
    try:
        told: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None, ""
    code, msg = told.get("code"), told.get("msg")
    if not isinstance(code, int) or not isinstance(msg, str):
        return None, ""
    return code, excerpt(msg.encode())
