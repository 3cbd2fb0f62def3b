"""`python -m models.own_choice`: lets a model of its own markets serve them, before the one that serves all markets.

One small file beside the models says which; it is replaced whole. A model that cannot be used any more serves nothing:
its markets go back to the model that serves their interval.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.interval import Interval
from data.symbol import Symbol
from models.commands import add_folder, folder_of
from models.spec import ModelSpec, parse_id
from utils.errors import DashboardError, InvalidInput
from utils.json_file import read_json, write_json

FILE = ".own.json"
Choices = Mapping[tuple[Interval, Symbol], str]
_SCHEMA = 1
_LONGEST_BYTES = 256 * 1024


def read_own(root: Path) -> dict[tuple[Interval, Symbol], str]:
    """Model ids by interval and market; none where the file is absent or damaged."""
    return read_json(root / FILE, _own, schema=_SCHEMA, longest_bytes=_LONGEST_BYTES, otherwise={})


def write_own(root: Path, choices: Choices) -> None:
    """At once or not at all."""
    value: dict[str, dict[str, str]] = {}
    for (interval, symbol), model in choices.items():
        value.setdefault(str(interval), {})[str(symbol)] = model
    write_json(root / FILE, {"schema": _SCHEMA, "own": value})


def _own(value: Mapping[str, Any]) -> dict[tuple[Interval, Symbol], str]:
    return {
        (Interval.parse(interval), Symbol.parse(symbol)): parse_id(model)
        for interval, chosen in value["own"].items()
        for symbol, model in chosen.items()
    }


def chosen_for(
    choices: Choices, model_id: str, interval: Interval | None, symbols: Sequence[Symbol]
) -> dict[tuple[Interval, Symbol], str]:
    """The choices, with this model for each of its markets. InvalidInput for one that serves any market."""
    if interval is None or not symbols:
        raise InvalidInput(f"model {model_id!r} serves any market; promote it on its page instead")
    return {**choices, **{(interval, symbol): model_id for symbol in symbols}}


def given_back(choices: Choices, model_id: str) -> dict[tuple[Interval, Symbol], str]:
    """The choices without this model. InvalidInput where it was chosen for no market."""
    left = {place: model for place, model in choices.items() if model != model_id}
    if len(left) == len(choices):
        raise InvalidInput(f"model {model_id[:70]!r} was chosen for no market")
    return left


def passed_on(choices: Choices, model_id: str, heir: ModelSpec) -> dict[tuple[Interval, Symbol], str]:
    """The choices, with the heir in the model's place in each market that it can serve."""
    mine = {place for place, model in choices.items() if model == model_id}
    return {**choices, **{(at, one): heir.id for at, one in mine if at is heir.interval and heir.serves(one)}}


def main(arguments: Sequence[str] | None = None) -> int:
    from models.champions import Champions, interval_of, symbols_of
    from models.registry import Registry

    options = _parser().parse_args(arguments)
    try:
        folder = folder_of(options)
        choices = read_own(folder)
        if options.clear:
            left = given_back(choices, options.model)
        else:
            chosen = Champions(Registry(folder)).named(options.model)
            left = chosen_for(choices, chosen.id, interval_of(chosen), symbols_of(chosen))
        write_own(folder, left)
    except DashboardError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    told = sorted(f"{symbol} {interval}: {model}" for (interval, symbol), model in left.items())
    sys.stdout.write("\n".join(told or ["no market has a model of its own"]) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.own_choice", description=__doc__)
    parser.add_argument(
        "--model", required=True, metavar="ID", help="a model trained with --own, or an ensemble of such"
    )
    parser.add_argument("--clear", action="store_true", help="takes the choice back")
    add_folder(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
