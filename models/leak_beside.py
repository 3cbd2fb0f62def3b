"""Leak checks of what a model sees beside its market: another market's candles, and what its hours usually are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from data.candles import FLOAT_COLUMNS, Candles
from models.altered_candles import REPLACEMENTS, with_other_future
from models.input_source import context_of
from models.leak_findings import Check, Finding
from models.pipeline import written_in
from models.scale_inputs import ScaleInputs
from models.season import Season, fit_season
from models.spec import ModelSpec
from models.split import split


def check_beside(spec: ModelSpec, markets: Sequence[Candles], fractions: Sequence[float]) -> list[Check]:
    """Those that the model's inputs call for; none where it sees its market alone."""
    if spec.season is None:
        return []
    context = context_of(spec, with_context(spec, markets))
    found = [check_season(markets)]
    if context is not None:
        found.append(check_context(spec, spec.season, markets, context, fractions))
    return found


def with_context(spec: ModelSpec, markets: Sequence[Candles]) -> Sequence[Candles]:
    """These markets and the one the model looks at; where it is not among them, the first takes its part."""
    if spec.context is None or context_of(spec, markets) is not None:
        return markets
    first = markets[0]
    columns = [getattr(first, name) for name in FLOAT_COLUMNS]
    return [*markets, Candles.from_columns(spec.context, first.interval, first.open_time_ms, columns)]


def check_context(
    spec: ModelSpec, season: Season, markets: Sequence[Candles], context: Candles, fractions: Sequence[float]
) -> Check:
    """(a) All candles of the other market after t replaced: every input up to t must be the same, bit by bit."""
    ours = ScaleInputs(season, context)
    before = [ours(candles, spec.features) for candles in markets]
    changed: set[str] = set()
    tried = 0
    for row in (int(fraction * (len(context) - 2)) for fraction in fractions):
        for seed, volatility in REPLACEMENTS:
            theirs = replace(ours, context=with_other_future(context, row, seed, volatility))
            for candles, known in zip(markets, before, strict=True):
                rows = int(np.searchsorted(candles.open_time_ms, context.open_time_ms[row], side="right"))
                after = theirs(candles, spec.features)
                differ = known[:rows].view(np.int32) != after[:rows].view(np.int32)
                changed |= {spec.features[place] for place in np.flatnonzero(differ.any(axis=0))}
                tried += 1
    findings = tuple(
        Finding(
            written_in(name),
            name,
            f"it changes at t with candles of {context.symbol} after t",
            "take the other market's candle of the same open time, or an earlier one",
        )
        for name in sorted(changed)
    )
    words = f"{len(spec.features)} features, all candles of {context.symbol} after t replaced {tried} times: "
    told = "they change" if findings else "bit-identical up to t"
    return Check("the other market's past alone is seen", not findings, words + told, findings)


def check_season(markets: Sequence[Candles]) -> Check:
    """(b) All candles after the training period replaced: the usual size of each hour must stay the same."""
    train = split(markets, 1, None).train
    before = fit_season(markets, train.from_ms, train.until_ms)
    later = [_after(candles, train.until_ms) for candles in markets]
    same = before == fit_season(later, train.from_ms, train.until_ms)
    name = "the season knows the training period alone"
    words = f"{len(before.scale)} slots of the week, all candles after training replaced: "
    if same:
        return Check(name, True, words + "bit-identical")
    fix = "fit it on candles that open before the training period ends"
    return Check(name, False, words + "it changes", (Finding("models/season.py", "season", "it sees the test", fix),))


def _after(candles: Candles, until_ms: int) -> Candles:
    row = int(np.searchsorted(candles.open_time_ms, until_ms)) - 1
    return with_other_future(candles, row, 1, 0.03) if 0 <= row < len(candles) - 1 else candles
