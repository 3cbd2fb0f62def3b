"""`python -m models.sweep`: one kind walked forward with every combination of some numbers, on each market or on all.

Every combination is a piece of work of its own, done on this machine's processors or on a Dask cluster. Beside the
skills stands how many combinations they are the best of: chosen among many, a part of the best one's skill is luck.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from typing import Any

from config import load_settings
from data.candles import Candles
from models.commands import add_klines, add_span, ended, klines_between
from models.kinds import LEARNED
from models.learners import follow
from models.parallel import ALONE, Workers, chosen, run_all
from models.recipe import Recipe, preset
from models.spec import Kind
from models.traits import PRESET_NAMES, TRAITS
from models.verdicts import Verdict
from models.walk import JUDGED, Plan, walk
from utils.errors import InvalidInput

MOST = 500
"""Combinations of one sweep."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination: what it changes of the recipe, and the markets that it learns from and is judged on."""

    varied: tuple[tuple[str, float], ...]
    recipe: Recipe
    markets: tuple[Candles, ...]


@dataclass(frozen=True, slots=True)
class Swept:
    """How one combination did, by horizon over all folds."""

    varied: tuple[tuple[str, float], ...]
    markets: tuple[str, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def skill(self) -> float:
        """Against no change, the mean over the horizons."""
        skills = [one.comparisons[0].skill_fraction or 0.0 for one in self.verdicts]
        return sum(skills) / max(1, len(skills))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "varied": dict(self.varied),
            "markets": list(self.markets),
            "skill": self.skill,
            "horizons": [
                {"horizon": one.horizon, "count": one.count, **asdict(one.comparisons[0])} for one in self.verdicts
            ],
        }


def combinations(
    recipe: Recipe, varied: Sequence[tuple[str, Sequence[float]]], markets: Sequence[Candles], *, each: bool
) -> list[Cell]:
    """Every one, in the order given; `each` market by itself, or all of them together. InvalidInput says what a kind
    does not read, or what does not fit it."""
    uses = TRAITS[recipe.kind].uses
    if unread := [name for name, _ in varied if name not in uses]:
        raise InvalidInput(f"kind {recipe.kind} does not read {', '.join(unread)}; vary {', '.join(uses)}")
    groups = [(one,) for one in markets] if each else [tuple(markets)]
    names = [name for name, _ in varied]
    made = [
        Cell(tuple(zip(names, values, strict=True)), _with(recipe, dict(zip(names, values, strict=True))), group)
        for values in product(*(values for _, values in varied))
        for group in groups
    ]
    if len(made) > MOST:
        raise InvalidInput(f"{len(made):,} combinations are too many; at most {MOST} are tried at once")
    return made


def sweep(cells: Sequence[Cell], folds: int, horizons: Sequence[int], workers: Workers = ALONE) -> Iterator[Swept]:
    """Each combination in its turn, as soon as it and those before it are there."""
    yield from run_all(partial(_walked, folds, tuple(horizons)), cells, workers)


def _walked(folds: int, horizons: tuple[int, ...], cell: Cell) -> Swept:
    recipe = cell.recipe
    plan = Plan(window=recipe.window, horizons=horizons, folds=folds, seed=recipe.seed)
    found = walk(cell.markets, follow(recipe), plan, kind=str(recipe.kind))
    return Swept(cell.varied, tuple(str(one.symbol) for one in cell.markets), found.pooled)


def _with(recipe: Recipe, values: dict[str, float]) -> Recipe:
    whole = {name: int(value) if isinstance(getattr(recipe, name), int) else value for name, value in values.items()}
    made: Recipe = replace(recipe, **whole)  # type: ignore[arg-type]
    made.check()
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    told = _json if options.json else _table
    return ended(lambda: told(run(options)))


def run(options: argparse.Namespace) -> list[Swept]:
    recipe = preset(options.preset, Kind(options.kind))
    varied = [_parsed(text) for text in options.vary]
    cells = combinations(recipe, varied, klines_between(options), each=options.each)
    workers = chosen(options.jobs, load_settings().dask_scheduler)
    horizons = tuple(sorted(set(options.horizons)))
    found = []
    for one in sweep(cells, options.folds, horizons, workers):
        found.append(one)
        sys.stderr.write(f"{len(found)} of {len(cells)}: {_named(one)}: mean skill {100 * one.skill:.2f} %\n")
    return found


def _parsed(text: str) -> tuple[str, list[float]]:
    name, _, values = text.partition("=")
    try:
        return name.replace("-", "_"), [float(value) for value in values.split(",")]
    except ValueError:
        raise InvalidInput(f"--vary {text[:60]!r} is not NAME=NUMBER,NUMBER; try stride=1,4,12") from None


def _named(one: Swept) -> str:
    numbers = " ".join(f"{name}={value:g}" for name, value in one.varied)
    return " ".join(filter(None, [numbers, ",".join(one.markets)]))


def _json(found: Sequence[Swept]) -> str:
    return json.dumps([one.to_dict() for one in found], allow_nan=False, indent=2)


def _table(found: Sequence[Swept]) -> str:
    """The best first."""
    lines = []
    for one in sorted(found, key=lambda swept: -swept.skill):
        skills = [f"{verdict.horizon}: {_told(verdict)}" for verdict in one.verdicts]
        lines.append(f"{100 * one.skill:6.2f} %  {_named(one)}  ({'; '.join(skills)})")
    return "\n".join([*lines, f"{len(found)} combinations: the best of many is partly luck."])


def _told(one: Verdict) -> str:
    first = one.comparisons[0]
    if first.skill_fraction is None or first.skill_bounds is None:
        return "too few to say"
    low, high = 100 * first.skill_bounds.low, 100 * first.skill_bounds.high
    return f"{100 * first.skill_fraction:.2f} ({low:.2f} … {high:.2f})"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m models.sweep", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kind", required=True, choices=list(map(str, LEARNED)))
    parser.add_argument("--preset", default="quick", choices=list(PRESET_NAMES), help="of its recipe (default: quick)")
    parser.add_argument("--vary", nargs="+", default=[], metavar="NAME=N,N", help="numbers of the recipe")
    parser.add_argument("--each", action="store_true", help="every market by itself (default: one model of all)")
    add_klines(parser)
    add_span(parser)
    parser.add_argument("--folds", type=int, default=3, metavar="N")
    parser.add_argument("--horizons", type=int, nargs="+", default=list(JUDGED), metavar="H")
    parser.add_argument("--jobs", type=int, metavar="N", help="at a time (default: 1, or DASK_SCHEDULER's)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


if __name__ == "__main__":
    sys.exit(main())
