"""Login: one password, asked of every visitor when it is set, before any page but probes and the login itself."""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
from collections.abc import Callable
from typing import cast
from urllib.parse import urlencode

from flask import Blueprint, Flask, current_app, make_response, redirect, render_template, request, session
from flask.sessions import SecureCookieSessionInterface
from flask.typing import ResponseReturnValue
from itsdangerous import BadSignature
from werkzeug.exceptions import Unauthorized
from werkzeug.http import parse_cookie

from routes.budgets import budget
from routes.session_store import Sessions, SessionStore
from utils.attempt_limit import AttemptLimit
from utils.clock import Clock
from utils.minutes import READY_ROUTE
from utils.request_trace import traced

IDLE_S = 12 * 3600
ATTEMPTS_PER_MINUTE = 5
ATTEMPTS_PER_MINUTE_IN_ALL = 60
COOKIE = "dashboard_session"

_EXTENSION = "login"
_SIGNATURE_GOOD_S = 60.0
_REMEMBERED_COOKIES = 256
_OPEN_ENDPOINTS = frozenset({"login.form", "login.enter", "theme.choose", "static", "metrics.scrape"})
_OPEN_BLUEPRINTS = frozenset({"assets"})
_OPEN_PATHS = frozenset({"/health", READY_ROUTE})
"""For whoever starts and watches the program. A redirect to the login would count as ready there."""

bp = Blueprint("login", __name__)


class _CookieSessions(SecureCookieSessionInterface):
    """`Secure` whenever the request came over TLS, without a setting that could be forgotten."""

    def get_cookie_secure(self, app: Flask) -> bool:
        return request.is_secure


class Login:
    """The password's digest, the open sessions, and how often may be tried."""

    def __init__(self, password: str, clock: Clock, sessions: Sessions | None = None, workers: int = 1) -> None:
        """`sessions` where several processes share them; each of `workers` then allows its part of the attempts."""
        self.clock = clock
        self._salt = secrets.token_bytes(16)
        self._expected = self._digest(password)
        self.sessions = sessions or SessionStore(clock, idle_s=IDLE_S)
        self.attempts = AttemptLimit(
            clock,
            per_source=max(1, ATTEMPTS_PER_MINUTE // workers),
            in_all=max(1, ATTEMPTS_PER_MINUTE_IN_ALL // workers),
            window_s=60.0,
        )

    def accepts(self, password: str) -> bool:
        """Compared in constant time, and by digest, so that the length does not show either."""
        return hmac.compare_digest(self._digest(password), self._expected)

    def _digest(self, password: str) -> bytes:
        return hashlib.sha256(self._salt + password.encode(errors="surrogatepass")).digest()


def require_login(
    app: Flask, *, password: str, clock: Clock, sessions: Sessions | None = None, workers: int = 1
) -> None:
    """From now on every page asks for the password, but `/health`, `/ready` (of which the bare answer is given), the
    login itself and its style."""
    app.config.update(
        SESSION_COOKIE_NAME=COOKIE,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        SESSION_COOKIE_PATH="/",
        SESSION_REFRESH_EACH_REQUEST=False,
    )
    app.session_interface = _CookieSessions()
    app.extensions[_EXTENSION] = Login(password, clock, sessions, workers)
    app.register_blueprint(bp)
    app.before_request(_ask_who_comes)
    app.context_processor(_who_looks)


def _who_looks() -> dict[str, bool]:
    """`logged_out`: to whoever has not entered no way to the other pages is shown, for each would lead back here."""
    entered = bool(session.get("id"))
    return {"login_required": entered, "logged_out": not entered or request.blueprint == bp.name}


@bp.get("/login")
@budget(p95_ms=25, size_bytes=10_000)
def form() -> ResponseReturnValue:
    return _page("", 200)


@bp.post("/login")
@budget(p95_ms=250, size_bytes=10_000)
def enter() -> ResponseReturnValue:
    """A right password ends the session that was and opens another, so that an id planted before is worth nothing."""
    login, source = _login(), request.remote_addr or ""
    wait_s = login.attempts.try_again_after_s(source)
    if wait_s > 0:
        answer = make_response(_page(f"Too many attempts. Try again in {math.ceil(wait_s)} s.", 429))
        answer.headers["Retry-After"] = str(math.ceil(wait_s))
        return answer
    if not login.accepts(request.form.get("password", "")):
        return _page("That is not the password.", 401)
    login.attempts.forget(source)
    login.sessions.end(session.get("id"))
    session.clear()
    session["id"] = login.sessions.open()
    return redirect(safe_target(request.form.get("next", "")), 303)


@bp.post("/logout")
@budget(p95_ms=25, size_bytes=1_000)
def leave() -> ResponseReturnValue:
    _login().sessions.end(session.get("id"))
    session.clear()
    return redirect("/login", 303)


def open_session(app: Flask) -> str:
    """The cookie of a new session, for our own use while warming up; empty where no password is asked."""
    login: Login | None = app.extensions.get(_EXTENSION)
    signer = SecureCookieSessionInterface().get_signing_serializer(app)
    if login is None or signer is None:
        return ""
    return str(signer.dumps({"id": login.sessions.open()}))


def admission(app: Flask) -> Callable[[str], bool]:
    """Whether a `Cookie` header belongs to somebody who is logged in: what every page's `before_request` asks too."""
    login: Login | None = app.extensions.get(_EXTENSION)
    signer = _CookieSessions().get_signing_serializer(app)
    if login is None or signer is None:
        return lambda cookie: True
    known: dict[str, tuple[str | None, float]] = {}

    def session_id(value: str) -> str | None:
        """Read from the signed cookie; a signature that held a minute ago is not computed again for each request."""
        found = known.get(value)
        now_s = clock.monotonic()
        if found is not None and now_s < found[1]:
            return found[0]
        try:
            held = signer.loads(value, max_age=int(app.permanent_session_lifetime.total_seconds()))
        except BadSignature:
            return None
        read: str | None = held.get("id")
        if len(known) >= _REMEMBERED_COOKIES:
            known.clear()
        known[value] = (read, now_s + _SIGNATURE_GOOD_S)
        return read

    clock, sessions = login.clock, login.sessions
    return lambda cookie: COOKIE in cookie and sessions.touch(session_id(parse_cookie(cookie).get(COOKIE, "")))


def has_entered() -> bool:
    """Whether who asks has come past the login, where there is one."""
    login: Login | None = current_app.extensions.get(_EXTENSION)
    return login is None or login.sessions.touch(session.get("id"))


def safe_target(target: str) -> str:
    """A path of ours to go on to; `/` instead of anything that could lead elsewhere."""
    innocent = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if innocent and "\\" not in target else "/"


def _ask_who_comes() -> ResponseReturnValue | None:
    if request.endpoint in _OPEN_ENDPOINTS or request.blueprint in _OPEN_BLUEPRINTS or request.path in _OPEN_PATHS:
        return None
    if _login().sessions.touch(session.get("id")):
        return None
    if not _is_navigation():
        raise Unauthorized("log in first, at /login")
    asked = request.full_path if request.query_string else request.path
    answer = redirect("/login?" + urlencode({"next": asked}), 303)
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _is_navigation() -> bool:
    """Whether a person waits for a page; the API and a script's fetch want a status rather than a form."""
    destination = request.headers.get("Sec-Fetch-Dest", "document")
    accepts_pages = not request.accept_mimetypes or request.accept_mimetypes.accept_html
    return destination == "document" and accepts_pages and not request.path.startswith("/api/")


def _page(problem: str, status: int) -> ResponseReturnValue:
    target = safe_target(request.values.get("next", ""))
    with traced("render"):
        answer = make_response(render_template("login.html", problem=problem, target=target), status)
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _login() -> Login:
    return cast(Login, current_app.extensions[_EXTENSION])


def asks_for_password(app: Flask) -> bool:
    """Whether nobody reaches a page without having logged in."""
    return _EXTENSION in app.extensions
