"""Start checks: disk, address, alert addresses and Redis, each asked before a start and answered in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from utils import alert_send
from utils.alert_delivery import target_of
from utils.asset_host import AssetHost
from utils.deploy_checks import ENOUGH_BYTES, LEAST_BYTES, free_bytes, port_problem
from utils.start_steps import Outcome, Result

REDIS_TIMEOUT_S = 2.0


class SharedCache(Protocol):
    def start(self) -> None: ...
    def wait_until_heard(self, timeout_s: float) -> bool: ...
    def close(self) -> None: ...


def check_storage(folder: Path) -> Outcome:
    """Room for the database, logs and models. ConfigError where the folder cannot be written to."""
    free = free_bytes(folder)
    told = f"{free / 1e9:,.1f} GB free in {folder}"
    if free < LEAST_BYTES:
        return Result.FAILED, f"{told}; make room: the database could not write"
    return (Result.WARNING, f"{told}; make room soon") if free < ENOUGH_BYTES else (Result.OK, told)


def check_address(host: str, port: int, *, password: str, refuse: Callable[[str, str], None]) -> Outcome:
    """`refuse` is given host and password, and raises ConfigError where the address must not be served. A taken port
    may be the dashboard that is to be replaced: a warning."""
    refuse(host, password)
    if problem := port_problem(host, port):
        return Result.WARNING, f"{problem}; or end who has it"
    return Result.OK, f"{host} port {port} is free"


def check_alerts(targets: Sequence[str], check: Callable[[Sequence[str]], list[str]] = alert_send.check) -> Outcome:
    """Whether each address is one that Apprise understands, told by its label: nothing is sent, no secret is shown."""
    told = [(target_of(url).label, problem) for url, problem in zip(targets, check(targets), strict=True) if problem]
    if not told:
        return Result.OK, f"{len(targets)} of ALERT_TARGETS understood; a test message is sent from /alerts"
    result = Result.FAILED if any(problem == alert_send.UNKNOWN for _, problem in told) else Result.WARNING
    return result, f"ALERT_TARGETS, {'; '.join(f'{label}: {problem}' for label, problem in told)}"


def check_redis(shared: SharedCache, timeout_s: float = REDIS_TIMEOUT_S) -> Outcome:
    """Without it each process loads for itself: slower, not wrong."""
    shared.start()
    try:
        if shared.wait_until_heard(timeout_s):
            return Result.OK, "the shared cache answers"
        return Result.WARNING, f"no answer within {timeout_s:.0f} s; start it or correct REDIS_URL (pages work without)"
    finally:
        shared.close()


def check_asset_host(host: AssetHost) -> Outcome:
    """Before a first start a CDN that fetches from here cannot have them: a warning, and pages name the files here."""
    problem = host.look()
    if not problem:
        return Result.OK, f"{host.address} gives what pages name"
    return Result.WARNING, f"{problem} (until it gives them, pages take styles and scripts from here)"
