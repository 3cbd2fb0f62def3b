"""Wording: units, signs and sentences, at their edges."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

from data.indicator_catalogue import NAMES
from data.interval import Interval
from routes import wording
from routes.chart_choices import choices


@dataclass(frozen=True)
class Scored:
    count: int
    skill_fraction: float | None
    coverage_50: float | None = 0.47
    coverage_90: float | None = 0.88


@pytest.mark.parametrize(
    ("closes", "decimals"),
    [([107_146.5, 107_100.01], 2), ([0.5787, 0.5], 4), ([0.16936], 5), ([100.0, 200.0], 2), ([1e-7], 7), ([], 2)],
)
def test_prices_have_the_decimals_of_their_market(closes: list[float], decimals: int) -> None:
    assert wording.price_decimals(np.array(closes)) == decimals


def test_numbers_carry_units_and_true_minus_signs() -> None:
    assert wording.percent(-0.01234, signed=True) == "−1.23 %"
    assert wording.percent(0.5, 0) == "50 %"
    assert wording.percent(math.nan) == wording.percent(None) == "–"
    assert wording.price(107_146.5, 2) == "107,146.50"
    assert wording.compact(21_789_844) == "21.8 M"
    assert wording.compact(-13_300) == "-13.3 k"
    assert wording.size(1536) == "1.5 KiB"
    assert wording.milliseconds(0.4123) == "0.412 ms"
    assert wording.milliseconds(1500) == "1.50 s"
    assert wording.milliseconds(None) == "–"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "never"), (0, "just now"), (59, "just now"), (61, "1 min ago"), (7200, "2 h ago"), (3 * 86_400, "3 d ago")],
)
def test_ages(seconds: float | None, text: str) -> None:
    assert wording.age(seconds) == text


@pytest.mark.parametrize(
    ("interval", "count", "text"),
    [
        (Interval.H1, 24, "24 hours"),
        (Interval.H1, 48, "2 days"),
        (Interval.M15, 24, "6 hours"),
        (Interval.M1, 1, "1 minute"),
        (Interval.H1, 1, "1 hour"),
        (Interval.M15, 1, "15 minutes"),
        (Interval.S1, 24, "24 seconds"),
        (Interval.D1, 24, "24 days"),
    ],
)
def test_how_far_ahead(interval: Interval, count: int, text: str) -> None:
    assert wording.candles_ahead(interval, count) == text


def test_a_lean_is_said_relative_to_the_uncertainty() -> None:
    assert wording.outlook(0.0005, -0.01, 0.01, -0.03, 0.03).lean == "no lean"
    assert wording.outlook(0.004, -0.01, 0.01, -0.03, 0.03).lean == "leans slightly up"
    down = wording.outlook(-0.01, -0.015, 0.005, -0.03, 0.03)
    assert (down.lean, down.shape, down.median) == ("leans down", "▼", "−1.00 %")
    assert down.band == "−3.0 % to +3.0 %"


def test_scores_say_too_few_before_they_say_anything() -> None:
    assert wording.skill_sentence(Scored(23, 0.5)) == "too few to say: 23 of 100 scored"
    assert wording.skill_sentence(Scored(412, -0.018)) == "1.8 % worse than no change over 412 scored forecasts"
    assert wording.skill_sentence(Scored(1412, 0.021)) == "2.1 % better than no change over 1,412 scored forecasts"
    assert wording.skill_sentence(Scored(412, 0.0001)) == "as good as no change over 412 scored forecasts"
    assert wording.skill_sentence(Scored(412, None)) == "no score from 412 forecasts"
    assert wording.skill_cell(Scored(412, -0.018)) == ("1.8 % worse", "412 scored")
    assert wording.skill_cell(Scored(3, None)) == ("too few to say", "3 of 100 scored")


def test_realised_coverage_stands_beside_nominal() -> None:
    assert wording.coverage_sentence(Scored(412, 0.0)) == (
        "The 90 % band held 88 % of outcomes, the 50 % band 47 % (412 scored)."
    )
    assert "nothing is known" in wording.coverage_sentence(Scored(0, None, None, None))


def test_every_indicator_is_in_exactly_one_choice() -> None:
    columns = [name for choice in choices() for name in choice.columns]
    assert sorted(columns) == sorted(NAMES)
    assert len({choice.id for choice in choices()}) == len(choices())
    assert len({choice.title for choice in choices()}) == len(choices())
