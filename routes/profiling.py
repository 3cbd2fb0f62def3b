"""Profiling: records the process, one request or the memory, and shows it as a flame graph, to the operator alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from flask import Blueprint, Flask, Response, current_app, render_template, request, url_for
from flask.typing import ResponseReturnValue

from routes import wording
from routes.budgets import budget
from routes.flame_graph import ROW_HEIGHT, Flame, amount, flame
from routes.forms import parse_limit
from routes.operator import require_operator
from routes.rate_limits import dear
from utils.errors import InvalidInput
from utils.profile import Profile, folded, hottest
from utils.profile_recorder import LONGEST_S, SHORTEST_S, Lasting, ProfileRecorder, Recording
from utils.profile_store import MOST_PROFILES, StoredProfile
from utils.request_trace import traced
from utils.response_cache import ADDRESS, rendering_anew

bp = Blueprint("profiling", __name__, url_prefix="/performance/profiles")

EXTENSION = "profiling"
"""The key in `app.extensions` of the recorder."""
ASKED = "profile=1"
"""In an address: record this very request."""
DEFAULT_S = 5
_HOTTEST = 25
_GRACE_MS = 15_000
_MOST_BOXES = 99_999_999
_LATEST_MS = 9_999_999_999_999
_PRIVATE = {"Cache-Control": "private, no-store"}
_KINDS = {"process": "Process", "request": "Request", "memory": "Memory"}


@dataclass(frozen=True, slots=True)
class Row:
    """One stored profile in the list."""

    id: str
    kind: str
    title: str
    at_ms: int
    size: str


@dataclass(frozen=True, slots=True)
class Hot:
    """One function: its time (or bytes) alone, and with what it called."""

    name: str
    own: str
    whole: str


@dataclass(frozen=True, slots=True)
class SiteRow:
    """One line that memory was allocated at."""

    place: str
    size: str
    count: str


@dataclass(frozen=True, slots=True)
class ProfilePage:
    """One profile."""

    id: str
    kind: str
    title: str
    at_ms: int
    told: str
    flame: Flame
    hottest: tuple[Hot, ...]
    sites: tuple[SiteRow, ...]


def install(app: Flask, recorder: ProfileRecorder) -> None:
    """Gives the application its recorder, and `?profile=1` to every page."""
    app.extensions[EXTENSION] = recorder
    app.before_request(_record_if_asked)


@bp.before_request
def _operator_only() -> None:
    require_operator()


@bp.get("")
@budget(p95_ms=150, size_bytes=30_000)
def page() -> Response:
    """What can be recorded, and what was; while something is being recorded, the page that waits for it."""
    now = _recorder().now
    return _page("profiles.html", _list) if now is None else _go(_waiting(now))


@bp.post("")
@budget(p95_ms=100, size_bytes=2_000)
@dear
def record() -> Response:
    """`kind` process or memory, for `seconds`; leads to a page that waits for it."""
    kind, seconds = request.form.get("kind", "process"), request.form.get("seconds", str(DEFAULT_S))
    if kind not in ("process", "memory"):
        raise InvalidInput(f"kind {kind[:20]!r} is unknown; use process or memory")
    try:
        wanted_s = float(seconds)
    except ValueError:
        raise InvalidInput(f"seconds {seconds[:20]!r} is no number; use {SHORTEST_S:g} to {LONGEST_S:g}") from None
    recording = _recorder().record(cast(Lasting, kind), wanted_s)
    return _go(_waiting(recording))


@bp.get("/wait")
@budget(p95_ms=100, size_bytes=30_000)
def wait() -> Response:
    """Looks again each second until the recording is there, then leads to it; the browser needs no script for that."""
    recorder, after, until = _recorder(), _moment("after"), _moment("until")
    newest = next(iter(recorder.store.stored()), None)
    if newest is not None and newest.at_ms >= after > 0:
        return _go(url_for("profiling.show", name=newest.id))
    answer = _page("profiles.html", _list)
    # another worker process may be the one that records: by the clock it should be done some seconds after its end
    if recorder.now is not None or (recorder.clock.now_ms() < until + _GRACE_MS and not recorder.problem):
        answer.headers["Refresh"] = "1"
    return answer


@bp.get("/<name>")
@budget(p95_ms=500, size_bytes=400_000)
def show(name: str) -> Response:
    """The flame graph; `at` names the box that fills it."""
    focus = parse_limit(request.args.get("at"), default=0, least=0, most=_MOST_BOXES, name="at")
    return _page("profile.html", lambda: {"page": profile_page(_recorder().store.load(name), name, focus)})


@bp.get("/<name>.folded")
@budget(p95_ms=500, size_bytes=5_000_000)
@dear
def text(name: str) -> Response:
    """As other flame graph tools read it, such as speedscope."""
    body = folded(_recorder().store.load(name))
    named = {"Content-Disposition": f'attachment; filename="{name}.folded.txt"'}
    return Response(body, mimetype="text/plain", headers={**_PRIVATE, **named})


@bp.post("/<name>/delete")
@budget(p95_ms=100, size_bytes=2_000)
def delete(name: str) -> Response:
    """Back to the list."""
    _recorder().store.delete(name)
    return _go(url_for("profiling.page"))


def profile_page(profile: Profile, name: str, focus: int) -> ProfilePage:
    """What the page of one profile shows."""
    return ProfilePage(
        id=name,
        kind=_KINDS[profile.kind],
        title=profile.title,
        at_ms=profile.at_ms,
        told=_told(profile),
        flame=flame(profile, focus),
        hottest=tuple(
            Hot(name, amount(profile, own), amount(profile, whole)) for name, own, whole in hottest(profile, _HOTTEST)
        ),
        sites=tuple(SiteRow(one.place, wording.size(one.size_bytes), f"{one.count:,}") for one in profile.sites),
    )


def _record_if_asked() -> ResponseReturnValue | None:
    """The page that was asked for is made anew and thrown away: its profile is what the operator wants to see."""
    if "profile=" not in request.environ.get("QUERY_STRING", "") or (asked := request.args.get("profile")) is None:
        return None
    if request.method != "GET" or request.blueprint == bp.name or request.url_rule is None:
        return None
    require_operator()
    if asked != "1":
        raise InvalidInput(f"profile is {asked[:20]!r}; use {ASKED} to have this request recorded, or leave it out")
    request.environ.pop(ADDRESS, None)  # or the answer, made while it was watched, would be stored for this address
    with rendering_anew():
        _, name = _recorder().record_call(current_app.dispatch_request, request.path)
    return _go(url_for("profiling.show", name=name))


def _moment(name: str) -> int:
    """UTC milliseconds out of the address, which `record` wrote there; 0 where it says nothing."""
    return parse_limit(request.args.get(name), default=0, most=_LATEST_MS, name=name)


def _told(profile: Profile) -> str:
    if profile.kind == "memory":
        return f"{amount(profile, profile.total)} from {len(profile.stacks):,} places"
    waiting = f"; {wording.percent(profile.idle, 0)} of what was seen were threads that wait" if profile.idle else ""
    return f"{profile.samples:,} samples in {wording.milliseconds(profile.seconds * 1000)}{waiting}"


def _waiting(recording: Recording) -> str:
    return url_for("profiling.wait", after=recording.at_ms, until=recording.until_ms)


def _list() -> dict[str, Any]:
    recorder = _recorder()
    return {
        "rows": tuple(_row(one) for one in recorder.store.stored()),
        "recording": recorder.now,
        "problem": recorder.problem,
        "default_s": DEFAULT_S,
        "shortest_s": f"{SHORTEST_S:g}",
        "longest_s": f"{LONGEST_S:g}",
        "most": MOST_PROFILES,
        "asked": ASKED,
    }


def _row(one: StoredProfile) -> Row:
    return Row(one.id, _KINDS[one.kind], one.title, one.at_ms, wording.size(one.size_bytes))


def _recorder() -> ProfileRecorder:
    return cast(ProfileRecorder, current_app.extensions[EXTENSION])


def _page(template: str, gather: Callable[[], dict[str, Any]]) -> Response:
    with traced("render"):
        html = render_template(template, row_height=ROW_HEIGHT, **gather())
    return Response(html, mimetype="text/html", headers=_PRIVATE)


def _go(address: str) -> Response:
    return Response(status=303, headers={"Location": address})
