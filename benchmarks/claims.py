"""The eight claims: what the original document promised of each optimisation, and which measured rows answer it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Pick:
    """The rows of one benchmark whose `what` a pattern finds; where several fit, the worst stands for them."""

    benchmark: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Claim:
    """`says` in the document's words; `times` the same as (least, most) times better, for the plot."""

    number: str
    title: str
    says: str
    times: tuple[float, float] | None
    picks: tuple[Pick, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """A measured row, or None where nothing has been measured; `of` rows fitted, `met` says whether all did."""

    pick: Pick
    row: Mapping[str, Any] | None
    of: int
    met: bool | None


CLAIMS = (
    Claim(
        "1",
        "Model caching",
        "2–3 s → 50–100 ms",
        (20, 60),
        (Pick("models", r": cached model, against a cold Keras load$"), Pick("models", r": cached model$")),
    ),
    Claim(
        "2",
        "Data caching",
        "API calls and processing −60–80 %",
        (2.5, 5),
        (Pick("caching", r"^exchange calls"), Pick("caching", r"^data time")),
    ),
    Claim(
        "3",
        "Indicator caching",
        "−70–90 %",
        (3.3, 10),
        (Pick("indicators", r"seen before, against computing them with ta$"), Pick("indicators", r", against ta$")),
    ),
    Claim(
        "4",
        "Local assets",
        "page load −40–60 %",
        (1.7, 2.5),
        (Pick("browser", r"^page load with its own assets"),),
    ),
    Claim(
        "5",
        "Batch prediction",
        "+30–50 % throughput",
        (1.3, 1.5),
        (
            Pick("models", r"one batch of 32, against 32 calls of keras.predict$"),
            Pick("models", r"one batch of 32, against 32 calls of the session$"),
        ),
    ),
    Claim(
        "6",
        "Memory",
        "−20–30 %",
        (1.25, 1.43),
        (
            Pick("(memory|process)", r"(?i)^serving process, against the same with tensorflow"),
            Pick("(memory|process|soak|feed)", r"(?i)(growth|grows)"),
        ),
    ),
    Claim(
        "7",
        "Compression",
        "bytes −60–80 %",
        (2.5, 5),
        (
            Pick("bytes", r"^text answers a Chromium receives in a session, bodies alone$"),
            Pick("bytes", r"^text answers, all bytes"),
        ),
    ),
    Claim(
        "8",
        "Lean CSS and JS",
        "bundle −40–50 %, ~500 → ~200 KB",
        (1.7, 2.5),
        (
            Pick("browser", r"^first visit, against"),
            Pick("browser", r"^first visit of the heaviest page"),
            Pick("browser", r"^second visit of the heaviest page"),
        ),
    ),
)
TOTALS = (
    Claim("", "Page load", "1–2 s", None, (Pick("browser", r"^largest contentful paint"),)),
    Claim("", "API answers", "200–500 ms", None, (Pick("api", r"^p99 "),)),
    Claim("", "Memory in use", "150–200 MB", None, (Pick("memory", r"^serving process, resident"),)),
)


def answers(claim: Claim, results: Sequence[Mapping[str, Any]]) -> list[Answer]:
    """One per pick."""
    return [_answer(pick, results) for pick in claim.picks]


def _answer(pick: Pick, results: Sequence[Mapping[str, Any]]) -> Answer:
    fitting = [
        row
        for one in results
        if re.fullmatch(pick.benchmark, one["name"])
        for row in one["rows"]
        if re.search(pick.pattern, row["what"])
    ]
    if not fitting:
        return Answer(pick, None, 0, None)
    judged = [row["met"] for row in fitting if row["met"] is not None]
    return Answer(pick, _worst(fitting), len(fitting), all(judged) if judged else None)


def _worst(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The least ratio, or where less is better the most."""
    less_is_better = rows[0]["target"].startswith("<=")
    return (max if less_is_better else min)(rows, key=lambda row: float(row["ratio"]))
