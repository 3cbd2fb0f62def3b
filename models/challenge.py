"""Challenge: a new model against the one in use, on the newest candles that neither was fitted or chosen on.

Rule: the challenger wins if its pinball loss is lower beyond doubt, that is if the whole 95 % block-bootstrap interval
of its skill over the champion lies above zero and the two-sided p of Diebold and Mariano is below SURE_P, as a walk
forward asks for, on at least MIN_BLOCKS blocks of days. Anything else keeps the champion: a model in use is not
exchanged for one that may be no better.

Losses are of log returns in units of sigma·√h, the mean over the horizons both know of JUDGED, so that each forecast
counts alike; all markets of one moment are one observation (models.significance).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.candles import Candles
from models.evaluation import Outcomes, outcomes
from models.input_source import inputs_for
from models.registry_entry import RegistryEntry
from models.scoring import pinball_loss
from models.significance import SURE_P, diebold_mariano, p_words, skill_bounds
from models.spec import ModelSpec
from models.split import parse_date
from models.walk import JUDGED
from utils.errors import InvalidInput

Floats = NDArray[np.float64]
MIN_BLOCKS = 10
_DAY_MS = 86_400_000
_COURSE_POINTS = 60


@dataclass(frozen=True, slots=True)
class Skill:
    """A share of a loss that is saved, with the bounds of its 95 % interval; None where too little is known."""

    skill: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Challenge:
    """How it went. `course` has, by stretch of time, its start and the mean loss of champion, challenger and naive."""

    champion: str
    challenger: str
    from_ms: int
    until_ms: int
    moments: int
    forecasts: int
    blocks: int
    horizons: tuple[int, ...]
    over_champion: Skill
    p_value: float | None
    """Two-sided, that both lose alike; None where too little is known or nothing differs."""
    champion_over_naive: Skill
    challenger_over_naive: Skill
    course: tuple[tuple[int, float, float, float], ...]

    @property
    def won(self) -> bool:
        low, luck = self.over_champion.low, self.p_value
        if self.blocks < MIN_BLOCKS or low is None or luck is None:
            return False
        return low > 0.0 and luck < SURE_P

    @property
    def words(self) -> str:
        """One sentence."""
        found = self.over_champion
        if self.blocks < MIN_BLOCKS or found.low is None or found.high is None:
            return (
                f"too few unseen candles to say: {self.blocks} blocks, {MIN_BLOCKS} are needed; {self.champion} stays"
            )
        told = f"its loss is {100 * abs(found.skill):.2f} % {'lower' if found.skill >= 0 else 'higher'} than "
        told += f"{self.champion}'s (95 % interval of the skill {100 * found.low:+.2f} … {100 * found.high:+.2f} %, "
        told += f"{p_words(self.p_value)}) over {self.forecasts:,} forecasts"
        return f"{self.challenger}: {told}: " + (
            "it wins" if self.won else "not better beyond doubt, so it does not win"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "won": self.won, "words": self.words}


def unseen_from_ms(entry: RegistryEntry) -> int:
    """From when on the model saw nothing, neither to fit nor to choose nor to calibrate. InvalidInput where its report
    does not say."""
    data = (entry.report or {}).get("data")
    if isinstance(data, dict) and isinstance(until_ms := data.get("fitted_until_ms"), int):
        return until_ms  # it learned from its twin's test too
    test = data.get("test") if isinstance(data, dict) else None
    if not isinstance(test, str):
        raise InvalidInput(f"the report of model {entry.id!r} does not say which candles it never saw")
    # the report names the day; the period begins within it
    return parse_date(test.partition(" ")[0]) + _DAY_MS


def challenge(champion: RegistryEntry, challenger: RegistryEntry, markets: Sequence[Candles]) -> Challenge:
    """Scores both on the same candles. InvalidInput where they do not compare, or nothing is unseen by both."""
    first, second = _spec(champion), _spec(challenger)
    if first.interval is not second.interval or first.quantiles != second.quantiles:
        raise InvalidInput(f"{second.id!r} forecasts other candles or quantiles than {first.id!r}; they do not compare")
    horizons = tuple(one for one in JUDGED if one in first.horizons and one in second.horizons)
    from_ms = max(unseen_from_ms(champion), unseen_from_ms(challenger))
    until_ms = max(candles.last_open_time_ms for candles in markets) + first.interval.ms
    entries = [
        (first, champion.open(), inputs_for(first, markets)),
        (second, challenger.open(), inputs_for(second, markets)),
    ]
    summed = _Sums()
    for candles in markets:
        both = [outcomes(spec, session, candles, from_ms, until_ms, inputs) for spec, session, inputs in entries]
        summed.add(*_losses(both, [first, second], horizons))
    if not summed.count:
        raise InvalidInput("no candle is left that neither model has seen and whose outcome is known")
    times, losses = summed.by_moment()
    block = max(_DAY_MS // first.interval.ms, *horizons, 1)
    return Challenge(
        champion=champion.id,
        challenger=challenger.id,
        from_ms=int(times[0]),
        until_ms=int(times[-1]) + first.interval.ms,
        moments=len(times),
        forecasts=summed.count,
        blocks=len(times) // block,
        horizons=horizons,
        over_champion=_skill(losses[1], losses[0], block),
        p_value=_p_value(losses[1], losses[0], max(horizons, default=1)),
        champion_over_naive=_skill(losses[0], losses[2], block),
        challenger_over_naive=_skill(losses[1], losses[2], block),
        course=_course(times, losses, summed.counts(times)),
    )


class _Sums:
    """Losses of champion, challenger and naive, by moment over all markets."""

    def __init__(self) -> None:
        self.count = 0
        self._times: list[NDArray[np.int64]] = []
        self._losses: list[Floats] = []

    def add(self, times: NDArray[np.int64], losses: Floats) -> None:
        """(n,) and (3, n)."""
        self.count += len(times)
        self._times.append(times)
        self._losses.append(losses)

    def by_moment(self) -> tuple[NDArray[np.int64], Floats]:
        """(t,) and (3, t)."""
        times, place = np.unique(np.concatenate(self._times), return_inverse=True)
        whole = np.concatenate(self._losses, axis=1)
        return times, np.stack([np.bincount(place, weights=row, minlength=len(times)) for row in whole])

    def counts(self, times: NDArray[np.int64]) -> Floats:
        """How many markets each moment has."""
        place = np.searchsorted(times, np.concatenate(self._times))
        return np.bincount(place, minlength=len(times)).astype(np.float64)


def _losses(
    both: Sequence[Outcomes], specs: Sequence[ModelSpec], horizons: Sequence[int]
) -> tuple[NDArray[np.int64], Floats]:
    """Of the forecasts that both made and whose outcomes are all known; the naive one is the champion's."""
    times, here, there = np.intersect1d(both[0].open_time_ms, both[1].open_time_ms, return_indices=True)
    total, known = np.zeros((3, len(times))), np.ones(len(times), dtype=bool)
    for horizon in horizons:
        at = [spec.horizons.index(horizon) for spec in specs]
        realised = both[0].realised[here, at[0]]
        unit = both[0].sigma[here] * np.sqrt(horizon)
        known &= np.isfinite(realised)
        forecasts = (both[0].log_returns[here, at[0]], both[1].log_returns[there, at[1]], both[0].naive[here, at[0]])
        for row, one in enumerate(forecasts):
            total[row] += pinball_loss(realised, one, specs[0].quantiles) / unit
    return times[known].astype(np.int64), total[:, known] / max(1, len(horizons))


def _skill(losses: Floats, baseline: Floats, block: int) -> Skill:
    bounds = skill_bounds(losses, baseline, block)
    skill = 1.0 - float(losses.sum()) / float(baseline.sum())
    return Skill(skill, bounds.low if bounds else None, bounds.high if bounds else None)


def _p_value(losses: Floats, other: Floats, horizon: int) -> float | None:
    """The longest horizon's outcomes overlap most."""
    found = diebold_mariano(losses, other, horizon)
    return None if found is None else found.p_value


def _course(times: NDArray[np.int64], losses: Floats, counts: Floats) -> tuple[tuple[int, float, float, float], ...]:
    """Means over equally many moments, at most _COURSE_POINTS of them and none of fewer than 24."""
    pieces = np.array_split(np.arange(len(times)), max(1, min(_COURSE_POINTS, len(times) // 24)))
    course = []
    for part in pieces:
        champion, challenger, naive = (losses[:, part].sum(axis=1) / counts[part].sum()).tolist()
        course.append((int(times[part[0]]), champion, challenger, naive))
    return tuple(course)


def _spec(entry: RegistryEntry) -> ModelSpec:
    if entry.spec is None:
        raise InvalidInput(f"model {entry.id!r} cannot be used: {entry.reason}")
    return entry.spec
