"""The search for a recipe: judged by walking forward, resumed where it ended, told with its number of trials."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest

from data.candles import Candles
from models import search
from models.job_requests import Task
from models.learners import probe
from models.recipe import Recipe, preset
from models.result_store import ResultStore
from models.search import recipe_of_trial
from models.search_request import SEARCHABLE
from models.spec import Kind
from tests.support import tiny_model
from tests.support.trainings import MARKETS, Workshop

NEWEST: list[int] = []
FOLDS_WALKED: list[int] = []


def walk(markets: Sequence[Candles], recipe: Recipe, plan: Any, *, on_fold: Callable[[Any], None], **_: Any) -> None:
    """In place of minutes: skill is the higher the nearer its dropout is to 0.3."""
    NEWEST.append(max(one.last_open_time_ms for one in markets))
    FOLDS_WALKED.append(0)
    for _fold in range(plan.folds):
        FOLDS_WALKED[-1] += 1
        comparison = SimpleNamespace(skill_fraction=0.05 - abs(recipe.dropout - 0.3))
        on_fold(SimpleNamespace(verdicts=[SimpleNamespace(comparisons=[comparison])]))


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    made = Workshop(tmp_path, markets=[tiny_model.candles(4500, symbol=MARKETS[0])])
    NEWEST.clear()
    FOLDS_WALKED.clear()
    yield made
    made.database.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "follow", lambda recipe: recipe)
    monkeypatch.setattr(search, "walk", walk)
    monkeypatch.setattr(search, "_UNPRUNED_TRIALS", 1)


def run(shop: Workshop, *arguments: str) -> int:
    given = ["--study", "first", "--kind", "tcn", "--folds", "2", "--symbols", str(MARKETS[0])]
    return search.main([*given, *arguments, "--database", shop.jobs.address, "--venue", "binance"])


@pytest.mark.usefixtures("quick")
def test_it_finds_what_is_better_goes_on_and_tells_how_many_it_tried(
    shop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = shop.folder / "progress.jsonl"
    assert run(shop, "--trials", "7", "--progress-file", str(progress)) == 0
    assert "best of 7 trials" in capsys.readouterr().out
    assert '"stage": "searching", "step": 7, "steps": 7' in progress.read_text()
    (found,) = ResultStore(shop.database).searches()
    assert (found.model_id, found.task, found.result["trials"]) == ("first", Task.SEARCH, 7)
    assert found.result["preset_skill"] == pytest.approx(0.05 - 0.2)
    assert found.result["skill"] > found.result["preset_skill"]
    assert abs(found.result["recipe"]["dropout"] - 0.3) < 0.2
    assert found.result["counts"]["pruned"] == FOLDS_WALKED.count(1) > 0, "the hopeless are given up after a fold"
    series = shop.store.stats().series[0]
    assert max(NEWEST) < int(series.last_open_ms or 0) - 400 * 3_600_000, "the newest tenth is never looked at"
    file = sqlite3.connect(shop.folder / search.FILE)
    file.execute("UPDATE trials SET state = 'RUNNING' WHERE number = 5")  # as where the process was killed in a trial
    file.commit()
    file.close()
    newer = tiny_model.candles(4600, symbol=MARKETS[0])
    shop.store.write(newer)
    before = set(NEWEST)
    assert run(shop, "--trials", "1") == 0
    assert "best of 8 trials" in capsys.readouterr().out
    assert set(NEWEST) == before, "the same candles, whatever came since"
    assert ResultStore(shop.database).searches()[0].result["counts"]["fail"] == 1


def test_a_trial_is_really_walked_forward(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "follow", lambda _: probe)
    assert run(shop, "--trials", "1", "--folds", "1") == 0
    (found,) = ResultStore(shop.database).searches()
    assert -0.5 < found.result["skill"] < 0.5


def test_a_search_of_which_nothing_comes_says_why(shop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(shop, "--trials", "1", "--from", "2024-06-10") == 2
    assert "none of 1 trials came to its end: " in capsys.readouterr().err


@pytest.mark.usefixtures("quick")
def test_a_study_stays_what_it_is(shop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(shop, "--trials", "1") == 0
    assert run(shop, "--trials", "1", "--kind", "lstm") == 2
    assert "study 'first' is of kind tcn, interval 1h, folds 2, venue binance" in capsys.readouterr().err
    assert run(shop, "--trials", "0") == 2
    assert "use 1 to 500" in capsys.readouterr().err


@pytest.mark.parametrize("kind", SEARCHABLE)
def test_the_preset_lies_within_what_is_tried(kind: Kind) -> None:
    """A fixed trial warns of a value beyond its range, and warnings are errors here."""
    given = preset("quick", kind)
    assert recipe_of_trial(optuna.trial.FixedTrial(asdict(given)), kind) == given
