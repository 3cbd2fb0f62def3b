"""Logs and the access log: one line per event whatever is in it, no secret in any, rotation, levels."""

from __future__ import annotations

import io
import json
import logging
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from utils.access_log import AccessLog, AccessRecord
from utils.clock import ManualClock
from utils.logs import Logs, quoted, start_logging
from utils.performance_monitor import RequestTrace, tracing
from utils.redaction import MASK, Redaction

SECRET = 'k3y/with+odd=chars&"quote"'
log = logging.getLogger("tests.utils.logs")


@pytest.fixture
def console() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def logs(tmp_path: Path, console: io.StringIO) -> Iterator[Logs]:
    running = start_logging(level="INFO", secrets=[SECRET], folder=tmp_path / "logs", console=console)
    yield running
    running.close()


def lines(logs: Logs, folder: Path) -> list[str]:
    logs.close()
    return (folder / "logs" / "dashboard.log").read_text("utf-8").splitlines()


def test_a_line_says_when_what_and_who(logs: Logs, tmp_path: Path, console: io.StringIO) -> None:
    with tracing(RequestTrace("abc-000001", 0.0)):
        log.info("read %d candles", 500, extra={"symbol": "BTCUSDT", "took_ms": 1.5})
    (line,) = lines(logs, tmp_path)
    at, rest = line.split(" ", 1)
    assert at.startswith("at=20")
    assert at.endswith("Z")
    assert rest == (
        'level=INFO logger=tests.utils.logs event="read 500 candles" request=abc-000001 symbol=BTCUSDT took_ms=1.5'
    )
    assert console.getvalue().splitlines() == [line]


def test_of_several_processes_on_one_console_each_names_itself(tmp_path: Path, console: io.StringIO) -> None:
    running = start_logging(level="INFO", folder=tmp_path / "logs", console=console, worker=2)
    log.info("this process leads")
    (line,) = lines(running, tmp_path)
    assert " level=INFO worker=2 logger=" in line


@pytest.mark.parametrize("canary", ["a\nlevel=ERROR forged", "a\r\nforged", "\x1b[2Jforged", "a\u2028forged", "a\x00b"])
def test_line_breaks_and_control_characters_stay_inside_their_line(logs: Logs, tmp_path: Path, canary: str) -> None:
    log.info("symbol %s is unknown", canary, extra={"asked": canary})
    path = tmp_path / "logs" / "dashboard.log"
    (line,) = lines(logs, tmp_path)
    assert path.read_bytes().count(b"\n") == 1
    assert json.dumps(f"symbol {canary} is unknown") in line
    assert line.isprintable()


def test_a_traceback_is_one_line_too_and_holds_no_secret(logs: Logs, tmp_path: Path) -> None:
    def fail() -> None:
        raise ValueError(f"GET https://host/x?signature=deadbeef01&key={SECRET}")

    try:
        fail()
    except ValueError:
        log.exception("it failed")
    (line,) = lines(logs, tmp_path)
    assert "Traceback" in line
    assert "ValueError" in line
    assert "deadbeef01" not in line
    assert "odd=chars" not in line


@pytest.mark.parametrize(
    "text",
    [
        f"the key is {SECRET}",
        "https://h/?k=k3y%2Fwith%2Bodd%3Dchars%26%22quote%22",
        "https://h/?k=k3y/with%2Bodd%3Dchars%26%22quote%22",
        json.dumps({"body": SECRET}),
        "GET /api/v3/account?timestamp=1&signature=canary99",
        "{'X-MBX-APIKEY': 'canary99'}",
        '{"apiKey": "canary99", "secretKey": "canary99"}',
        "api_secret=canary99",
        "BINANCE_API_SECRET=canary99",
        "DASHBOARD_PASSWORD='canary99 with spaces canary99'",
        "password: canary99",
        "Authorization: Bearer canary99",
        "Cookie: canary99",
        "listenKey=canary99",
        json.dumps(json.dumps({"password": "canary99"})),
    ],
)
def test_secrets_are_masked_however_they_are_written(text: str) -> None:
    masked = Redaction([SECRET])(text)
    assert MASK in masked
    assert "canary99" not in masked
    assert "quote" not in masked
    assert "odd" not in masked


def test_innocent_text_is_left_alone() -> None:
    redaction = Redaction([SECRET, "abc", ""])
    for text in ("BTCUSDT 1h key cache hit abc", "signature of the function", "tokens used 5", "passwords"):
        assert redaction(text) == text


def test_the_level_is_obeyed_and_put_back(tmp_path: Path) -> None:
    root_level = logging.getLogger().level
    logs = start_logging(level="ERROR", folder=tmp_path / "logs", console=None)
    log.warning("not this")
    log.error("but this")
    assert [line.split("event=")[1] for line in lines(logs, tmp_path)] == ['"but this"']
    assert logging.getLogger().level == root_level
    log.error("after the end")
    assert len((tmp_path / "logs" / "dashboard.log").read_text().splitlines()) == 1


def test_chatty_libraries_never_go_below_info(tmp_path: Path) -> None:
    logs = start_logging(level="DEBUG", folder=tmp_path / "logs", console=None)
    logging.getLogger("websockets.client").debug("> GET /ws?signature=x HTTP/1.1")
    log.debug("ours")
    (line,) = lines(logs, tmp_path)
    assert "event=ours" in line


def test_only_the_owner_may_read(logs: Logs, tmp_path: Path) -> None:
    log.info("anything")
    logs.close()
    folder = tmp_path / "logs"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "dashboard.log").stat().st_mode) == 0o600


def test_writing_happens_in_another_thread(tmp_path: Path) -> None:
    class Slow(io.StringIO):
        writers: set[str] = set()  # noqa: RUF012 - one instance

        def write(self, text: str) -> int:
            self.writers.add(threading.current_thread().name)
            return super().write(text)

    console = Slow()
    logs = start_logging(level="INFO", console=console)
    log.info("anything")
    logs.close()
    assert console.getvalue()
    assert threading.current_thread().name not in console.writers


def test_values_are_bare_only_where_that_is_unambiguous() -> None:
    assert [quoted(value) for value in ("plain", 'a"b', "a b", "", "a=b", 5, "é")] == [
        "plain",
        '"a\\"b"',
        '"a b"',
        '""',
        '"a=b"',
        "5",
        '"\\u00e9"',
    ]


def record(path: str = "/symbol/BTCUSDT", number: int = 1) -> AccessRecord:
    return AccessRecord(f"abc-{number:06x}", "127.0.0.1", "GET", path, 200, 0.00125, 7321)


def test_the_access_log_writes_a_line_per_request(tmp_path: Path) -> None:
    access = AccessLog(tmp_path, clock=ManualClock(now_ms=1_700_000_000_123))
    access.record(record("/before/the/start"))
    access.start()
    access.record(record("/symbol/BTC\r\nUSDT?next=/&password=canary99"))
    access.close()
    access.record(record("/after/the/end"))
    (line,) = (tmp_path / "access.log").read_text().splitlines()
    assert line == (
        "at=2023-11-14T22:13:20.123Z request=abc-000001 remote=127.0.0.1 method=GET "
        f'path="/symbol/BTC\\r\\nUSDT?next=/&password={MASK}" status=200 ms=1.250 bytes=7321'
    )
    assert stat.S_IMODE((tmp_path / "access.log").stat().st_mode) == 0o600


def test_the_access_log_rotates_and_keeps_so_many_files(tmp_path: Path) -> None:
    access = AccessLog(tmp_path, clock=ManualClock(), max_bytes=2_000, backups=2)
    access.start()
    for number in range(100):
        access.record(record(number=number))
    access.close()
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["access.log", "access.log.1", "access.log.2"]
    assert all(path.stat().st_size <= 2_000 for path in tmp_path.iterdir())
    assert "request=abc-000063" in (tmp_path / "access.log").read_text(), "the newest line is in the newest file"


def test_a_flood_is_bounded_and_counted(tmp_path: Path) -> None:
    access = AccessLog(tmp_path, clock=ManualClock(), max_pending=10, period_s=3600)
    access.start()
    for number in range(25):
        access.record(record(number=number))
    assert access.dropped == 15
    access.close()
    written = (tmp_path / "access.log").read_text().splitlines()
    assert len(written) == 10
    assert "request=abc-000018" in written[-1]
