"""One call on this machine's processors and on a real Dask cluster: same results, and a killed worker loses nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.interval import Interval
from models import sweep, walkforward
from models.kline_files import markets as read_markets
from models.learners import probe
from models.parallel import Workers, run_all
from models.walk import Plan, walk
from models.walk_findings import FoldResult
from tests.support import tiny_model
from tests.support.kline_folder import write
from tests.support.pieces import killed_once, refuse, work
from tests.support.running_app import free_port
from utils.errors import InvalidInput, NotReady

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = np.arange(50_000, dtype=np.float64)


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """A scheduler and two workers, each a process of its own; its address."""
    address = f"tcp://127.0.0.1:{free_port()}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DASK_DISTRIBUTED__WORKER__DAEMON": "false"}
    common = ["--no-dashboard"]
    scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", address, *common]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, *common]
    worker += ["--nthreads", "1", "--no-nanny", "--local-directory", str(folder), "--death-timeout", "60"]
    with (folder / "log").open("wb") as log:
        started = [
            subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
            for command in (scheduler, worker, worker)
        ]
        try:
            _wait_for_workers(address, 2, folder / "log")
            yield address
        finally:
            for process in reversed(started):
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    with cluster(tmp_path_factory.mktemp("cluster")) as address:
        yield Workers(scheduler=address)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kline files of two markets with something to learn."""
    folder = tmp_path_factory.mktemp("klines")
    for seed, symbol in enumerate(("AAAUSDT", "BBBUSDT")):
        write(folder, tiny_model.planted(symbol, seed + 1, 3000))
    return folder


def _wait_for_workers(address: str, count: int, log: Path) -> None:
    from distributed import Client

    deadline_s = time.monotonic() + 40
    while time.monotonic() < deadline_s:
        try:
            with Client(address, timeout=5, set_as_default=False) as client:
                client.wait_for_workers(count, timeout=10)
                return
        except OSError:
            continue
    raise AssertionError(log.read_text())


def test_alone_it_is_the_function_itself() -> None:
    found = list(run_all(partial(work, NUMBERS), range(3)))
    assert [one[:2] for one in found] == [(piece, float(NUMBERS[piece:].sum())) for piece in range(3)]
    assert {one[2] for one in found} == {os.getpid()}


@pytest.mark.slow
def test_two_processes_and_a_cluster_do_the_same_and_tell_the_same_errors(far: Workers) -> None:
    pieces = range(6)
    alone = list(run_all(partial(work, NUMBERS), pieces))
    here = list(run_all(partial(work, NUMBERS), pieces, Workers(2)))
    there = list(run_all(partial(work, NUMBERS), pieces, far))
    assert [one[:2] for one in alone] == [one[:2] for one in here] == [one[:2] for one in there]
    makers = [{one[2] for one in found} for found in (alone, here, there)]
    assert makers[0] == {os.getpid()}
    assert not makers[0] & makers[1]
    assert not (makers[0] | makers[1]) & makers[2]
    for workers in (Workers(2), far):
        with pytest.raises(InvalidInput, match=r"\d cannot be done"):
            list(run_all(refuse, pieces, workers))


@pytest.mark.slow
def test_a_walk_forward_is_the_same_alone_in_two_processes_and_on_a_cluster(
    far: Workers, data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(*more: str) -> dict[str, Any]:
        given = ["--kind", "ridge", "--data", str(data), "--folds", "2", "--window", "1", "--horizons", "1", "6"]
        assert walkforward.main([*given, "--json", *more]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    alone, here = told("--jobs", "1"), told("--jobs", "2")
    monkeypatch.setenv("DASK_SCHEDULER", far.scheduler)
    there = told()
    assert alone == here == there
    assert alone["pooled"][0]["comparisons"][0]["skill_fraction"] > 0.02
    assert len(alone["folds"]) == 2


@pytest.mark.slow
def test_a_sweep_over_numbers_and_markets_is_the_same_on_a_cluster(
    far: Workers, data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [
        "--kind",
        "drift",
        "--data",
        str(data),
        "--folds",
        "2",
        "--horizons",
        "1",
        "--vary",
        "stride=1,4",
        "--each",
    ]
    assert sweep.main([*given, "--json"]) == 0
    alone = json.loads(capsys.readouterr().out)
    monkeypatch.setenv("DASK_SCHEDULER", far.scheduler)
    assert sweep.main([*given, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == alone
    assert [(one["varied"], one["markets"]) for one in alone] == [
        ({"stride": stride}, [market]) for stride in (1.0, 4.0) for market in ("AAAUSDT", "BBBUSDT")
    ]
    assert sweep.main(given) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[-1] == "4 combinations: the best of many is partly luck."
    skills = [float(line.split("%")[0]) for line in table[:-1]]
    assert skills == sorted(skills, reverse=True)


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_of_a_fold_loses_nothing(far: Workers, tmp_path: Path, data: Path) -> None:
    """Last of those on the cluster: it has one worker less afterwards."""
    markets = read_markets(data, Interval.H1)
    plan = Plan(folds=3, horizons=(1, 6))
    told: list[int] = []

    def tell(one: FoldResult) -> None:
        told.append(one.fold.number)

    found = walk(markets, partial(killed_once, tmp_path), plan, on_fold=tell, workers=far)
    died = int((tmp_path / "died").read_text())
    assert died != os.getpid()
    assert told == [1, 2, 3]
    assert found.to_dict() == walk(markets, probe, plan).to_dict()


@pytest.mark.parametrize(
    ("vary", "why"),
    [
        (["learning_rate=0.1"], "kind ridge does not read learning_rate; vary stride"),
        (["stride=0"], "--stride 0 is outside 1 … 1000"),
        (["stride=few"], "is not NAME=NUMBER,NUMBER"),
        (["stride=" + ",".join(map(str, range(1, 502)))], "501 combinations are too many"),
    ],
)
def test_a_sweep_that_does_not_fit_is_refused(
    data: Path, vary: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep.main(["--kind", "ridge", "--data", str(data), "--vary", *vary]) == 2
    assert why in capsys.readouterr().err


def test_what_is_no_cluster_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match=r"'localhost' is no address; give one like tcp://10\.0\.0\.5:8786"):
        list(run_all(refuse, [1], Workers(scheduler="localhost")))
    with pytest.raises(InvalidInput, match="0 workers cannot work"):
        list(run_all(refuse, [1], Workers(0)))
    monkeypatch.setattr("models.parallel.CONNECT_S", 1)
    with pytest.raises(NotReady, match="does not answer; start it"):
        list(run_all(refuse, [1], Workers(scheduler=f"tcp://127.0.0.1:{free_port()}")))
