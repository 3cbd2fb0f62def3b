"""What the tests of the ground floor share."""

from __future__ import annotations

import pytest

from utils.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()
