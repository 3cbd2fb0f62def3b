"""Commands: what those that read kline files share: which candles, which model, and errors told in one line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from config import load_settings
from data.candles import Candles
from data.interval import Interval
from models.registry import Registry
from models.registry_entry import RegistryEntry
from models.spec import ModelSpec
from models.split import parse_date
from utils.errors import DashboardError, InvalidInput, ModelCorrupt, NotFound


def ended(work: Callable[[], str]) -> int:
    """The exit code. What `work` gives is printed; where it raises one of our errors, that is told instead."""
    try:
        told = work()
    except DashboardError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(f"{told}\n")
    return 0


def add_klines(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="folder of SYMBOL-INTERVAL.parquet files"
    )
    parser.add_argument("--symbols", nargs="+", default=[], metavar="SYMBOL", help="default: every market in --data")


def klines(options: argparse.Namespace, interval: Interval) -> list[Candles]:
    """What `add_klines` asked for. Imports what reads the files."""
    from models.kline_files import markets, parse_symbols

    return markets(options.data, interval, parse_symbols(options.symbols))


def beside(options: argparse.Namespace, spec: ModelSpec, found: Sequence[Candles]) -> list[Candles]:
    """The market that the model looks at besides, where --data has it and it is not among those found."""
    from models.kline_files import markets

    if spec.context is None or any(one.symbol == spec.context for one in found):
        return []
    try:
        return markets(options.data, spec.interval, [spec.context])
    except NotFound:
        return []


def klines_between(options: argparse.Namespace) -> list[Candles]:
    """Those of --interval from --from until --until, as far as they are given. InvalidInput where none are left."""
    from models.kline_files import between

    from_ms = parse_date(options.from_) if options.from_ else None
    until_ms = parse_date(options.until, end=True) if options.until else None
    whole = klines(options, Interval.parse(options.interval))
    found = [part for part in (between(one, from_ms, until_ms) for one in whole) if len(part)]
    if not found:
        raise InvalidInput("no candles lie between --from and --until; give other dates")
    return found


def add_span(parser: argparse.ArgumentParser) -> None:
    """What `klines_between` reads beside `add_klines`."""
    parser.add_argument("--interval", default="1h", help="candle length (default: 1h)")
    parser.add_argument("--from", dest="from_", metavar="DATE", help="first day used (UTC)")
    parser.add_argument("--until", metavar="DATE", help="last day used (UTC, included)")


def add_folder(parser: argparse.ArgumentParser, flag: str = "--models") -> None:
    """Of the models; see `folder_of`."""
    parser.add_argument(flag, dest="models", type=Path, metavar="DIR", help="of the models (default: MODELS_PATH)")


def folder_of(options: argparse.Namespace) -> Path:
    """What `add_folder` asked for: where none was named, the folder that the dashboard serves from."""
    named: Path | None = options.models
    return named or load_settings().models_path


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, metavar="ID", help="a model of --models")
    add_folder(parser)


def usable(options: argparse.Namespace) -> tuple[RegistryEntry, ModelSpec]:
    """The model that `add_model` asked for."""
    entry = Registry(folder_of(options)).get(options.model)
    if entry.spec is None:  # `Registry.get` gives usable entries only
        raise ModelCorrupt(f"model {entry.id!r} has no spec")
    return entry, entry.spec


@dataclass(frozen=True, slots=True)
class Unseen:
    """A model, and candles from a time that it was not trained on, [from_ms, until_ms)."""

    entry: RegistryEntry
    spec: ModelSpec
    markets: Sequence[Candles]
    from_ms: int
    until_ms: int


def unseen_parser(command: str, description: str | None, what: str) -> argparse.ArgumentParser:
    """Asks for a model, kline files and a period of time, which is said to be `what`."""
    parser = argparse.ArgumentParser(prog=f"python -m models.{command}", description=description)
    add_model(parser)
    add_klines(parser)
    add_period(parser, what)
    return parser


def add_period(parser: argparse.ArgumentParser, what: str) -> None:
    """Asks for a period of time, which is said to be `what`."""
    parser.add_argument("--from", dest="from_", required=True, metavar="DATE", help=f"first day {what} (UTC)")
    parser.add_argument("--until", required=True, metavar="DATE", help=f"last day {what} (UTC, included)")


def unseen(options: argparse.Namespace, what: str) -> Unseen:
    """What `unseen_parser` asked for. InvalidInput where the model was trained on some of it."""
    entry, spec = usable(options)
    from_ms, until_ms = parse_date(options.from_), parse_date(options.until, end=True)
    if from_ms < spec.train_until_ms:
        raise InvalidInput(f"model {spec.id!r} was trained until after {options.from_}; {what} what comes later")
    return Unseen(entry, spec, klines(options, spec.interval), from_ms, until_ms)
