"""Where the real candles and recorded answers lie; a user who has only the repository skips those tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_SHARED = Path(__file__).resolve().parents[3] / "shared"


def klines_dir() -> Path:
    """The folder of real Parquet candles, or a skip that says why (a failure where REQUIRE_SHARED=1)."""
    return _folder("klines")


def recorded_dir() -> Path:
    """The folder of recorded exchange answers, or a skip that says why (a failure where REQUIRE_SHARED=1)."""
    return _folder("recorded")


def _folder(name: str) -> Path:
    folder = _SHARED / name
    if folder.is_dir():
        return folder
    message = f"the shared folder {name!r} is not beside the repository"
    if os.environ.get("REQUIRE_SHARED") == "1":
        pytest.fail(message)
    pytest.skip(message)
