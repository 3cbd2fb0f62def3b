"""`python -m models.walkforward`: walk-forward evaluation of a kind of model (models.walk), as tables or JSON.

With `--kind probe` it needs no TensorFlow and some seconds; networks train once per fold.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from config import load_settings
from models.commands import add_klines, add_span, ended, klines_between
from models.kinds import LEARNED
from models.learners import PROBE, learner
from models.parallel import chosen
from models.walk import JUDGED, Plan, walk
from models.walk_findings import FoldResult, WalkForward


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    told = _json if options.json else table
    return ended(lambda: told(run(options)))


def run(options: argparse.Namespace) -> WalkForward:
    found = klines_between(options)
    plan = Plan(
        window=options.window,
        horizons=tuple(sorted(set(options.horizons))),
        folds=options.folds,
        expanding=not options.rolling,
        seed=options.seed,
    )

    def told(result: FoldResult) -> None:
        sys.stderr.write(f"fold {result.fold.number}: {result.fold.test}: {result.verdicts[0].words}\n")

    workers = chosen(options.jobs, load_settings().dask_scheduler)
    return walk(found, learner(options.kind, options.preset), plan, kind=options.kind, on_fold=told, workers=workers)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.walkforward", description=__doc__)
    parser.add_argument("--kind", default=PROBE, help=f"{PROBE} (default, no TensorFlow), {', '.join(LEARNED)}")
    parser.add_argument("--preset", default="quick", help="of a network's recipe (default: quick)")
    add_klines(parser)
    add_span(parser)
    parser.add_argument("--folds", type=int, default=5, metavar="N")
    parser.add_argument("--horizons", type=int, nargs="+", default=list(JUDGED), metavar="H")
    parser.add_argument("--window", type=int, default=16, help="candles of one window (default: 16)")
    parser.add_argument("--seed", type=int, default=7)
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--expanding", action="store_true", help="every fold trains from the beginning (default)")
    way.add_argument("--rolling", action="store_true", help="every fold trains on as long a span as the first")
    parser.add_argument("--jobs", type=int, metavar="N", help="folds at a time (default: 1, or DASK_SCHEDULER's)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser


def _json(found: WalkForward) -> str:
    return json.dumps(found.to_dict(), allow_nan=False, indent=2)


def table(found: WalkForward) -> str:
    """What a person reads: one line per horizon, then where it does worst, then what it rests on."""
    lines = [f"{found.kind}, {len(found.folds)} folds, {'expanding' if found.expanding else 'rolling'}:"]
    for one in found.pooled:
        lines.append(f"  {one.words}")
        lines += [
            f"    against {other.baseline}: skill {_percent(other.skill_fraction)}" for other in one.comparisons[1:]
        ]
        bands = ", ".join(f"{100 * band.nominal:.0f} % band holds {_percent(band.realised)}" for band in one.coverage)
        lines.append(f"    {bands}; CRPS skill {_percent(one.crps_skill_fraction)}")
    for title, groups in (("market", found.by_symbol), ("regime", found.by_regime), ("hour", found.by_hour)):
        worst = min(groups, key=lambda one: one.comparison.skill_fraction or 0.0)
        lines.append(
            f"  worst {title}: {worst.name} at {worst.horizon} ahead, {_percent(worst.comparison.skill_fraction)} of "
            f"{worst.count} forecasts"
        )
    told = ", ".join(f"{one.feature} {_percent(one.skill_lost)}" for one in found.importance[:8])
    return "\n".join([*lines, f"  rests on: {told}"])


def _percent(fraction: float | None) -> str:
    return "unknown" if fraction is None else f"{100 * fraction:.2f} %"


if __name__ == "__main__":
    sys.exit(main())
