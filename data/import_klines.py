"""Import klines: `python -m data.import_klines PATH…` loads files and folders of klines into the candle store."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from data.candle_rows import WriteCount
from data.candle_store import CandleStore
from data.database import connect
from data.kline_files import ENDINGS, UnreadableFile, cleaned, kline_files, read_klines
from utils.clock import SystemClock
from utils.errors import DashboardError

DEFAULT_DATABASE = "sqlite:///instance/dashboard.db"
_WRITE_ROWS = 50_000


@dataclass(frozen=True, slots=True)
class FileReport:
    """What became of one file: rows written, rows refused by reason, and the error that ended its reading, if any."""

    path: Path
    written: WriteCount = field(default_factory=WriteCount)
    refused: Counter[str] = field(default_factory=Counter)
    error: str = ""


def import_files(
    paths: Iterable[Path], store: CandleStore, *, now_ms: int, on_rows: Callable[[int], None] = lambda _: None
) -> list[FileReport]:
    """Load each file; a bad one is reported and the rest goes on. Candles that close after `now_ms` are refused."""
    return [_import_file(path, store, now_ms, on_rows) for path in paths]


def report_text(reports: Sequence[FileReport]) -> str:
    """One line per file and a sum: rows added, already there, replaced, refused and why."""
    width = max([len(report.path.name) for report in reports] + [len("file")])
    head = f"{'file':{width}}  {'added':>9}  {'duplicate':>9}  {'replaced':>9}  {'refused':>9}  why"
    lines = [head, *(_line(report.path.name, report, width) for report in reports)]
    if len(reports) > 1:
        refused: Counter[str] = sum((report.refused for report in reports), Counter())
        written = sum((report.written for report in reports), WriteCount())
        lines.append(_line("all", FileReport(Path(), written, refused), width))
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when every file was read, 1 when one was not, 2 when the database cannot be used."""
    asked = _parser().parse_args(arguments)
    try:
        database = connect(asked.database, on_notice=lambda text: print(text, file=sys.stderr))
    except DashboardError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        files, reports = _found(asked.paths)
        store = CandleStore(database)
        with tqdm(total=len(files), unit="file", disable=None) as bar:
            for file in files:
                bar.set_description(file.name)
                reports += import_files([file], store, now_ms=SystemClock().now_ms())
                bar.update()
    except DashboardError as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        database.close()
    print(report_text(reports))
    return 1 if not files or any(report.error for report in reports) else 0


def _import_file(path: Path, store: CandleStore, now_ms: int, on_rows: Callable[[int], None]) -> FileReport:
    written, refused = WriteCount(), Counter[str]()
    try:
        for raw in read_klines(path):
            clean = cleaned(raw, now_ms)
            refused += clean.refused
            written += WriteCount(duplicate=clean.duplicate)
            for start in range(0, len(clean.candles), _WRITE_ROWS):
                part = clean.candles.slice(start, start + _WRITE_ROWS)
                written += store.write(part)
                on_rows(len(part))
    except DashboardError as error:
        return FileReport(path, written, refused, str(error))
    return FileReport(path, written, refused)


def _found(paths: Iterable[Path]) -> tuple[list[Path], list[FileReport]]:
    files: list[Path] = []
    reports: list[FileReport] = []
    for path in paths:
        try:
            found = kline_files(path)
        except UnreadableFile as error:
            reports.append(FileReport(path, error=str(error)))
            continue
        files += found
        if not found:
            reports.append(FileReport(path, error=f"holds no {', '.join(ENDINGS)} file"))
    return list(dict.fromkeys(files)), reports


def _line(name: str, report: FileReport, width: int) -> str:
    counts = (report.written.added, report.written.duplicate, report.written.replaced, report.refused.total())
    why = [f"{reason}: {count}" for reason, count in report.refused.most_common()]
    text = "; ".join([*why, *([f"NOT READ: {report.error}"] if report.error else [])])
    return f"{name:{width}}  " + "  ".join(f"{count:>9,}" for count in counts) + (f"  {text}" if text else "")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m data.import_klines", description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a Parquet, CSV or zip file, or a folder")
    parser.add_argument("--database", default=DEFAULT_DATABASE, help="SQLAlchemy URL (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
