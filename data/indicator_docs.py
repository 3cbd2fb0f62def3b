"""Indicator docs: writes the table in docs/indicators.md from the catalogue (`python -m data.indicator_docs`)."""

from __future__ import annotations

import sys
from pathlib import Path

from data.indicator_catalogue import CATALOGUE, Indicator

PAGE = Path(__file__).resolve().parents[1] / "docs" / "indicators.md"
_HEAD = "| name | title | group | pane | unit | parameters | warm-up | how it is read |\n" + "| --- " * 8 + "|\n"


def table() -> str:
    """The catalogue as a Markdown table."""
    return _HEAD + "".join(map(_row, CATALOGUE))


def rewritten(page: str) -> str:
    """The page with its table brought up to date; what stands before and after it is left as it is."""
    before, _, rest = page.partition("| name |")
    return before + table() + "\n" + rest.partition("\n\n")[2]


def _row(indicator: Indicator) -> str:
    parameters = ", ".join(f"{name} {value:g}" for name, value in indicator.parameters.items())
    cells = (indicator.title, indicator.group, indicator.pane, indicator.unit, parameters, str(indicator.warm_up))
    return f"| `{indicator.name}` | {' | '.join(cells)} | {indicator.help} |\n"


def main() -> int:
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
