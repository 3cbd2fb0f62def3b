"""Workers: several processes on one socket, of which one has the feed and tells the others."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from flask import Flask, Response, request

from config import Settings
from data.market_relay import MarketFollower, MarketSide, MarketTeller
from routes.login import IDLE_S
from routes.session_store import SharedSessionStore
from routes.wiring.parts import PARTS, Parts, Worker, leading
from utils.clock import Clock, SystemClock
from utils.leadership import Leadership
from utils.worker_processes import WorkerProcesses


def shared_sessions(settings: Settings, clock: Clock) -> SharedSessionStore | None:
    """Where several processes ask for the password, whoever is logged in at one is at all."""
    if settings.workers == 1 or not settings.dashboard_password:
        return None
    return SharedSessionStore(settings.instance_path / "sessions", clock, idle_s=IDLE_S)


def lead_or_follow(app: Flask, settings: Settings, worker: Worker) -> Leadership:
    """What this worker does beside answering: everything that is done once, or to hear of it from who does."""
    parts: Parts = app.extensions[PARTS]
    side = MarketSide(parts.market, parts.connection, parts.gateway, parts.feed)

    def look() -> None:
        parts.training.look()
        parts.watch.alerts.wake()

    teller = MarketTeller(worker.channel, side, more=lambda: {"ledger": parts.ledger.changes}, on_look=look)
    follower = MarketFollower(worker.channel, side, on_more=lambda more: parts.ledger.told_changes(more["ledger"]))

    def tell_leader(response: Response) -> Response:
        if request.method == "POST":
            follower.look()
        return response

    app.after_request(tell_leader)
    lock = settings.instance_path / "leader.lock"
    return Leadership(lock, follow=follower, lead=[*leading(settings, parts), teller])


def worker_processes(
    settings: Settings, *, program: Path, socket_handle: int, channel: Path, say: Callable[[str], None]
) -> WorkerProcesses:
    """`program` started once per worker, each given the bound socket and a pipe that ends when this process does."""
    here = ["--host", settings.host, "--port", str(settings.port), "--socket", str(socket_handle)]
    return WorkerProcesses(
        lambda number, lifeline: [
            *[sys.executable, str(program), *here, "--channel", str(channel)],
            *["--worker", str(number), "--lifeline", str(lifeline)],
        ],
        count=settings.workers,
        handles=[socket_handle],
        timer=SystemClock().monotonic,
        say=say,
    )
