"""Search request: what a reader wants searched for, read from a form's texts and checked before anything is started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from data.interval import Interval
from data.symbol import Symbol
from models.job_requests import SearchRequest
from models.kinds import LEARNED
from models.spec import Kind, parse_id
from models.traits import TRAITS
from utils.errors import InvalidInput

MOST_TRIALS = 500
TRIED = ("window", "units", "learning_rate", "dropout", "half_life_days")
"""The numbers of a recipe that a search changes."""
SEARCHABLE = tuple(kind for kind in LEARNED if set(TRIED) & set(TRAITS[kind].uses) - {"half_life_days"})
"""Kinds that read some of them."""


def search_request(texts: Mapping[str, str], intervals: Sequence[Interval], markets: Sequence[Symbol]) -> SearchRequest:
    """Over all followed markets; a study without a name is that of its kind and interval."""
    kind, interval = texts.get("kind", ""), texts.get("interval", "")
    if kind not in SEARCHABLE:
        raise InvalidInput(f"kind {kind[:40]!r} cannot be searched; use one of {', '.join(SEARCHABLE)}")
    if interval not in intervals:
        raise InvalidInput(f"interval {interval[:20]!r} is not followed here; use one of {', '.join(intervals)}")
    trials = texts.get("trials", "").strip()
    if not (trials.isascii() and trials.isdigit()) or not 1 <= int(trials[:9]) <= MOST_TRIALS:
        raise InvalidInput(f"trials is {trials[:20]!r}; use a whole number from 1 to {MOST_TRIALS}")
    study = parse_id(texts.get("study", "").strip() or f"search-{kind}-{interval}")
    return SearchRequest(study, Interval.parse(interval), tuple(markets), Kind(kind), int(trials))
