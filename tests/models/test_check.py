"""Checks of one model as jobs run them: on stored candles, the result kept under the model's digest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from data.candles import Candles
from data.interval import Interval
from data.symbol import Symbol
from models import check, leaktest
from models.job_requests import CHECKS, CheckRequest, SearchRequest, Task, request_of
from models.jobs import Job, JobState
from models.leaktest import Depth
from models.learners import probe
from models.model_writing import write_model
from models.registry import Registry
from models.result_store import ResultStore
from models.retraining import retraining
from models.spec import Kind
from models.training_process import TrainingProcess
from models.walk import FEATURES
from tests.support import tiny_model
from tests.support.trainings import MARKETS, Workshop
from utils.clock import SystemClock
from utils.errors import ExchangeUnavailable, InvalidInput, NotReady, StoreError

RECIPE = {"kind": "tcn", "window": 16, "seed": 7}
TESTED = "2024-01-01 … 2024-08-01"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    candles = [tiny_model.candles(4000, symbol=symbol, seed=number) for number, symbol in enumerate(MARKETS)]
    made = Workshop(tmp_path_factory.mktemp("check"), markets=candles)
    spec = tiny_model.spec("walker", features=FEATURES, window=16, trained_on=MARKETS)
    report = {"recipe": RECIPE, "data": {"test": TESTED}}
    write_model(made.models, spec, tiny_model.graph(spec), report)
    worse = replace(spec, id="worse")
    write_model(made.models, worse, tiny_model.graph(worse, strength=0.3), report)
    yield made
    made.database.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The closed-form judge in place of a network, and fewer candles for the leak test."""
    monkeypatch.setattr(check, "follow", lambda _: probe)
    monkeypatch.setitem(leaktest.DEPTHS, "quick", Depth(3000, 1, (0.6,)))


def run(shop: Workshop, *arguments: str) -> int:
    return check.main([*arguments, "--out", str(shop.models), "--database", shop.jobs.address, "--venue", "binance"])


@pytest.mark.slow
def test_each_check_is_kept_under_the_models_digest(shop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    results, digest = ResultStore(shop.database), shop.registry.get("walker").digest
    for task in CHECKS:
        progress = shop.folder / f"{task}.jsonl"
        assert run(shop, task, "--id", "walker", "--progress-file", str(progress)) == 0, capsys.readouterr()
        assert '"stage": "done"' in progress.read_text()
    assert '"step": 3, "steps": 3' in (shop.folder / f"{Task.WALKFORWARD}.jsonl").read_text()
    found = results.of(digest)
    assert set(found) == set(CHECKS)
    leaks = found[Task.LEAKTEST].result
    assert leaks["data"] == "stored candles of 1 markets"
    assert sum(one["name"].startswith("planted") and one["ok"] for one in leaks["checks"]) >= 4
    assert [twin["horizon"] for twin in found[Task.PLACEBO].result["twins"]] == [1, 6, 24]
    assert len(found[Task.WALKFORWARD].result["folds"]) == 3
    weighed = found[Task.IMPORTANCE].result
    assert {one["feature"] for one in weighed["inputs"]} == set(FEATURES)
    assert (weighed["seen"], weighed["markets"]) == (False, list(MARKETS))
    twin = found[Task.QUANTIZE].result
    assert twin["from_ms"] >= tiny_model.START_MS + 24 * Interval.H1.ms, "judged on what it never saw"
    assert twin["kept"] is ("walker-int8" in {entry.id for entry in shop.registry.usable()})
    assert twin["verdict"]["quantized"]["size_bytes"] != twin["verdict"]["original"]["size_bytes"]
    assert run(shop, Task.LEAKTEST, "--id", "walker") == 0
    again = results.of(digest)
    assert again[Task.LEAKTEST].made_ms > found[Task.LEAKTEST].made_ms
    assert {task: again[task] for task in CHECKS if task != Task.LEAKTEST} == {
        task: found[task] for task in CHECKS if task != Task.LEAKTEST
    }


def test_a_worse_challenger_loses_and_a_better_one_wins(shop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    results = ResultStore(shop.database)
    walker, worse = (shop.registry.get(name) for name in ("walker", "worse"))
    assert run(shop, Task.CHALLENGE, "--id", "worse", "--against", "walker") == 0
    assert "not better beyond doubt, so it does not win" in capsys.readouterr().out
    assert run(shop, Task.CHALLENGE, "--id", "walker", "--against", "worse") == 0
    assert "it wins" in capsys.readouterr().out
    lost, won = (results.of(one.digest)[Task.CHALLENGE] for one in (worse, walker))
    assert (lost.against, won.against) == (walker.digest, worse.digest)
    assert (lost.result["won"], won.result["won"]) == (False, True)
    assert lost.result["over_champion"]["skill"] < 0 < won.result["over_champion"]["low"]
    assert won.result["p_value"] < 0.05
    assert lost.result["from_ms"] >= tiny_model.START_MS + 24 * Interval.H1.ms
    assert 0 < len(lost.result["course"]) <= 60
    assert [one.model_id for one in results.challenges_of(walker.digest)] == ["worse"]


def test_what_cannot_be_checked_is_told(shop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_model.save(shop.models, tiny_model.spec("bare", trained_on=MARKETS))
    assert run(shop, Task.WALKFORWARD, "--id", "bare") == 2
    assert "has no recipe that this version can follow" in capsys.readouterr().err
    assert run(shop, Task.CHALLENGE, "--id", "walker", "--against", "bare") == 2
    assert "does not say which candles it never saw" in capsys.readouterr().err
    assert run(shop, Task.LEAKTEST, "--id", "nobody") == 2


def test_checks_wait_in_the_same_queue_and_are_asked_for_once(shop: Workshop) -> None:
    request = CheckRequest(Task.LEAKTEST, "walker", Interval.H1)
    job = shop.runner.ask(request)
    assert shop.runner.ask(request).id == job.id
    found = shop.jobs.get(job.id)
    assert (found.task, found.request, found.steps) == (Task.LEAKTEST, request, 0)
    assert shop.jobs.newest(Task.LEAKTEST, "walker") == found
    assert shop.jobs.newest(Task.TRAIN, "walker") is None
    assert shop.runner.cancel(job.id).state is JobState.CANCELLED
    again = shop.runner.repeat(job.id)
    assert (again.request, again.repeats) == (request, job.id)
    shop.runner.cancel(again.id)
    shop.runner.use("")
    with pytest.raises(NotReady):
        shop.runner.ask(request)
    shop.runner.use("binance")


def test_requests_go_through_json_unharmed() -> None:
    check_one = CheckRequest(Task.CHALLENGE, "a", Interval.H1, against="b")
    search = SearchRequest("study", Interval.H1, MARKETS, Kind.TCN, trials=5, from_date="2024-01-01")
    for one in (check_one, search):
        assert request_of(one.to_json()) == one
    assert check_one.command()[-2:] == ["--against", "b"]


def test_a_model_of_its_own_markets_is_retrained_as_one(tmp_path: Path) -> None:
    start_ms, mine = tiny_model.START_MS, MARKETS[:1]
    until_ms = start_ms + 1000 * Interval.H1.ms
    spec = tiny_model.spec("own", symbols=mine, trained_on=mine, train_from_ms=start_ms, train_until_ms=until_ms)
    report = {"recipe": RECIPE, "search": {"study": "search-tcn-1h", "trials": 24}}
    write_model(tmp_path, spec, tiny_model.graph(spec), report)
    asked = retraining(Registry(tmp_path).get("own"), MARKETS, str)
    assert (asked.own, asked.symbols, asked.model_id) == (True, mine, "tcn-1h-btcusdt")
    assert (asked.study, asked.trials) == ("search-tcn-1h", 24)
    with pytest.raises(InvalidInput, match="none of the markets"):
        retraining(Registry(tmp_path).get("own"), MARKETS[1:], str)


def test_a_check_is_given_the_history_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_ms = Interval.H1.open_ms(SystemClock().now_ms())
    told: list[str] = []

    def fetch(symbol: Symbol, interval: Interval, start_ms: int, end_ms: int) -> Iterator[Candles]:
        for at_ms in range(start_ms, end_ms, 1000 * interval.ms):
            told.append(there.jobs.get(job.id).message)
            yield tiny_model.candles(min(1000, (end_ms - at_ms) // interval.ms), symbol=symbol, start_ms=at_ms)

    def nobody(*_: object, **__: object) -> TrainingProcess:
        raise StoreError("no process here")

    def failing(*_: object) -> list[tuple[int, int]]:
        raise ExchangeUnavailable("no answer")

    monkeypatch.setattr(TrainingProcess, "start", nobody)
    newest = tiny_model.candles(500, start_ms=now_ms - 500 * Interval.H1.ms)
    there = Workshop(tmp_path, markets=[newest], fetch=fetch)
    for request, wanted in (
        (CheckRequest(Task.WALKFORWARD, "walker", Interval.H1, symbols=MARKETS), 10_000),
        (CheckRequest(Task.LEAKTEST, "walker", Interval.H1, symbols=MARKETS), 3000),
        (SearchRequest("study", Interval.H1, MARKETS, Kind.TCN, trials=2), 10_000),
    ):
        job = there.runner.ask(request)
        there.runner.step()
        assert there.jobs.get(job.id).message == "no process here"
        assert all(len(there.store.read(symbol, Interval.H1)) >= wanted - 1 for symbol in MARKETS)
    assert told[0] == ""
    assert told[1] == "1,000 of 19,500 candles of history looked through, now those of BTCUSDT."
    assert told[-1] == "18,500 of 19,500 candles of history looked through, now those of ETHUSDT."
    assert len(told) == 20, "what is stored is not fetched again"
    there.runner.ask(CheckRequest(Task.CHALLENGE, "walker", Interval.H1, against="worse"))
    there.runner.step()
    assert len(told) == 20
    seen: list[str] = []

    def looked(job: Job, **_: object) -> TrainingProcess:
        seen.append(there.jobs.get(job.id).message)
        return nobody()

    monkeypatch.setattr(TrainingProcess, "start", looked)
    monkeypatch.setattr(there.store, "missing", failing)
    there.runner.ask(CheckRequest(Task.PLACEBO, "walker", Interval.H1, symbols=MARKETS))
    there.runner.step()
    assert seen == ["its history could not be fetched: no answer; it goes on with what is stored."]
    there.database.close()


def test_too_short_a_history_is_told_in_words_that_fit(shop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    young = Symbol("NEWUSDT")
    shop.store.write(tiny_model.candles(1400, symbol=young, seed=9))
    spec = tiny_model.spec("young", features=FEATURES, window=16, trained_on=(young,))
    write_model(shop.models, spec, tiny_model.graph(spec), {"recipe": RECIPE, "data": {"test": TESTED}})
    for task in (Task.WALKFORWARD, Task.PLACEBO):
        assert run(shop, task, "--id", "young") == 2
        assert "NEWUSDT has most, 1,400, with all that the exchange gave" in capsys.readouterr().err
