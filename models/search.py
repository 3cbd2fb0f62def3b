"""`python -m models.search`: searches for a kind's best recipe by Optuna, judged by walking forward alone.

The newest tenth of the candles, which a training keeps for its test, is never looked at. Trials are kept in a SQLite
file: a search that was ended, or killed, goes on where it was, on the same candles. One that does worse than most did
after as many folds is given up. The more recipes were tried, the luckier the best of them is: how many is always told.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from config import load_settings
from data.candles import Candles
from data.database import connect
from data.interval import Interval
from data.store_errors import TRAINER_PATIENCE_S
from models.folds import least_candles
from models.inputs import WARM_UP
from models.job_requests import CHECK_FOLDS, Task
from models.kline_files import between, parse_symbols
from models.learners import follow
from models.parallel import Workers
from models.recipe import Recipe, preset
from models.result_store import ResultStore
from models.scale_series import HISTORY
from models.search_request import MOST_TRIALS, SEARCHABLE, TRIED
from models.spec import HORIZONS, Kind, parse_id
from models.split import parse_date, split
from models.stored_markets import long_enough, stored_markets
from models.supervised import add_options, database_of, supervised, workers_of
from models.training_progress import Tell
from models.traits import TRAITS
from models.verdicts import Verdict
from models.walk import JUDGED, Plan, walk
from models.walk_findings import FoldResult
from utils.clock import SystemClock
from utils.errors import InvalidInput

if TYPE_CHECKING:
    import optuna

FILE = "searches.db"
_PRESET = "quick"
_HALF_LIVES = (0.0, 365.0, 730.0, 1460.0)
_NETWORK_RATES, _TREE_RATES = (1e-4, 1e-2), (1e-2, 1e-1)
"""How far one step of a network goes, and how much of each tree is added: hardly anything is learned at the other's."""
_UNPRUNED_TRIALS = 4
_WINDOWS = (8, 16, 24, 48)
_SEARCHED_PART = 0.9
"""Of the candles; the rest is a training's test."""
_SQLITE = "sqlite:///"


@dataclass(frozen=True, slots=True)
class Scene:
    """What every trial is judged on."""

    markets: tuple[Candles, ...]
    kind: Kind
    folds: int
    workers: Workers


def main(arguments: Sequence[str] | None = None) -> int:
    return supervised(_parser().parse_args(arguments), run)


def run(options: argparse.Namespace, tell: Tell) -> str:
    """Goes on with the study, or begins it; keeps the result and returns what to tell the user."""
    if not 1 <= options.trials <= MOST_TRIALS:
        raise InvalidInput(f"{options.trials} trials do not fit; use 1 to {MOST_TRIALS}")
    import optuna

    address, name, kind = database_of(options), parse_id(options.study), Kind(options.kind)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=f"{_SQLITE}{studies_file(address)}",
        study_name=name,
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=7),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=_UNPRUNED_TRIALS),
        load_if_exists=True,
    )
    tell("reading")
    scene = _scene(options, study, address, kind)
    for one in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(one.number, state=optuna.trial.TrialState.FAIL)  # of a process that was killed
    study.enqueue_trial(_first(kind), skip_if_exists=True)
    tell("searching", step=0, steps=options.trials)
    before = len(study.trials)

    def told(of: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        sys.stdout.write(f"trial {trial.number}: {trial.state.name.lower()} {trial.value} {trial.params}\n")
        sys.stdout.flush()
        tell("searching", step=min(options.trials, len(of.trials) - before + 1), steps=options.trials)

    study.optimize(lambda trial: _judged(trial, scene), options.trials, callbacks=[told], catch=(InvalidInput,))
    found = summary(study, scene)
    _keep(address, name, found)
    return str(found["words"])


def studies_file(address: str) -> Path:
    """Beside the database where that is a file, else in the instance's folder."""
    if address.startswith(_SQLITE):
        return Path(address.removeprefix(_SQLITE)).resolve().parent / FILE
    return load_settings().instance_path.resolve() / FILE


def recipe_of_trial(trial: optuna.trial.BaseTrial, kind: Kind) -> Recipe:
    """The preset with what the trial tries; only numbers that the kind reads."""
    trait, given = TRAITS[kind], preset(_PRESET, kind)
    tried: dict[str, Any] = {}
    if "window" in trait.uses:
        tried["window"] = trial.suggest_categorical("window", list(trait.windows) or list(_WINDOWS))
    if "units" in trait.uses:
        low, high = trait.limits.get("units", (4, 64))
        tried["units"] = trial.suggest_int("units", max(4, int(low)), min(64, int(high)), log=True)
    if "learning_rate" in trait.uses:
        low, high = _NETWORK_RATES if given.learning_rate <= _NETWORK_RATES[1] else _TREE_RATES
        tried["learning_rate"] = trial.suggest_float("learning_rate", low, high, log=True)
    if "dropout" in trait.uses:
        tried["dropout"] = trial.suggest_float("dropout", 0.0, 0.4)
    if "half_life_days" in trait.uses:
        tried["half_life_days"] = trial.suggest_categorical(
            "half_life_days", sorted({*_HALF_LIVES, given.half_life_days})
        )
    return replace(given, **tried)


def summary(study: optuna.Study, scene: Scene) -> dict[str, Any]:
    """The best recipe with the number of trials it was chosen from. InvalidInput where no trial came to its end."""
    import optuna

    states = [trial.state for trial in study.trials]
    counts = {state.name.lower(): states.count(state) for state in optuna.trial.TrialState if state in states}
    done = [trial for trial in study.trials if trial.state is optuna.trial.TrialState.COMPLETE]
    if not done:
        why = study.trials[-1].user_attrs.get("why", "the log says why")
        raise InvalidInput(f"none of {len(states)} trials came to its end: {why}")
    best = study.best_trial
    recipe = recipe_of_trial(optuna.trial.FixedTrial(best.params), scene.kind)
    first = study.trials[0].value
    words = f"best of {len(states)} trials ({counts.get('pruned', 0)} given up early): "
    words += f"skill {100 * (best.value or 0):+.2f} % over {scene.folds} folds, in trial {best.number}"
    words += f"; the {_PRESET} preset has {100 * first:+.2f} %" if first is not None else ""
    return {
        "kind": str(scene.kind),
        "interval": str(scene.markets[0].interval),
        "trials": len(states),
        "counts": counts,
        "skill": best.value,
        "preset_skill": first,
        "best_trial": best.number,
        "folds": scene.folds,
        "markets": [str(one.symbol) for one in scene.markets],
        "recipe": asdict(recipe) | {"kind": str(recipe.kind)},
        "words": f"{words}. The best of many is partly luck: it counts only on candles that no trial saw.",
    }


def _scene(options: argparse.Namespace, study: optuna.Study, address: str, kind: Kind) -> Scene:
    """The candles before the test. A study that goes on keeps its kind, folds and last day, so that trials compare."""
    interval = Interval.parse(options.interval)
    wanted = {"kind": str(kind), "interval": str(interval), "folds": options.folds, "venue": options.venue}
    known = study.user_attrs
    if known and {name: known.get(name) for name in wanted} != wanted:
        told = ", ".join(f"{name} {known.get(name)}" for name in wanted)
        raise InvalidInput(f"study {study.study_name!r} is of {told}; give another name to search anything else")
    symbols = known.get("symbols") or list(options.symbols)
    stored = stored_markets(interval, parse_symbols(symbols), database=address, venue=options.venue)
    least = max(HISTORY, WARM_UP + max(_WINDOWS)) + least_candles(max(JUDGED), options.folds)
    found = long_enough(stored, round(least / _SEARCHED_PART), f"a search over {options.folds} folds")
    from_ms = parse_date(options.from_) if options.from_ else None
    until_ms = known.get("until_ms") or split(found, max(HORIZONS), None).fit_until_ms
    markets = tuple(part for part in (between(one, from_ms, until_ms) for one in found) if len(part))
    if not markets:
        raise InvalidInput("no candles are left to search on; give an earlier --from")
    given = wanted | {"until_ms": until_ms, "symbols": [str(one.symbol) for one in markets]}
    for name, value in given.items():
        study.set_user_attr(name, value)
    return Scene(markets, kind, options.folds, workers_of(options))


def _judged(trial: optuna.Trial, scene: Scene) -> float:
    """Mean skill over folds and horizons; ends early where most trials were better after as many folds."""
    import optuna

    recipe = recipe_of_trial(trial, scene.kind)
    skills: list[float] = []

    def seen(result: FoldResult) -> None:
        skills.append(_skill(result.verdicts))
        trial.report(fmean(skills), len(skills))
        if len(skills) < scene.folds and trial.should_prune():
            raise optuna.TrialPruned

    plan = Plan(window=recipe.window, folds=scene.folds, seed=recipe.seed)
    try:
        walk(scene.markets, follow(recipe), plan, kind=str(scene.kind), on_fold=seen, workers=scene.workers)
    except InvalidInput as error:
        trial.set_user_attr("why", str(error))
        raise
    return fmean(skills)


def _skill(verdicts: Sequence[Verdict]) -> float:
    """Against no change, the mean over the horizons."""
    return fmean([one.comparisons[0].skill_fraction or 0.0 for one in verdicts] or [0.0])


def _first(kind: Kind) -> Mapping[str, Any]:
    """What the preset itself would be, so that the search is held against it."""
    recipe = preset(_PRESET, kind)
    return {name: getattr(recipe, name) for name in TRIED if name in TRAITS[kind].uses}


def _keep(address: str, name: str, found: Mapping[str, Any]) -> None:
    database = connect(address, patience_s=TRAINER_PATIENCE_S)
    try:
        digest = hashlib.sha256(name.encode()).hexdigest()
        ResultStore(database).put(digest, Task.SEARCH, found, model_id=name, now_ms=SystemClock().now_ms())
    finally:
        database.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m models.search",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--study", required=True, metavar="NAME", help="one that is there goes on")
    parser.add_argument("--kind", required=True, choices=list(map(str, SEARCHABLE)))
    parser.add_argument("--interval", default="1h", help="candle length (default: 1h)")
    parser.add_argument("--symbols", nargs="+", default=[], metavar="SYMBOL", help="default: those of the settings")
    parser.add_argument("--from", dest="from_", metavar="DATE", help="first day used (UTC)")
    parser.add_argument("--trials", type=int, default=20, help="how many more (default: 20)")
    parser.add_argument("--folds", type=int, default=CHECK_FOLDS, help=f"of each (default: {CHECK_FOLDS})")
    add_options(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
