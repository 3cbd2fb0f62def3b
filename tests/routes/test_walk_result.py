"""Walk result: everything that was scored is on the card, by horizon, market, regime and hour, with its doubt."""

from __future__ import annotations

from typing import Any

import numpy as np

from data.interval import Interval
from routes.score_charts import calibration_chart
from routes.walk_result import Table, walk_result


def compared(skill: float, baseline: str = "no change", p: float = 0.04) -> dict[str, Any]:
    bounds = {"low": skill - 0.005, "high": skill + 0.005, "level": 0.95}
    return {"baseline": baseline, "skill_fraction": skill, "skill_bounds": bounds, "p_value": p}


def verdict(horizon: int, skill: float) -> dict[str, Any]:
    return {
        "horizon": horizon,
        "count": 1200,
        "blocks": 50,
        "comparisons": [compared(skill), compared(0.3, "same hour yesterday", 1e-9)],
        "scaled_skill_fraction": skill + 0.001,
        "crps": 0.01,
        "crps_skill_fraction": None,
        "coverage": [
            {"nominal": 0.5, "realised": 0.512, "bounds": {"low": 0.5, "high": 0.524}},
            {"nominal": 0.9, "realised": 0.894, "bounds": None},
        ],
        "pit": [
            {"low": 0.0, "high": 0.05, "share": 0.061, "expected": 0.05},
            {"low": 0.05, "high": 0.95, "share": 0.9, "expected": 0.9},
            {"low": 0.95, "high": 1.0, "share": 0.039, "expected": 0.05},
        ],
        "directional_accuracy": {"mean": 0.513, "standard_error": 0.004, "count": 1200, "blocks": 50},
        "brier": 0.2499,
        "baseline_brier": 0.25,
        "rank_ic_by_time": {"mean": 0.012, "standard_error": 0.002} if horizon == 1 else None,
        "rank_ic_by_market": {"BTCUSDT": 0.02, "ETHUSDT": 0.04, "NEWUSDT": None},
    }


def group(name: str, horizon: int, skill: float) -> dict[str, Any]:
    return {"horizon": horizon, "name": name, "count": 600, "comparison": compared(skill)}


def found(**changes: Any) -> dict[str, Any]:
    test = {"from_ms": 1_700_000_000_000, "until_ms": 1_710_000_000_000}
    result = {
        "folds": [{"fold": {"test": test}, "verdicts": [verdict(1, 0.02), verdict(24, 0.001)]}],
        "pooled": [verdict(1, 0.02), verdict(24, 0.001)],
        "by_regime": [group("calm", 1, 0.03), group("calm", 24, 0.0), group("wild", 1, 0.01)],
        "by_symbol": [group("BTCUSDT", 1, 0.02), group("ETHUSDT", 1, -0.02)],
        "by_hour": [group(f"{hour:02d}", 24, 0.01) for hour in range(24)],
        "importance": [],
    }
    return walk_result(result | changes, Interval.H1)


def table(title: str, **changes: Any) -> Table:
    (one,) = [one for one in found(**changes)["tables"] if one.title == title]
    return one  # type: ignore[no-any-return]


def cells(title: str, head: str) -> tuple[str, ...]:
    (row,) = [row for row in table(title).rows if row.head == head]
    return row.cells


def test_folds_pooled_and_regimes_are_shown_at_once() -> None:
    shown = found()
    assert shown["columns"] == ("", "1 hour", "24 hours")
    heads = [row.head for row in shown["rows"]]
    assert heads == ["2023-11-14 … 2024-03-09", "All folds", "Calm market", "Wild market"]
    assert shown["rows"][1].cells == ("+2.00 % (+1.5 … +2.5)", "+0.10 % (−0.4 … +0.6)")
    assert shown["rows"][3].cells[1] == "–"
    assert shown["words"] == "Better than no change beyond doubt at 1 of 2 horizons, over 1 folds."


def test_each_baseline_has_its_skill_and_its_p() -> None:
    heads = [row.head for row in table("Against each baseline").rows]
    assert heads == [
        "Skill over no change", "its p (Diebold–Mariano)", "Skill over same hour yesterday", "its p (Diebold–Mariano)",
    ]  # fmt: skip
    assert [row.cells[0] for row in table("Against each baseline").rows][1::2] == ["0.040", "< 0.001"]


def test_every_score_is_told_with_what_it_should_be() -> None:
    title = "All scores, all folds"
    assert cells(title, "CRPS skill over no change")[0] == "–"
    assert cells(title, "50 % band held")[0] == "51.2 % (50.0 … 52.4)"
    assert cells(title, "90 % band held")[0] == "89.4 %"
    assert cells(title, "Outcomes below the 5 % quantile")[0] == "6.1 % (should be 5 %)"
    assert cells(title, "Outcomes between 5 % and 95 %")[0] == "90.0 % (should be 90 %)"
    assert cells(title, "Outcomes above the 95 % quantile")[0] == "3.9 % (should be 5 %)"
    assert cells(title, "Direction right")[0] == "51.3 % ± 0.4 %"
    assert cells(title, "Brier score of P(up), and of no change")[0] == "0.2499, 0.2500"
    assert cells(title, "Rank IC over markets of a moment") == ("+0.012 ± 0.002", "needs 5 markets")
    assert cells(title, "Rank IC over time, mean of markets")[0] == "+0.030"
    assert cells(title, "Forecasts, and days they count as")[0] == "1,200, 50"


def test_where_outcomes_fell_is_drawn_as_on_the_page_of_forecasts() -> None:
    charts = found()["charts"]
    assert [one.title for one in charts] == ["1 hour", "24 hours"]
    assert charts[0].chart == calibration_chart(np.array([73.2, 1080.0, 46.8]), (0.05, 0.95), 100)
    assert charts[0].chart.label.endswith("1.22, 1.00, 0.78")
    few = [verdict(1, 0.02) | {"count": 50}, verdict(24, 0.001)]
    assert [one.title for one in found(pooled=few)["charts"]] == ["24 hours"]


def test_markets_and_hours_have_tables_where_they_were_judged() -> None:
    assert [row.head for row in table("By market").rows] == ["BTCUSDT", "ETHUSDT"]
    hours = table("By hour of the day, UTC").rows
    assert (len(hours), hours[3].head, hours[3].cells[1]) == (24, "03:00", "+1.00 % (+0.5 … +1.5)")
    assert "By market" not in {one.title for one in found(by_symbol=[])["tables"]}


def test_better_beyond_doubt_is_so_by_interval_and_by_p() -> None:
    """At 24 h the interval may lie above zero by a hair where the p that stands below it says 7 %."""
    doubtful = verdict(24, 0.02)
    doubtful["comparisons"][0] = compared(0.02, p=0.07)
    start = "Better than no change beyond doubt at"
    assert found(pooled=[verdict(1, 0.02), verdict(24, 0.02)])["words"].startswith(f"{start} 2 of 2")
    assert found(pooled=[verdict(1, 0.02), doubtful])["words"].startswith(f"{start} 1 of 2")
    assert found(pooled=[doubtful])["verdict"] == "not better"
