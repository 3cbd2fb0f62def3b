"""Operator: who may look inside the running program: whoever knows the password, or sits at the machine itself."""

from __future__ import annotations

from flask import current_app, request
from werkzeug.exceptions import Forbidden

from routes.login import asks_for_password
from routes.security import host_name
from utils.loopback import is_loopback

_HANDED_ON = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
_FOREIGN = frozenset({"cross-site", "same-site"})


def is_operator() -> bool:
    """With a password, whoever has come past the login; without one, a reader at this machine, under its own name.

    The name is looked at too, and whether something says that it hands the request on: behind a reverse proxy on this
    machine everybody comes from it, and some give it as the name as well.
    """
    if asks_for_password(current_app):
        return True
    if any(name in request.headers for name in _HANDED_ON):
        return False
    name = host_name(request.host)
    return is_loopback(request.remote_addr or "") and name is not None and is_loopback(name)


def require_operator() -> None:
    """Forbidden for anybody else, and for what another site makes the operator's browser ask."""
    if not is_operator():
        raise Forbidden("profiles are the operator's: without a password, open this page on the machine itself")
    if request.headers.get("Sec-Fetch-Site") in _FOREIGN:
        raise Forbidden("another site has asked for this; open it from the performance page instead")
