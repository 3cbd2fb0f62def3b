"""Model card: all that is known of one model, from its spec, its training's report and the ledger."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data.interval import Interval
from data.venue import BINANCE, TESTNET
from models.registry_entry import RegistryEntry, Status
from models.retraining import search_of
from models.spec import parse_id
from models.traits import TRAITS
from routes import wording
from routes.loss_curve import LossCurve, loss_curves
from routes.mix_wording import making_of, seen_sentence
from routes.model_life import ChallengeView, ScheduleView, challenges_of, schedule_of
from routes.model_record import has_twin, never_saw, original_of
from routes.model_results import Result, results_of
from routes.model_rows import SHOWN_HORIZONS, ModelRow, listed, mapping, model_row, number, users_of
from routes.services import Services
from utils.errors import ModelNotFound
from utils.phrases import counted


@dataclass(frozen=True, slots=True)
class HorizonRow:
    """The test's score at one horizon, in words; coverage is realised, its nominal value stands in the head."""

    ahead: str
    skill: str
    error: str
    beats: str
    coverage_50: str
    coverage_90: str
    direction: str
    count: str


@dataclass(frozen=True, slots=True)
class Fact:
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class ModelCard:
    """All that is known of one model."""

    row: ModelRow
    summary: str
    searched: str
    """Of how many recipes its own was the best; empty where none was searched for."""
    live: tuple[str, ...]
    """What the ledger says of it, one sentence per horizon shown."""
    live_coverage: str
    seen: str
    """That the model knows what came after the market's time; nothing where it does not."""
    data: tuple[Fact, ...]
    split: tuple[Fact, ...]
    recipe: tuple[Fact, ...]
    checks: tuple[Fact, ...]
    versions: tuple[Fact, ...]
    features: tuple[str, ...]
    markets: tuple[str, ...]
    horizons: tuple[HorizonRow, ...]
    curves: tuple[LossCurve, ...]
    results: tuple[Result, ...]
    compare: str
    """The model to compare it with: the one in use, or another usable one; empty where there is none."""
    schedule: ScheduleView | None
    challenges: tuple[ChallengeView, ...]


def model_card(parts: Services, model_id: str) -> ModelCard:
    """ModelNotFound where neither the registry nor the archive has it; a broken one is shown with what is wrong."""
    entry, archived = found(parts, parse_id(model_id))
    report: Mapping[str, Any] = entry.report or {}
    skill = parts.ledger.skill(model_id=entry.id, digest=entry.digest) if entry.digest else None
    live = wording.skill_cell(skill) if skill is not None else ("", "")
    row = model_row(parts, entry, users_of(parts.promotion.in_use()), live, archived=archived)
    scores = listed(report.get("test"))
    curve = mapping(report.get("curve"))
    losses = list(zip(listed(curve.get("train_loss")), listed(curve.get("validation_loss")), strict=False))
    return ModelCard(
        row=row,
        summary=_summary(scores, entry),
        searched=_searched(entry),
        live=_live(parts, entry),
        live_coverage=wording.coverage_sentence(skill),
        seen=seen_sentence(making_of(entry), parts.clock.now_ms()),
        data=_data_facts(entry, report),
        split=_split_facts(report),
        recipe=_recipe(mapping(report.get("recipe"))),
        checks=_check_facts(entry, report, row),
        versions=_facts(dict(entry.spec.versions) if entry.spec else {}),
        features=entry.spec.features if entry.spec else (),
        markets=tuple(entry.spec.trained_on) if entry.spec else (),
        horizons=tuple(_horizon(score, entry.spec.interval) for score in scores) if entry.spec else (),
        curves=loss_curves(losses, len(losses)),
        results=results_of(parts, entry),
        compare=_other(parts, entry),
        schedule=None if archived else schedule_of(parts, entry),
        challenges=challenges_of(parts, entry),
    )


def _live(parts: Services, entry: RegistryEntry) -> tuple[str, ...]:
    if entry.spec is None:
        return ()
    interval = entry.spec.interval
    return tuple(
        wording.evidence(
            parts.ledger.skill(model_id=entry.id, digest=entry.digest, horizon=horizon),
            wording.ahead(interval, horizon),
        )
        for horizon in SHOWN_HORIZONS
        if horizon in entry.spec.horizons
    )


def venue_text(venue: str) -> str:
    """Whose candles, in words that never let invented ones pass for real."""
    if not venue:
        return "unknown"
    if venue == BINANCE:
        return "Binance"
    if venue == TESTNET:
        return "Binance's testnet, not the real market"
    if venue == "files":
        return "kline files"
    if venue.startswith(("invented", "run")):
        return f"simulated exchange, not a real market ({venue})"
    return f"exchange {venue}"


def found(parts: Services, model_id: str) -> tuple[RegistryEntry, bool]:
    """The model and whether it is archived; ModelNotFound where there is none of that name."""
    for entries, archived in ((parts.registry.all(), False), (parts.promotion.archived(), True)):
        for entry in entries:
            if entry.id == model_id and entry.status is not Status.UNSUPPORTED:
                return entry, archived
    known = ", ".join(entry.id for entry in parts.registry.usable()) or "none"
    raise ModelNotFound(f"there is no model {model_id!r}; known: {known}")


def _summary(scores: Sequence[Any], entry: RegistryEntry) -> str:
    """One sentence that a reader may rely on."""
    if not scores or entry.spec is None:
        return "No test of this model is on record: nothing says that it beats no change."
    sure = [score for score in scores if _margin(score) > 0]
    worse = [score for score in scores if _margin(score) < 0]
    report = entry.report or {}
    who = "that one" if has_twin(report) or original_of(report) else "it"
    text = f"On candles {never_saw(report)}, {who} beats no change beyond doubt (two standard errors) at "
    text += f"{len(sure)} of {len(scores)} horizons"
    return text + (f" and loses to it at {len(worse)}." if worse else ".")


def _searched(entry: RegistryEntry) -> str:
    found = search_of(entry)
    if found is None:
        return ""
    study, trials = found
    return (
        f"Its recipe is the best of {trials:,} trials of the search {study}. The best of many is partly luck: it "
        "counts only on candles that no trial saw, and what was scored live is such."
    )


def _margin(score: Mapping[str, Any]) -> float:
    """Skill beyond two standard errors: positive better, negative worse, 0 undecided."""
    skill, error = number(score, "skill_fraction"), number(score, "skill_standard_error")
    if skill is None or error is None:
        return 0.0
    return math.copysign(max(0.0, abs(skill) - 2 * error), skill) if abs(skill) > 2 * error else 0.0


def _horizon(score: Mapping[str, Any], interval: Interval) -> HorizonRow:
    error = number(score, "skill_standard_error")
    direction = number(score, "directional_accuracy")
    margin = _margin(score)
    return HorizonRow(
        ahead=wording.candles_ahead(interval, int(score.get("horizon", 1))),
        skill=wording.percent(number(score, "skill_fraction"), signed=True),
        error=f"± {wording.percent(error)}" if error is not None else wording.NOTHING,
        beats="better" if margin > 0 else "worse" if margin < 0 else "undecided",
        coverage_50=wording.percent(number(score, "coverage_50"), 1),
        coverage_90=wording.percent(number(score, "coverage_90"), 1),
        direction=wording.percent(direction, 1),
        count=f"{int(score.get('count', 0)):,}",
    )


def _recipe(given: Mapping[str, Any]) -> tuple[Fact, ...]:
    """Of the numbers those that the kind reads; all where the kind is none of ours."""
    kinds = {str(kind): trait.uses for kind, trait in TRAITS.items()}
    uses = kinds.get(str(given.get("kind")), tuple(given))
    return _facts({name: value for name, value in given.items() if name == "kind" or name in uses})


def _data_facts(entry: RegistryEntry, report: Mapping[str, Any]) -> tuple[Fact, ...]:
    spec, data = entry.spec, mapping(report.get("data"))
    if spec is None:
        return ()
    candles = sum(count for count in mapping(data.get("markets")).values() if isinstance(count, int))
    facts = [
        Fact(
            "Candles",
            f"{spec.interval}, of {counted(len(spec.trained_on), 'market')}" + (f", {candles:,}" if candles else ""),
        ),
        Fact("Fitted on", f"{wording.utc(spec.train_from_ms)[:10]} … {wording.utc(spec.train_until_ms - 1)[:10]}"),
        Fact("From", venue_text(str(data.get("venue", "")))),
        Fact("Data hash", spec.data_hash),
        Fact("Window", f"{counted(spec.window, 'candle')}, after {spec.warm_up} to warm up"),
        Fact("Horizons", f"{spec.horizons[0]} to {spec.horizons[-1]} candles ahead"),
        Fact("Quantiles", ", ".join(f"{level:g}" for level in spec.quantiles)),
        Fact("Scaler", spec.scaler),
    ]
    return tuple(facts)


def _other(parts: Services, entry: RegistryEntry) -> str:
    if entry.spec is None:
        return ""
    serving = parts.registry.default(entry.spec.interval)  # an ensemble has no recipe to compare
    others = [*([serving] if serving else []), *parts.registry.usable()]
    return next((one.id for one in others if one.id != entry.id), "")


def _split_facts(report: Mapping[str, Any]) -> tuple[Fact, ...]:
    data = mapping(report.get("data"))
    test = "Test of its twin, which never saw it" if has_twin(report) else "Test, never seen"
    names = (("train", "Training"), ("validation", "Validation"), ("test", test))
    facts = [Fact(title, str(data[name])) for name, title in names if name in data]
    if of := original_of(report):
        facts.append(Fact("Scores shown", f"those of {of} in single precision; what int8 changed: Quantized"))
    elif isinstance(told := mapping(report.get("notes")).get("scores"), str):
        facts.append(Fact("Scores shown", told))
    for name, title in (("train_windows", "Training windows"), ("validation_windows", "Validation windows")):
        if isinstance(data.get(name), int):
            facts.append(Fact(title, f"{data[name]:,}"))
    if "gap_candles" in data:
        facts.append(Fact("Gap between periods", f"{data['gap_candles']} candles, so that no outcome crosses it"))
    return tuple(facts)


def _check_facts(entry: RegistryEntry, report: Mapping[str, Any], row: ModelRow) -> tuple[Fact, ...]:
    parity = mapping(report.get("parity"))
    speed = f"{row.speed} windows, on this machine" if " for " in row.speed else row.speed
    facts = [Fact("Speed", speed), Fact("Size", row.size)]
    if (difference := number(parity, "largest_difference")) is not None:
        windows = parity.get("windows")
        facts.insert(
            0, Fact("Parity", f"differs from the trained network by {difference:.1e} at most ({windows} windows)")
        )
    if isinstance(told := mapping(report.get("quantized")).get("told"), str):
        facts.append(Fact("Quantized", told))
    if isinstance(report.get("parameters"), int):
        facts.append(Fact("Parameters", f"{report['parameters']:,}"))
    if (training_s := number(report, "training_s")) is not None:
        facts.append(Fact("Training took", wording.duration(training_s)))
    return (*facts, Fact("Digest", entry.digest or wording.NOTHING))


def _facts(values: Mapping[str, Any]) -> tuple[Fact, ...]:
    return tuple(
        Fact(name.replace("_", " "), f"{value:g}" if isinstance(value, float) else str(value))
        for name, value in values.items()
    )
