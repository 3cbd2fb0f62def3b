"""Loopback: this machine under all its names, and nothing that only looks like it."""

from __future__ import annotations

import pytest

from utils.loopback import is_loopback


@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost", "127.0.0.1", "127.8.9.1", "::1", "[::1]", "::ffff:127.0.0.1"]
)
def test_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "0.0.0.0", "::", "10.0.0.1", "::ffff:10.0.0.1", "localhost.example", "127.0.0.1.example", "127.1"]
)
def test_anything_else(host: str) -> None:
    assert not is_loopback(host)
