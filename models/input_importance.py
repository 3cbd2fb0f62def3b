"""`python -m models.input_importance`: which of its inputs a model's forecasts rest on, by dealing each out at random.

Each input is dealt out several times, so that beside what is lost stands how much of it is the luck of the deal. The
model is asked as it stands, on the newest candles it never saw; where there are too few, on those it may have seen,
which is told.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from data.candles import Candles
from models.challenge import unseen_from_ms
from models.commands import add_klines, add_model, ended, klines, usable
from models.importance import MOST_WINDOWS, Importance, OnStep, nobody, permuted
from models.input_source import check_inputs, inputs_for
from models.registry_entry import RegistryEntry
from models.samples import Samples, decided, gather
from models.spec import ModelSpec
from utils.errors import InvalidInput

LEAST_WINDOWS = 200
NEWEST_CANDLES = 5000
"""Of each market, beside those that the first of them needs before it."""
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class InputImportance:
    """What was found, on how many windows of which candles. `seen`: the model may have learned from them."""

    windows: int
    markets: tuple[str, ...]
    from_ms: int
    until_ms: int
    seen: bool
    rounds: int
    inputs: tuple[Importance, ...]

    @property
    def sure(self) -> tuple[Importance, ...]:
        """Those whose loss is beyond the luck of the deal."""
        return tuple(one for one in self.inputs if one.skill_lost > 2 * one.spread > 0)

    @property
    def words(self) -> str:
        first = ", ".join(f"{one.feature} ({100 * one.skill_lost:.2f} %)" for one in self.sure[:3]) or "none"
        where = "candles it may have learned from" if self.seen else "candles it never saw"
        return (
            f"{len(self.sure)} of {len(self.inputs)} inputs matter beyond the luck of the deal, on {self.windows:,} "
            f"windows of {where}; most: {first}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "sure": len(self.sure), "words": self.words}


def input_importance(
    entry: RegistryEntry, spec: ModelSpec, markets: Sequence[Candles], on_step: OnStep = nobody
) -> InputImportance:
    """InvalidInput where no market has enough candles. `on_step` is told of each deal that is over, and of how many."""
    check_inputs(spec)
    newest = [one.tail(spec.history + max(spec.horizons) + NEWEST_CANDLES) for one in markets if len(one)]
    if not newest:
        raise InvalidInput("no candles are there to ask the model about")
    samples = gather(
        newest,
        spec.features,
        window=spec.window,
        warm_up=spec.warm_up,
        horizons=spec.horizons,
        half_life=spec.sigma_half_life,
        inputs=inputs_for(spec, newest),
    )
    known = decided(samples, samples.ends)
    unseen = known[samples.open_time_ms[known] >= _unseen_from_ms(entry)]
    seen = len(unseen) < LEAST_WINDOWS
    ends = known if seen else unseen
    if len(ends) < LEAST_WINDOWS:
        raise InvalidInput(
            f"only {len(ends)} forecasts could be made whose outcomes are known; at least {LEAST_WINDOWS} are needed: "
            f"each takes {spec.history} candles before it and {max(spec.horizons)} after it"
        )
    found = permuted(samples, ends, entry.open().run, spec, rounds=ROUNDS, on_step=on_step)
    times = samples.open_time_ms[ends]
    return InputImportance(
        windows=min(len(ends), MOST_WINDOWS),
        markets=_markets(samples, ends),
        from_ms=int(times.min()),
        until_ms=int(times.max()) + spec.interval.ms,
        seen=seen,
        rounds=ROUNDS,
        inputs=found,
    )


def _unseen_from_ms(entry: RegistryEntry) -> int:
    """As if it had seen everything, where its report does not say what it saw."""
    try:
        return unseen_from_ms(entry)
    except InvalidInput:
        return sys.maxsize


def _markets(samples: Samples, ends: np.ndarray[Any, Any]) -> tuple[str, ...]:
    return tuple(str(samples.symbols[place]) for place in np.unique(samples.market[ends]))


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    told = _json if options.json else _table
    return ended(lambda: told(run(options)))


def run(options: argparse.Namespace) -> InputImportance:
    entry, spec = usable(options)
    return input_importance(entry, spec, klines(options, spec.interval))


def _json(found: InputImportance) -> str:
    return json.dumps(found.to_dict(), allow_nan=False, indent=2)


def _table(found: InputImportance) -> str:
    lines = [f"{100 * one.skill_lost:8.3f} ± {100 * one.spread:.3f} %  {one.feature}" for one in found.inputs]
    return "\n".join([*lines, found.words])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m models.input_importance",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model(parser)
    add_klines(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


if __name__ == "__main__":
    sys.exit(main())
