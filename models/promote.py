"""`python -m models.promote`: which model or ensemble serves an interval, the way back, and the archive, by command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from data.interval import Interval
from models.commands import add_folder, ended, folder_of
from models.ensemble_entry import EnsembleEntry
from models.promotion import Promotion
from models.registry import Registry
from utils.clock import SystemClock


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)

    def work() -> str:
        promotion = Promotion(registry=Registry(folder_of(options)), clock=SystemClock())
        return _ACTIONS[options.action](promotion, options)

    return ended(work)


def _list(promotion: Promotion, _: argparse.Namespace | None = None) -> str:
    lines = []
    for interval, one in sorted(promotion.in_use().items(), key=lambda item: item[0].ms):
        before = promotion.previous(interval)
        lines.append(f"{interval}: {one.id}" + (f" (before: {before.id})" if before else ""))
        if isinstance(one, EnsembleEntry) and one.missing:
            lines.append(f"    without {', '.join(one.missing)}, which cannot be used")
    lines += [f"{', '.join(markets)}: {name} alone" for name, markets in sorted(promotion.owned().items())]
    aside = [entry.id for entry in promotion.archived()] + [one.id for one in promotion.archived_ensembles()]
    return "\n".join([*(lines or ["no model can serve"]), *([f"archived: {', '.join(aside)}"] if aside else [])])


def _promote(promotion: Promotion, options: argparse.Namespace) -> str:
    return f"{options.id} serves {promotion.promote(options.id)} candles"


def _back(promotion: Promotion, options: argparse.Namespace) -> str:
    return f"{promotion.roll_back(Interval.parse(options.interval))} serves {options.interval} candles again"


def _archive(promotion: Promotion, options: argparse.Namespace) -> str:
    promotion.archive(options.id)
    return f"{options.id} is laid aside; `bring-back {options.id}` undoes that"


def _bring_back(promotion: Promotion, options: argparse.Namespace) -> str:
    promotion.unarchive(options.id)
    return f"{options.id} is back; it serves once it is promoted"


_ACTIONS: dict[str, Callable[[Promotion, argparse.Namespace], str]] = {
    "list": _list,
    "promote": _promote,
    "roll-back": _back,
    "archive": _archive,
    "bring-back": _bring_back,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.promote", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    for name, text in (
        ("list", "what serves which interval, and what it would go back to"),
        ("promote", "let a model or an ensemble serve its interval"),
        ("roll-back", "let the one before serve again"),
        ("archive", "lay a model or an ensemble aside, files untouched"),
        ("bring-back", "undo that"),
    ):
        one = actions.add_parser(name, help=text)
        if name == "roll-back":
            one.add_argument("interval", metavar="INTERVAL", help="such as 1h")
        elif name != "list":
            one.add_argument("id", metavar="ID")
        add_folder(one)
    return parser


if __name__ == "__main__":
    sys.exit(main())
