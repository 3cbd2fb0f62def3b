"""The page of measurements says what the kept files say, and nothing where nothing was measured."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any
from xml.dom import minidom

import pytest

from benchmarks import report
from benchmarks.claims import CLAIMS, TOTALS, answers
from benchmarks.drawing import Bar, bars
from benchmarks.measure import Reading, at_least, at_most, faster, result, saves

_MS = "ms"


def made(name: str, *rows: Any, **more: Any) -> dict[str, Any]:
    facts = {"about": f"About {name}.", "measured_at_ms": 1_795_000_000_000, "took_s": 3.0, "short": False}
    return {**result(name, rows, **more), **facts}


def _reading(value: float, unit: str = _MS) -> Reading:
    return Reading(value, value / 10, unit)


def test_the_committed_page_and_plots_are_those_of_the_committed_files() -> None:
    results = report.read()
    assert (report.ROOT / report.PAGE).read_text("utf-8") == report.page(results), "run python -m benchmarks.report"
    kept = {path.name: path.read_text("utf-8") for path in (report.ROOT / report.PLOTS).glob("*.svg")}
    assert kept == report.plots(results)


def test_no_short_measurement_is_committed() -> None:
    assert [one["name"] for one in report.read() if one["short"]] == []


def test_every_claim_has_its_line_and_what_nobody_measured_says_so() -> None:
    page = report.page([])
    assert [claim.number for claim in CLAIMS] == [str(number) for number in range(1, 9)]
    for claim in (*CLAIMS, *TOTALS):
        assert f"| {claim.number} | {claim.title} | {claim.says} |" in page
    assert page.count("not measured") == sum(len(claim.picks) for claim in (*CLAIMS, *TOTALS))
    assert report.plots([]) == {}


def test_a_claim_is_met_only_if_all_rows_that_answer_it_are_and_shows_the_worst() -> None:
    words = "{}: cached model, against a cold Keras load"
    good = faster(words.format("lstm"), _reading(0.001), _reading(300), 1000)
    bad = faster(words.format("gru"), _reading(1), _reading(300), 1000)
    first, second = answers(CLAIMS[0], [made("models", good, bad)])
    assert (first.of, first.met, first.row and first.row["what"]) == (
        2,
        False,
        "gru: cached model, against a cold Keras load",
    )
    assert second.row is None
    page = report.page([made("models", good, bad)])
    assert "**missed**" in page
    assert "gru: cached model, against a cold Keras load (worst of 2)" in page


def test_ratios_savings_and_limits_are_judged_and_written_as_what_they_are() -> None:
    assert faster("x", _reading(2), _reading(100), 60).met is False
    assert at_least("x", _reading(80), _reading(100), 0.8, 0.8).met is True
    saved = saves("exchange calls", _reading(3, "calls"), _reading(1000, "calls"), 0.99)
    assert (saved.met, saved.target, round(saved.ratio, 6)) == (True, "saves >= 99.0%", 0.997)
    assert saves("x", _reading(20), _reading(1000), 0.99).met is False
    page = report.page([made("caching", saved)])
    assert "| −99.7 % | saves >= 99.0% | met |" in page
    limit = at_most("p99 of the API", _reading(21), 20)
    assert (limit.met, limit.reference) == (False, "")


def test_the_plot_of_the_claims_stands_on_the_measured_ratio_the_target_and_the_document() -> None:
    row = saves("exchange calls", _reading(1, "calls"), _reading(100, "calls"), 0.95)
    drawn = report.plots([made("caching", row)])["claims.svg"]
    assert ">2  Data caching</text>" in drawn
    assert ">−99 %</text>" in drawn
    full = 760 - 230 - 130
    width = re.findall(r'class="bar" .* width="([\d.]+)"', drawn)
    assert [float(text) for text in width] == [pytest.approx(full, abs=1)]  # 100 times is the axis's end
    (tick,) = re.findall(r'class="tick" d="M([\d.]+)', drawn)
    assert float(tick) == pytest.approx(230 + full * 0.65, abs=2)  # 20 times


def test_every_line_of_a_table_has_as_many_cells_as_its_head() -> None:
    odd = at_most("a|b", _reading(1), 2)
    for page in (report.page([]), report.page([made("store", odd)]), report.page(report.read())):
        tables = re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE)
        assert len(tables) >= 2
        for table in tables:
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1, table


def test_names_are_escaped_in_plots() -> None:
    drawn = bars("a < b & c", [Bar("<x>", 3.0, "3 & more", second=5.0)], unit="KB")
    minidom.parseString(drawn)  # noqa: S318 - our own text
    assert "&lt;x&gt;" in drawn


def test_a_load_has_its_table_and_results_of_other_benchmarks_theirs(tmp_path: Path) -> None:
    asked = {
        "name": "watcher: live fragment",
        "count": 1200,
        "errors": 1,
        "per_second": 40.0,
        "p50_ms": 1.5,
        "p95_ms": 4.0,
        "p99_ms": 9.0,
        "mean_bytes": 1500,
    }
    plots = {"load": {"title": "Load", "unit": "ms", "lines": [{"name": "live", "value": 1.0, "text": "1 ms"}]}}
    load = made("load", at_most("p99", _reading(9), 50), requests=[asked], plots=plots)
    results = [load, made("store", at_most("a read", _reading(1), 2), notes=["Read thrice."])]
    page = report.page(results)
    assert "| watcher: live fragment | 1,200 | 1 | 40.0 | 1.5 | 4.0 | 9.0 | 1.5 |" in page
    assert "### store\n\nAbout store.\n\nRead thrice." in page
    (tmp_path / "docs" / "performance").mkdir(parents=True)
    (tmp_path / "docs" / "performance" / "gone.svg").write_text("old")
    report.write(results, tmp_path)
    assert sorted(path.name for path in (tmp_path / "docs" / "performance").iterdir()) == ["load.svg"]
    assert (tmp_path / "docs" / "performance.md").read_text("utf-8") == page


def test_files_round_trip_and_the_page_is_the_same_every_time(tmp_path: Path) -> None:
    one = made("store", at_most("a read", _reading(1), 2))
    (tmp_path / "store.json").write_text(json.dumps(one))
    assert report.page(report.read(tmp_path)) == report.page([copy.deepcopy(one)])
