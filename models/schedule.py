"""`python -m models.schedule`: lists, sets and ends the retraining of models by themselves; the dashboard does it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from data.database import connect
from models.commands import folder_of
from models.registry import Registry
from models.retraining import recipe_of
from models.schedules import CANDLES, HOURS, ScheduleStore
from models.supervised import add_options, database_of
from utils.clock import SystemClock
from utils.errors import DashboardError, ModelCorrupt


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        database = connect(database_of(options))
        try:
            told = _ACTIONS[options.action](options, ScheduleStore(database))
        finally:
            database.close()
    except DashboardError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(f"{told}\n")
    return 0


def _list(_: argparse.Namespace, schedules: ScheduleStore) -> str:
    lines = [f"{one.model_id}: {one.words}, on candles of {one.venue}. {one.note}" for one in schedules.all()]
    return "\n".join(lines) or "no model is retrained by itself"


def _set(options: argparse.Namespace, schedules: ScheduleStore) -> str:
    entry = Registry(folder_of(options)).get(options.model)
    if entry.spec is None:  # `Registry.get` gives usable entries only
        raise ModelCorrupt(f"model {entry.id!r} has no spec")
    recipe_of(entry)
    every, unit = (options.hours, HOURS) if options.hours is not None else (options.candles, CANDLES)
    now_ms = SystemClock().now_ms()
    made = schedules.set(entry.id, entry.spec.interval, every, unit, venue=options.venue, now_ms=now_ms)
    return f"{made.model_id} is retrained {made.words} while the dashboard runs on candles of {made.venue}"


def _off(options: argparse.Namespace, schedules: ScheduleStore) -> str:
    if schedules.remove(options.model):
        return f"{options.model} is not retrained by itself any more"
    return f"{options.model} had no schedule"


_ACTIONS = {"list": _list, "set": _set, "off": _off}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.schedule", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    every = actions.add_parser("set", help="retrain a model every so often")
    often = every.add_mutually_exclusive_group(required=True)
    often.add_argument("--hours", type=int, metavar="N")
    often.add_argument("--candles", type=int, metavar="N", help="closed candles of the model's interval")
    off = actions.add_parser("off", help="end it")
    for one in (every, off):
        one.add_argument("model", metavar="ID")
    for one in (every, off, actions.add_parser("list", help="what is retrained, and how it went")):
        add_options(one)
    return parser


if __name__ == "__main__":
    sys.exit(main())
