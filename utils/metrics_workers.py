"""Metrics of several worker processes behind one port: each publishes its own, any of them answers with everyone's.

A worker's number is the label `worker`: one that is replaced goes on under its number and its counters start anew, as
Prometheus expects of a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from utils.worker_files import WorkerFiles

_LABEL = "worker"
_FILE = "metrics"


class WorkerMetrics:
    """The metrics of every worker that shares `files`. `collect` gives this process's own; others' are as old as their
    last turn. While `files` is not started this process answers for itself alone."""

    def __init__(self, files: WorkerFiles, collect: Callable[[], Iterable[Metric]]) -> None:
        self._files = files
        self._collect = collect
        files.tell[_FILE] = self._text

    def page(self, accept: str = "") -> tuple[bytes, str]:
        """Everyone's metrics and their content type, as MetricsExport.page."""
        encode, content_type = choose_encoder(accept)
        return encode(_Everyone(self)), content_type

    def families(self) -> list[Metric]:
        """Own ones, and those of every other living worker, each sample with its worker's number."""
        if self._files.number is None:
            return list(self._collect())
        merged: dict[str, Metric] = {}
        _merge(merged, self._collect(), self._files.number)
        for number, content in self._files.others(_FILE):
            with suppress(ValueError):  # its file is of another version
                _merge(merged, parse(content.decode()), number)
        return list(merged.values())

    def _text(self) -> bytes:
        text: bytes = generate_latest(_Own(self._collect))  # type: ignore[no-untyped-call]  # theirs
        return text


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
    """Raises ValueError where it is not what a worker writes."""
    families: Iterable[Metric] = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]  # theirs
    return families


def _merge(merged: dict[str, Metric], families: Iterable[Metric], number: int) -> None:
    for family in families:
        whole = merged.setdefault(family.name, Metric(family.name, family.documentation, family.type))
        whole.samples += [_of_worker(sample, number) for sample in family.samples]


def _of_worker(sample: Sample, number: int) -> Sample:
    return sample._replace(labels={**sample.labels, _LABEL: str(number)})
