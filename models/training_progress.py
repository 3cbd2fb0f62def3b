"""Training progress: JSON lines that the trainer writes and the dashboard reads, one fact per line."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

STAGES = (
    "reading", "preparing", "training", "walking", "searching", "checking", "asking", "judging", "writing",
    "done", "failed",
)  # fmt: skip
"""In the order in which a training goes through them; it ends in one of the last two."""
_LONGEST_LINE = 8_192


class Tell(Protocol):
    """Told how far the training is: a stage of `STAGES` and what belongs to it."""

    def __call__(self, stage: str, **values: Any) -> None: ...


def silent(stage: str, **values: Any) -> None:
    """Tells nobody."""


def progress_file(path: Path) -> Tell:
    """Appends to `path`; each line is written whole, so that a reader never sees half a number."""

    def tell(stage: str, **values: Any) -> None:
        line = json.dumps({"stage": stage, **{name: _plain(value) for name, value in values.items()}})
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    return tell


def read_progress(path: Path, offset: int) -> tuple[list[dict[str, Any]], int]:
    """The whole lines from `offset` bytes on, and where to go on; what is no progress line is left out."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            content = file.read()
    except FileNotFoundError:
        return [], offset
    whole = content[: content.rfind(b"\n") + 1]
    return list(_lines(whole)), offset + len(whole)


def epochs_told(
    tell: Tell, epochs: int, windows: int, monotonic: Callable[[], float]
) -> Callable[[int, float, float], None]:
    """What is called after each epoch; the time left is that of the epochs so far, carried on.

    From the second epoch on the first one counts as the later ones do: what it took longer is TensorFlow laying out its
    graph, once, which is no speed of the kind's. A short training would otherwise tell of long ones far too slow.
    """
    started_s = first_s = monotonic()

    def seen(epoch: int, loss: float, validation_loss: float) -> None:
        nonlocal first_s
        now_s = monotonic()
        if epoch == 0:
            first_s = now_s
        epoch_s = (now_s - first_s) / epoch if epoch else now_s - started_s
        fit_s, eta_s = epoch_s * (epoch + 1), epoch_s * (epochs - epoch - 1)
        tell(
            "training",
            epoch=epoch + 1,
            epochs=epochs,
            loss=loss,
            validation_loss=validation_loss,
            eta_s=round(eta_s, 1),
            windows=windows,
            fit_s=round(fit_s, 3),
        )

    return seen


def steps_told(tell: Tell, stage: str, monotonic: Callable[[], float]) -> Callable[[int, int], None]:
    """What is called after each step with how many are over, and of how many; the time left is that of those so far."""
    started_s = monotonic()

    def seen(over: int, of: int) -> None:
        tell(stage, step=over, windows=of, eta_s=round((monotonic() - started_s) / over * (of - over), 1))

    return seen


def _lines(content: bytes) -> Iterator[dict[str, Any]]:
    for line in content.splitlines():
        if len(line) > _LONGEST_LINE:
            continue
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and value.get("stage") in STAGES:
            yield value


def _plain(value: Any) -> Any:
    """JSON knows no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
