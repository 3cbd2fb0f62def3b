"""Runs every bench_*.py and keeps what they say: `python -m benchmarks [--short] [pages memory …]`."""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from utils.plain import plain
from utils.system_info import machine_facts

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "results"


def names() -> list[str]:
    return sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))


def measure(name: str, *, short: bool) -> dict[str, Any]:
    run = importlib.import_module(f"benchmarks.bench_{name}").run
    options = {"short": short} if "short" in inspect.signature(run).parameters else {}
    found: dict[str, Any] = plain(run(**options))
    return {"name": name, "short": short, "machine": machine_facts(), **found}


def markdown(results: Iterable[Mapping[str, Any]]) -> str:
    """The table of what has a target, and what was measured beside it."""
    machine = machine_facts()
    lines = [
        "# Results",
        "",
        f"{machine['platform']}, {machine['cpu_count']} cores, Python {machine['python_version']}. Medians of "
        "interleaved rounds ± half the range between the quartiles; the ratios are what to trust.",
        "",
        "| what | ours | reference | ratio | target | |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for one in results:
        lines += [_line(row) for row in one.get("rows", ())]
    return "\n".join(lines) + "\n"


def _line(row: Mapping[str, Any]) -> str:
    mark = {True: "met", False: "**missed**", None: ""}[row.get("met")]
    ratio = row.get("ratio")
    cells = (
        row.get("what", ""),
        row.get("ours", ""),
        row.get("reference", ""),
        "" if ratio is None else f"{ratio:.3g}",
        row.get("target", ""),
        mark,
    )
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measure; the results are kept in benchmarks/results.")
    parser.add_argument("--short", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("names", nargs="*", metavar="name", help=f"some of {', '.join(names())}; none: all")
    options = parser.parse_args(arguments)
    RESULTS.mkdir(exist_ok=True)
    for name in options.names or names():
        text = json.dumps(measure(name, short=options.short), indent=2, allow_nan=False)
        (RESULTS / f"{name}.json").write_text(text + "\n", "utf-8")
    kept = [json.loads(path.read_text("utf-8")) for path in sorted(RESULTS.glob("*.json"))]
    (RESULTS / "results.md").write_text(markdown(kept), "utf-8")
    missed = [row["what"] for one in kept for row in one.get("rows", ()) if row.get("met") is False]
    print(
        f"\n{len(missed)} targets missed{': ' if missed else ''}{', '.join(missed)}; see benchmarks/results/results.md"
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
