"""The runner: each benchmark alone, a failing one without harm to the others or to what was kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import __main__ as runner
from benchmarks import alone
from benchmarks.alone import Outcome, run_alone

FAST = ("indicators", "store", "watching")
"""Those that take a second or two; `make bench` and `python -m benchmarks --short` run the rest."""


@pytest.mark.slow
def test_fast_benchmarks_run_in_their_short_form_and_keep_what_they_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert runner.main(["--short", "--into", str(tmp_path), *FAST]) == 0
    for name in FAST:
        kept = json.loads((tmp_path / f"{name}.json").read_text("utf-8"))
        assert (kept["name"], kept["short"]) == (name, True)
        assert kept["about"]
        assert kept["measured_at_ms"] > 0
        assert all({"what", "ours", "ratio", "target", "met", "ours_median"} <= row.keys() for row in kept["rows"])
    assert "minutes in all" in capsys.readouterr().out


def test_a_failing_benchmark_says_why_and_leaves_what_was_kept(tmp_path: Path) -> None:
    (tmp_path / "nothing.json").write_text("{}")
    outcome = run_alone("nothing", tmp_path, short=True, timeout_s=60)
    assert "No module named 'benchmarks.bench_nothing'" in outcome.failure
    assert (tmp_path / "nothing.json").read_text() == "{}"


def test_one_that_hangs_is_ended(tmp_path: Path) -> None:
    outcome = run_alone("store", tmp_path, short=False, timeout_s=0.05)
    assert outcome.failure == "did not end within 0 s"
    assert list(tmp_path.iterdir()) == []


def test_the_others_run_after_a_failure_which_the_exit_code_tells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []

    def pretended(name: str, folder: Path, *, short: bool, timeout_s: float) -> Outcome:
        ran.append(name)
        if name == "models":
            return Outcome(name, 1.0, "Traceback\nMemoryError")
        rows = [{"what": "a read", "ours": "9 ms", "ratio": 9.0, "target": "<= 1 ms", "met": False}]
        alone.keep(folder / f"{name}.json", {"name": name, "rows": rows, "short": short})
        return Outcome(name, 2.0, "")

    monkeypatch.setattr(runner, "run_alone", pretended)
    assert runner.main(["--into", str(tmp_path), "models", "store"]) == 1
    assert ran == ["models", "store"]
    said = capsys.readouterr().out
    assert "FAILED: MemoryError" in said
    assert "missed: store: a read: 9 ms → 9, wanted <= 1 ms" in said
    assert runner.main(["--short", "--into", str(tmp_path), "store"]) == 0  # short rounds judge nothing


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(SystemExit) as refused:
        runner.main(["nonsense"])
    assert refused.value.code == 2
    assert {"models", "pages", "store"} <= set(runner.names())
