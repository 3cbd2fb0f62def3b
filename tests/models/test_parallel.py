"""One call on this machine's processors and on a real Dask cluster: same results, and a killed worker loses nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from models.parallel import Workers, run_all
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
def test_two_processes_and_a_cluster_give_the_same_and_a_killed_worker_loses_nothing(tmp_path: Path) -> None:
    pieces = range(6)
    alone = list(run_all(partial(work, NUMBERS), pieces))
    here = list(run_all(partial(work, NUMBERS), pieces, Workers(2)))
    assert [one[:2] for one in here] == [one[:2] for one in alone]
    assert os.getpid() not in {one[2] for one in here}
    with pytest.raises(InvalidInput, match=r"\d cannot be done"):
        list(run_all(refuse, pieces, Workers(2)))
    with cluster(tmp_path) as address:
        far = Workers(scheduler=address)
        there = list(run_all(partial(work, NUMBERS), pieces, far))
        assert [one[:2] for one in there] == [one[:2] for one in alone]
        assert not {one[2] for one in there} & {os.getpid(), *(one[2] for one in here)}
        with pytest.raises(InvalidInput, match=r"\d cannot be done"):
            list(run_all(refuse, pieces, far))
        assert list(run_all(partial(killed_once, tmp_path), pieces, far)) == [0, 1, 4, 9, 16, 25]
        assert (tmp_path / "died").exists()


def test_what_is_no_cluster_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match=r"'localhost' is no address; give one like tcp://10\.0\.0\.5:8786"):
        list(run_all(refuse, [1], Workers(scheduler="localhost")))
    with pytest.raises(InvalidInput, match="0 workers cannot work"):
        list(run_all(refuse, [1], Workers(0)))
    monkeypatch.setattr("models.parallel.CONNECT_S", 1)
    with pytest.raises(NotReady, match="does not answer; start it"):
        list(run_all(refuse, [1], Workers(scheduler=f"tcp://127.0.0.1:{free_port()}")))
