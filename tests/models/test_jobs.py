"""Trainings in the background: real trainer processes, cancelled, killed, left behind and found again."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from data.candles import Candles
from data.interval import Interval
from data.symbol import Symbol
from models.jobs import MAX_WAITING, JobState
from models.kline_files import between
from models.training_process import TrainingProcess
from models.training_request import TrainingRequest, WrongFields
from models.training_runner import TrainingRunner
from tests.support import tiny_model
from tests.support.trainings import Workshop, in_second_epoch, request, workshop
from utils.errors import ExchangeUnavailable, InvalidInput, NotFound, NotReady, StoreError

pytestmark = pytest.mark.slow  # each trainer process loads TensorFlow

ENDLESS = 500


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    with workshop(tmp_path_factory.mktemp("jobs")) as made:
        yield made


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[Workshop]:
    """With candles, but nothing is started."""
    made = Workshop(tmp_path, markets=[tiny_model.candles(3000)])
    yield made
    made.database.close()


def test_two_wait_their_turn_and_a_bad_one_harms_nobody(shop: Workshop) -> None:
    tiny_model.save(shop.models, tiny_model.spec("before"))
    good = shop.runner.submit(request("good", epochs=3))
    # more is asked than is there: the trainer finds out, the form's own check is passed by
    impossible = replace(request("bad"), from_date="2024-03-20")
    bad = shop.jobs.add(impossible, venue="binance", now_ms=1)
    assert shop.jobs.get(bad.id).state is JobState.QUEUED
    done, failed = shop.ended(good.id), shop.ended(bad.id)
    assert done.state is JobState.DONE, (done.message, done.log)
    assert "skill" in done.message
    assert [len(pair) for pair in done.curve] == [2, 2, 2]
    assert all(loss is not None and loss > 0 for pair in done.curve for loss in pair)
    assert done.windows_per_s is not None
    assert done.windows_per_s > 10
    assert shop.registry.get("good").digest
    assert shop.registry.default(Interval.H1).id == "before"  # type: ignore[union-attr]  # a newer one does not take over
    assert failed.state is JobState.FAILED
    assert "too few to split" in failed.message or "windows can be used" in failed.message or "give a" in failed.message
    assert failed.started_ms is not None
    assert done.ended_ms is not None
    assert failed.started_ms >= done.ended_ms
    assert sorted(path.name for path in shop.models.iterdir()) == [".in-use.json", "before", "good"]
    shop.wait_for(bad.id, lambda _: not list((shop.folder / "trainings").iterdir()))
    measured = shop.runner.estimate(request("next"))
    assert measured.measured_by == done.id
    took_s = ((done.ended_ms or 0) - (done.started_ms or 0)) / 1000
    assert 0.5 < done.other_s < took_s, "imports, reading, export and judging take their time too"
    again = shop.runner.estimate(request("next", epochs=3))
    assert again.seconds == pytest.approx(took_s, rel=0.2), "the same once more is said to take about as long"


def test_files_that_cannot_be_removed_hold_up_nobody(idle: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a training is written down once; what is left of its files does not stop the others."""
    job = idle.jobs.add(request("stuck"), venue="binance", now_ms=1)
    idle.jobs.begin(job.id, 2)
    idle.jobs.started(job.id, os.getpid(), psutil.Process().create_time())
    idle.runner.look()
    idle.runner.step()

    def refused(*_: object) -> None:
        raise PermissionError(13, "not ours")

    monkeypatch.setattr(TrainingProcess, "alive", property(lambda _: False))
    monkeypatch.setattr(TrainingProcess, "clear", refused)
    with pytest.raises(PermissionError):
        idle.runner.step()
    assert idle.jobs.get(job.id).state is JobState.LOST
    idle.runner.step()


def test_a_cancelled_training_ends_and_leaves_nothing(shop: Workshop) -> None:
    running = shop.runner.submit(request("stopped", epochs=ENDLESS))
    waiting = shop.runner.submit(request("waiting", epochs=ENDLESS))
    job = shop.wait_for(running.id, in_second_epoch)
    assert job.stage == "training"
    assert job.eta_s is not None
    assert job.pid is not None
    assert shop.runner.cancel(waiting.id).state is JobState.CANCELLED
    shop.runner.cancel(running.id)
    assert shop.ended(running.id).state is JobState.CANCELLED
    assert not psutil.pid_exists(job.pid)
    assert not shop.promotion.taken("stopped")
    with pytest.raises(InvalidInput, match=r"has already ended \(cancelled\)"):
        shop.runner.cancel(running.id)


def test_a_killed_training_is_told_and_can_be_repeated(shop: Workshop) -> None:
    job = shop.wait_for(shop.runner.submit(request("killed", epochs=ENDLESS)).id, in_second_epoch)
    with pytest.raises(InvalidInput, match="has not ended yet"):
        shop.runner.repeat(job.id)
    os.kill(job.pid or 0, signal.SIGKILL)
    ended = shop.ended(job.id)
    assert ended.state is JobState.FAILED
    assert "killed from outside (SIGKILL); most often memory ran out" in ended.message
    assert not shop.promotion.taken("killed")
    again = shop.runner.repeat(job.id)
    assert (again.model_id, again.repeats, again.request) == ("killed", job.id, job.request)
    shop.runner.cancel(again.id)
    assert shop.ended(again.id).state is JobState.CANCELLED


def test_a_training_outlasts_the_dashboard_and_is_taken_up_again(tmp_path: Path) -> None:
    with workshop(tmp_path) as first:
        job = first.wait_for(first.runner.submit(request("survivor", epochs=ENDLESS)).id, in_second_epoch)
        first.runner.close()
        second = first.again()
        lost = second.jobs.add(request("lost"), venue="binance", now_ms=1)
        second.jobs.begin(lost.id, 2)
        second.jobs.started(lost.id, job.pid or 0, 1.0)  # that number is another process by now
        second.runner.start()
        assert second.ended(lost.id).state is JobState.LOST
        assert "gone without a word" in second.jobs.get(lost.id).message
        seen = second.jobs.get(job.id)
        later = second.wait_for(job.id, lambda now: now.epoch > seen.epoch)
        assert later.state is JobState.RUNNING
        assert later.pid == job.pid
        assert later.curve[: len(seen.curve)] == seen.curve
        second.runner.cancel(job.id)
        assert second.ended(job.id).state is JobState.CANCELLED
        assert second.runner.repeat(lost.id).model_id == "lost"
        second.close()


def test_a_database_that_fails_for_a_moment_leaves_no_training_running_for_ever(
    idle: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = idle.jobs.end
    failed = threading.Event()

    def fails_once(*given: Any, **named: Any) -> bool:
        if not failed.is_set():
            failed.set()
            raise StoreError("the database is locked by another program")
        return whole(*given, **named)

    first, second = (idle.jobs.add(request(name), venue="binance", now_ms=1) for name in ("first", "second"))
    idle.jobs.begin(first.id, 2)
    idle.jobs.started(first.id, os.getpid(), 1.0)  # that number is another process by now
    monkeypatch.setattr(idle.jobs, "end", fails_once)
    idle.jobs.begin(second.id, 2)
    idle.runner.start()
    assert idle.ended(first.id).state is JobState.LOST
    assert idle.ended(second.id).state is JobState.LOST
    assert failed.is_set()
    idle.runner.close()


def test_a_training_nobody_looks_after_can_be_cancelled(idle: Workshop) -> None:
    idle.runner.start()
    job = idle.jobs.add(request("orphan"), venue="another", now_ms=1)
    idle.jobs.begin(job.id, 2)  # as where the database failed before the process was written down
    idle.runner.cancel(job.id)
    assert idle.ended(job.id).state is JobState.CANCELLED
    idle.runner.close()


def test_what_cannot_be_trained_is_refused_before_anything_starts(idle: Workshop) -> None:
    with pytest.raises(WrongFields, match=r"give about 0 windows to learn from; at least 500 are needed"):
        idle.runner.submit(replace(request("short"), until_date="2024-01-09"))
    with pytest.raises(WrongFields, match=r"0 candles of 0 markets"):
        idle.runner.submit(request("nobody", symbols=[Symbol("XRPUSDT")]))
    tiny_model.save(idle.models, tiny_model.spec("there"))
    with pytest.raises(WrongFields, match=r"a model named 'there' is there or about to be"):
        idle.runner.submit(request("there"))
    for number in range(MAX_WAITING):
        idle.runner.submit(request(f"many-{number}"))
    with pytest.raises(InvalidInput, match=r"20 trainings are waiting already; cancel one first"):
        idle.runner.submit(request("one-more"))
    with pytest.raises(NotFound, match="there is no training number 99"):
        idle.runner.cancel(99)


def test_without_an_exchange_there_is_nothing_to_train_on(idle: Workshop) -> None:
    idle.runner.use("")
    with pytest.raises(NotReady, match="not known whose candles"):
        idle.runner.submit(request())


def test_a_free_name_is_neither_there_nor_asked_for(idle: Workshop) -> None:
    runner: TrainingRunner = idle.runner
    name = runner.free_id("tcn-1h")
    runner.submit(request(name))
    tiny_model.save(idle.models, tiny_model.spec(f"{name}-2"))
    assert runner.free_id("tcn-1h") == f"{name}-3"


def test_a_request_goes_through_the_database_unharmed(idle: Workshop) -> None:
    asked = replace(request("same"), from_date="2024-01-02", until_date="2024-03-04")
    assert idle.jobs.get(idle.runner.submit(asked).id).request == asked
    assert TrainingRequest.from_json(asked.to_json()) == asked


def test_what_the_dates_ask_for_is_fetched_first(tmp_path: Path) -> None:
    whole = tiny_model.candles(3000)
    asked: list[tuple[int, int]] = []
    states: list[tuple[str, str]] = []
    shares: list[tuple[float, int, int]] = []

    def fetch(symbol: Symbol, interval: Interval, start_ms: int, end_ms: int) -> Iterator[Candles]:
        asked.append((start_ms, end_ms))
        states.extend((str(job.state), job.stage) for job in there.jobs.within(JobState.RUNNING))
        for part in (between(whole, start_ms, start_ms + 1000 * interval.ms), between(whole, start_ms, end_ms)):
            yield part
            shares.extend((job.share, job.epoch, job.windows) for job in there.jobs.within(JobState.RUNNING))

    there = Workshop(tmp_path, markets=[whole.tail(100)], fetch=fetch)
    job = there.runner.submit(replace(request("deep", symbols=[whole.symbol], epochs=ENDLESS), from_date="2024-01-01"))
    there.runner.step()
    assert asked[0] == (whole.open_time_ms[0], whole.open_time_ms[-100])
    assert set(states) == {("running", "fetching")}
    assert len(there.store.read(whole.symbol, Interval.H1)) == 3000
    wanted = shares[0][2]
    assert shares[:2] == [(1000 / wanted, 1000, wanted), (2900 / wanted, 2900, wanted)]
    begun = there.jobs.get(job.id)
    assert begun.pid is not None
    assert (begun.stage, begun.share, begun.windows, begun.eta_s) == ("", 0.0, 0, None), "then its epochs are counted"
    there.runner.start()
    there.close()
    assert there.folder.exists()


@pytest.mark.parametrize("ending", ["cancel", "close", "fail"])
def test_fetching_can_be_ended(tmp_path: Path, ending: str) -> None:
    whole = tiny_model.candles(3000)

    def fetch(symbol: Symbol, interval: Interval, start_ms: int, end_ms: int) -> Iterator[Candles]:
        if ending == "fail":
            raise ExchangeUnavailable("no answer")
        yield between(whole, start_ms, start_ms + 100 * interval.ms)
        if ending == "cancel":
            there.runner.cancel(job.id)
        else:
            there.runner._closing = True
        yield between(whole, start_ms + 100 * interval.ms, start_ms + 200 * interval.ms)
        raise AssertionError("went on though it was told to end")

    there = Workshop(tmp_path, markets=[whole.tail(100)], fetch=fetch)
    job = there.runner.submit(replace(request("deep", symbols=[whole.symbol]), from_date="2024-01-01"))
    there.runner.step()
    found = there.jobs.get(job.id)
    expected = {"cancel": JobState.CANCELLED, "close": JobState.QUEUED, "fail": JobState.FAILED}
    assert found.state is expected[ending]
    assert found.pid is None
    if ending == "fail":
        assert found.message == "its history could not be fetched: no answer"
    there.database.close()


def test_nobody_fetches_a_century(idle: Workshop) -> None:
    with pytest.raises(InvalidInput, match=r"candles would have to be fetched, at most 2,000,000"):
        idle.runner.submit(
            replace(request("all", symbols=[Symbol(f"S{n}USDT") for n in range(50)]), from_date="2017-01-01")
        )
