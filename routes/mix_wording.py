"""Mix wording: of what an ensemble's forecast is made, in one sentence; and how old what went into it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models.ensemble_entry import EnsembleEntry
from models.forecast import Mix
from routes import wording


@dataclass(frozen=True, slots=True)
class Making:
    """When what serves was made, and until when it has learned; of an ensemble its oldest member."""

    made_title: str
    made_ms: int | None
    trained_title: str
    trained_until_ms: int | None
    newest_seen_ms: int | None
    """End of the newest outcome that any part of it was fitted to."""


def making_of(entry: Any) -> Making:
    """Of a registry entry, an ensemble's, or None where it is not known which it was."""
    if isinstance(entry, EnsembleEntry):
        made = min((spec.created_ms for spec in entry.specs), default=None)
        until = min((spec.train_until_ms for spec in entry.specs), default=None)
        newest = max((spec.train_until_ms for spec in entry.specs), default=None)
        return Making("Oldest member made", made, "Each trained at least until", until, newest)
    spec = entry.spec if entry is not None else None
    made, until = (spec.created_ms, spec.train_until_ms) if spec is not None else (None, None)
    return Making("Model made", made, "Trained until", until, until)


def seen_sentence(made: Making, at_ms: int) -> str:
    """Where the market's time, as in a replay, lies before the end of what it was fitted to; else nothing."""
    if made.newest_seen_ms is None or at_ms >= made.newest_seen_ms:
        return ""
    return (
        f"It was trained on candles until {wording.utc(made.newest_seen_ms)} UTC, later than this market's time: it "
        "knows what came after, so its record here is no evidence."
    )


def mix_sentence(mix: Mix) -> str:
    """Members with their weights, which weights these are and since when, and that there is no test of it."""
    shares = sorted(mix.weights, key=lambda one: (-one[1], one[0]))
    told = ", ".join(f"{name} {wording.percent(weight, 1)}" for name, weight in shares)
    since = f" of {wording.utc(mix.weighed_ms)} UTC" if mix.weighed_ms else ""
    return (
        f"An ensemble: {told}, by the weights{since} (version {mix.version}). It has no test of its own: what it "
        "forecast here before its outcome, by whatever weights, is all the evidence."
    )


def left_out_sentence(mix: Mix | None) -> str:
    """Nothing where every member spoke."""
    if mix is None or not mix.left_out:
        return ""
    names = ", ".join(mix.left_out)
    return f"Made without {names}: no forecast came from there, so the other members weigh more."
