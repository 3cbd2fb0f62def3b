"""Windows: what models see of the newest candles; every market's inputs are computed once for all models that ask."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from data.candles import Candles
from data.feature_parts import Parts, Stack
from data.features import WARM_UP
from data.filters import decay_weights
from data.volatility import SIGMA_FLOOR
from models.forecast import NoForecast
from models.inputs import input_matrix, newest_inputs
from models.samples import cut, known_sigma, usable_ends
from models.scale_inputs import ScaleInputs
from models.season import Season
from models.spec import ModelSpec

_FORGOTTEN_HALF_LIVES = 32
"""What lies further back than so many half-lives changes no digit that single precision holds."""
_STACK = 32
"""Markets whose inputs are computed together: as many as keep a column of theirs in the processor's second cache."""


@dataclass(slots=True)
class Windows:
    """For one model: the windows of the markets that have one, by the markets' places; and why the others have none."""

    places: list[int] = field(default_factory=list)
    sigmas: list[float] = field(default_factory=list)
    """EWMA volatility per candle, one for each of `places`."""
    blocks: list[NDArray[np.float32]] = field(default_factory=list)
    """(m, window, features) each; all together one row for each of `places`."""
    reasons: dict[int, NoForecast] = field(default_factory=dict)


def newest_windows(
    specs: Sequence[ModelSpec], markets: Sequence[Candles], contexts: Sequence[Candles | None] = ()
) -> list[Windows]:
    """One per spec: every market's last window and sigma, or why it has none.

    Markets with the same times and no hole are computed in stacks, for all specs at once; the others one by one.
    `contexts`: per spec, the candles of the other market that it looks at, where they are at hand.
    """
    found = [Windows() for _ in specs]
    wanted = _scaled(specs, markets, contexts, found, _fitting(specs, markets, found))
    used = [spec for number, spec in enumerate(specs) if any(number in numbers for numbers in wanted.values())]
    if not used:
        return found
    names = tuple(dict.fromkeys(name for spec in used for name in spec.features))
    rows, history = max(spec.window for spec in used), max(spec.history for spec in used)
    stacks, single = _stacks({place: markets[place].tail(history) for place in wanted}, rows)
    for places, stack in stacks:
        parts = Parts(stack, rows)
        inputs = newest_inputs(parts, names)
        for number, spec in enumerate(specs):
            chosen = [at for at, place in enumerate(places) if number in wanted[place]]
            if chosen:
                columns = [names.index(name) for name in spec.features]
                windows = inputs[chosen, rows - spec.window :][:, :, columns]
                sigmas = parts.sigma_of(spec.sigma_half_life)[chosen, -1]
                _keep(found[number], [places[at] for at in chosen], markets, windows, sigmas)
    for place in single:
        for number in wanted[place]:
            _alone(found[number], place, markets, specs[number])
    return found


def _fitting(specs: Sequence[ModelSpec], markets: Sequence[Candles], found: Sequence[Windows]) -> dict[int, list[int]]:
    """Which specs (by number) can be fed from which markets (by place); the others get their reasons."""
    wanted: dict[int, list[int]] = {}
    for number, spec in enumerate(specs):
        for place, candles in enumerate(markets):
            if not spec.serves(candles.symbol):
                reason = f"model {spec.id!r} serves {', '.join(spec.symbols)} only"
            elif len(candles) < spec.history:
                reason = f"{len(candles)} of {spec.history} closed candles are there"
            else:
                wanted.setdefault(place, []).append(number)
                continue
            found[number].reasons[place] = NoForecast(candles.symbol, reason)
    return wanted


def _scaled(
    specs: Sequence[ModelSpec],
    markets: Sequence[Candles],
    contexts: Sequence[Candles | None],
    found: Sequence[Windows],
    wanted: dict[int, list[int]],
) -> dict[int, list[int]]:
    """Computes the windows of the specs that have a season, and gives what of `wanted` is left for the others."""
    for number, spec in enumerate(specs):
        if spec.season is not None:
            places = [place for place, numbers in wanted.items() if number in numbers]
            _of_scale(found[number], places, markets, spec, contexts[number] if contexts else None)
    plain = {number for number, spec in enumerate(specs) if spec.season is None}
    return {place: left for place, numbers in wanted.items() if (left := [one for one in numbers if one in plain])}


def _of_scale(
    found: Windows, places: Sequence[int], markets: Sequence[Candles], spec: ModelSpec, context: Candles | None
) -> None:
    """The newest row alone, many markets at a time (models.scale_inputs)."""
    inputs = ScaleInputs(spec.season or Season.flat(), context)
    for first in range(0, len(places), _STACK):
        chunk = places[first : first + _STACK]
        tails = [markets[place].tail(spec.history) for place in chunk]
        rows = inputs.newest(tails, spec.features)
        sigmas = np.array([_sigma(one, spec.sigma_half_life) for one in tails])
        _keep(found, chunk, markets, rows[:, None], sigmas)


def _sigma(candles: Candles, half_life: float) -> float:
    """The last of `known_sigma`; without a hole it is one weighted sum."""
    reach = math.ceil(_FORGOTTEN_HALF_LIVES * half_life)
    if len(candles) <= reach + math.ceil(half_life) or candles.holes():
        return float(known_sigma(candles, half_life)[-1])
    weights = decay_weights(half_life, reach)
    squares = np.square(np.diff(np.log(candles.close[-reach - 1 :])))
    return max(math.sqrt(float(squares @ weights) * (1.0 - 0.5 ** (1.0 / half_life))), SIGMA_FLOOR)


def _stacks(tails: dict[int, Candles], rows: int) -> tuple[Iterator[tuple[list[int], Stack]], list[int]]:
    """Markets by their times, and the places of those that fit in no stack."""
    alike: dict[tuple[object, ...], list[int]] = {}
    single = []
    for place, tail in tails.items():
        if len(tail) < rows + WARM_UP or tail.holes():
            single.append(place)
        else:
            alike.setdefault((tail.interval, tail.last_open_time_ms, len(tail)), []).append(place)
    chunks = (places[first : first + _STACK] for places in alike.values() for first in range(0, len(places), _STACK))
    return ((places, Stack.of([tails[place] for place in places])) for places in chunks), single


def _keep(
    found: Windows,
    places: Sequence[int],
    markets: Sequence[Candles],
    windows: NDArray[np.float32],
    sigmas: NDArray[np.float64],
) -> None:
    """Windows (m, window, features) and sigmas (m,) of the markets at these places: those that can be used."""
    whole, moved = np.isfinite(windows).all(axis=(1, 2)), np.isfinite(sigmas)
    good = whole & moved
    for at in np.flatnonzero(~good).tolist():
        candles = markets[places[at]]
        still = "the price has not moved: no volatility to scale a forecast with"
        reason = _why_not(candles, windows.shape[1]) if moved[at] else still
        found.reasons[places[at]] = NoForecast(candles.symbol, reason)
    found.places += [places[at] for at in np.flatnonzero(good).tolist()]
    found.sigmas += sigmas[good].tolist()
    found.blocks.append(windows if good.all() else windows[good])


def _alone(found: Windows, place: int, markets: Sequence[Candles], spec: ModelSpec) -> None:
    """From the market's own history, across whose holes no window may reach."""
    recent = markets[place].tail(spec.history)
    features = input_matrix(recent, spec.features)
    sigma = known_sigma(recent, spec.sigma_half_life)[-1:]
    ends = usable_ends(recent, features, spec.window, spec.warm_up)
    if len(ends) and ends[-1] == len(recent) - 1:
        _keep(found, [place], markets, cut(features, ends[-1:], spec.window), sigma)
    else:
        _keep(found, [place], markets, np.full((1, spec.window, 1), np.nan, dtype=np.float32), sigma)


def _why_not(candles: Candles, window: int) -> str:
    holes = candles.tail(window).holes()
    if holes:
        missing = sum((after - first) // candles.interval.ms for first, after in holes)
        lacks = "1 candle is" if missing == 1 else f"{missing} candles are"
        return f"{lacks} missing among the newest {window}: a hole is not guessed over"
    return f"a feature cannot be computed within the newest {window} candles"
