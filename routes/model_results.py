"""Model results: what the checks of a model found, in words and tables for its card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from data.interval import Interval
from models.job_requests import CHECKS, Task
from models.registry_entry import RegistryEntry
from models.result_store import StoredResult
from routes import wording
from routes.services import Services
from routes.walk_result import Figure, Table, TableRow, skill_text, walk_result
from utils.phrases import counted


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One check of the leak test; `fix` where it failed."""

    name: str
    ok: bool
    words: str


@dataclass(frozen=True, slots=True)
class Result:
    """One check of a model: how to run it, what runs, and what it found the last time."""

    task: str
    title: str
    help: str
    running: int | None
    """The number of the job that is under way."""
    made_ms: int | None
    ok: bool | None
    verdict: str
    words: str
    checks: tuple[CheckLine, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[TableRow, ...] = ()
    notes: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    """More of what was found, folded away."""
    charts: tuple[Figure, ...] = ()


_SHOWN_INPUTS = 12
_TITLES = {
    Task.LEAKTEST: (
        "Leak test",
        "Replaces the future, shuffles the targets, computes the scaling again, and plants leaks that must be caught.",
    ),
    Task.PLACEBO: (
        "Placebo twin",
        "The same recipe on a random walk of equal volatility: what it learns there is an artefact.",
    ),
    Task.WALKFORWARD: (
        "Walk forward",
        "The same recipe, learned again and again as time goes on, judged only on what came after.",
    ),
    Task.IMPORTANCE: (
        "Importance of inputs",
        "What its forecasts rest on: the skill that is lost where one input is dealt out at random among the windows.",
    ),
    Task.QUANTIZE: (
        "Int8 twin",
        "The same model with weights of 8 bits, beside it as a model of its own: kept only if it is smaller or faster "
        "here and its skill, on candles that the model never saw, falls by less than 0.1 percentage point.",
    ),
}


def results_of(parts: Services, entry: RegistryEntry) -> tuple[Result, ...]:
    """One per check, run or not."""
    if entry.spec is None or parts.results is None:
        return ()
    stored: Mapping[Task, StoredResult] = parts.results.of(entry.digest)
    running = {job.task: job.id for job in parts.training.jobs.unfinished() if job.model_id == entry.id}
    return tuple(_result(task, stored.get(task), running.get(task), entry.spec.interval) for task in CHECKS)


def _result(task: Task, stored: StoredResult | None, running: int | None, interval: Interval) -> Result:
    title, told = _TITLES[task]
    if stored is None:
        return Result(str(task), title, told, running, None, None, "", "Not run yet.")
    read = _READERS[task]
    return Result(str(task), title, told, running, stored.made_ms, **read(stored.result, interval))


def _leaks(result: Mapping[str, Any], _: Interval) -> dict[str, Any]:
    checks = [CheckLine(one["name"], bool(one["ok"]), one["words"]) for one in result["checks"]]
    failed = sum(not one.ok for one in checks)
    planted = sum(one.name.startswith("planted") and one.ok for one in checks)
    words = (
        f"No leak found: {len(checks) - planted} checks passed" if not failed else f"{counted(failed, 'check')} failed"
    )
    words += f", {planted} planted leaks caught, on {result['data']}."
    fixes = [f"{one['file']}: {one['feature']}: {one['problem']}; fix: {one['fix']}" for one in _findings(result)]
    verdict = "no leak" if result["ok"] else "failed"
    return {
        "ok": bool(result["ok"]),
        "verdict": verdict,
        "words": words,
        "checks": tuple(checks),
        "notes": tuple(fixes),
    }


def _findings(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [finding for check in result["checks"] if not check["ok"] for finding in check["findings"]]


def _twins(result: Mapping[str, Any], interval: Interval) -> dict[str, Any]:
    rows = [
        TableRow(
            wording.candles_ahead(interval, twin["horizon"]),
            (skill_text(twin["real"]), skill_text(twin["placebo"])),
        )
        for twin in result["twins"]
    ]
    words = (
        "Nothing is learned from the placebo." if result["ok"] else "The placebo is learned from: distrust the skill."
    )
    columns = ("Ahead", "Real market", "Placebo")
    markets = len(result["markets"])
    notes = (f"Skill against no change with its 95 % interval, walked forward over {markets} markets and their twins.",)
    verdict = "sound" if result["ok"] else "failed"
    found = {"columns": columns, "rows": tuple(rows), "notes": notes}
    return {"ok": bool(result["ok"]), "verdict": verdict, "words": words, **found}


def _importance(result: Mapping[str, Any], _: Interval) -> dict[str, Any]:
    shown = result["inputs"][:_SHOWN_INPUTS]
    rows = [
        TableRow(str(one["feature"]), (wording.percent(one["skill_lost"]), f"± {wording.percent(one['spread'])}"))
        for one in shown
    ]
    words = str(result["words"])
    period = f"{wording.utc(result['from_ms'])[:10]} … {wording.utc(result['until_ms'] - 1)[:10]}"
    count, rounds = len(result["markets"]), result["rounds"]
    markets = counted(count, "market")
    notes = [f"Of {markets}, {period}. Each input is dealt out {rounds} times; ± is the spread of one deal."]
    if (more := len(result["inputs"]) - len(shown)) > 0:
        notes.append(f"{more} more inputs lose less than these.")
    columns = ("Input", "Skill lost", "Luck of the deal")
    sure = int(result["sure"])
    verdict = f"{sure} matter" if sure else "none matters"
    found = {"columns": columns, "rows": tuple(rows), "notes": tuple(notes)}
    return {"ok": None if result["seen"] else sure > 0, "verdict": verdict, "words": f"{words}.", **found}


def _twin(result: Mapping[str, Any], _: Interval) -> dict[str, Any]:
    one, other = (result["verdict"][name] for name in ("original", "quantized"))
    rows = (
        TableRow("Size", (wording.size(one["size_bytes"]), wording.size(other["size_bytes"]))),
        TableRow("32 windows", (wording.milliseconds(one["batch_ms"]), wording.milliseconds(other["batch_ms"]))),
        TableRow("Mean skill against no change", (_skill_of(one), _skill_of(other))),
    )
    kept = bool(result["kept"])
    words = f"Kept as {result['id']}, which may be promoted." if kept else "Not kept: it does not pay here."
    period = f"{wording.utc(result['from_ms'])[:10]} … {wording.utc(result['until_ms'] - 1)[:10]}"
    notes = (f"Judged over all horizons, {period}; timed in turn.",)
    found = {"columns": ("", "Single precision", "Int8"), "rows": rows, "notes": notes}
    return {"ok": True if kept else None, "verdict": "kept", "words": words, **found}


def _skill_of(measured: Mapping[str, Any]) -> str:
    return wording.percent(measured["skill"], signed=True)


_READERS: Mapping[Task, Callable[[Mapping[str, Any], Interval], dict[str, Any]]] = {
    Task.LEAKTEST: _leaks,
    Task.PLACEBO: _twins,
    Task.WALKFORWARD: walk_result,
    Task.IMPORTANCE: _importance,
    Task.QUANTIZE: _twin,
}
