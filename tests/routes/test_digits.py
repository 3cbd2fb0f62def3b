"""Digits: how computed numbers are rounded, and how short their text becomes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from routes.digits import computed, significant, significant_or_none
from routes.strict_json import dumps


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1 / 3, "0.33333333"),
        (-65_012.123_456_789, "-65012.123"),
        (2 / 3 * 1e-9, "6.6666667e-10"),
        (98_765_432_109.123, "98765432109.0"),
        (0.1 + 0.2, "0.3"),
        (0.0, "0.0"),
        (float("nan"), "null"),
        (float("inf"), "null"),
    ],
)
def test_eight_digits_are_kept_and_every_whole_one(value: float, text: str) -> None:
    assert dumps(significant([value])).decode() == f"[{text}]"


def test_the_error_is_below_half_a_unit_of_the_eighth_digit_and_the_shape_stays() -> None:
    values = np.random.default_rng(3).normal(size=(40, 250)) * 10.0 ** np.arange(-12, 28)[:, None]
    rounded = significant(values)
    assert rounded.shape == values.shape
    assert np.max(np.abs(rounded / values - 1)) <= 5.0001e-8
    assert max(len(f"{value:.17g}") for value in significant(np.arange(1, 9) / 8).tolist()) <= 5


def test_what_is_not_known_stays_so() -> None:
    assert significant_or_none(None) is None
    assert significant_or_none(1 / 3) == 0.33333333
    values = np.random.default_rng(1).lognormal(0, 8, 1000)
    assert [significant_or_none(value) for value in values.tolist()] == significant(values).tolist()
    assert math.isnan(significant_or_none(math.nan) or 0.0)


def test_every_float_is_rounded_however_deep() -> None:
    told = {"shares": [1 / 3, None, 7], "text": "1.23456789012", "far": False, "inner": ({"loss": 2 / 3},)}
    assert computed(told) == {
        "shares": [0.33333333, None, 7],
        "text": "1.23456789012",
        "far": False,
        "inner": [{"loss": 0.66666667}],
    }
