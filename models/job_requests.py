"""Job requests: what may be asked for in the background, each with the command that does it, as values and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from data.interval import Interval
from data.symbol import Symbol
from models.kinds import steps
from models.spec import Kind
from models.split import parse_date
from models.training_request import TrainingRequest


class Task(StrEnum):
    """What a job does, each in a process of its own."""

    TRAIN = "train"
    LEAKTEST = "leaktest"
    PLACEBO = "placebo"
    WALKFORWARD = "walkforward"
    IMPORTANCE = "importance"
    QUANTIZE = "quantize"
    CHALLENGE = "challenge"
    SEARCH = "search"


CHECKS = (Task.LEAKTEST, Task.PLACEBO, Task.WALKFORWARD, Task.IMPORTANCE, Task.QUANTIZE)
"""What can be asked of one model by itself."""
CHECK_FOLDS = 3
LEAK_CANDLES = 3000
ASKED_CANDLES = 3000
"""Of each market, on which a model is asked what it rests on."""
WALKED_CANDLES = 10_000
"""The newest ones of each market, which a walk is given where the exchange has them; whatever else is stored is walked
over too."""
MOST_CANDLES = 2_000_000
"""Fetched for one job: 2000 calls, and about 200 MB of database."""
_CANDLES: Mapping[Task, int] = {
    Task.LEAKTEST: LEAK_CANDLES,
    Task.PLACEBO: WALKED_CANDLES,
    Task.WALKFORWARD: WALKED_CANDLES,
    Task.IMPORTANCE: ASKED_CANDLES,
    Task.QUANTIZE: ASKED_CANDLES,
    Task.SEARCH: WALKED_CANDLES,
}


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """One check of a model. `against` is the model in use that it challenges; empty for every other check. `symbols`:
    the markets whose history is fetched first, as far as the check wants it."""

    task: Task
    model_id: str
    interval: Interval
    against: str = ""
    symbols: tuple[Symbol, ...] = ()

    @property
    def steps(self) -> int:
        """How many it has; 0 where that is not known before."""
        return {Task.PLACEBO: 2 * CHECK_FOLDS, Task.WALKFORWARD: CHECK_FOLDS}.get(self.task, 0)

    def command(self) -> list[str]:
        given = ["models.check", str(self.task), "--id", self.model_id]
        return [*given, "--against", self.against] if self.against else given

    def to_json(self) -> dict[str, Any]:
        plain = {"task": str(self.task), "interval": str(self.interval), "symbols": list(self.symbols)}
        return asdict(self) | plain


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """A search for a recipe: `trials` more of them in the study `model_id`, each walked forward over `folds`."""

    model_id: str
    interval: Interval
    symbols: tuple[Symbol, ...]
    kind: Kind
    trials: int
    folds: int = CHECK_FOLDS
    from_date: str = ""

    @property
    def steps(self) -> int:
        return self.trials

    def command(self) -> list[str]:
        given = ["models.search", "--study", self.model_id, "--kind", str(self.kind), "--interval", str(self.interval)]
        given += ["--trials", str(self.trials), "--folds", str(self.folds), "--symbols", *self.symbols]
        return [*given, "--from", self.from_date] if self.from_date else given

    def to_json(self) -> dict[str, Any]:
        plain = {"task": str(Task.SEARCH), "interval": str(self.interval), "kind": str(self.kind)}
        return asdict(self) | plain | {"symbols": list(self.symbols)}


Request = TrainingRequest | CheckRequest | SearchRequest


def task_of(request: Request) -> Task:
    if isinstance(request, TrainingRequest):
        return Task.TRAIN
    return request.task if isinstance(request, CheckRequest) else Task.SEARCH


def steps_of(request: Request) -> int:
    """What a training reports (models.kinds), folds or trials; 0 where that is not known before."""
    return steps(request.recipe) if isinstance(request, TrainingRequest) else request.steps


def command_of(request: Request) -> list[str]:
    """What follows `python -m`."""
    return ["models.train", *request.arguments()] if isinstance(request, TrainingRequest) else request.command()


def history_from(request: Request, now_ms: int) -> int | None:
    """From when on the candles of the request's markets are wanted; None where those that are stored suffice."""
    if isinstance(request, TrainingRequest):
        return parse_date(request.from_date) if request.from_date else None
    if isinstance(request, SearchRequest) and request.from_date:
        return parse_date(request.from_date)
    wanted = _CANDLES.get(task_of(request), 0)
    if not wanted or not request.symbols:
        return None
    return newest_from(request.interval, len(request.symbols), wanted, now_ms)


def newest_from(interval: Interval, markets: int, candles: int, now_ms: int) -> int:
    """When the newest `candles` of each market begin, or as many as may be fetched of so many markets."""
    count = min(candles, MOST_CANDLES // max(1, markets))
    return max(0, interval.open_ms(now_ms) - count * interval.ms)


def request_of(value: Mapping[str, Any]) -> Request:
    """Of what `to_json` gave; what names no task is a training."""
    given = dict(value)
    task = Task(given.get("task", Task.TRAIN))
    if task is Task.TRAIN:
        return TrainingRequest.from_json(given)
    given |= {"interval": Interval(given["interval"]), "symbols": tuple(map(Symbol, given.get("symbols", ())))}
    if task is Task.SEARCH:
        del given["task"]
        return SearchRequest(**given | {"kind": Kind(given["kind"])})
    return CheckRequest(**given | {"task": task})
