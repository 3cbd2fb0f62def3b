"""kill -9 in the midst of writing: a ledger, a promotion and a model are whole afterwards, and go on."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from data.database import connect
from data.interval import Interval
from models.ensemble_file import read_ensembles
from models.in_use import read_choices
from models.ledger import Ledger
from models.ledger_sums import EVERY_HORIZON
from models.promotion import Promotion
from models.registry import Registry
from models.registry_entry import Status
from tests.support import tiny_model
from tests.support.ledgers import BTC, forecast
from tests.support.victims import CANDLES, NAMES, SEEDS, WEIGHTS
from utils.clock import ManualClock, SystemClock

ROOT = Path(__file__).resolve().parents[2]


def killed(what: str, folder: Path, steps: int) -> None:
    """The program's process, killed once it has told of so many steps: somewhere in the next one."""
    command = [sys.executable, "-m", "tests.support.victims", what, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.read(steps) == b"." * steps
        child.send_signal(signal.SIGKILL)
        assert child.wait(60) == -signal.SIGKILL


def test_a_ledger_is_whole_after_every_kill_and_ends_as_one_that_nobody_killed(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'ledger.db'}"
    rows = 0
    for steps in (3, 25):
        killed("keep_score", tmp_path, steps)
        database = connect(address)
        found = Ledger(database, ManualClock())
        whole = found.verify()
        assert (whole.intact, whole.complete, whole.unchained) == (True, True, 0)
        assert whole.rows >= max(rows, steps)
        rows = whole.rows
        # every score with its sums, or neither
        assert found.skill(model_id="tiny", horizon=EVERY_HORIZON).count == found.counts()["scored"]
        database.close()
    database, calm_database = connect(address), connect(f"sqlite:///{tmp_path / 'calm.db'}")
    ledger, calm = Ledger(database, ManualClock()), Ledger(calm_database, ManualClock())
    candles = tiny_model.candles(CANDLES)
    for row in range(rows + 2):
        for one in (ledger, calm):
            one.append([forecast(candles, row)])
    known = candles.slice(0, rows + 30)
    ledger.score(known)
    calm.score(known)
    assert ledger.verify() == calm.verify()
    assert ledger.counts() == calm.counts()
    assert ledger.recent(BTC, Interval.H1, 200) == calm.recent(BTC, Interval.H1, 200)
    database.close()
    calm_database.close()


@pytest.mark.parametrize("steps", [1, 14])
def test_a_promotion_is_done_or_not_and_never_half(tmp_path: Path, steps: int) -> None:
    for age, name in enumerate(NAMES):
        tiny_model.save(tmp_path, tiny_model.spec(name, created_ms=tiny_model.START_MS - age))
    killed("promote", tmp_path, steps)
    choice = read_choices(tmp_path)[Interval.H1]
    assert {choice.model, choice.previous} < set(NAMES)
    registry = Registry(tmp_path)
    entry = registry.default(Interval.H1)
    assert entry is not None
    assert entry.id == choice.model
    assert {one.id for one in registry.all()} == set(NAMES), "what lies about is no model"
    promotion = Promotion(registry=registry, clock=SystemClock())
    assert promotion.roll_back(Interval.H1) == choice.previous
    promotion.promote("three")
    assert registry.default(Interval.H1).id == "three"  # type: ignore[union-attr]


@pytest.mark.parametrize("steps", [1, 12])
def test_an_ensemble_is_whole_and_serves_or_not_after_a_kill(tmp_path: Path, steps: int) -> None:
    for age, name in enumerate(NAMES):
        tiny_model.save(tmp_path, tiny_model.spec(name, created_ms=tiny_model.START_MS - age))
    killed("mix", tmp_path, steps)
    (mix,) = read_ensembles(tmp_path)
    assert mix.weights in WEIGHTS
    promotion = Promotion(registry=Registry(tmp_path), clock=SystemClock())
    found = promotion.champions.of(Interval.H1)
    assert found is not None
    assert found.id in ("mix", "one")
    if mix.archived:
        promotion.unarchive("mix")  # nobody holds the lock any more
    promotion.promote("mix")
    assert promotion.champions.of(Interval.H1).id == "mix"  # type: ignore[union-attr]
    assert promotion.roll_back(Interval.H1) == "one"


@pytest.mark.parametrize("steps", [1, 9])
def test_a_model_is_the_old_one_or_the_new_one_after_a_kill(tmp_path: Path, steps: int) -> None:
    """Or for the moment between two renames neither: then the next write puts it there, and nothing is half of one."""
    killed("write", tmp_path, steps)
    found = {one.id: one for one in Registry(tmp_path).all()}
    assert set(found) <= {"one"}
    for entry in found.values():
        assert entry.status is Status.OK
        assert entry.spec is not None
        assert entry.report == {"seed": entry.spec.seed}
        assert entry.spec.seed in range(SEEDS)
        assert entry.open().run is not None
    tiny_model.save(tmp_path, tiny_model.spec("one"))
    assert Registry(tmp_path).get("one").digest
