"""Programs that write without end until somebody kills them: `python -m tests.support.victims WHAT FOLDER`."""

from __future__ import annotations

import sys
from itertools import count, cycle
from pathlib import Path

from data.database import connect
from data.interval import Interval
from models.ensemble import Ensemble
from models.ensemble_file import write_ensembles
from models.ledger import Ledger
from models.model_writing import write_model
from models.promotion import Promotion
from models.registry import Registry
from tests.support import tiny_model
from tests.support.ledgers import forecast
from utils.clock import ManualClock, SystemClock

NAMES = ("one", "two", "three")
CANDLES = 1000
SEEDS = 5
WEIGHTS = ({"one": 0.5, "two": 0.5}, {"one": 0.75, "two": 0.25})


def keep_score(folder: Path) -> None:
    """Forecast by forecast, score by score, from the first candle on: what is there already is not written again."""
    ledger = Ledger(connect(f"sqlite:///{folder / 'ledger.db'}"), ManualClock())
    candles = tiny_model.candles(CANDLES)
    for row in range(CANDLES - 1):
        ledger.append([forecast(candles, row)])
        ledger.score(candles.slice(0, row + 2))
        told(folder)


def promote(folder: Path) -> None:
    promotion = Promotion(registry=Registry(folder), clock=SystemClock())
    for name in cycle(NAMES[::-1]):
        promotion.promote(name)
        told(folder)
        promotion.roll_back(Interval.H1)


def mix(folder: Path) -> None:
    """An ensemble made with one set of weights after the other, promoted, rolled back, laid aside and brought back."""
    promotion = Promotion(registry=Registry(folder), clock=SystemClock())
    for turn in count():
        write_ensembles(folder, [Ensemble("mix", Interval.H1, WEIGHTS[turn % 2])])
        promotion.promote("mix")
        told(folder)
        promotion.roll_back(Interval.H1)
        promotion.archive("mix")
        promotion.unarchive("mix")


def write(folder: Path) -> None:
    """The same model again and again, with other weights."""
    for seed in count():
        spec = tiny_model.spec("one", seed=seed % SEEDS)
        write_model(folder, spec, tiny_model.graph(spec, seed % SEEDS), {"seed": seed % SEEDS})
        told(folder)


def told(folder: Path) -> None:
    """That it is in the midst of it."""
    sys.stdout.write(".")
    sys.stdout.flush()


if __name__ == "__main__":
    {"keep_score": keep_score, "promote": promote, "mix": mix, "write": write}[sys.argv[1]](Path(sys.argv[2]))
