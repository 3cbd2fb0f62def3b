"""Compression: whole again whatever it is of, and quick where looking longer finds nothing."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import orjson
import pytest

from utils.content_encoding import PREFERENCE, compress, decompress, is_numbers

ROWS = np.random.default_rng(3).normal(110_000.0, 900.0, (400, 6)).round(2).tolist()
STYLES = (Path(__file__).resolve().parents[2] / "static" / "css" / "styles.css").read_bytes()


def table() -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([["open_time_ms", "open", "high", "low", "close", "volume"], *ROWS])
    return text.getvalue().encode()


@pytest.mark.parametrize("encoding", PREFERENCE)
@pytest.mark.parametrize("body", [orjson.dumps({"rows": ROWS}), table(), STYLES, b"x" * 600])
def test_what_was_packed_is_whole_again_and_the_same_each_time(body: bytes, encoding: str) -> None:
    packed = compress(body, encoding)
    assert packed == compress(body, encoding)
    assert len(packed) < 0.6 * len(body)
    assert decompress(packed, encoding, len(body)) == body


def test_tables_of_numbers_are_told_from_text() -> None:
    assert is_numbers(orjson.dumps({"symbol": "BTCUSDT", "rows": ROWS}))
    assert is_numbers(table())
    assert not is_numbers(STYLES)
    assert not is_numbers(b'<path d="M0 10.5L1 11.2"/><td class="num">110,264.35</td>' * 40)
    assert not is_numbers(b"")
