"""Folds: successive training, validation and test periods of a walk through time, with gaps no outcome can bridge."""

from __future__ import annotations

from dataclasses import dataclass

from data.interval import Interval
from models.split import EMBARGO_CANDLES, Period
from utils.errors import InvalidInput

FIRST_PART = 0.4
"""How much of the span the first fold trains and validates on."""
VALIDATION_PART = 0.1


@dataclass(frozen=True, slots=True)
class Fold:
    """Fits on `train`, chooses on `validation`, is judged on `test`. A sample is in its last candle's period."""

    number: int
    train: Period
    validation: Period
    test: Period


def least_candles(horizon: int, count: int, *, embargo: int = EMBARGO_CANDLES) -> int:
    """How many candles `count` folds take at the very least, those before the first forecast not counted."""
    return (horizon + embargo) * 30 + 10 * count


def folds(
    first_ms: int,
    last_ms: int,
    interval: Interval,
    horizon: int,
    count: int,
    *,
    expanding: bool = True,
    embargo: int = EMBARGO_CANDLES,
) -> tuple[Fold, ...]:
    """`count` folds over candles that open in [first_ms, last_ms): their tests are equally long and leave nothing out.

    Expanding: every fold trains from the beginning; rolling: on as long a span as the first. Before validation and
    before test, `horizon` + `embargo` candles are left out (purge and embargo: López de Prado 2018, §7.4): the outcome
    of the last sample of a period is known before the next begins.
    """
    if count < 1:
        raise InvalidInput(f"{count} folds were asked for; at least 1 is needed")
    span, gap = last_ms - first_ms, (horizon + embargo) * interval.ms
    opening = interval.open_ms(first_ms + int(span * FIRST_PART))
    edges = [interval.open_ms(opening + (last_ms - opening) * number // count) for number in range(count)] + [last_ms]
    made = []
    for number in range(count):
        from_ms = first_ms if expanding else first_ms + edges[number] - opening
        fitted = edges[number] - gap
        middle = interval.open_ms(fitted - int((fitted - from_ms) * VALIDATION_PART))
        fold = Fold(
            number + 1,
            Period(from_ms, middle - gap),
            Period(middle, fitted),
            Period(edges[number], edges[number + 1]),
        )
        if not (fold.train.from_ms < fold.train.until_ms and middle < fitted and edges[number] < edges[number + 1]):
            raise InvalidInput(
                f"{span // interval.ms} candles are too few for {count} folds with horizon {horizon}; give at least "
                f"{least_candles(horizon, count, embargo=embargo)}, or fewer folds"
            )
        made.append(fold)
    return tuple(made)
