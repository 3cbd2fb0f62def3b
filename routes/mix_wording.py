"""Mix wording: of what an ensemble's forecast is made, in one sentence; and how old what went into it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models.challenge import unseen_from_ms
from models.ensemble_entry import EnsembleEntry
from models.forecast import Mix
from models.registry_entry import RegistryEntry
from routes import wording
from utils.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Making:
    """When what serves was made, and until when it has learned; of an ensemble its oldest member."""

    made_title: str
    made_ms: int | None
    trained_title: str
    trained_until_ms: int | None
    newest_seen_ms: int | None
    """End of the newest outcome that any part of it was fitted, chosen or calibrated by."""


def making_of(entry: Any) -> Making:
    """Of a registry entry, an ensemble's, or None where it is not known which it was."""
    if isinstance(entry, EnsembleEntry):
        made = min((spec.created_ms for spec in entry.specs), default=None)
        until = min((spec.train_until_ms for spec in entry.specs), default=None)
        newest = max((seen for one in entry.members if (seen := _seen_until_ms(one)) is not None), default=None)
        return Making("Oldest member made", made, "Each trained at least until", until, newest)
    spec = entry.spec if entry is not None else None
    made, until = (spec.created_ms, spec.train_until_ms) if spec is not None else (None, None)
    return Making("Model made", made, "Trained until", until, _seen_until_ms(entry) if entry is not None else None)


def _seen_until_ms(entry: RegistryEntry) -> int | None:
    try:
        return unseen_from_ms(entry)
    except InvalidInput:  # an old report does not tell what it was chosen and calibrated by
        return entry.spec.train_until_ms if entry.spec is not None else None


def seen_sentence(made: Making, at_ms: int) -> str:
    """Where the market's time, as in a replay, lies before the end of what it was fitted to; else nothing."""
    if made.newest_seen_ms is None or at_ms >= made.newest_seen_ms:
        return ""
    return (
        f"It has seen candles until {wording.utc(made.newest_seen_ms)} UTC, in its training or its bands' calibration, "
        "later than this market's time: it knows what came after, so its record here is no evidence."
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
