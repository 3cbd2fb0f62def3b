"""Alert rules: which reading, beyond what, for how long; the readings there are, and the rules that come with us."""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from utils.errors import InvalidInput

Comparison = Literal[">", "<"]
COMPARISONS: Mapping[Comparison, str] = {">": "above", "<": "below"}
_BEYOND: Mapping[Comparison, Callable[[float, float], bool]] = {">": operator.gt, "<": operator.lt}
MOST_RULES = 100
LONGEST_MINUTES = 1_440.0
_LONGEST_TITLE = 80
_LONGEST_SUBJECT = 120
_LARGEST = 1e12
_MOST_NAMED = 12
_NOT_A_KEY = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Reading:
    """Something that can be watched. `subject` says what it is read of one by one; empty: of the whole."""

    name: str
    title: str
    unit: str
    subject: str = ""
    help: str = ""


READINGS: Mapping[str, Reading] = {
    one.name: one
    for one in (
        Reading(
            "p95_of_budget_percent", "p95 against the route's budget", "%", "route", "20 requests in 5 minutes at least"
        ),
        Reading("p95_ms", "p95 of a route", "ms", "route", "20 requests in 5 minutes at least"),
        Reading("error_percent", "Requests that fail", "%", "", "status 5xx, of 20 requests in 5 minutes at least"),
        Reading("memory_percent", "Memory of the machine in use", "%"),
        Reading("rss_mb", "Memory of this process", "MB"),
        Reading("feed_age_s", "Age of the newest stream event", "s"),
        Reading("stale_series", "Series without news for a minute", "", "", "market and interval are one series"),
        Reading("cache_hit_percent", "Hit rate of a cache", "%", "cache", "50 reads in 5 minutes at least"),
        Reading("exchange_weight_percent", "Exchange weight used of the limit", "%"),
        Reading("exchange_banned", "Refused by the exchange", "", "", "1 while it is so"),
        Reading("model_skill_percent", "Live skill of a model", "%", "model", "100 scored forecasts at least"),
        Reading(
            "model_skill_upper_percent",
            "Upper bound of a model's live skill",
            "%",
            "model",
            "skill plus two standard errors, 100 scored forecasts at least",
        ),
        Reading("shared_cache_down", "Shared cache does not answer", "", "", "1 while it is so; only with REDIS_URL"),
        Reading("database_errors", "Failed transactions in 5 minutes", ""),
    )
}


@dataclass(frozen=True, slots=True)
class Rule:
    """Raised where the reading is beyond `threshold` (in the reading's unit) for `for_s` seconds without a break, and
    recovered once it is not for as long. Without `subject` each of the reading's subjects is judged on its own."""

    key: str
    title: str
    reading: str
    comparison: Comparison
    threshold: float
    for_s: float
    subject: str = ""
    enabled: bool = True

    def beyond(self, value: float) -> bool:
        return _BEYOND[self.comparison](value, self.threshold)

    def worse(self, one: float, other: float) -> float:
        """The one of two values that is further beyond."""
        return max(one, other) if self.comparison == ">" else min(one, other)


PRESETS: tuple[Rule, ...] = (
    Rule("p95-over-budget", "p95 over budget", "p95_of_budget_percent", ">", 100.0, 300.0),
    Rule("error-rate", "Error rate", "error_percent", ">", 1.0, 120.0),
    Rule("memory-short", "Memory is short", "memory_percent", ">", 90.0, 300.0),
    Rule("feed-stale", "Stale feed", "feed_age_s", ">", 60.0, 60.0),
    Rule("cache-hit-rate", "Low hit rate", "cache_hit_percent", "<", 50.0, 900.0),
    Rule("exchange-weight", "Exchange weight over 80 %", "exchange_weight_percent", ">", 80.0, 30.0),
    Rule("exchange-banned", "Refused by the exchange", "exchange_banned", ">", 0.0, 0.0),
    Rule("model-skill-lost", "Model skill lost", "model_skill_upper_percent", "<", 0.0, 3_600.0),
    Rule("database-errors", "Database errors", "database_errors", ">", 0.0, 0.0),
)
"""Put into the database once; a reader may switch them off, remove them, and bring them back."""


class RuleFaults(InvalidInput):
    """What is wrong with a rule as it was asked, by field."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__("the rule was not added: " + "; ".join(faults.values()))
        self.faults = dict(faults)


def parse_rule(
    form: Mapping[str, str], taken: Collection[str], subjects: Mapping[str, Sequence[str]] | None = None
) -> Rule:
    """A rule from a form's texts: `title`, `reading`, `comparison`, `threshold`, `minutes`, `subject`.

    Raises RuleFaults naming everything that does not fit. `taken` are the keys in use, `subjects` the names there are
    by what a reading is read of: a rule of any other name would never be judged. Without them every name will do.
    """
    faults: dict[str, str] = {}
    reading = READINGS.get(form.get("reading", ""))
    if reading is None:
        faults["reading"] = f"reading {form.get('reading', '')[:40]!r} is unknown; choose one of {', '.join(READINGS)}"
    comparison = form.get("comparison", "")
    if comparison not in COMPARISONS:
        faults["comparison"] = f"comparison {comparison[:10]!r} is unknown; use > (above) or < (below)"
    threshold = _number(form, "threshold", -_LARGEST, _LARGEST, faults)
    minutes = _number(form, "minutes", 0.0, LONGEST_MINUTES, faults)
    title = _line(form, "title", _LONGEST_TITLE, faults)
    subject = _line(form, "subject", _LONGEST_SUBJECT, faults)
    if subject and reading is not None and "subject" not in faults:
        faults |= _subject_faults(subject, reading, subjects)
    if len(taken) >= MOST_RULES:
        faults["title"] = f"there are {len(taken)} rules, which is the most; remove one first"
    if faults or reading is None:
        raise RuleFaults(faults)
    title = title or reading.title
    made = Rule("", title, reading.name, cast(Comparison, comparison), threshold, minutes * 60.0, subject)
    return _with_key(made, taken)


def _subject_faults(subject: str, reading: Reading, subjects: Mapping[str, Sequence[str]] | None) -> dict[str, str]:
    if not reading.subject:
        return {"subject": f"{reading.title!r} is one reading for the whole; leave the subject empty"}
    if subjects is None or subject in subjects.get(reading.subject, ()):
        return {}
    known = subjects.get(reading.subject, ())
    near = difflib.get_close_matches(subject, known, 1, 0.5)
    if near or not known or len(known) > _MOST_NAMED:
        fits = f"do you mean {near[0]}?" if near else "the performance page lists those there are."
        fits += " Leave it empty for all of them"
    else:
        fits = f"use {', '.join(known)}, or leave it empty for all of them"
    return {"subject": f"there is no {reading.subject} {subject[:40]!r}; {fits}"}


def _with_key(rule: Rule, taken: Collection[str]) -> Rule:
    base = _NOT_A_KEY.sub("-", rule.title.lower()).strip("-")[:40] or "rule"
    taken = {*taken, *(preset.key for preset in PRESETS)}  # one that was removed may come back
    tried = [base, *(f"{base}-{number}" for number in range(2, MOST_RULES + 2))]
    key = next(name for name in tried if name not in taken)
    return Rule(key, rule.title, rule.reading, rule.comparison, rule.threshold, rule.for_s, rule.subject)


def _number(form: Mapping[str, str], name: str, least: float, most: float, faults: dict[str, str]) -> float:
    text = form.get(name, "").strip().replace(",", ".")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        fits = f"from {least:g} to {most:g}" if least >= 0 else "such as 250 or 0.5"
        faults[name] = f"{name} is {text[:20]!r}; use a number {fits}"
    return value


def _line(form: Mapping[str, str], name: str, most: int, faults: dict[str, str]) -> str:
    text = form.get(name, "").strip()
    if len(text) > most or not text.isprintable():
        faults[name] = f"{name} is too long or not one line; use {most} characters at most"
    return text
