"""Start checks and steps: what is said of disk, port, alert addresses and Redis, and of a check that raised."""

from __future__ import annotations

from pathlib import Path

import pytest

from utils.asset_host import AssetHost
from utils.errors import ConfigError
from utils.listener import listen
from utils.start_checks import check_address, check_alerts, check_asset_host, check_redis, check_storage
from utils.start_steps import Outcome, Result, table, timed


def test_an_error_of_ours_is_a_step_that_failed() -> None:
    def fail() -> Outcome:
        raise ConfigError("port 'x' is no number")

    step = timed("configuration", fail)
    assert (step.result, step.detail) == (Result.FAILED, "port 'x' is no number")
    assert "failed" in table([step])


def test_a_full_disk_is_a_failure_and_a_nearly_full_one_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for free, result in ((10_000_000, Result.FAILED), (600_000_000, Result.WARNING), (9_000_000_000, Result.OK)):
        monkeypatch.setattr("utils.start_checks.free_bytes", lambda _folder, free=free: free)
        assert check_storage(tmp_path)[0] is result


def test_a_taken_port_is_a_warning() -> None:
    asked: list[tuple[str, str]] = []

    def refuse(host: str, password: str) -> None:
        asked.append((host, password))

    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        result, told = check_address("127.0.0.1", port, password="p", refuse=refuse)
    assert (result, f"port {port} on 127.0.0.1 cannot be used" in told) == (Result.WARNING, True), told
    assert check_address("127.0.0.1", port, password="p", refuse=refuse)[0] is Result.OK
    assert asked == [("127.0.0.1", "p")] * 2


def test_an_address_that_must_not_be_served_is_refused() -> None:
    def refuse(host: str, password: str) -> None:
        raise ConfigError("set DASHBOARD_PASSWORD")

    with pytest.raises(ConfigError, match="set DASHBOARD_PASSWORD"):
        check_address("0.0.0.0", 0, password="", refuse=refuse)


class Shared:
    """A shared cache that answers or not."""

    def __init__(self, *, answers: bool) -> None:
        self.answers, self.running = answers, False

    def start(self) -> None:
        self.running = True

    def close(self) -> None:
        self.running = False

    def wait_until_heard(self, _timeout_s: float) -> bool:
        return self.answers


def test_an_alert_address_that_apprise_does_not_understand_is_a_failure_without_its_secrets() -> None:
    assert check_alerts(("json://here/x",))[0] is Result.OK
    result, told = check_alerts(("json://here/x", "nosuchservice://canary"))
    assert (result, told.count("does not understand"), "canary" in told) == (Result.FAILED, 1, False)
    slow = check_alerts(("json://here/x",), lambda addresses: ["no answer within 60 s"])
    assert slow[0] is Result.WARNING


def test_a_silent_redis_is_a_warning() -> None:
    for answers, result in ((True, Result.OK), (False, Result.WARNING)):
        shared = Shared(answers=answers)
        assert check_redis(shared)[0] is result
        assert not shared.running


def test_a_host_of_assets_that_does_not_answer_is_a_warning() -> None:
    host = AssetHost("http://127.0.0.1:9", changed=lambda: None)
    result, told = check_asset_host(host)
    assert (result, host.usable) == (Result.WARNING, False)
    assert "refused" in told
    assert "from here" in told
