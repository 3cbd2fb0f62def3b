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
    skill_standard_error: float | None = 0.006
    blocks: int = 200


@pytest.mark.parametrize(
    ("closes", "decimals"),
    [([107_146.5, 107_100.01], 2), ([0.5787, 0.5], 4), ([0.16936], 5), ([100.0, 200.0], 2), ([1e-7], 7), ([], 2)],
)
def test_prices_have_the_decimals_of_their_market(closes: list[float], decimals: int) -> None:
    assert wording.price_decimals(np.array(closes)) == decimals


def test_numbers_carry_units_and_true_minus_signs() -> None:
    assert wording.percent(-0.01234, signed=True) == "−1.23 %"
    assert wording.percent(0.5, 0) == "50 %"
    assert wording.percent(-0.000001) == wording.percent(0.000001, signed=True) == "0.00 %"
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
    [
        (None, "never"),
        (0, "just now"),
        (59, "just now"),
        (61, "1 min ago"),
        (7200, "2 h ago"),
        (3 * 86_400, "3 d ago"),
        (-30, "just now"),
        (-7200, "later than this market's time"),
    ],
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
    assert wording.evidence(Scored(23, 0.5), "6 h") == "too few to say: 23 of 100 scored 6 h forecasts"
    assert wording.evidence(Scored(412, 0.021), "6 h") == (
        "over 412 scored 6 h forecasts this model’s loss is 2.1 % lower than “no change” (95 % interval 0.9–3.3 %)"
    )
    assert wording.evidence(Scored(1412, -0.02), "24 h") == (
        "over 1,412 scored 24 h forecasts this model’s loss is 2.0 % higher than “no change” (95 % interval 0.8–3.2 %)"
    )
    assert wording.evidence(Scored(412, 0.01), "6 h") == (
        "over 412 scored 6 h forecasts this model is not better than “no change”: "
        "its skill is +1.0 % (95 % interval −0.2 % to +2.2 %)"
    )
    assert wording.evidence(Scored(412, None), "1 h") == "no score from 412 scored 1 h forecasts"
    one_day = wording.evidence(Scored(412, 0.3, skill_standard_error=None, blocks=1), "1 h")
    assert one_day == "too few to say: 412 scored 1 h forecasts, but all from one stretch of 24 candles or a day"
    assert wording.skill_cell(Scored(412, -0.018)) == ("1.8 % worse", "412 scored")
    assert wording.skill_cell(Scored(3, None)) == ("too few to say", "3 of 100 scored")


@pytest.mark.parametrize(
    ("scored", "verdict"),
    [
        (Scored(99, 0.5), "unknown"),
        (Scored(412, 0.5, blocks=2), "unknown"),
        (Scored(412, 0.02), "better"),
        (Scored(412, -0.02), "worse"),
        (Scored(412, 0.01), "even"),
    ],
)
def test_a_verdict_needs_an_interval(scored: Scored, verdict: str) -> None:
    assert wording.verdict_on(scored) == verdict


def test_an_expected_move_is_held_against_its_cost() -> None:
    cost = wording.round_trip(fee_bps=10, spread_bps=2)
    assert cost == pytest.approx(0.0024)
    assert wording.cost_verdict(0.0005, cost, believed=True) == "+0.05 % expected < 0.24 % round trip: not tradable"
    assert wording.cost_verdict(-0.0005, cost, believed=True) == "−0.05 % expected < 0.24 % round trip: not tradable"
    assert (
        wording.cost_verdict(-0.004, cost, believed=True) == "−0.40 % expected > 0.24 % round trip: more than the cost"
    )
    assert wording.cost_verdict(0.004, cost, believed=False).endswith(
        "but nothing shows yet that the model can be believed"
    )


def test_horizons_in_short() -> None:
    assert [wording.ahead(Interval.H1, count) for count in (1, 6, 24)] == ["1 h", "6 h", "24 h"]
    assert wording.ahead(Interval.M15, 3) == "45 min"


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


def test_a_sentence_begins_with_a_capital() -> None:
    words = ("too few", "", "90 % of", "über")
    assert [wording.sentence(one) for one in words] == ["Too few", "", "90 % of", "Über"]
