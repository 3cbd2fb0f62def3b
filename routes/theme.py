"""Theme: light or dark, remembered in a small cookie so that the server renders it and nothing flashes."""

from __future__ import annotations

from flask import Blueprint, Response, redirect, request

from routes.budgets import budget
from routes.forms import THEME_COOKIE, THEMES, local_path
from utils.errors import InvalidInput

bp = Blueprint("theme", __name__)

_YEAR_S = 365 * 86_400


@bp.post("/theme")
@budget(p95_ms=10, size_bytes=1_000)
def choose() -> Response:
    """Back to the page it was asked from, in the theme that was chosen; `auto` forgets the choice."""
    chosen = request.form.get("theme", "")
    if chosen not in THEMES:
        raise InvalidInput(f"theme {chosen[:20]!r} is unknown; use one of {', '.join(THEMES)}")
    response = Response(status=303, headers={"Location": redirect(local_path(request.form.get("next"))).location})
    if chosen == "auto":
        response.delete_cookie(THEME_COOKIE, samesite="Lax")
    else:
        response.set_cookie(THEME_COOKIE, chosen, max_age=_YEAR_S, samesite="Lax", secure=request.is_secure)
    return response
