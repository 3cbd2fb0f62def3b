"""The sentence of a model's own test: said whole or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from routes.model_record import record_sentence

SCORE = {
    "horizon": 6,
    "count": 43_380,
    "skill_fraction": 0.0218,
    "skill_standard_error": 0.0038,
    "coverage_90": 0.898,
    "coverage_50": 0.458,
}


def test_it_says_skill_with_two_standard_errors_and_both_bands() -> None:
    said = record_sentence({"test": [SCORE]}, 6, "6 h")
    assert said == (
        "In its test on candles it never saw: skill +2.2 % ± 0.8 % against “no change” over 43,380 forecasts 6 h "
        "ahead; the 90 % band held 89.8 %, the 50 % band 45.8 %."
    )


def test_scores_of_a_twin_are_told_as_such() -> None:
    assert "candles its twin never saw" in record_sentence({"test": [SCORE], "data": {"twin": "…"}}, 6, "6 h")


def test_scores_of_an_int8_twin_are_its_originals() -> None:
    report = {"test": [SCORE], "quantized": {"of": "gru-1h"}, "data": {"twin": "…"}}
    assert "candles gru-1h, its original in single precision, never saw: skill" in record_sentence(report, 6, "6 h")


@pytest.mark.parametrize(
    "report", [None, {}, {"test": None}, {"test": ["6"]}, {"test": [SCORE | {"skill_fraction": None}]}]
)
def test_without_a_score_of_that_horizon_nothing_is_said(report: dict[str, Any] | None) -> None:
    assert record_sentence(report, 6, "6 h") == ""
    assert record_sentence({"test": [SCORE]}, 24, "24 h") == ""
