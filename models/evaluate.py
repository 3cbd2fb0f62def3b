"""`python -m models.evaluate`: scores a model on candles of any market and month, beside the naive forecast."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from models.commands import add_klines, add_model, beside, ended, klines, usable
from models.evaluation import HorizonScore, Outcomes, evaluate
from models.input_source import check_inputs
from models.kline_files import between
from models.spec import ModelSpec
from models.split import parse_date
from utils.errors import InvalidInput

_FOREVER_MS = 2**53


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    told = _json if options.json else _table
    return ended(lambda: told(run(options)))


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Everything the command prints, as plain values."""
    entry, spec = usable(options)
    check_inputs(spec)
    from_ms = parse_date(options.from_) if options.from_ else 0
    until_ms = parse_date(options.until, end=True) if options.until else _FOREVER_MS
    found = [part for part in (between(one, None, until_ms) for one in klines(options, spec.interval)) if len(part)]
    others = [between(one, None, until_ms) for one in beside(options, spec, found)]
    progress = tqdm(total=len(found), desc="markets", unit="market", file=sys.stderr, disable=None)
    with _dump(options.dump, spec) as write:

        def seen(outcomes: Outcomes) -> None:
            write(outcomes)
            progress.update()

        scores = evaluate(spec, entry.open(), found, from_ms, until_ms, seen, others)
    progress.close()
    return {
        "model": entry.id,
        "digest": entry.digest,
        "interval": str(spec.interval),
        "symbols": [str(one.symbol) for one in found],
        "from_ms": max(from_ms, min(int(one.open_time_ms[0]) for one in found)),
        "until_ms": min(until_ms, max(one.interval.next_open_ms(one.last_open_time_ms) for one in found)),
        "quantiles": list(spec.quantiles),
        "horizons": [asdict(score) for score in scores],
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.evaluate", description=__doc__)
    add_model(parser)
    add_klines(parser)
    parser.add_argument(
        "--from", dest="from_", metavar="DATE", help="first day of forecasts (UTC); earlier candles warm up"
    )
    parser.add_argument("--until", metavar="DATE", help="last day of forecasts and outcomes (UTC, included)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--dump", type=Path, metavar="FILE", help="write every forecast with its outcome as Parquet")
    return parser


@contextmanager
def _dump(path: Path | None, spec: ModelSpec) -> Iterator[Callable[[Outcomes], None]]:
    """Writes each market's rows as they come; nothing where no path is given."""
    if path is None:
        yield lambda _: None
        return
    names = [f"{letter}{round(100 * level):02d}" for letter in "qb" for level in spec.quantiles]
    schema = pa.schema(
        [("symbol", pa.string()), ("last_open_time_ms", pa.int64()), ("horizon", pa.int32()), ("sigma", pa.float64())]
        + [(name, pa.float64()) for name in (*names, "realised")]
    )
    try:
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            yield lambda outcomes: writer.write_table(_rows(outcomes, spec, schema))
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror or error}") from error


def _rows(outcomes: Outcomes, spec: ModelSpec, schema: pa.Schema) -> pa.Table:
    """One row per forecast and horizon whose outcome is known."""
    known = np.isfinite(outcomes.realised)
    forecast, horizon = np.nonzero(known)
    columns = [
        pa.array([str(outcomes.symbol)] * len(forecast), pa.string()),
        outcomes.open_time_ms[forecast],
        np.array(spec.horizons, dtype=np.int32)[horizon],
        outcomes.sigma[forecast],
        *outcomes.log_returns[known].T,
        *outcomes.naive[known].T,
        outcomes.realised[known],
    ]
    return pa.table(dict(zip(schema.names, columns, strict=True)), schema=schema)


def _json(report: dict[str, Any]) -> str:
    return json.dumps(report, allow_nan=False, indent=2)


def _table(report: dict[str, Any]) -> str:
    days = [datetime.fromtimestamp(report[name] / 1000, UTC).strftime("%Y-%m-%d") for name in ("from_ms", "until_ms")]
    head = f"{report['model']} on {len(report['symbols'])} markets, {days[0]} … {days[1]}, {report['interval']} candles"
    lines = [
        head,
        f"{'horizon':>7} {'count':>8} {'loss':>10} {'skill':>8} {'±':>6} {'50 %':>6} {'90 %':>6} {'direction':>14}",
    ]
    lines += [_line(HorizonScore(**score)) for score in report["horizons"]]
    return "\n".join(lines)


def _line(score: HorizonScore) -> str:
    direction = f"{_percent(score.directional_accuracy)} ± {_percent(score.directional_standard_error)}"
    return (
        f"{score.horizon:>7} {score.count:>8} {score.pinball_loss:>10.6f} {_percent(score.skill_fraction, 2):>8} "
        f"{_percent(score.skill_standard_error, 2):>6} {_percent(score.coverage_50):>6} "
        f"{_percent(score.coverage_90):>6} {direction:>14}"
    )


def _percent(fraction: float | None, digits: int = 1) -> str:
    return "–" if fraction is None else f"{100 * fraction:.{digits}f}"


if __name__ == "__main__":
    sys.exit(main())
