"""`python -m models.leaktest`: proves that the pipeline, and a trained model, see no future; exit code 1 where they do.

Without `--data` it works on candles of the simulated exchange's made-up market. Nothing heavy is imported: no
TensorFlow, and Parquet and ONNX only where they are needed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from data.candles import Candles
from data.interval import Interval
from models.commands import add_folder, folder_of
from models.input_source import inputs_for
from models.inputs import WARM_UP, input_matrix
from models.leak_beside import check_beside, with_context
from models.leak_checks import check_future, check_scaler, check_split, check_targets
from models.leak_findings import Check, Finding
from models.leak_models import check_forecasts, check_gap, check_graph_scaler
from models.leak_plants import Plant, plants
from models.leak_shuffle import check_shuffled
from models.pipeline import Pipeline, real_pipeline
from models.registry import Registry
from models.registry_entry import RegistryEntry
from models.samples import Samples
from models.spec import HORIZONS, QUANTILES
from models.synthetic_candles import synthetic_candles
from utils.clock import SystemClock
from utils.errors import DashboardError
from utils.phrases import counted

JUDGED = (1, 6, 24)
_WINDOW = 16


@dataclass(frozen=True, slots=True)
class Depth:
    """How much is tried: candles per market, markets, and where in each the future is replaced."""

    candles: int
    markets: int
    fractions: tuple[float, ...]


DEPTHS = {
    "quick": Depth(8000, 3, (0.5, 0.8)),
    "full": Depth(20_000, 10, (0.3, 0.5, 0.65, 0.8, 0.95)),
}


@dataclass(frozen=True, slots=True)
class LeakReport:
    """What was tried, on what, and how it went. `ok`: every check passed and every planted leak was caught."""

    model_id: str | None
    model_digest: str | None
    data: str
    depth: str
    checks: tuple[Check, ...]
    took_s: float

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(finding for check in self.checks for finding in check.findings)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "ok": self.ok}

    @property
    def words(self) -> str:
        """One line per check, then what was found and how to mend it."""
        subject = f"model {self.model_id} and its pipeline" if self.model_id else "the pipeline"
        failed = sum(not check.ok for check in self.checks)
        verdict = "no leak found" if self.ok else f"{counted(failed, 'check')} failed"
        lines = [f"{subject}, on {self.data}: {verdict} ({len(self.checks)} checks, {self.took_s:.1f} s)"]
        lines += [f"{'ok    ' if check.ok else 'FAILED'} {check.name}: {check.words}" for check in self.checks]
        lines += [f"  {one.file}: {one.feature}: {one.problem}; fix: {one.fix}" for one in self.findings]
        return "\n".join(lines)


def leak_test(
    markets: Sequence[Candles],
    *,
    entry: RegistryEntry | None = None,
    depth: str = "quick",
    data: str = "",
    pipeline: Pipeline | None = None,
    whole: Sequence[Candles] = (),
) -> LeakReport:
    """Tries the pipeline (that of the model, where one is given) and the model on these candles of one interval.

    `whole`: all candles there are, where the model's training window may be among them, to compute its scaling again.
    """
    clock = SystemClock()
    started = clock.monotonic()
    chosen = DEPTHS[depth]
    spec = entry.spec if entry is not None else None
    tried = [candles.tail(chosen.candles) for candles in markets[: chosen.markets]]
    inputs = inputs_for(spec, with_context(spec, tried)) if spec else input_matrix
    real = pipeline or (real_pipeline(spec.features, spec.sigma_half_life, inputs) if spec else real_pipeline())
    window = (spec.window, spec.warm_up) if spec else (_WINDOW, WARM_UP)
    checks = pipeline_checks(real, tried, chosen.fractions, window)
    if entry is not None and spec is not None:
        checks += [
            check_forecasts(spec, entry.open(), tried, chosen.fractions, inputs),
            check_gap(spec, entry.report or {}),
            *check_beside(spec, tried, chosen.fractions),
        ]
        # the other market as it was in training, not the tail that is tried here
        trained = replace(real, inputs=inputs_for(spec, whole)) if spec.season else real
        if (found := check_graph_scaler(trained, entry, whole)) is not None:
            checks.append(found)
    checks += [caught(plant, tried[:1], window) for plant in plants(real)]
    return LeakReport(
        entry.id if entry else None,
        entry.digest if entry else None,
        data or f"{len(tried)} markets of up to {chosen.candles} candles",
        depth,
        tuple(checks),
        round(clock.monotonic() - started, 2),
    )


def pipeline_checks(
    pipeline: Pipeline, markets: Sequence[Candles], fractions: Sequence[float], window: tuple[int, int]
) -> list[Check]:
    """(a) to (d) of a pipeline. `window`: candles of one, and of the warm-up before it."""
    samples = pipeline.gather(markets, JUDGED, *window)
    parts = pipeline.split(markets, max(JUDGED), None)
    return [
        check_future(pipeline, markets, fractions),
        check_targets(pipeline, markets[0], HORIZONS),
        check_scaler(pipeline, samples, samples.starting(parts.train.from_ms, parts.train.until_ms)),
        check_split(pipeline, markets, samples, JUDGED, None),
        check_shuffled(pipeline, samples, parts, JUDGED, QUANTILES, seed=1),
    ]


def caught(plant: Plant, markets: Sequence[Candles], window: tuple[int, int]) -> Check:
    """(e) Whether the check that must fail does, and names what leaks."""
    found = _tried(plant, markets, window)
    named = [finding for finding in found.findings if finding.feature == plant.names]
    name = f"planted: {plant.title}"
    if found.ok or not named:
        return Check(name, False, f"not caught by the check that {found.name}: {found.words}")
    one = named[0]
    return Check(name, True, f"caught: {one.file}, {one.feature}: {one.problem}; fix: {one.fix}")


def _tried(plant: Plant, markets: Sequence[Candles], window: tuple[int, int]) -> Check:
    pipeline = plant.pipeline
    if plant.check == "features see the past alone":
        return check_future(pipeline, markets, (0.6,))
    if plant.check == "targets begin at t":
        return check_targets(pipeline, markets[0], HORIZONS)
    samples: Samples = pipeline.gather(markets, JUDGED, *window)
    if plant.check == "no outcome crosses a split":
        return check_split(pipeline, markets, samples, JUDGED, None)
    period = pipeline.split(markets, max(JUDGED), None).train
    return check_scaler(pipeline, samples, samples.starting(period.from_ms, period.until_ms))


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        report = run(options)
    except DashboardError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write((json.dumps(report.to_dict(), allow_nan=False, indent=2) if options.json else report.words) + "\n")
    return 0 if report.ok else 1


def run(options: argparse.Namespace) -> LeakReport:
    entry = Registry(folder_of(options)).get(options.model) if options.model else None
    interval = entry.spec.interval if entry and entry.spec else Interval.parse(options.interval)
    depth = DEPTHS[options.depth]
    if options.data is None:
        made = synthetic_candles(interval, depth.candles, min(depth.markets, 4))
        return leak_test(made, entry=entry, depth=options.depth, data="the simulated exchange's made-up candles")
    from models.kline_files import markets, parse_symbols

    found = markets(options.data, interval, parse_symbols(options.symbols))
    words = f"{min(len(found), depth.markets)} markets of {options.data.name}"
    return leak_test(found, entry=entry, depth=options.depth, data=words, whole=found)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.leaktest", description=__doc__)
    parser.add_argument("--model", metavar="ID", help="a model of --models; without it, the pipeline alone")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of SYMBOL-INTERVAL.parquet files")
    parser.add_argument("--symbols", nargs="+", default=[], metavar="SYMBOL", help="default: every market in --data")
    parser.add_argument("--interval", default="1h", help="candle length where no model names it (default: 1h)")
    add_folder(parser)
    parser.add_argument("--depth", choices=list(DEPTHS), default="quick")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    return parser


if __name__ == "__main__":
    sys.exit(main())
