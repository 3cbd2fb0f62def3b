"""Wording: numbers into text with their units, and forecasts, scores and ages into sentences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from data.interval import Interval
from models.ledger_scores import interval_95
from routes.services import SkillFace
from utils.phrases import counted

Floats = NDArray[np.float64]
Trend = Literal["rise", "fall", "flat"]
Verdict = Literal["better", "worse", "even", "unknown"]

SHAPES: dict[Trend, str] = {"rise": "▲", "fall": "▼", "flat": "◆"}
MIN_SCORED = 100
"""Fewer scored forecasts than this say too little about a model."""
NOTHING = "–"

_LEAN_FRACTION = 0.1
"""A median nearer to no change than this part of the 50 % band's width is no lean."""
_STRONG_FRACTION = 0.35
_TICKS_SEEN = 200
_FLAT_FRACTION = 0.00005
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400
_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def sentence(words: str) -> str:
    """The same words beginning with a capital; what has none stays as it is."""
    return words[:1].upper() + words[1:]


def finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def price_decimals(closes: Floats) -> int:
    """As many as the market itself uses, read off its last closes: 2 at least, 8 at most."""
    seen = closes[-_TICKS_SEEN:]
    seen = seen[np.isfinite(seen)]
    for decimals in range(2, 8):
        scaled = seen * 10**decimals
        if np.all(np.abs(scaled - np.round(scaled)) < 1e-6 * np.maximum(1.0, np.abs(scaled) * 1e-6)):
            return decimals
    return 8


def price(value: float | None, decimals: int) -> str:
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value:,.{decimals}f}".replace("-", "−")


def percent(fraction: float | None, decimals: int = 2, *, signed: bool = False) -> str:
    """0.0123 → `1.23 %`; with `signed`, `+1.23 %`."""
    if fraction is None or not math.isfinite(fraction):
        return NOTHING
    number = f"{fraction * 100:+.{decimals}f}" if signed else f"{fraction * 100:.{decimals}f}"
    if not float(number):
        number = number.lstrip("+-")  # a zero leans nowhere
    return f"{number} %".replace("-", "−")


def compact(value: float | None) -> str:
    """21789844 → `21.8 M`."""
    if value is None or not math.isfinite(value):
        return NOTHING
    for size, unit in _UNITS:
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}" if abs(value) < 999 * size else f"{value / size:,.0f} {unit}"
    return f"{value:.3g}"


def size(value_bytes: float | None) -> str:
    if value_bytes is None:
        return NOTHING
    for unit_bytes, unit in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if value_bytes >= unit_bytes:
            return f"{value_bytes / unit_bytes:.1f} {unit}"
    return f"{value_bytes:.0f} B"


def milliseconds(value_ms: float | None) -> str:
    """Three figures and a unit: `0.412 ms`, `1.20 s`."""
    if value_ms is None:
        return NOTHING
    if value_ms >= 1_000:
        return f"{value_ms / 1_000:.2f} s"
    if value_ms >= 100:
        return f"{value_ms:.0f} ms"
    return f"{value_ms:.2f} ms" if value_ms >= 1 else f"{value_ms:.3f} ms"


def trend(fraction: float | None) -> Trend:
    if fraction is None or not math.isfinite(fraction) or abs(fraction) < _FLAT_FRACTION:
        return "flat"
    return "rise" if fraction > 0 else "fall"


def duration(seconds: float) -> str:
    """`12 s`, `3 min`, `2 h`, `5 d`: the largest unit, rounded down."""
    if seconds < _MINUTE_S:
        return f"{max(0, int(seconds))} s"
    if seconds < _HOUR_S:
        return f"{int(seconds // _MINUTE_S)} min"
    if seconds < 2 * _DAY_S:
        return f"{int(seconds // _HOUR_S)} h"
    return f"{int(seconds // _DAY_S)} d"


def age(seconds: float | None) -> str:
    """Coarse on purpose: the exact moment stands beside it, and a page is not rendered anew each second."""
    if seconds is None:
        return "never"
    if seconds < -_MINUTE_S:
        return "later than this market's time"  # of a replay, whose clock is behind the one that a file was made by
    return "just now" if seconds < _MINUTE_S else f"{duration(seconds)} ago"


def utc(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def utc_second(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%H:%M:%S")


def iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def candles_ahead(interval: Interval, count: int) -> str:
    """`24 hours`, `6 hours`, `1 hour`: how long that many candles last."""
    minutes = interval.ms * count / 60_000
    for length, name in ((1_440, "day"), (60, "hour"), (1, "minute")):
        amount = minutes / length
        if amount >= 1 and (amount == int(amount)) and not (name == "day" and amount < 2):
            return counted(int(amount), name)
    return f"{int(minutes * 60)} seconds"


@dataclass(frozen=True, slots=True)
class Outlook:
    """A forecast at one horizon in words. Fractions are moves from the last close."""

    trend: Trend
    shape: str
    lean: str
    median: str
    band: str
    low: str
    high: str


def outlook(median: float, q25: float, q75: float, q05: float, q95: float) -> Outlook:
    """Moves as fractions of the last close. Leaning is said relative to the width of the 50 % band."""
    width = q75 - q25
    relative = median / width if width > 0 else 0.0
    direction: Trend = "flat" if abs(relative) < _LEAN_FRACTION else "rise" if median > 0 else "fall"
    strength = "leans" if abs(relative) >= _STRONG_FRACTION else "leans slightly"
    lean = "no lean" if direction == "flat" else f"{strength} {'up' if direction == 'rise' else 'down'}"
    return Outlook(
        trend=direction,
        shape=SHAPES[direction],
        lean=lean,
        median=percent(median, signed=True),
        band=f"{percent(q05, 1, signed=True)} to {percent(q95, 1, signed=True)}",
        low=percent(q25, signed=True),
        high=percent(q75, signed=True),
    )


def evidence(skill: SkillFace, ahead: str) -> str:
    """What the scored forecasts over `ahead` (such as `6 h`) show of the model, with their number and uncertainty."""
    if skill.count < MIN_SCORED:
        return f"too few to say: {skill.count} of {MIN_SCORED} scored {ahead} forecasts"
    fraction = skill.skill_fraction
    if fraction is None or not math.isfinite(fraction):
        return f"no score from {skill.count:,} scored {ahead} forecasts"
    bounds = interval_95(fraction, skill.skill_standard_error, skill.blocks)
    if bounds is None:
        days = "one stretch" if skill.blocks == 1 else f"{skill.blocks} stretches"
        return f"too few to say: {skill.count:,} scored {ahead} forecasts, but all from {days} of 24 candles or a day"
    told = f"over {skill.count:,} scored {ahead} forecasts this model"
    word = "lower" if fraction > 0 else "higher"
    size = percent(abs(fraction), 1)
    low, high = bounds
    if low <= 0 <= high:
        between = f"{percent(low, 1, signed=True)} to {percent(high, 1, signed=True)}"
        own = percent(fraction, 1, signed=True)
        return f"{told} is not better than “no change”: its skill is {own} (95 % interval {between})"
    near, far = sorted((abs(low), abs(high)))
    return f"{told}’s loss is {size} {word} than “no change” (95 % interval {near * 100:.1f}–{far * 100:.1f} %)"


def verdict_on(skill: SkillFace) -> Verdict:
    """`better` or `worse` where the 95 % interval says so, else `even`, or `unknown` where too little was scored."""
    if skill.count < MIN_SCORED:
        return "unknown"
    bounds = interval_95(skill.skill_fraction, skill.skill_standard_error, skill.blocks)
    if bounds is None:
        return "unknown"
    return "better" if bounds[0] > 0 else "worse" if bounds[1] < 0 else "even"


def round_trip(fee_bps: float, spread_bps: float) -> float:
    """What buying and selling again costs, as a fraction: each trade pays the fee and half the spread."""
    return 2 * (fee_bps + spread_bps) / 10_000


def cost_verdict(move: float, cost: float, *, believed: bool) -> str:
    """The expected move held against the cost of a round trip; both fractions."""
    expected = f"{percent(move, signed=True)} expected"
    if abs(move) <= cost:
        return f"{expected} < {percent(cost)} round trip: not tradable"
    doubt = "" if believed else ", but nothing shows yet that the model can be believed"
    return f"{expected} > {percent(cost)} round trip: more than the cost{doubt}"


def ahead(interval: Interval, count: int) -> str:
    """`6 h`, `15 min`, `3 d`: how long that many candles last."""
    return duration(interval.ms * count / 1000)


def coverage_sentence(skill: SkillFace | None) -> str:
    """Realised beside nominal coverage."""
    if skill is None or skill.count == 0 or not finite(skill.coverage_90) or not finite(skill.coverage_50):
        return "No forecast has met its outcome yet, so nothing is known of the bands' coverage."
    held = (
        f"The 90 % band held {percent(skill.coverage_90, 0)} of outcomes, the 50 % band {percent(skill.coverage_50, 0)}"
    )
    return f"{held} ({skill.count:,} scored)."


SKILL_NOT_KNOWN = ("not known", "the database does not answer")
"""What stands in the place of a `skill_cell` while the ledger cannot be asked, and was not asked before."""


def skill_cell(skill: SkillFace) -> tuple[str, str]:
    """The same in two short lines for a table: the statement, and what it rests on."""
    if skill.count < MIN_SCORED:
        return "too few to say", f"{skill.count} of {MIN_SCORED} scored"
    fraction = skill.skill_fraction
    if fraction is None or not math.isfinite(fraction):
        return NOTHING, f"{skill.count:,} scored"
    word = "better" if fraction > 0 else "worse"
    return f"{percent(abs(fraction), 1)} {word}", f"{skill.count:,} scored"
