"""Workers: several processes on one socket, of which one has the feed and tells the others."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask, Response, request

from config import Settings
from data.market_relay import MarketFollower, MarketSide, MarketTeller
from routes.login import IDLE_S
from routes.session_store import SharedSessionStore
from routes.wiring.parts import PARTS, Parts, Worker, leading
from utils.clock import Clock, SystemClock
from utils.leadership import Leadership
from utils.minute_recorder import MinuteRecorder
from utils.performance_monitor import performance_monitor
from utils.worker_files import WorkerFiles
from utils.worker_processes import WorkerProcesses
from utils.worker_reports import WorkerReports

_CLEAR = "clear"
"""What one worker says to the one that leads, before the name of a cache that was cleared."""
_CACHES = ("data_cache", "model_cache", "page_cache", "forecasts", "redis")
"""The monitor's sources whose hits the workers tell each other."""


def shared_sessions(settings: Settings, clock: Clock) -> SharedSessionStore | None:
    """Where several processes ask for the password, whoever is logged in at one is at all."""
    if settings.workers == 1 or not settings.dashboard_password:
        return None
    return SharedSessionStore(settings.instance_path / "sessions", clock, idle_s=IDLE_S)


def worker_files(settings: Settings, worker: Worker | None) -> WorkerFiles | None:
    """Where several processes tell each other what they counted, each by the number that its logs have."""
    if settings.workers == 1:
        return None
    return WorkerFiles(settings.instance_path / "metrics", wanted=worker.number if worker is not None else None)


def worker_reports(files: WorkerFiles | None, recorder: MinuteRecorder, clock: Clock) -> WorkerReports | None:
    if files is None:
        return None
    return WorkerReports(files, performance_monitor, recorder, caches=_CACHES, clock=clock)


def leader_lock(settings: Settings) -> Path:
    """The file whose lock the worker holds that leads."""
    return settings.instance_path / "leader.lock"


def lead_or_follow(app: Flask, settings: Settings, worker: Worker) -> Leadership:
    """What this worker does beside answering: everything that is done once, or to hear of it from who does."""
    parts: Parts = app.extensions[PARTS]
    side = MarketSide(parts.market, parts.connection, parts.gateway, parts.feed)

    beside = Beside(parts)
    teller = MarketTeller(worker.channel, side, more=beside.told, on_word=beside.heard)
    follower = MarketFollower(worker.channel, side, on_more=beside.take)
    parts.services.clearing.tell = lambda name: follower.say(f"{_CLEAR} {name}")

    def tell_leader(response: Response) -> Response:
        if request.method == "POST":
            follower.say()
        return response

    app.after_request(tell_leader)
    leadership = Leadership(leader_lock(settings), follow=follower, lead=[*leading(settings, parts), teller])
    if parts.services.workers is not None:
        parts.services.workers.leads = lambda: leadership.leads
    return leadership


@dataclass(frozen=True, slots=True)
class Beside:
    """What the process that leads tells the others beside the market, and what they say to it."""

    parts: Parts

    def told(self) -> dict[str, Any]:
        return {
            "ledger": self.parts.ledger.changes,
            "alerts": self.parts.watch.alerts.words(),
            "cleared": dict(self.parts.services.clearing.counts),
            "silence": self.parts.services.known.told(),
        }

    def take(self, told: Mapping[str, Any]) -> None:
        self.parts.ledger.told_changes(told["ledger"])
        self.parts.watch.alerts.follow(told["alerts"])
        self.parts.services.clearing.follow(told["cleared"])
        self.parts.services.known.follow(told["silence"])

    def heard(self, word: str) -> None:
        """Something was changed through another process, or a cache was cleared there."""
        what, _, name = word.partition(" ")
        if what == _CLEAR and name in self.parts.services.clearing:
            self.parts.services.clearing.clear(name)
            return
        self.parts.training.look()
        self.parts.watch.alerts.wake()


def worker_processes(
    settings: Settings, *, program: Path, handles: tuple[int, int], channel: Path, say: Callable[[str], None]
) -> WorkerProcesses:
    """`program` started once per worker, each given the bound socket (the first of `handles`), the other handle, and a
    pipe that ends when this process does."""
    here = ["--host", settings.host, "--port", str(settings.port), "--socket", str(handles[0])]
    return WorkerProcesses(
        lambda number, lifeline: [
            *[sys.executable, str(program), *here, "--channel", str(channel)],
            *["--worker", str(number), "--lifeline", str(lifeline)],
        ],
        count=settings.workers,
        handles=handles,
        timer=SystemClock().monotonic,
        say=say,
    )
