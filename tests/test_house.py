"""The house keeps its own rules; and each rule is tried on a planted breach, so that none can pass by being blind."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import house_rules as house

ROOT = Path(__file__).resolve().parents[1]
Check = Callable[[dict[str, ast.Module]], list[str]]
CHECKS: list[Check] = [
    house.upward_imports,
    house.forbidden_names,
    house.doors,
    house.unsafe_code,
    house.heavy_in_serving,
]

PLANTED: list[tuple[Check, str, str, str]] = [
    (house.upward_imports, "utils/x.py", "from data.candles import Candles", "imports data.candles from above"),
    (house.upward_imports, "utils/x.py", "import config", "imports config from above"),
    (house.upward_imports, "data/x.py", "def f():\n    from models import spec", "imports models from above"),
    (house.upward_imports, "models/x.py", "from routes.services import services", "from above"),
    (house.upward_imports, "startup_optimizer.py", "import app", "imports app from above"),
    (
        house.upward_imports,
        "config.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import data",
        "above",
    ),
    (house.forbidden_names, "utils/x.py", "from flask import request", "imports flask"),
    (house.forbidden_names, "data/x.py", "from config import Settings", "imports config"),
    (house.forbidden_names, "data/x.py", "import tensorflow as tf", "imports tensorflow"),
    (house.forbidden_names, "models/x.py", "import aiohttp", "imports aiohttp"),
    (house.forbidden_names, "startup_optimizer.py", "import flask", "imports flask"),
    (house.doors, "data/binance_gateway.py", "from binance import AsyncClient", "binance_library"),
    (house.doors, "routes/x.py", "import binance.client", "binance_library"),
    (house.doors, "models/x.py", "def f():\n    import onnxruntime", "onnx_library"),
    (house.doors, "routes/x.py", "from sqlalchemy import text", "SQL belongs"),
    (house.doors, "utils/x.py", "import sqlite3", "SQL belongs"),
    (house.doors, "data/x.py", "import os\nHOME = os.environ['HOME']", "os.environ"),
    (house.doors, "data/x.py", "from os import getenv", "os.getenv"),
    (house.doors, "data/x.py", "import time\nNOW = time.time()", "time.time"),
    (house.doors, "data/x.py", "from datetime import datetime\nNOW = datetime.now()", "datetime.now"),
    (house.unsafe_code, "models/x.py", "import pickle", "pickle"),
    (house.unsafe_code, "models/x.py", "import joblib\nmodel = joblib.load('m')", "joblib.load"),
    (house.unsafe_code, "models/x.py", "value = eval('1')", "eval"),
    (house.unsafe_code, "config.py", "import yaml\nvalue = yaml.load('a')", "yaml.load"),
    (house.unsafe_code, "data/x.py", "import numpy as np\nnp.load('a', allow_pickle=True)", "allow_pickle"),
    (house.unsafe_code, "app.py", "def main(app): app.run(debug=True)", "debug=True"),
    (house.unsafe_code, "data/x.py", "import subprocess\nsubprocess.run('ls', shell=True)", "shell"),
    (house.heavy_in_serving, "utils/x.py", "import pandas as pd", "imports pandas"),
    (house.heavy_in_serving, "utils/x.py", "try:\n    from scipy import stats\nexcept ImportError:\n    pass", "scipy"),
]


def files_with(path: str, source: str) -> dict[str, ast.Module]:
    """The planted file, and an application that loads it by way of a module between."""
    module = path.removesuffix(".py").replace("/", ".")
    files = {
        "app.py": ast.parse("from routes.between import something"),
        "routes/__init__.py": ast.parse(""),
        "routes/between.py": ast.parse(f"import {module}"),
    }
    return {**files, path: ast.parse(source)}


@pytest.fixture(scope="module")
def files() -> dict[str, ast.Module]:
    return house.source_files(ROOT)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_program_keeps_the_rule(check: Check, files: dict[str, ast.Module]) -> None:
    assert len(files) > 15
    assert check(files) == []


def test_every_file_of_tests_has_a_name_of_its_own() -> None:
    """Pytest takes two of the same name in two folders for one, and ends when it collects both."""
    count = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, times in count.items() if times > 1] == []


def test_the_templates_hold_no_script_and_no_style() -> None:
    assert house.inline_in_templates(ROOT) == []


@pytest.mark.parametrize(("check", "path", "source", "expected"), PLANTED)
def test_a_planted_breach_is_found(check: Check, path: str, source: str, expected: str) -> None:
    breaches = check(files_with(path, source))
    assert [breach for breach in breaches if breach.startswith(path) and expected in breach], breaches


@pytest.mark.parametrize(
    ("check", "path", "source"),
    [
        (house.upward_imports, "routes/x.py", "from utils.clock import Clock\nfrom data.candles import Candles"),
        (house.upward_imports, "startup_optimizer.py", "if __name__ == '__main__':\n    from app import create_app"),
        (house.forbidden_names, "utils/response_cache.py", "from flask import Request"),
        (house.doors, "data/binance_library.py", "def f():\n    from binance import AsyncClient"),
        (house.doors, "models/ledger_reading.py", "from sqlalchemy import text"),
        (house.doors, "config.py", "import os\nenviron = os.environ"),
        (house.doors, "utils/clock.py", "import time\nnow = time.time_ns()"),
        (house.doors, "utils/x.py", "import time\nnow = time.perf_counter()"),
        (house.heavy_in_serving, "utils/x.py", "def f():\n    import pandas"),
        (
            house.heavy_in_serving,
            "utils/x.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pandas",
        ),
    ],
)
def test_what_is_allowed_is_not_reported(check: Check, path: str, source: str) -> None:
    assert check(files_with(path, source)) == []


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<script>alert(1)</script>", "inline script"),
        ("<style>a{}</style>", "inline style sheet"),
        ('<p style="color:red">', "style attribute"),
        ('<button onclick="go()">', "event attribute"),
        ('<a href="javascript:go()">', "javascript: address"),
        ("<a href={{ url }}>", "unquoted attribute"),
        ("{{ name | safe }}", "escapes escaping"),
    ],
)
def test_a_planted_inline_piece_is_found(tmp_path: Path, html: str, expected: str) -> None:
    folder = tmp_path / "templates" / "partials"
    folder.mkdir(parents=True)
    (folder / "_planted.html").write_text(html)
    (breach,) = house.inline_in_templates(tmp_path)
    assert "templates/partials/_planted.html" in breach
    assert expected in breach


def test_ordinary_markup_is_not_reported(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "page.html").write_text(
        '<script type="module" src="{{ url }}"></script><link rel="stylesheet" href="{{ css }}">'
        '<a class="{{ kind }}">x</a>'
    )
    assert house.inline_in_templates(tmp_path) == []


def test_loading_the_application_has_no_effect_and_loads_nothing_heavy(tmp_path: Path) -> None:
    program = f"""
import json, sys, threading
sys.path.insert(0, {str(ROOT)!r})
import app
modules = sorted(name for name in sys.modules if "." not in name)
print(json.dumps({{"modules": modules, "threads": threading.active_count()}}))
"""
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=400
    )
    seen = json.loads(answer.stdout)
    assert house.HEAVY & set(seen["modules"]) == set()
    assert "binance" not in seen["modules"], (
        "the exchange client is loaded off the request path, by the gateway's thread"
    )
    assert seen["threads"] == 1
    assert list(tmp_path.iterdir()) == []
