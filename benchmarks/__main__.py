"""Runs every bench_*.py and keeps what they say: `python -m benchmarks [--short] [--into FOLDER] [pages memory …]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.alone import Outcome, run_alone

FOLDER = Path(__file__).resolve().parent
_TIMEOUT_S = 400.0


def names() -> list[str]:
    return sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when everything ran and, but for short rounds, every target is met."""
    parser = argparse.ArgumentParser(
        description="Measure. Full rounds are kept in benchmarks/results and make docs/performance.md anew."
    )
    parser.add_argument("--short", action="store_true", help="fewer and shorter rounds, which say that it runs")
    parser.add_argument("--into", type=Path, help="folder of the results; for --short a new one that is dropped again")
    parser.add_argument("names", nargs="*", metavar="name", help=f"some of {', '.join(names())}; none: all")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(names()))
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(names())}")
    with tempfile.TemporaryDirectory() as dropped:
        folder = options.into or (Path(dropped) if options.short else report.RESULTS)
        folder.mkdir(parents=True, exist_ok=True)
        outcomes = [
            _one(name, folder, options.short, f"{number}/{len(options.names or names())}")
            for number, name in enumerate(options.names or names(), 1)
        ]
        results = report.read(folder)
        if folder == report.RESULTS:
            report.write(results, report.ROOT)
        return _told(outcomes, results, judged=not options.short)


def _one(name: str, folder: Path, short: bool, place: str) -> Outcome:
    print(f"\n[{place}] {name} …", flush=True)
    outcome = run_alone(name, folder, short=short, timeout_s=_TIMEOUT_S)
    print(f"[{place}] {name}: {outcome.failure or 'measured'} ({outcome.took_s:.0f} s)", flush=True)
    return outcome


def _told(outcomes: Sequence[Outcome], results: Sequence[dict[str, Any]], *, judged: bool) -> int:
    """The table at the end, and the exit code."""
    by_name = {one["name"]: one for one in results}
    ran = {outcome.name for outcome in outcomes if not outcome.failure}
    print(f"\n{'benchmark':<14}{'took':>8}  {'targets met':>12}  result")
    for outcome in outcomes:
        rows = by_name[outcome.name]["rows"] if outcome.name in ran else []
        judged_rows = [row for row in rows if row["met"] is not None]
        met = f"{sum(row['met'] for row in judged_rows)} of {len(judged_rows)}"
        why = outcome.failure.splitlines()[-1] if outcome.failure else ""
        print(f"{outcome.name:<14}{outcome.took_s:>6.0f} s  {met:>12}  {'FAILED: ' + why if why else 'ok'}")
    missed = [(name, row) for name in sorted(ran) for row in by_name[name]["rows"] if row["met"] is False]
    for name, row in missed if judged else []:
        print(f"missed: {name}: {row['what']}: {row['ours']} → {row['ratio']:.3g}, wanted {row['target']}")
    print(f"{sum(outcome.took_s for outcome in outcomes) / 60:.1f} minutes in all; {len(missed)} targets missed")
    failed = len(ran) < len(outcomes)
    return 1 if failed or (judged and missed) else 0


if __name__ == "__main__":
    sys.exit(main())
