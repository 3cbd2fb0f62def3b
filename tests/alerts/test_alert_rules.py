"""Alert rules: what a form may ask, and that what comes with us can be judged."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from utils.alert_rules import MOST_RULES, PRESETS, READINGS, RuleFaults, parse_rule

FORM = {
    "title": " Slow pages ",
    "reading": "p95_ms",
    "comparison": ">",
    "threshold": "250,5",
    "minutes": "2",
    "subject": "/",
}


def test_a_rule_is_read_from_a_form() -> None:
    rule = parse_rule(FORM, ())
    assert (rule.key, rule.title, rule.threshold, rule.for_s, rule.subject) == (
        "slow-pages",
        "Slow pages",
        250.5,
        120,
        "/",
    )
    assert rule.beyond(250.6)
    assert not rule.beyond(250.5)
    assert parse_rule(FORM | {"comparison": "<"}, ()).beyond(250.4)


def test_equal_titles_get_keys_of_their_own_and_an_empty_one_is_the_readings() -> None:
    assert parse_rule(FORM, ["slow-pages", "slow-pages-2"]).key == "slow-pages-3"
    assert parse_rule(FORM | {"title": ""}, ()).title == READINGS["p95_ms"].title
    assert parse_rule(FORM | {"title": "Größe → ☃"}, ()).key == "gr-e"
    assert parse_rule(FORM | {"title": "☃"}, ()).key == "rule"


@pytest.mark.parametrize(
    ("field", "text", "expected"),
    [
        ("reading", "p95_of_nothing", "choose one of p95_of_budget_percent"),
        ("comparison", "=", "use > \\(above\\) or < \\(below\\)"),
        ("threshold", "much", "threshold is 'much'; use a number such as 250"),
        ("threshold", "nan", "threshold is 'nan'"),
        ("threshold", "inf", "threshold is 'inf'"),
        ("threshold", "", "threshold is ''"),
        ("minutes", "-1", "use a number from 0 to 1440"),
        ("minutes", "1441", "use a number from 0 to 1440"),
        ("title", "x" * 81, "use 80 characters at most"),
        ("title", "two\nlines", "not one line"),
        ("subject", "y" * 121, "use 120 characters at most"),
    ],
)
def test_what_does_not_fit_is_told_by_field(field: str, text: str, expected: str) -> None:
    with pytest.raises(RuleFaults, match=expected) as refused:
        parse_rule(FORM | {field: text}, ())
    assert set(refused.value.faults) == {field}


def test_everything_wrong_is_told_at_once_and_there_is_a_most() -> None:
    with pytest.raises(RuleFaults) as refused:
        parse_rule({}, ())
    assert set(refused.value.faults) == {"reading", "comparison", "threshold", "minutes"}
    with pytest.raises(RuleFaults, match="leave the subject empty"):
        parse_rule(FORM | {"reading": "rss_mb"}, ())
    with pytest.raises(RuleFaults, match="which is the most; remove one first"):
        parse_rule(FORM, [str(number) for number in range(MOST_RULES)])


def test_the_presets_watch_what_was_promised() -> None:
    watched = {rule.reading for rule in PRESETS}
    assert watched <= READINGS.keys()
    assert len({rule.key for rule in PRESETS}) == len(PRESETS)
    promised = {
        "p95_of_budget_percent",
        "error_percent",
        "memory_percent",
        "feed_age_s",
        "cache_hit_percent",
        "exchange_weight_percent",
        "model_skill_upper_percent",
    }
    assert promised <= watched
    (weight,) = [rule for rule in PRESETS if rule.reading == "exchange_weight_percent"]
    assert (weight.comparison, weight.threshold) == (">", 80.0)


def test_the_documentation_names_every_reading() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "alerts.md").read_text("utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.M)) == set(READINGS)
