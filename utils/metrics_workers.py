"""Metrics of several worker processes behind one port: each publishes its own, any of them answers with everyone's.

Each process takes the lowest free number and keeps a file lock on it while it lives; the number is the label `worker`,
so a worker that is replaced goes on under its number and its counters start anew, as Prometheus expects of a restart.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

log = logging.getLogger(__name__)

MOST_WORKERS = 64
_LABEL = "worker"


class WorkerMetrics:
    """The metrics of every worker that shares `folder`; publishes between `start()` and `close()`.

    `collect` gives this process's own. Others' are as old as their last turn of `period_s` at most. Needs file locks
    (`fcntl`): elsewhere this process answers for itself alone.
    """

    def __init__(self, folder: Path, collect: Callable[[], Iterable[Metric]], *, period_s: float = 5.0) -> None:
        self._folder = folder
        self._collect = collect
        self._period_s = period_s
        self._number: int | None = None
        self._lock_file: IO[bytes] | None = None
        self._writing = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def number(self) -> int | None:
        """Of this worker; None while it does not publish."""
        return self._number

    def page(self, accept: str = "") -> tuple[bytes, str]:
        """Everyone's metrics and their content type, as MetricsExport.page."""
        encode, content_type = choose_encoder(accept)
        return encode(_Everyone(self)), content_type

    def families(self) -> list[Metric]:
        """Own ones, and those of every other living worker, each sample with its worker's number."""
        if self._number is None:
            return list(self._collect())
        merged: dict[str, Metric] = {}
        _merge(merged, self._collect(), self._number)
        for number, path in self._others():
            with suppress(OSError, ValueError):  # it ended this moment, or its file is of another version
                _merge(merged, parse(path.read_text("utf-8")), number)
        return list(merged.values())

    def publish(self) -> None:
        """Puts this process's metrics where the others read them; whole or not at all."""
        if self._number is None:
            return
        text: bytes = generate_latest(_Own(self._collect))  # type: ignore[no-untyped-call]  # theirs
        path = self._path(self._number)
        with self._writing:
            draft = path.with_suffix(".draft")
            draft.write_bytes(text)
            draft.replace(path)

    def start(self) -> None:
        if self._thread is not None or not self._take_number():
            return
        self._stop.clear()
        self._thread = threading.Thread(target=self._publish_until_stopped, name="metrics-worker", daemon=True)
        self._thread.start()

    def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stop.set()
            thread.join()
        if self._number is not None and self._lock_file is not None:
            self._path(self._number).unlink(missing_ok=True)
            self._lock_file.close()
        self._number = self._lock_file = None

    def _publish_until_stopped(self) -> None:
        while True:
            try:
                self.publish()
            except OSError as error:
                log.warning("metrics cannot be shared with the other workers: %s", error)
            if self._stop.wait(self._period_s):
                return

    def _take_number(self) -> bool:
        self._folder.mkdir(parents=True, exist_ok=True)
        for number in range(MOST_WORKERS):
            lock_file = _locked(self._folder / f"worker-{number}.lock")
            if lock_file is not None:
                self._number, self._lock_file = number, lock_file
                return True
        return False

    def _others(self) -> Iterator[tuple[int, Path]]:
        for number in range(MOST_WORKERS):
            path = self._path(number)
            if number == self._number or not path.exists():
                continue
            free = _locked(self._folder / f"worker-{number}.lock")
            if free is None:
                yield number, path
            else:  # its process was killed: what it counted ends with it
                path.unlink(missing_ok=True)
                free.close()

    def _path(self, number: int) -> Path:
        return self._folder / f"worker-{number}.metrics"


class _Everyone(Collector):
    def __init__(self, workers: WorkerMetrics) -> None:
        self._workers = workers

    def collect(self) -> Iterable[Metric]:
        return self._workers.families()


class _Own(Collector):
    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        return self._read()


def parse(text: str) -> Iterable[Metric]:
    """Raises ValueError where it is not what `publish` writes."""
    families: Iterable[Metric] = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]  # theirs
    return families


def _merge(merged: dict[str, Metric], families: Iterable[Metric], number: int) -> None:
    for family in families:
        whole = merged.setdefault(family.name, Metric(family.name, family.documentation, family.type))
        whole.samples += [_of_worker(sample, number) for sample in family.samples]


def _of_worker(sample: Sample, number: int) -> Sample:
    return sample._replace(labels={**sample.labels, _LABEL: str(number)})


def _locked(path: Path) -> IO[bytes] | None:
    """The file, locked until it is closed; None where another process or object holds it, or nobody can."""
    try:
        import fcntl
    except ImportError:  # not on this platform
        return None
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file
