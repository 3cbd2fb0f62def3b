"""Metric families: a value, or values by one label whose number is bounded, as Prometheus has them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

OTHERS = "(others)"
_MOST_LABELS = 50


def gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))


def labelled(
    family: Literal["counter", "gauge"], name: str, text: str, label: str, values: Iterable[tuple[str, float]]
) -> Metric:
    """One metric with one label; past 50 values of it the rest is added up under `(others)`."""
    kind = CounterMetricFamily if family == "counter" else GaugeMetricFamily
    made = kind(name, text, labels=(label,))
    kept = dict(list(pairs := sorted(values))[:_MOST_LABELS])
    if rest := pairs[_MOST_LABELS:]:
        kept[OTHERS] = sum(value for _, value in rest)
    for value, number in kept.items():
        made.add_metric((value,), float(number))
    return made
