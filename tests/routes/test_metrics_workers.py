"""/metrics of several workers: any of them answers for all, and one that is gone is forgotten."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.support.browser import Replay, replayed_app
from tests.support.scraping import equip, equipped_anew, promtool, value
from utils.metrics_workers import WorkerMetrics
from utils.worker_files import WorkerFiles

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    """One market, looked at once."""
    with replayed_app(tmp_path_factory.mktemp("metrics_workers"), ("BTCUSDT",)) as made:
        equip(made.app)
        made.app.test_client().get("/")
        yield made


WORKER = """
import sys
from pathlib import Path
from prometheus_client import CollectorRegistry, Counter
from utils.metrics_workers import WorkerMetrics
from utils.worker_files import WorkerFiles
registry = CollectorRegistry()
counter = Counter("dashboard_cache_hits", "Hits.", ["cache"], registry=registry)
counter.labels("page").inc(int(sys.argv[2]))
files = WorkerFiles(Path(sys.argv[1]), period_s=3600)
WorkerMetrics(files, registry.collect)
files.start()
files.publish()
print(files.number, flush=True)
sys.stdin.read()
files.close()
"""


@contextmanager
def worker(folder: Path, hits: int) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Another process that shares its metrics in the folder, and its number; asked to end when the block does."""
    command = [sys.executable, "-c", WORKER, str(folder), str(hits)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
        process.communicate()


def test_any_worker_answers_for_all_and_a_dead_one_is_forgotten(replay: Replay, tmp_path: Path) -> None:
    app, name = replay.app, "dashboard_cache_hits_total"
    ours = WorkerFiles(tmp_path)
    with equipped_anew(app, files=ours), closing(ours):
        ours.start()
        assert ours.number == 0
        with worker(tmp_path, 7_000_000) as (first, one), worker(tmp_path, 9_000_000) as (_, two):
            assert {one, two} == {1, 2}
            text = app.test_client().get("/metrics").get_data(as_text=True)
            hits = app.extensions["services"].pages.stats().hits
            assert value(text, name, cache="page", worker="0") == hits
            assert {value(text, name, worker=str(number)) for number in (one, two)} == {7e6, 9e6}
            assert text.count(f"# TYPE {name} counter") == 1
            assert value(text, "dashboard_build_info", worker="0") == 1
            run = promtool("check", "metrics", given=text)
            assert "error while" not in run.stderr
            assert not [line for line in run.stderr.splitlines() if line.startswith("dashboard_")]
            first.kill()
            first.wait()
            text = app.test_client().get("/metrics").get_data(as_text=True)
            assert " 7e+06" not in text
            assert " 9e+06" in text
            with worker(tmp_path, 5_000_000) as (_, three):
                assert three == one, "the number of the dead is given again"
        text = app.test_client().get("/metrics").get_data(as_text=True)
        assert {sample.labels["worker"] for family in parse(text) for sample in family.samples} == {"0"}
    assert list(tmp_path.glob("*.metrics")) == []
    assert ours.number is None


def test_a_worker_publishes_by_itself_and_ends(tmp_path: Path) -> None:
    collected = threading.Event()

    def collect() -> list[Metric]:
        collected.set()
        return []

    files = WorkerFiles(tmp_path, period_s=0.01)
    shared = WorkerMetrics(files, collect)
    files.start()
    files.start()
    assert collected.wait(90)
    files.close()
    files.close()
    assert "worker-files" not in [thread.name for thread in threading.enumerate()]
    assert shared.families() == [], "and answers for itself afterwards"
