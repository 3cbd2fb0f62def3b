"""Static files: addresses that name their content, compressed copies, kept for ever; pages do without vendor files."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import brotli
import pytest
from flask import Flask
from flask.testing import FlaskClient

from routes.assets import EXTENSION, Assets
from tests.support.browser import Replay, replayed_app
from tests.support.pages import client, replay

__all__ = ["client", "replay"]

ROOT = Path(__file__).resolve().parents[2]
HEAVIEST_BYTES = 130 * 1024
JOINED_VENDOR = {"bootstrap-reboot.css"}
"""In the one stylesheet of all pages, not by its own address."""


def linked(html: str) -> list[str]:
    return re.findall(r'(?:src|href)="(/assets/[^"]+)"', html)


@pytest.mark.parametrize("encoding", ["br", "gzip", "identity"])
def test_own_files_come_compressed_and_for_ever(client: FlaskClient, encoding: str) -> None:
    address = next(one for one in linked(client.get("/").text) if one.endswith("scripts.js"))
    answer = client.get(address, headers={"Accept-Encoding": encoding})
    unpack = {"br": brotli.decompress, "gzip": gzip.decompress, "identity": bytes}[encoding]
    assert unpack(answer.data) == (ROOT / "static/js/scripts.js").read_bytes()
    assert answer.headers.get("Content-Encoding", "identity") == encoding
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert "Accept-Encoding" in answer.headers["Vary"]
    assert (
        client.get(address, headers={"If-None-Match": answer.headers["ETag"], "Accept-Encoding": encoding}).status_code
        == 304
    )


def test_one_answer_holds_what_every_page_waits_for(client: FlaskClient) -> None:
    assets: Assets = client.application.extensions[EXTENSION]
    waited_for = re.findall(r'<link rel="stylesheet" href="([^"]+)"', client.get("/").text)
    assert len(waited_for) == 1, "each further answer is one more to wait for before the first picture"
    reboot = (ROOT / "static/vendor" / assets.vendor["bootstrap-reboot.css"].file).read_text()
    assert client.get(waited_for[0]).text == f"{reboot}\n{(ROOT / 'static/css/styles.css').read_text()}"


def test_only_one_small_script_is_fetched_before_the_first_picture(client: FlaskClient) -> None:
    for address in ("/", "/symbol/BTCUSDT", "/performance", "/models/train"):
        at_once, later = re.split(r'<template id="later">', client.get(address).text.partition("<body>")[0])
        assert re.findall(r"(?:<script|modulepreload)[^>]*/js/(\w+)\.js", at_once) == ["scripts"], address
        assert "<script" in later, address


def test_any_change_renews_the_addresses(tmp_path: Path) -> None:
    (tmp_path / "css").mkdir()
    (tmp_path / "css" / "a.css").write_text("a{}")
    before = Assets(tmp_path).digest
    (tmp_path / "css" / "a.css").write_text("b{}")
    assert Assets(tmp_path).digest != before


def test_an_old_address_gets_the_file_of_today_but_not_for_ever(client: FlaskClient) -> None:
    answer = client.get("/assets/own/000000000000/css/styles.css")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    "name",
    [
        "own/x/../../app.py",
        "own/x/css/%2e%2e/%2e%2e/app.py",
        "own/x//etc/passwd",
        "own/x/css/none.css",
        "vendor/manifest.json",
        "vendor/..%2f..%2fapp.py",
        "vendor/%00",
        "vendor/licenses",
    ],
)
def test_nothing_else_can_be_fetched(client: FlaskClient, name: str) -> None:
    answer = client.get(f"/assets/{name}")
    assert answer.status_code in (404, 308)
    assert b"create_app" not in answer.data


def test_vendor_files_are_those_that_were_pinned(client: FlaskClient) -> None:
    manifest = json.loads((ROOT / "static/vendor/manifest.json").read_text())
    html = "".join(client.get(path).text for path in ("/", "/symbol/BTCUSDT", "/performance", "/alerts"))
    for name, entry in manifest.items():
        body = client.get(f"/assets/vendor/{entry['file']}", headers={"Accept-Encoding": "identity"}).data
        assert entry["integrity"] == "sha256-" + b64encode(hashlib.sha256(body).digest()).decode()
        assert entry["file"] in html or name in JOINED_VENDOR, "what no page uses need not be fetched"
        packed = client.get(f"/assets/vendor/{entry['file']}", headers={"Accept-Encoding": "gzip, br, zstd"})
        assert packed.headers["Content-Encoding"] == "br"
        assert brotli.decompress(packed.data) == body


def test_pages_are_whole_without_vendor_files(replay: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    app: Flask = replay.app
    monkeypatch.setattr(app.extensions[EXTENSION], "vendor", {})
    replay.app.extensions["services"].pages.clear()
    for address in ("/", "/symbol/BTCUSDT", "/performance"):
        answer = app.test_client().get(address)
        assert answer.status_code == 200
        assert [one for one in linked(answer.text) if "/vendor/" in one] == []
    replay.app.extensions["services"].pages.clear()


def test_the_heaviest_page_stays_light(client: FlaskClient) -> None:
    headers = {"Accept-Encoding": "br"}
    html = client.get("/symbol/BTCUSDT", headers=headers)
    addresses = set(linked(brotli.decompress(html.data).decode()))
    own = {one.split("/js/")[0] for one in addresses if "/js/" in one}
    modules = {f"{root}/js/{path.name}" for root in own for path in (ROOT / "static/js").glob("*.js")}
    bodies = [client.get(one, headers=headers).data for one in sorted(addresses | modules)]
    chart = client.get("/symbol/BTCUSDT/chart.json", headers=headers).data
    total = len(html.data) + len(chart) + sum(map(len, bodies))
    assert total <= HEAVIEST_BYTES, f"{total} bytes"


def test_every_file_that_a_module_imports_is_among_those_that_are_checked() -> None:
    assets = Assets(ROOT / "static")
    assert set(assets.imports("js/symbol.js")) == {
        "js/scripts.js",
        "js/live.js",
        "js/chart.js",
        "js/fan.js",
        "js/local_axis.js",
        "js/span.js",
    }
    digest = hashlib.sha384((ROOT / "static/js/fan.js").read_bytes()).digest()
    assert assets.integrity("js/fan.js") == "sha384-" + b64encode(digest).decode()


def test_no_script_takes_an_answer_from_a_stale_copy() -> None:
    """Chromium keeps pages as dictionaries by `stale-while-revalidate`: else they are given old."""
    asked = [
        call
        for path in (ROOT / "static/js").glob("*.js")
        for call in re.findall(r"\bfetch\(.*", path.read_text("utf-8"))
    ]
    assert len(asked) >= 4
    assert [call for call in asked if 'cache: "no-cache"' not in call] == []


def test_pages_name_their_own_files_while_the_host_of_the_assets_is_down(tmp_path: Path) -> None:
    far = "http://127.0.0.1:9"
    with replayed_app(tmp_path, ("BTCUSDT",), asset_base_url=far) as replay:
        host, client = replay.app.extensions["parts"].asset_host, replay.app.test_client()
        there = client.get("/")
        assert f'href="{far}/own/' in there.text
        assert "integrity=" in there.text
        assert host.look()
        here = client.get("/", headers={"If-None-Match": there.headers["ETag"]})
        assert (here.status_code, far in here.text) == (200, False)
        assert all(client.get(address).status_code == 200 for address in linked(here.text))
        assert here.headers["Content-Security-Policy"] == there.headers["Content-Security-Policy"]
        assert client.get(linked(here.text)[0]).headers["Access-Control-Allow-Origin"] == "*"
        assert "pages take them from here" in client.get("/performance").text
        assert "dashboard_asset_host_up 0.0" in client.get("/metrics").text
        host._fetch = lambda *_: (replay.app.extensions[EXTENSION].own("css/page.css", "identity"), "*")
        assert [host.look(), host.look()] == ["", ""]
        assert f'href="{far}/own/' in client.get("/").text
        assert f"{far} gives them" in client.get("/performance").text


def test_the_export_runs_as_a_command_without_a_warning(tmp_path: Path) -> None:
    """runpy warns of a module that its own package has imported already."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "routes.assets", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("files and their compressed copies written\n")
    assert list(tmp_path.glob("own/*/css/page.css.br"))
