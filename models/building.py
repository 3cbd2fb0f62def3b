"""Building: from kline files to a model in the registry; what `python -m models.train` does."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data.candles import Candles
from data.interval import Interval
from data.symbol import Symbol
from data.venue import BINANCE
from models.calibrate import split_factors
from models.evaluation import evaluate
from models.input_source import InputSource, training_source
from models.kinds import PARITY_WINDOWS, OnEpoch, Task, Trained, fit, steps
from models.kline_files import between, markets
from models.model_writing import write_model
from models.recipe import Recipe
from models.samples import data_hash, decided, gather
from models.spec import HORIZONS, QUANTILES, SIGMA_HALF_LIFE, ModelSpec
from models.split import Period, Split, newest, split
from models.stored_markets import stored_markets
from models.training_progress import Tell, epochs_told, silent
from utils.clock import Clock, SystemClock
from utils.errors import InvalidInput
from utils.model_utils import Session, session_of


@dataclass(frozen=True, slots=True)
class Order:
    """What to train, on what, and where to put it."""

    recipe: Recipe
    interval: Interval
    symbols: tuple[Symbol, ...]
    data: Path | None
    """A folder of kline files; None: the dashboard's own candle store."""
    from_ms: int | None
    until_ms: int | None
    out: Path
    id: str
    threads: int = 2
    database: str = ""
    """The candle store's address; empty: that of the settings."""
    venue: str = BINANCE
    """Whose candles of the store."""
    own: bool = False
    """Whether the model serves only the markets it was trained on; else it serves any."""
    study: str = ""
    """The search whose best recipe it is, of so many `trials`; empty: none."""
    trials: int = 0
    refit: bool = False
    """Whether, once judged, it learns again from all candles; its scores are then those of the one that was judged."""


def build_model(order: Order, tell: Tell = silent) -> str:
    """Trains, exports, checks, tests and writes the model; returns what to tell the user. Nothing half-done is left.

    `tell` hears of each stage as it begins, and of each epoch.
    """
    clock = SystemClock()
    started = clock.monotonic()
    tell("reading")
    found = [between(one, order.from_ms, None) for one in _markets(order)]
    found = [one for one in found if len(one)]
    if not found:
        raise InvalidInput("no candles are left after --from; give an earlier date")
    parts = split(found, max(HORIZONS), order.until_ms)
    learned = _learned(order, found, parts, clock, tell)
    tell("judging")
    session = session_of(learned.trained.graph, order.id)
    report = _told_of(order, learned, parts) | {
        "validation": _scores(learned.spec, session, found, parts.validation),
        "test": _scores(learned.spec, session, found, parts.test),
        "calibration": _factors(learned, session, found, parts.validation),
    }
    if order.refit:
        parts = newest(parts, found)
        learned = _learned(order, found, parts, clock, tell)
        report = _refitted(report, _told_of(order, learned, parts), parts)
    report["training_s"] = round(clock.monotonic() - started, 1)
    tell("writing")
    path = write_model(order.out, learned.spec, learned.trained.graph, report)
    return _told(path, report)


@dataclass(frozen=True, slots=True)
class _Learned:
    """A fitted model, from which candles, and how many windows it was fitted to and chosen on."""

    spec: ModelSpec
    trained: Trained
    known: tuple[Candles, ...]
    train_windows: int
    validation_windows: int


def _learned(order: Order, found: Sequence[Candles], parts: Split, clock: Clock, tell: Tell) -> _Learned:
    """Sees nothing that opens after the parts' fitting span."""
    tell("preparing", candles=sum(map(len, found)))
    known = [part for part in (between(one, None, parts.fit_until_ms) for one in found) if len(part)]
    source = training_source(order.recipe.kind, known, parts.train)
    samples = gather(
        known,
        source.names,
        window=order.recipe.window,
        warm_up=source.warm_up,
        horizons=HORIZONS,
        half_life=SIGMA_HALF_LIFE,
        inputs=source.compute,
    )
    train = decided(samples, samples.starting(parts.train.from_ms, parts.train.until_ms))
    validation = decided(samples, samples.starting(parts.validation.from_ms, parts.validation.until_ms))
    if not len(train):
        raise InvalidInput(
            f"no window of {order.recipe.window} candles with {source.warm_up} before it and its outcomes after it "
            f"lies in {parts.train}; give a longer history"
        )
    task = Task(
        samples=samples,
        train=train,
        validation=validation,
        window=order.recipe.window,
        horizons=HORIZONS,
        quantiles=QUANTILES,
        seed=order.recipe.seed,
        features=source.names,
        interval=order.interval,
        threads=order.threads,
    )
    windows = max(1, len(train) // order.recipe.stride) + len(validation)
    tell("training", epoch=0, epochs=steps(order.recipe), windows=windows)
    trained = _fit(order.recipe, task, epochs_told(tell, steps(order.recipe), windows, clock.monotonic))
    tell("checking")
    spec = _spec(order, parts, known, source, task, trained, clock.now_ms())
    return _Learned(spec, trained, tuple(known), len(train), len(validation))


def _told_of(order: Order, learned: _Learned, parts: Split) -> dict[str, Any]:
    """What a report says of how a model was made."""
    trained = learned.trained
    return {
        "data": {
            "markets": {str(one.symbol): len(one) for one in learned.known},
            "hash": learned.spec.data_hash,
            "venue": order.venue if order.data is None else "files",
            "train": str(parts.train),
            "validation": str(parts.validation),
            "test": str(parts.test),
            "gap_candles": parts.gap_ms // order.interval.ms,
            "train_windows": learned.train_windows,
            "validation_windows": learned.validation_windows,
        },
        "recipe": asdict(order.recipe),
        **({"search": {"study": order.study, "trials": order.trials}} if order.study else {}),
        "curve": {
            "train_loss": list(trained.train_loss),
            "validation_loss": list(trained.validation_loss),
            "best_epoch": trained.best_epoch,
        },
        "parity": {"largest_difference": trained.difference, "windows": PARITY_WINDOWS},
        "parameters": trained.parameters,
        "graph_bytes": len(trained.graph),
        "notes": dict(trained.notes),
    }


def _refitted(judged: Mapping[str, Any], learned: dict[str, Any], parts: Split) -> dict[str, Any]:
    """The report of a model that has learned once more, from all candles: its scores are those of its twin, which had
    not seen the months they were made on."""
    notes = {
        "scores": f"those of a twin that learned from {judged['data']['train']} and had not seen the months it was "
        "judged on; this model has learned from them since"
    }
    return learned | {
        "data": learned["data"]
        | {"test": judged["data"]["test"], "fitted_until_ms": parts.fit_until_ms, "twin": judged["data"]},
        "notes": learned["notes"] | notes,
        "validation": judged["validation"],
        "test": judged["test"],
        "calibration": judged["calibration"],
    }


def _markets(order: Order) -> list[Candles]:
    if order.data is None:
        return stored_markets(order.interval, order.symbols, database=order.database, venue=order.venue)
    return markets(order.data, order.interval, order.symbols)


def _fit(recipe: Recipe, task: Task, on_epoch: OnEpoch) -> Trained:
    """With a progress bar of epochs on standard error."""
    with tqdm(total=steps(recipe), desc="epochs", unit="epoch", file=sys.stderr, disable=None) as bar:

        def seen(epoch: int, train_loss: float, validation_loss: float) -> None:
            on_epoch(epoch, train_loss, validation_loss)
            bar.set_postfix(train=f"{train_loss:.5f}", validation=f"{validation_loss:.5f}")
            bar.update()

        return fit(recipe, task, seen)


def _spec(
    order: Order,
    parts: Split,
    known: Sequence[Candles],
    source: InputSource,
    task: Task,
    trained: Trained,
    now_ms: int,
) -> ModelSpec:
    recipe = order.recipe
    return ModelSpec(
        id=order.id,
        kind=recipe.kind,
        interval=order.interval,
        symbols=tuple(one.symbol for one in known) if order.own else (),
        trained_on=tuple(one.symbol for one in known),
        features=task.features,
        warm_up=source.warm_up,
        window=recipe.window,
        horizons=HORIZONS,
        quantiles=QUANTILES,
        sizes=trained.sizes,
        seed=recipe.seed,
        train_from_ms=parts.train.from_ms,
        train_until_ms=parts.train.until_ms,
        data_hash=data_hash(known),
        sigma_half_life=SIGMA_HALF_LIFE,
        baseline=tuple(tuple(float(value) for value in row) for row in task.naive),
        scaler=trained.scaler,
        created_ms=now_ms,
        versions={name: _version(name) for name in ("numpy", "onnx", *trained.packages)}
        | {"python": platform.python_version()},
        season=source.season,
        context=source.context,
    )


def _version(package: str) -> str:
    """TensorFlow's processor-only build goes by another name."""
    try:
        return version(package)
    except PackageNotFoundError:
        return version(f"{package}-cpu")


def _scores(spec: ModelSpec, session: Session, found: Sequence[Candles], period: Period) -> list[dict[str, Any]]:
    """One entry per horizon; none where the period is too short for a single forecast."""
    try:
        return [asdict(score) for score in evaluate(spec, session, found, period.from_ms, period.until_ms)]
    except InvalidInput:
        return []


def _factors(learned: _Learned, session: Session, found: Sequence[Candles], period: Period) -> dict[str, Any] | None:
    """None where the graph itself holds what they would do: its bands are then where a model begins."""
    if learned.trained.calibrated:
        return None
    return split_factors(learned.spec, session, found, period.from_ms, period.until_ms)


def _told(path: Path, report: Mapping[str, Any]) -> str:
    size = f"{report['graph_bytes'] / 1024:,.1f} KiB"
    lines = [f"{path.name}: {report['parameters']:,} parameters, {size}, {report['training_s']} s of training"]
    for name in ("validation", "test"):
        skills = {score["horizon"]: score["skill_fraction"] for score in report[name]}
        known = {ahead: skills[ahead] for ahead in (1, 6, 24) if skills.get(ahead) is not None}
        told = ", ".join(f"{100 * skill:+.2f} % at {ahead}".replace("-", "−") for ahead, skill in known.items())
        period = report["data"].get("twin", report["data"])[name]
        lines.append(f"{name} {period}: skill {f'{told} candles ahead' if told else 'unknown: too few candles'}")
    return "\n".join(lines)
