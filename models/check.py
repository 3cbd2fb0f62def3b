"""`python -m models.check`: one check of one model on the dashboard's own candles; what it finds is kept for its card.

leaktest: the model and its pipeline see no future. placebo: its recipe learns nothing where there is nothing to learn.
walkforward: its recipe, learned again and again, judged on what came after. importance: which inputs it rests on.
quantize: an int8 twin of it, kept where that pays. challenge: against the model in use.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data.candles import Candles
from data.database import connect
from data.store_errors import TRAINER_PATIENCE_S
from models.challenge import challenge, unseen_from_ms
from models.commands import folder_of
from models.folds import least_candles
from models.input_importance import input_importance
from models.job_requests import CHECK_FOLDS, CHECKS, LEAK_CANDLES, Task
from models.leaktest import DEPTHS, leak_test
from models.learners import Learner, follow
from models.parallel import Workers
from models.placebo import placebo_test
from models.registry import Registry
from models.registry_entry import RegistryEntry
from models.result_store import ResultStore
from models.retraining import recipe_of
from models.spec import ModelSpec
from models.stored_markets import long_enough, stored_markets
from models.supervised import add_options, database_of, supervised, workers_of
from models.synthetic_candles import synthetic_candles
from models.training_progress import Tell, steps_told
from models.walk import JUDGED, Plan, walk
from models.walk_findings import FoldResult
from utils.clock import SystemClock
from utils.errors import InvalidInput, NotFound

_DEPTH = "quick"


@dataclass(frozen=True, slots=True)
class Bench:
    """What a check works on."""

    entry: RegistryEntry
    spec: ModelSpec
    against: RegistryEntry | None
    markets: Callable[[], list[Candles]]
    tell: Tell
    workers: Workers


@dataclass(frozen=True, slots=True)
class Found:
    """What is kept of a check, and what the user is told."""

    result: Mapping[str, Any]
    words: str


def main(arguments: Sequence[str] | None = None) -> int:
    return supervised(_parser().parse_args(arguments), run)


def run(options: argparse.Namespace, tell: Tell) -> str:
    """Checks, keeps the result, and returns what to tell the user."""
    registry = Registry(folder_of(options))
    entry = registry.get(options.id)
    if entry.spec is None:
        raise InvalidInput(f"model {entry.id!r} cannot be checked: {entry.reason}")
    spec, address = entry.spec, database_of(options)

    def markets() -> list[Candles]:
        tell("reading")
        return stored_markets(spec.interval, spec.trained_on, database=address, venue=options.venue)

    against = registry.get(options.against) if options.against else None
    workers = workers_of(options)
    found = _CHECKS[Task(options.task)](Bench(entry, spec, against, markets, tell, workers))
    tell("writing")
    database = connect(address, patience_s=TRAINER_PATIENCE_S)
    try:
        ResultStore(database).put(
            entry.digest,
            Task(options.task),
            found.result,
            model_id=entry.id,
            now_ms=SystemClock().now_ms(),
            against=against.digest if against else "",
        )
    finally:
        database.close()
    return found.words


def _leaktest(bench: Bench) -> Found:
    """On the stored candles; where they are too few, on those of the simulated exchange's made-up market."""
    depth = DEPTHS[_DEPTH]
    try:
        stored = [one for one in bench.markets() if len(one) >= LEAK_CANDLES]
    except NotFound:
        stored = []
    bench.tell("checking")
    made = stored or synthetic_candles(bench.spec.interval, depth.candles, min(depth.markets, 4))
    count = min(len(made), depth.markets)
    data = f"stored candles of {count} markets" if stored else "the simulated exchange's made-up candles"
    report = leak_test(made, entry=bench.entry, depth=_DEPTH, data=data, whole=stored)
    sys.stdout.write(f"{report.words}\n")
    return Found(report.to_dict(), report.words.partition("\n")[0])


def _walkforward(bench: Bench) -> Found:
    learn, plan, kind = _walk_of(bench)
    markets = _walkable(bench, plan)
    found = walk(markets, learn, plan, kind=kind, on_fold=_told(bench.tell, plan.folds), workers=bench.workers)
    return Found(found.to_dict(), "\n".join(one.words for one in found.pooled))


def _placebo(bench: Bench) -> Found:
    learn, plan, kind = _walk_of(bench)
    markets = _walkable(bench, plan)
    told = _told(bench.tell, 2 * plan.folds)
    found = placebo_test(markets, learn, plan, kind=kind, on_fold=told, workers=bench.workers)
    return Found(found.to_dict(), "\n".join(twin.words for twin in found.twins))


def _importance(bench: Bench) -> Found:
    markets = bench.markets()
    bench.tell("asking")
    told = steps_told(bench.tell, "asking", SystemClock().monotonic)
    found = input_importance(bench.entry, bench.spec, markets, told)
    return Found(found.to_dict(), found.words)


def _quantize(bench: Bench) -> Found:
    """On the stored candles that it never saw."""
    from models.quantize import quantize  # its library is needed for nothing else

    markets = bench.markets()
    bench.tell("judging")
    until_ms = max(one.last_open_time_ms for one in markets) + bench.spec.interval.ms
    found = quantize(bench.entry, bench.spec, markets, unseen_from_ms(bench.entry), until_ms)
    return Found(found.to_dict(), found.words)


def _challenge(bench: Bench) -> Found:
    if bench.against is None:
        raise InvalidInput("a challenge needs the model in use: name it with --against")
    markets = bench.markets()
    bench.tell("judging")
    found = challenge(bench.against, bench.entry, markets)
    return Found(found.to_dict(), found.words)


_CHECKS: Mapping[Task, Callable[[Bench], Found]] = {
    Task.LEAKTEST: _leaktest,
    Task.WALKFORWARD: _walkforward,
    Task.PLACEBO: _placebo,
    Task.IMPORTANCE: _importance,
    Task.QUANTIZE: _quantize,
    Task.CHALLENGE: _challenge,
}


def _walk_of(bench: Bench) -> tuple[Learner, Plan, str]:
    """The model's own recipe, inputs and window over CHECK_FOLDS folds."""
    recipe, spec = recipe_of(bench.entry), bench.spec
    horizons = tuple(one for one in JUDGED if one in spec.horizons) or spec.horizons[:1]
    plan = Plan(spec.features, spec.window, spec.warm_up, horizons, spec.quantiles, CHECK_FOLDS, seed=spec.seed)
    return follow(recipe), plan, str(recipe.kind)


def _walkable(bench: Bench, plan: Plan) -> Sequence[Candles]:
    """The stored candles, if they suffice."""
    before = bench.spec.warm_up + plan.window
    least = before + least_candles(max(plan.horizons), plan.folds)
    return long_enough(bench.markets(), least, f"a walk over {plan.folds} folds")


def _told(tell: Tell, steps: int) -> Callable[[FoldResult], None]:
    """Tells of each fold that is over."""
    over = iter(range(1, steps + 1))
    tell("walking", step=0, steps=steps)

    def told(result: FoldResult) -> None:
        words = result.verdicts[0].words if result.verdicts else "nothing to judge"
        sys.stdout.write(f"fold {result.fold.number}, {result.fold.test}: {words}\n")
        sys.stdout.flush()
        tell("walking", step=next(over), steps=steps)

    return told


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m models.check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("task", choices=[*map(str, CHECKS), str(Task.CHALLENGE)])
    parser.add_argument("--id", required=True, metavar="ID", help="the model")
    parser.add_argument("--against", default="", metavar="ID", help="the model that it challenges")
    add_options(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
