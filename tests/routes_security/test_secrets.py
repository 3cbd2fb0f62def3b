"""Secrets and names (S3 S5 S8 S9 S10 S23 S24): nothing leaks, nothing runs, nothing leaves its place."""

from __future__ import annotations

import json
import logging
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import NoReturn

import joblib
import pytest
from flask import Flask

from config import install_secret
from data.binance_gateway import BinanceGateway
from models.registry import Registry
from models.registry_entry import Status
from tests.support.whole_app import every_address, settings_in, whole_app
from utils.access_log import AccessLog
from utils.errors import ExchangeUnavailable, ModelNotFound
from utils.logs import start_logging

ROOT = Path(__file__).resolve().parents[2]
KEY, SECRET, PASSWORD, SIGNING = (
    "canarykeycanarykeycanarykey",
    "canarysecretcanarysecret",
    "canarypassword123",
    "canarysigningcanarysigningcanarysigning",
)
CANARIES = {"binance_api_key": KEY, "binance_api_secret": SECRET, "secret_key": SIGNING}

HOSTILE_NAMES = [
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/etc/passwd",
    "..\\..\\windows",
    "/etc/passwd",
    "//etc/passwd",
    "a%00b",
    "%0d%0aSet-Cookie:x=1",
    "x" * 5_000,
    ".",
    "..",
    "...",
    "CON",
    "~root",
    "%",
    "\ufeff",
]
SCRIPT = '"><img src=x onerror=window.__x=1>'


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    with whole_app(tmp_path_factory.mktemp("secrets"), **CANARIES) as made:
        yield made


def strict(text: str) -> object:
    """Refuses what JSON does not have."""

    def refuse(name: str) -> NoReturn:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_no_page_no_error_and_no_header_holds_a_secret(app: Flask) -> None:
    client = app.test_client()
    for method, address in every_address(app):
        for path in (address, f"{address}?x={'y' * 50}"):
            answer = client.open(path, method=method)
            seen = answer.data + str(answer.headers).encode()
            assert b"canary" not in seen, (method, path)


def test_a_failing_exchange_puts_no_secret_into_page_log_or_database(tmp_path: Path) -> None:
    folder = tmp_path / "instance"
    logs = start_logging(level="DEBUG", secrets=[KEY, SECRET, SIGNING], folder=folder / "logs", console=None)
    try:
        with whole_app(tmp_path, **CANARIES) as app:
            gateway: BinanceGateway = app.extensions["parts"].gateway
            gateway.start("http://127.0.0.1:9", "ws://127.0.0.1:9")
            try:
                with pytest.raises(ExchangeUnavailable) as error:
                    gateway.ping()
            finally:
                gateway.close()
            logging.getLogger("planted").error("signed %s with %s", f"/x?signature={'a' * 64}&apiKey={KEY}", SECRET)
            page = app.test_client().get("/performance").data
    finally:
        logs.close()
    assert "canary" not in str(error.value)
    assert b"canary" not in page
    written = [path for path in folder.rglob("*") if path.is_file()]
    assert {"dashboard.log", "dashboard.db"} <= {path.name for path in written}
    for path in written:
        assert b"canary" not in path.read_bytes(), path
    assert "a" * 64 not in (folder / "logs" / "dashboard.log").read_text()


def test_the_printed_settings_mask_every_secret(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "BINANCE_API_KEY": KEY,
        "BINANCE_API_SECRET": SECRET,
        "SECRET_KEY": SIGNING,
        "DASHBOARD_PASSWORD": PASSWORD,
        "INSTANCE_PATH": str(tmp_path),
        "DATABASE_URL": f"sqlite:///{tmp_path}/canary.db",
    }
    answer = subprocess.run(
        [sys.executable, str(ROOT / "config.py")],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=400,
    )
    assert "canary" not in answer.stdout + answer.stderr


def test_another_address_without_a_password_ends_the_start(tmp_path: Path) -> None:
    environment = {**os.environ, "INSTANCE_PATH": str(tmp_path), "DASHBOARD_PASSWORD": ""}
    answer = subprocess.run(
        [sys.executable, str(ROOT / "app.py"), "--host", "0.0.0.0"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert answer.returncode != 0
    assert "DASHBOARD_PASSWORD" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_every_install_has_a_secret_of_its_own_that_only_its_owner_may_read(tmp_path: Path) -> None:
    secrets = [install_secret(settings_in(tmp_path / name)) for name in ("a", "b", "a")]
    assert secrets[0] == secrets[2] != secrets[1]
    assert min(map(len, secrets)) >= 32
    files = [path for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert files
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


@pytest.mark.parametrize("name", HOSTILE_NAMES)
@pytest.mark.parametrize("prefix", ["/symbol/", "/assets/", "/assets/css/", "/api/v1/candles/", "/api/v1/forecast/"])
def test_a_hostile_name_in_an_address_finds_nothing(app: Flask, prefix: str, name: str) -> None:
    answer = app.test_client().get(prefix + name)
    assert answer.status_code in (400, 404, 308), answer.status_code
    assert b"root:" not in answer.data
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("name", [*HOSTILE_NAMES, "\x00", "a\nb", ""])
def test_a_hostile_model_name_finds_nothing_and_opens_no_file(tmp_path: Path, name: str) -> None:
    opened: list[str] = []

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and watching:
            opened.append(str(arguments[0]))

    watching = True
    sys.addaudithook(watch)
    with pytest.raises(ModelNotFound):
        Registry(tmp_path / "models").get(name)
    watching = False
    assert [path for path in opened if not path.startswith(str(tmp_path))] == []


class RunsWhenRead:
    """Pickled, it is an order to make a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.canary}",)


@pytest.mark.parametrize("suffix", [".joblib", ".pkl", ".pickle", ".h5", ".keras", ".onnx"])
def test_a_planted_pickle_is_listed_as_unsupported_and_never_run(tmp_path: Path, suffix: str) -> None:
    models, canary = tmp_path / "models", tmp_path / "canary"
    folder = models / "planted"
    folder.mkdir(parents=True)
    joblib.dump(RunsWhenRead(canary), models / f"evil{suffix}")
    for name in ("model.onnx", "spec.json", "report.json", "manifest.json"):
        joblib.dump(RunsWhenRead(canary), folder / name)
    entries = {entry.id: entry.status for entry in Registry(models).all()}
    assert entries[f"evil{suffix}"] is Status.UNSUPPORTED
    assert entries["planted"] is Status.BROKEN
    assert not canary.exists()
    joblib.load(models / f"evil{suffix}")
    assert canary.exists(), "the plant is a real one"


@pytest.mark.parametrize("path", ["/symbol/{}", "/symbol/BTCUSDT?interval={}", "/?q={}", "/?sort={}", "/login?next={}"])
def test_a_name_cannot_break_out_of_its_place(app: Flask, path: str) -> None:
    page = app.test_client().get(path.format(SCRIPT)).get_data(as_text=True)
    assert "<img src=x" not in page
    assert SCRIPT not in page


def test_an_error_text_is_escaped_too(app: Flask) -> None:
    page = app.test_client().get(f"/symbol/BTCUSDT?interval={SCRIPT}").get_data(as_text=True)
    assert escape("<img src=x") in page


def test_every_json_answer_is_strict(app: Flask) -> None:
    client, seen = app.test_client(), 0
    paths = [
        path
        for method, path in every_address(app)
        if method == "GET" and path.startswith(("/api/", "/health", "/ready"))
    ]
    for path in [*paths, "/api/v1/candles/NOPE", "/api/v1/candles/BTCUSDT?limit=x", "/api/v1/nothing"]:
        answer = client.get(path)
        assert answer.is_json, path
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        strict(answer.get_data(as_text=True))
        seen += 1
    assert seen >= 8


@pytest.mark.parametrize("canary", ["%0d%0aat=2020 level=ERROR forged", "%0aforged", "%1b[2Jforged", "%E2%80%A8forged"])
def test_a_line_break_in_a_request_stays_inside_its_line(tmp_path: Path, canary: str) -> None:
    logs = start_logging(level="DEBUG", folder=tmp_path / "logs", console=None)
    with whole_app(tmp_path) as app:
        access: AccessLog = app.extensions["parts"].access_log
        access.start()
        try:
            for path in (f"/symbol/{canary}", f"/api/v1/candles/{canary}", f"/?q={canary}", f"/{canary}"):
                app.test_client().get(path, headers={"User-Agent": "x", "X-Request-ID": "forged"})
        finally:
            access.close()
            logs.close()
    written = (tmp_path / "instance" / "logs" / "access.log").read_text("utf-8")
    assert len(written.splitlines()) == 4
    for line in [*written.splitlines(), *(tmp_path / "logs" / "dashboard.log").read_text("utf-8").splitlines()]:
        assert line.startswith("at=20")
        assert line.isprintable()
        assert "request=forged" not in line
