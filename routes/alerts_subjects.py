"""Alert subjects: the routes, caches and models that a rule may name, known before anything was read of them."""

from __future__ import annotations

from collections.abc import Mapping

from routes.services import Services
from utils.part_metrics import is_cache

Subjects = Mapping[str, tuple[str, ...]]
"""By what a reading is read of (`Reading.subject`): every name there is."""
_SHARED = "redis"


def alert_subjects(services: Services) -> Subjects:
    """Routes that declare a budget, caches that count their hits, models that could serve."""
    promotion = services.promotion
    models = sorted(entry.id for entry in promotion.champions.all()) if promotion is not None else ()
    caches = [name for name in (*services.clearing, _SHARED) if is_cache(services.monitor.source(name))]
    return {
        "route": tuple(sorted(services.budgets)),
        "cache": tuple(cache_subject(name) for name in caches),
        "model": tuple(models),
    }


def cache_subject(name: str) -> str:
    """`data` of `data_cache`: what the readings call it."""
    return name.removesuffix("_cache")
