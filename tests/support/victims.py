"""Programs that write without end until somebody kills them: `python -m tests.support.victims WHAT FOLDER`."""

from __future__ import annotations

import sys
from itertools import count, cycle
from pathlib import Path

from data.database import connect
from data.interval import Interval
from models.ledger import Ledger
from models.promotion import Promotion
from models.registry import Registry, write_model
from tests.support import tiny_model
from tests.support.ledgers import forecast
from utils.clock import ManualClock, SystemClock

NAMES = ("one", "two", "three")
CANDLES = 1000
SEEDS = 5


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
    {"keep_score": keep_score, "promote": promote, "write": write}[sys.argv[1]](Path(sys.argv[2]))
