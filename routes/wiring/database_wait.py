"""Database wait: where the database's server is not there yet, every request is told so, until it is."""

from __future__ import annotations

import logging
import socket
import threading
import time
from http import HTTPStatus
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from config import Settings
from data.database import connect
from routes.strict_json import JSON, dumps
from routes.wiring.parts import Worker
from routes.wiring.workers import leader_lock
from routes.wording import sentence
from utils import file_lock
from utils.errors import StoreUnreachable
from utils.waiting_room import Answer, WaitingRoom

log = logging.getLogger(__name__)

_TEMPLATES = Path(__file__).resolve().parents[2] / "templates"
_PAUSE_S = 1.0
_GRACE_S = 2.0
"""So long a server that says nothing is waited for before requests are told so; a connection is for five. Its
library is loaded within that time as well."""
_RETRY_S = 2
_HEALTH, _READY, _API = "/health", "/ready", "/api/"
_SILENT = "the database server has not answered yet; look whether it runs and can be reached"
_HIDDEN = "the database cannot be reached; whoever runs this dashboard finds the reason in its log"
"""For everybody, where a password is asked for: nobody can show here that he knows it."""


def wait_for_database(settings: Settings, listener: socket.socket, worker: Worker | None) -> None:
    """Returns as soon as the database's server answers; a file is not waited for.

    Meanwhile requests are answered here, unless a worker that has begun already leads: that one answers them itself.
    StoreError where the server answers, and refuses us.
    """
    if not settings.database_url.startswith("postgres"):
        return
    absence, pause = _Absence(hidden=bool(settings.dashboard_password)), threading.Event()
    lock = None if worker is None else leader_lock(settings)

    def answers() -> bool:
        return absence.lasts and (lock is None or not file_lock.is_held(lock))

    with WaitingRoom(listener, absence.answer, answers=answers):
        while missing := _missing(settings):
            absence.tell(missing)
            pause.wait(_PAUSE_S)
    if absence.told:
        log.warning("the database server answers; the dashboard starts")


def _missing(settings: Settings) -> str:
    """Why its server cannot be reached; nothing where it answers."""
    try:
        connect(settings.database_url).close()
    except StoreUnreachable as error:
        return str(error)
    return ""


class _Absence:
    """What is wrong with the database, and what is said of it."""

    def __init__(self, *, hidden: bool) -> None:
        self.told = ""
        self._hidden = hidden
        self._since_s = time.monotonic()
        self._page = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True).get_template("waiting.html")

    @property
    def lasts(self) -> bool:
        """Whether there is something to tell: a server that is well is not even noticed."""
        return bool(self.told) or time.monotonic() - self._since_s > _GRACE_S

    def tell(self, reason: str) -> None:
        if reason != self.told:
            log.warning("%s; every page says so until it answers", reason)
        self.told = reason

    def answer(self, path: str) -> Answer:
        """As the whole application would: a page, or JSON where JSON is asked for; the process itself is well."""
        reason = _HIDDEN if self._hidden else self.told or _SILENT
        if path == _HEALTH:
            return Answer(HTTPStatus.OK, JSON, dumps({"status": "ok"}))
        if path == _READY:
            more = {} if self._hidden else {"waiting_for": [reason], "warnings": []}
            return _unavailable(JSON, dumps({"ready": False, **more}))
        if path.startswith(_API) or path.endswith(".json"):
            told = {"error": StoreUnreachable.__name__, "message": reason, "status": 503, "retry_after_s": _RETRY_S}
            return _unavailable(JSON, dumps(told))
        page = self._page.render(message=f"{sentence(reason)}.", retry_after_s=_RETRY_S)
        return _unavailable("text/html; charset=utf-8", page.encode())


def _unavailable(content_type: str, body: bytes) -> Answer:
    return Answer(HTTPStatus.SERVICE_UNAVAILABLE, content_type, body, retry_after_s=_RETRY_S)
