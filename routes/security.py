"""Security: which hosts may be asked for, what browsers may do with our pages, and who may change anything."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from flask import Flask, Request, Response, request
from flask.sessions import SessionInterface, SessionMixin
from werkzeug.exceptions import Forbidden, RequestEntityTooLarge

from models.exchange import MAX_ZIP_BYTES
from routes.login import require_login
from routes.session_store import Sessions
from utils.clock import Clock, SystemClock
from utils.errors import ConfigError
from utils.loopback import is_loopback

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

MAX_BODY_BYTES = 64 * 1024
"""No form here is longer, but for those in UPLOADS."""
UPLOADS = {"models.bring_in": MAX_ZIP_BYTES + MAX_BODY_BYTES}
"""What the endpoints that take files may be sent."""
UPLOAD_CHUNK_BYTES = 1024 * 1024
"""What of an upload is held in memory while it is read; the file itself goes to disk."""
MAX_REQUEST_BYTES = max(MAX_BODY_BYTES, *UPLOADS.values())
"""For the WSGI server, which does not know endpoints; what is longer than 512 KB it keeps on disk."""


def content_security_policy(asset_base_url: str = "") -> str:
    """Everything from here alone; styles and scripts also from where assets lie, if that is elsewhere."""
    elsewhere = f" {asset_base_url}/" if asset_base_url else ""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self'{elsewhere}",
            f"style-src 'self'{elsewhere}",
            f"img-src 'self'{elsewhere} data:",
            "connect-src 'self'",
            "font-src 'self'",
            "manifest-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self'",
        )
    )


CONTENT_SECURITY_POLICY = content_security_policy()

HEADERS = (
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    # not `no-referrer`: under it browsers send `Origin: null` with our own forms too
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
)
"""On every answer, errors and files included. There is no CORS header: nothing here is for other sites."""

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(?::(?P<port>[0-9]{1,5}))?", re.IGNORECASE)
_LONGEST_REMEMBERED = 100


def headers(asset_base_url: str = "") -> tuple[tuple[str, str], ...]:
    """HEADERS where assets lie elsewhere."""
    return (("Content-Security-Policy", content_security_policy(asset_base_url)), *HEADERS[1:])


def secure(
    app: Flask,
    *,
    secret_key: str,
    trusted_hosts: Iterable[str],
    password: str = "",
    clock: Clock | None = None,
    sessions: Sessions | None = None,
    workers: int = 1,
    asset_base_url: str = "",
) -> None:
    """Puts every wall up: hosts, headers, body size, origin of changes, and the login if a password is set."""
    app.debug = False
    app.secret_key = secret_key
    app.config.update(
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_BODY_BYTES,
        MAX_FORM_PARTS=50,
    )
    app.wsgi_app = _Gate(app.wsgi_app, trusted_hosts, headers(asset_base_url))  # type: ignore[method-assign]  # Flask's own door
    app.before_request(_refuse_large_bodies)
    app.before_request(_refuse_foreign_changes)
    app.session_interface = _NoSessions()
    if password:
        require_login(app, password=password, clock=clock or SystemClock(), sessions=sessions, workers=workers)


def check_bind(host: str, password: str) -> None:
    """Refuses to serve other machines without a password: ConfigError unless the address is loopback or one is set."""
    if password or is_loopback(host):
        return
    raise ConfigError(
        f"host {host!r} lets other machines in, and no password is set; "
        "set DASHBOARD_PASSWORD (10 characters or more), or serve on 127.0.0.1"
    )


def host_name(host: str) -> str | None:
    """`LocalHost:5000` → `localhost`, `[::1]:5000` → `[::1]`; None where it is no host."""
    match = _HOST.fullmatch(host)
    if match is None:
        return None
    port = match["port"]
    return match["name"].lower() if port is None or 1 <= int(port) <= 65_535 else None


class _NoSessions(SessionInterface):
    """Without a password nobody has a session; opening one would cost each request a tenth of its time."""

    def open_session(self, app: Flask, request: Request) -> None:
        return None

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """There is nothing to keep."""


class _Gate:
    """Before Flask: refuses other hosts (DNS rebinding); after it: the headers, on whatever is answered.

    Flask's own TRUSTED_HOSTS cuts its entries at the first colon, so that `[::1]` never matches; hence a set of ours.
    """

    def __init__(self, app: WSGIApplication, trusted_hosts: Iterable[str], added: tuple[tuple[str, str], ...]) -> None:
        self._app = app
        self._added = added
        self._trusted = frozenset(name for host in trusted_hosts if (name := host_name(host)) is not None)
        self._remembered = lru_cache(maxsize=64)(self._is_trusted)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
            headers.extend(self._added)
            return start_response(status, headers, exc_info)

        host = environ.get("HTTP_HOST", "")
        known = self._remembered(host) if len(host) <= _LONGEST_REMEMBERED else self._is_trusted(host)
        return self._app(environ, start) if known else _refuse_host(start)

    def _is_trusted(self, host: str) -> bool:
        return host_name(host) in self._trusted


def _refuse_host(start: StartResponse) -> Iterable[bytes]:
    """Plain words, nothing of the request in them, and no page whose links would need a host."""
    body = b"This dashboard does not answer to that host name. The operator may add it to TRUSTED_HOSTS.\n"
    start(
        "400 Bad Request",
        [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
        ],
    )
    return [body]


def _refuse_large_bodies() -> None:
    limit = UPLOADS.get(request.endpoint or "", MAX_BODY_BYTES)
    request.max_content_length = limit
    if limit > MAX_BODY_BYTES:
        request.max_form_memory_size = UPLOAD_CHUNK_BYTES
    if (request.content_length or 0) > limit:
        raise RequestEntityTooLarge(f"a request may hold {limit // 1024} KB, not {request.content_length} bytes")


def _refuse_foreign_changes() -> None:
    """What may change something must come from a page of ours, by its Origin or Sec-Fetch-Site, or is refused."""
    if request.method in _SAFE_METHODS:
        return
    if not _is_ours(request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")):
        raise Forbidden("only this dashboard's own pages may change anything; open the page here and use its form")


def _is_ours(origin: str | None, fetch_site: str | None) -> bool:
    if fetch_site is not None and fetch_site != "same-origin":
        return False
    if origin is None:
        return fetch_site is not None
    return origin == f"{request.scheme}://{request.host}"
