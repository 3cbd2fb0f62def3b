"""`python -m models.placebo`: the same learner on a market where nothing can be learned, its score beside the real one.

The placebo market is a random walk as volatile as the real one. Each return is normal, with the standard deviation that
the naive forecast itself believes in, the EWMA of the placebo's own past returns:

    r[t + 1] = c · sigma[t] · (σ̄ / sigma[t])^κ · z,   z ~ N(0, 1),   σ̄ the real market's median sigma,   κ = 0.03

so the naive forecast is right by construction, and every skill above it is an artefact. (κ pulls sigma back to the real
market's level and c = √(1 + 1 − 0.5^(1/24)) keeps its median there, else the recursion dies out: Nelson 1990. κ spreads
ln sigma by about 0.4 and so moves the scale by 1.2 %, which a perfect model could turn into 0.01 % of skill.) Times,
holes and volumes are the real ones', the volumes in random order. A walk of constant volatility is no placebo in this
sense: sigma estimates it with error, and a model that averages longer is rightly a little better.

It trains, so it runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.candles import FLOAT_COLUMNS, Candles
from data.features import SIGMA_FLOOR, ewma_sigma
from data.interval import Interval
from models.commands import add_klines, add_span, klines_between
from models.kinds import LEARNED
from models.learners import PROBE, Learner, learner
from models.parallel import ALONE, Workers
from models.spec import SIGMA_HALF_LIFE
from models.verdicts import Comparison
from models.walk import JUDGED, Plan, walk
from models.walk_findings import FoldResult
from utils.errors import DashboardError, InvalidInput

Floats = NDArray[np.float64]
PULL = 0.03
_KEEP = 0.5 ** (1.0 / SIGMA_HALF_LIFE)
_LIVELY = math.sqrt(2.0 - _KEEP)
_SEEDED = math.ceil(SIGMA_HALF_LIFE)


@dataclass(frozen=True, slots=True)
class Twin:
    """One horizon: how the learner did on the real market and on the placebo, against no change."""

    horizon: int
    real: Comparison
    placebo: Comparison

    @property
    def words(self) -> str:
        """One sentence."""
        shown = [_told(one) for one in (self.real, self.placebo)]
        bounds = self.placebo.skill_bounds
        sound = bounds is not None and bounds.low <= 0.0
        end = "the placebo teaches nothing" if sound else "the placebo is learned from: distrust the real skill"
        return f"{self.horizon} ahead: real {shown[0]}, placebo {shown[1]}: {end}"


@dataclass(frozen=True, slots=True)
class PlaceboReport:
    """The twin of a kind of model. `ok`: at no horizon do the placebo's 95 % bounds lie above zero."""

    kind: str
    markets: tuple[str, ...]
    seed: int
    twins: tuple[Twin, ...]

    @property
    def ok(self) -> bool:
        bounds = [twin.placebo.skill_bounds for twin in self.twins]
        return all(one is not None and one.low <= 0.0 for one in bounds)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "ok": self.ok, "words": [twin.words for twin in self.twins]}


def placebo(candles: Candles, seed: int, *, constant: bool = False) -> Candles:
    """A random walk with the times, the first price and the volatility of `candles`; equal seeds, equal walks.

    InvalidInput where they are too few, or have not moved, so that there is no volatility to equal.
    """
    sigma = ewma_sigma(candles, SIGMA_HALF_LIFE)
    known = sigma[np.isfinite(sigma) & (sigma > SIGMA_FLOOR)]
    if not len(known):
        raise InvalidInput(f"{candles.symbol} has {len(candles)} candles and no volatility to make a placebo of")
    random = np.random.default_rng([seed, *candles.symbol.encode()])
    level, count = float(np.median(known)), len(candles)
    noise = random.normal(size=count)
    steps = np.ones(count)
    steps[1:] = np.diff(candles.open_time_ms) / candles.interval.ms
    # a month is no fixed length: one step each
    steps = np.maximum(1.0, np.round(steps)) if candles.interval is not Interval.MO1 else np.ones(count)
    returns = level * noise if constant else _returns(noise, steps == 1.0, level)
    scale = np.full(count, level) if constant else np.abs(returns / np.where(noise == 0.0, 1.0, noise))
    returns = returns * np.sqrt(steps)
    returns[0] = 0.0
    close = candles.close[0] * np.exp(np.cumsum(returns))
    opened = np.concatenate([candles.close[:1], close[:-1]])
    # a gap opens where the walk has arrived: the candle itself then only moves by its own share
    opened = np.where(steps > 1.0, close * np.exp(-scale * noise), opened)
    high, low = _extremes(random, np.log(opened), np.log(close), scale)
    order = random.permutation(count)
    volumes = [getattr(candles, name)[order] for name in FLOAT_COLUMNS[4:]]
    volumes[1], volumes[4] = volumes[0] * close, volumes[3] * close
    return Candles.from_columns(
        candles.symbol, candles.interval, candles.open_time_ms.copy(), [opened, high, low, close, *volumes]
    )


def placebo_test(
    markets: Sequence[Candles],
    learn: Learner,
    plan: Plan | None = None,
    *,
    kind: str = PROBE,
    seed: int = 1,
    on_fold: Callable[[FoldResult], None] = lambda _: None,
    workers: Workers = ALONE,
) -> PlaceboReport:
    """The same plan on the real markets and on their placebos."""
    both = (markets, [placebo(each, seed) for each in markets])
    real, made = (walk(one, learn, plan, kind=kind, on_fold=on_fold, workers=workers) for one in both)
    twins = [
        Twin(one.horizon, one.comparisons[0], other.comparisons[0])
        for one, other in zip(real.pooled, made.pooled, strict=True)
    ]
    return PlaceboReport(kind, tuple(str(one.symbol) for one in markets), seed, tuple(twins))


def _returns(noise: Floats, present: NDArray[np.bool_], level: float) -> Floats:
    """The recursion, by the definition of `data.features.ewma_sigma`: what follows a hole does not count into it."""
    returns: list[float] = []
    squares: list[float] = []
    variance = level * level
    for z, follows in zip(noise.tolist(), present.tolist(), strict=True):
        sigma = math.sqrt(variance)
        value = _LIVELY * sigma * (level / sigma) ** PULL * z
        returns.append(value)
        if not follows or len(returns) == 1:
            continue
        if len(squares) < _SEEDED:
            squares.append(value * value)
            variance = sum(squares) / _SEEDED if len(squares) == _SEEDED else variance
        else:
            variance = _KEEP * variance + (1.0 - _KEEP) * value * value
    return np.array(returns)


def _extremes(random: np.random.Generator, opened: Floats, close: Floats, scale: Floats) -> tuple[Floats, Floats]:
    """High and low of a Brownian bridge from open to close: (a + b + √((b − a)² − 2 s² ln U)) / 2 (Beghin & Orsingher
    1999), each end drawn by itself."""
    move, middle = np.square(close - opened), opened + close
    up, down = (np.sqrt(move - 2.0 * np.square(scale) * np.log(random.uniform(1e-12, 1.0, len(close)))) for _ in "hl")
    return np.exp((middle + up) / 2.0), np.exp((middle - down) / 2.0)


def _told(one: Comparison) -> str:
    if one.skill_fraction is None or one.skill_bounds is None:
        return "too few to say"
    low, high = 100 * one.skill_bounds.low, 100 * one.skill_bounds.high
    return f"{100 * one.skill_fraction:.2f} % ({low:.2f} … {high:.2f})"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        found = run(options)
    except DashboardError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    lines = json.dumps(found.to_dict(), allow_nan=False, indent=2) if options.json else "\n".join(_lines(found))
    sys.stdout.write(lines + "\n")
    return 0 if found.ok else 1


def run(options: argparse.Namespace) -> PlaceboReport:
    found = klines_between(options)
    plan = Plan(folds=options.folds, horizons=tuple(sorted(set(options.horizons))))
    return placebo_test(found, learner(options.kind, options.preset), plan, kind=options.kind, seed=options.seed)


def _lines(found: PlaceboReport) -> list[str]:
    return [f"{found.kind} on {', '.join(found.markets)} and on their placebos:", *(one.words for one in found.twins)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m models.placebo", description="The placebo twin of a kind of model."
    )
    parser.add_argument("--kind", default=PROBE, help=f"{PROBE} (default, no TensorFlow), {', '.join(LEARNED)}")
    parser.add_argument("--preset", default="quick", help="of a network's recipe (default: quick)")
    add_klines(parser)
    add_span(parser)
    parser.add_argument("--folds", type=int, default=3, metavar="N")
    parser.add_argument("--horizons", type=int, nargs="+", default=list(JUDGED), metavar="H")
    parser.add_argument("--seed", type=int, default=1, help="of the random walk (default: 1)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    return parser


if __name__ == "__main__":
    sys.exit(main())
