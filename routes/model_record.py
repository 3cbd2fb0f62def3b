"""Model record: what a model's own report says of candles it had not seen, for where the ledger is still short."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from routes import wording


def has_twin(report: Mapping[str, Any]) -> bool:
    """Whether the scores are those of a twin that had learned from less."""
    data = report.get("data")
    return isinstance(data, Mapping) and "twin" in data


def original_of(report: Mapping[str, Any]) -> str:
    """The model of which this is the int8 twin, and whose scores its report tells; empty of any other."""
    judged = report.get("quantized")
    return str(judged.get("of", "")) if isinstance(judged, Mapping) else ""


def never_saw(report: Mapping[str, Any]) -> str:
    """Who never saw the candles that the report's scores were made on."""
    if of := original_of(report):
        return f"{of}, its original in single precision, never saw"
    return "its twin never saw" if has_twin(report) else "it never saw"


def record_sentence(report: Mapping[str, Any] | None, horizon: int, ahead: str) -> str:
    """Skill with twice its standard error, and coverage, at this horizon; nothing where the report has no such score.

    `ahead` is the horizon in words, such as `6 h`.
    """
    found = [score for score in _scores(report) if score.get("horizon") == horizon]
    skill, error = (_number(found, name) for name in ("skill_fraction", "skill_standard_error"))
    count, outer, inner = (_number(found, name) for name in ("count", "coverage_90", "coverage_50"))
    if skill is None or error is None or not count or outer is None or inner is None:
        return ""
    return (
        f"In its test on candles {never_saw(report or {})}: skill {wording.percent(skill, 1, signed=True)} ± "
        f"{wording.percent(2 * error, 1)} against “no change” over {int(count):,} forecasts {ahead} ahead; the "
        f"90 % band held {wording.percent(outer, 1)}, the 50 % band {wording.percent(inner, 1)}."
    )


def _scores(report: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    scores = (report or {}).get("test")
    return [score for score in scores if isinstance(score, Mapping)] if isinstance(scores, list) else []


def _number(found: list[Mapping[str, Any]], name: str) -> float | None:
    value = found[0].get(name) if found else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
