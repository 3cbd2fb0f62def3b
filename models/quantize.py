"""`python -m models.quantize`: a model's weights as int8 (dynamic quantization), kept only where that pays.

The twin is scored on the same candles and timed in turn with the original. It is written as `<id>-int8`, another model
of the registry with its own place in the ledger, if its mean skill over the horizons falls by less than 0.1 percentage
point and it is smaller or faster on this machine. Needs the `onnx` package: a tool's work, never the serving process's.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from data.candles import Candles
from models.commands import ended, unseen, unseen_parser
from models.evaluation import evaluate
from models.model_writing import write_model
from models.registry_entry import GRAPH, RegistryEntry, read_entry
from models.spec import ModelSpec, parse_id
from utils.errors import InvalidInput
from utils.model_utils import Session, session_of

MOST_LOST = 0.001
"""Of skill, a fraction."""
SUFFIX = "-int8"
_BATCH, _ROUNDS, _CALLS = 32, 15, 20


@dataclass(frozen=True, slots=True)
class Measured:
    """One graph: its size, the median time of a batch of 32, and its mean skill over the horizons (a fraction)."""

    size_bytes: int
    batch_ms: float
    skill: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Both graphs, on the same candles and timed in turn."""

    original: Measured
    quantized: Measured

    @property
    def lost(self) -> float:
        return self.original.skill - self.quantized.skill

    @property
    def kept(self) -> bool:
        smaller = self.quantized.size_bytes < self.original.size_bytes
        faster = self.quantized.batch_ms < self.original.batch_ms
        return self.lost < MOST_LOST and (smaller or faster)

    def told(self) -> str:
        one, other = self.original, self.quantized
        return (
            f"int8 against single precision: {other.size_bytes:,} against {one.size_bytes:,} bytes, "
            f"{other.batch_ms:.3f} against {one.batch_ms:.3f} ms for {_BATCH} windows, "
            f"mean skill {100 * other.skill:.2f} against {100 * one.skill:.2f} %"
        )


def int8(content: bytes) -> bytes:
    """The graph with its matrices as int8 and everything else as it was."""
    from utils.onnx_library import quantization

    library = quantization()
    with tempfile.TemporaryDirectory() as folder, _without_advice():
        before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
        before.write_bytes(content)
        library.quantize_dynamic(before, after, weight_type=library.QuantType.QUInt8)
        return after.read_bytes()


@contextmanager
def _without_advice() -> Iterator[None]:
    """The library advises pre-processing before each quantization. Of our graphs (tried on a TCN, GRU, CNN-LSTM,
    transformer and scale model) that leads to the same operators and answers, in a file a little larger, so the advice
    is kept from the job's log; whatever else it says is not."""

    def is_news(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("Please consider to run pre-processing")

    root = logging.getLogger()  # which the library uses itself
    root.addFilter(is_news)
    try:
        yield
    finally:
        root.removeFilter(is_news)


def compare(
    spec: ModelSpec, original: bytes, quantized: bytes, markets: Sequence[Candles], from_ms: int, until_ms: int
) -> Verdict:
    """InvalidInput where there is nothing to score."""
    sessions = [session_of(content, spec.id) for content in (original, quantized)]
    times = _times(spec, sessions)
    measured = [
        Measured(len(content), took, _skill(spec, session, markets, from_ms, until_ms))
        for content, took, session in zip((original, quantized), times, sessions, strict=True)
    ]
    return Verdict(*measured)


def _skill(spec: ModelSpec, session: Session, markets: Sequence[Candles], from_ms: int, until_ms: int) -> float:
    found = evaluate(spec, session, markets, from_ms, until_ms)
    return statistics.fmean(score.skill_fraction or 0.0 for score in found)


def _times(spec: ModelSpec, sessions: Sequence[Session]) -> list[float]:
    """Medians of rounds in turn, in milliseconds."""
    shape = (_BATCH, spec.window, len(spec.features))
    windows = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    seen: list[list[float]] = [[] for _ in sessions]
    for _ in range(_ROUNDS + 1):
        for place, session in enumerate(sessions):
            started_s = time.perf_counter()
            for _ in range(_CALLS):
                session.run(windows)
            seen[place].append(1e3 * (time.perf_counter() - started_s) / _CALLS)
    return [statistics.median(times[1:]) for times in seen]  # the first round warms up


def main(arguments: Sequence[str] | None = None) -> int:
    options = unseen_parser("quantize", __doc__, "judged on").parse_args(arguments)
    return ended(lambda: run(options))


def run(options: argparse.Namespace) -> str:
    """Makes the twin, and keeps it where it pays; in words."""
    given = unseen(options, "it is judged on")
    return quantize(given.entry, given.spec, given.markets, given.from_ms, given.until_ms).words


@dataclass(frozen=True, slots=True)
class Quantized:
    """What became of a twin; `id` is what it is called, kept or not."""

    id: str
    verdict: Verdict
    from_ms: int
    until_ms: int

    @property
    def words(self) -> str:
        told = self.verdict.told()
        return f"kept as {self.id}: {told}" if self.verdict.kept else f"not kept: {told}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "kept": self.verdict.kept, "words": self.words}


def quantize(
    entry: RegistryEntry, spec: ModelSpec, markets: Sequence[Candles], from_ms: int, until_ms: int
) -> Quantized:
    """Makes the twin, beside the model, and keeps it where it pays. InvalidInput for one that is a twin, and where its
    name is another model's."""
    if "quantized" in (entry.report or {}):
        raise InvalidInput(f"model {entry.id!r} is an int8 twin already; quantize the model it was made of")
    root, twin_id = entry.path.parent, parse_id(entry.id + SUFFIX)
    there = read_entry(root / twin_id) if (root / twin_id).exists() else None
    if there is not None and "quantized" not in (there.report or {}):
        raise InvalidInput(f"another model is named {twin_id!r}; archive that one first")
    _check_unseen(entry, from_ms, until_ms)
    original = (entry.path / GRAPH).read_bytes()
    quantized = int8(original)
    made = Quantized(twin_id, compare(spec, original, quantized, markets, from_ms, until_ms), from_ms, until_ms)
    if made.verdict.kept:
        # a millisecond older, so that it does not serve by being the newest
        write_model(root, replace(spec, id=twin_id, created_ms=spec.created_ms - 1), quantized, _report(entry, made))
    return made


def _check_unseen(entry: RegistryEntry, from_ms: int, until_ms: int) -> None:
    """InvalidInput where the candles end before those begin that the model never saw."""
    if until_ms <= from_ms:
        raise InvalidInput(
            f"model {entry.id!r} has seen candles until {_day(from_ms)}, and those here end on {_day(until_ms - 1)}: "
            "its twin is judged on later ones alone; ask again once there are some"
        )


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d")


def _report(entry: RegistryEntry, made: Quantized) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(json.dumps(entry.report or {}))
    days = f"{_day(made.from_ms)} … {_day(made.until_ms - 1)}"
    judged = {"of": entry.id, "of_digest": entry.digest, "judged": days}
    return report | {
        "graph_bytes": made.verdict.quantized.size_bytes,
        "quantized": judged | {"told": made.verdict.told(), **asdict(made.verdict)},
    }


if __name__ == "__main__":
    sys.exit(main())
