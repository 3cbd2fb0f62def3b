"""`python -m models.train`: trains a model in its own process and puts it into saved_models/, whole or not at all."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from data.interval import Interval
from models.commands import folder_of
from models.kinds import LEARNED
from models.kline_files import parse_symbols
from models.recipe import Recipe, preset
from models.spec import Kind, parse_id
from models.split import parse_date
from models.supervised import add_options, supervised
from models.training_progress import Tell
from models.traits import PRESET_NAMES


def main(arguments: Sequence[str] | None = None) -> int:
    return supervised(_parser().parse_args(arguments), _trained)


def _trained(options: argparse.Namespace, tell: Tell) -> str:
    recipe = _recipe(options)
    from models.building import Order, build_model

    order = Order(
        recipe=recipe,
        interval=Interval.parse(options.interval),
        symbols=tuple(parse_symbols(options.symbols)),
        data=options.data,
        from_ms=parse_date(options.from_) if options.from_ else None,
        until_ms=parse_date(options.until, end=True) if options.until else None,
        refit=options.refit,
        out=folder_of(options),
        id=parse_id(options.id or f"{recipe.kind}-{options.interval}"),
        threads=options.threads,
        database=options.database,
        venue=options.venue,
        own=options.own,
        study=parse_id(options.study) if options.study else "",
        trials=options.trials,
    )
    return build_model(order, tell)


def _recipe(options: argparse.Namespace) -> Recipe:
    given = {name: getattr(options, name) for name in Recipe.__dataclass_fields__ if name in options}
    given = {name: value for name, value in given.items() if value is not None}
    recipe = replace(preset(options.preset, Kind(options.kind)), **given | {"kind": Kind(options.kind)})
    recipe.check()
    return recipe


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.train", description=__doc__)
    parser.add_argument("--model", dest="kind", required=True, choices=list(map(str, LEARNED)))
    parser.add_argument("--interval", default="1h", help="candle length (default: 1h)")
    parser.add_argument(
        "--symbols", nargs="+", default=[], metavar="SYMBOL", help="default: every market of --data, or of the settings"
    )
    parser.add_argument("--own", action="store_true", help="it serves those markets alone (default: any market)")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="SYMBOL-INTERVAL.parquet files (default: the dashboard's candle store)"
    )
    parser.add_argument("--from", dest="from_", metavar="DATE", help="first day used (UTC)")
    parser.add_argument(
        "--refit",
        action="store_true",
        help="once judged, learn again from all candles; the scores stay",
    )
    parser.add_argument("--until", metavar="DATE", help="last day fitted on (UTC, included); what follows is the test")
    parser.add_argument("--id", help="name of the model (default: KIND-INTERVAL)")
    parser.add_argument("--study", default="", metavar="NAME", help="the search that found the recipe, for the card")
    parser.add_argument("--trials", type=int, default=0, metavar="N", help="of how many it was the best")
    parser.add_argument("--preset", choices=list(PRESET_NAMES), default="standard")
    add_options(parser)
    for name, kind in (
        ("window", int),
        ("units", int),
        ("epochs", int),
        ("batch-size", int),
        ("learning-rate", float),
        ("dropout", float),
        ("patience", int),
        ("stride", int),
        ("half-life-days", float),
        ("seed", int),
        ("trees", int),
    ):
        parser.add_argument(f"--{name}", type=kind, help="see docs/models.md (default: the preset's)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
