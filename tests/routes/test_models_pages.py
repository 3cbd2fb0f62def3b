"""The pages of models: what they show, what they refuse, and that each button does what it says."""

from __future__ import annotations

import io
import random
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from models.job_requests import Task
from models.jobs import JobState
from models.model_writing import write_model
from routes.security import MAX_REQUEST_BYTES
from tests.support import tiny_model
from tests.support.model_pages import FORM, OURS, client, made, post, running_job, serving, text_of, three_models
from tests.support.workbench import Bench

__all__ = ["client", "made"]


@pytest.fixture(scope="module")
def at_work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """With a training that runs: for tests after which everything is as before."""
    with three_models(tmp_path_factory.mktemp("at-work")) as built:
        running_job(built)
        yield built


def test_the_registry_tells_each_models_standing(made: Bench, client: FlaskClient) -> None:
    (made.models / "beta" / "model.onnx").write_bytes(b"cut")
    (made.models / "net.pkl").write_bytes(b"x")
    made.services.promotion.archive("gamma")
    answer = client.get("/models")
    assert answer.status_code == 200
    told = text_of(answer)
    for piece in (
        "champion of 1h",
        "broken model.onnx has SHA-256",
        "not a model a pickle",
        "Archived",
        "gamma archived",
    ):
        assert piece in told, piece
    assert "0 of 100 scored" in told
    while "being measured" in (told := text_of(client.get("/models"))):
        threading.Event().wait(0.01)
    assert re.search(r"\d ms for 32", told), "measured beside the page, which shows it when it is known"
    assert "/models/net.pkl" not in answer.text


def test_promote_and_roll_back_are_one_click_each(made: Bench, client: FlaskClient) -> None:
    assert serving(made) == "alpha"
    answer = post(client, "/models/gamma/promote")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/models")
    assert serving(made) == "gamma"
    assert "Roll back to alpha" in client.get("/models").text
    assert post(client, "/models/rollback", interval="1h").status_code == 303
    assert serving(made) == "alpha"
    assert "Roll back to gamma" in client.get("/models").text


def test_what_serves_cannot_be_archived_and_what_was_comes_back(made: Bench, client: FlaskClient) -> None:
    refused = post(client, "/models/alpha/archive")
    assert refused.status_code == 400
    assert "let another serve before archiving it" in text_of(refused)
    assert post(client, "/models/beta/archive").status_code == 303
    assert "archived" in text_of(client.get("/models/beta"))
    assert post(client, "/models/beta/promote").status_code == 404
    assert post(client, "/models/beta/unarchive").status_code == 303
    assert "challenger for 1h" in text_of(client.get("/models/beta"))


def test_a_model_is_exported_and_imported_by_its_pages(made: Bench, client: FlaskClient) -> None:
    answer = client.get("/models/beta/export")
    assert (answer.mimetype, answer.headers["Content-Disposition"]) == (
        "application/zip",
        'attachment; filename="beta.zip"',
    )
    digest = made.services.registry.get("beta").digest
    refused = upload(client, answer.data)
    assert refused.status_code == 400
    assert "his very model is already here as 'beta'" in text_of(refused)
    shutil.rmtree(made.models / "beta")
    taken = upload(client, answer.data)
    assert (taken.status_code, taken.headers["Location"]) == (303, "/models/beta")
    assert made.services.registry.get("beta").digest == digest
    assert serving(made) == "alpha"
    assert upload(client, b"").status_code == 400
    assert "no whole zip" in text_of(upload(client, random.randbytes(400_000)))
    long = {"CONTENT_LENGTH": str(MAX_REQUEST_BYTES + 1)}
    assert client.post("/models/import", environ_overrides=long, headers=OURS).status_code == 413
    assert client.get("/models/nobody/export").status_code == 404


def test_a_check_is_one_click_and_its_result_is_on_the_card(made: Bench, client: FlaskClient) -> None:
    assert text_of(client.get("/models/beta")).count("Not run yet.") == 5
    answer = post(client, "/models/beta/leaktest")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/models/train/1")
    assert post(client, "/models/beta/leaktest").headers["Location"] == "/models/train/1"
    assert made.runner.jobs.get(1).task is Task.LEAKTEST
    assert "Job 1: Leak test of beta" in text_of(client.get("/models/train/1"))
    assert "Leak test of beta" in text_of(client.get("/models/train"))
    assert "Under way" in text_of(client.get("/models/beta"))
    assert made.runner.jobs.begin(1, 500)
    made.runner.jobs.progressed(1, stage="judging")
    told = text_of(client.get("/models/train/1"))
    assert "Asking the model about stored candles" in told
    assert "validation" not in told, "a check has no such period"
    assert made.runner.jobs.end(1, JobState.CANCELLED, 600, of=(JobState.RUNNING,))
    check = {"name": "planted: <one>", "ok": True, "words": "caught", "findings": []}
    finding = {"file": "data/features.py", "feature": "return_1", "problem": "sees the future", "fix": "shift it"}
    bad = {"name": "features", "ok": False, "words": "differ", "findings": [finding]}
    digest = made.services.registry.get("beta").digest
    result = {"ok": False, "data": "made candles", "checks": [check, bad]}
    made.services.results.put(digest, Task.LEAKTEST, result, model_id="beta", now_ms=1_000)
    told = text_of(client.get("/models/beta"))
    for piece in ("1 check failed, 1 planted leaks caught, on made candles.", "planted: <one>", "fix: shift it"):
        assert piece in told, piece
    assert "Run again" in told
    weighed = {"windows": 900, "markets": ["BTCUSDT"], "from_ms": 0, "until_ms": 86_400_000, "seen": False, "rounds": 5}
    inputs = [
        {"feature": f"input_{place}", "skill_lost": 0.0123 / (place + 1), "spread": 0.0011} for place in range(14)
    ]
    weighed |= {"inputs": inputs, "sure": 5, "words": "5 of 14 inputs matter"}
    made.services.results.put(digest, Task.IMPORTANCE, weighed, model_id="beta", now_ms=2_000)
    told = text_of(client.get("/models/beta"))
    for piece in ("5 matter", "input_0 1.23 % ± 0.11 %", "input_11", "2 more inputs lose less than these."):
        assert piece in told, piece
    assert "input_12" not in told
    measured = {"size_bytes": 20_480, "batch_ms": 0.5, "skill": 0.0123}
    twin = {"id": "beta-int8", "kept": True, "from_ms": 0, "until_ms": 86_400_000}
    twin |= {"verdict": {"original": measured, "quantized": measured | {"size_bytes": 10_240, "skill": 0.0120}}}
    made.services.results.put(digest, Task.QUANTIZE, twin, model_id="beta", now_ms=3_000)
    told = text_of(client.get("/models/beta"))
    for piece in ("Kept as beta-int8", "Size 20.0 KiB 10.0 KiB", "Mean skill against no change +1.23 % +1.20 %"):
        assert piece in told, piece
    assert post(client, "/models/beta/importance").headers["Location"] == "/models/train/2"
    assert "Importance of inputs of beta" in text_of(client.get("/models/train/2"))
    assert post(client, "/models/nobody/leaktest").status_code == 404
    assert post(client, "/models/beta/search").status_code in (404, 405)


def test_two_models_are_compared_field_by_field(made: Bench, client: FlaskClient) -> None:
    one = tiny_model.spec("one")
    other = tiny_model.spec("other", features=("return_1", "hour_sin", "log_sigma"), seed=9)
    scores = [{"horizon": 1, "skill_fraction": 0.02}, {"horizon": 6, "skill_fraction": 0.01}]
    for spec, gain in ((one, 0.0), (other, 0.005)):
        test = [score | {"skill_fraction": score["skill_fraction"] + gain} for score in scores]
        report = {"test": test, "data": {"test": "2024"}, "recipe": {"kind": "tcn", "epochs": 3 + round(gain * 1000)}}
        write_model(made.models, spec, tiny_model.graph(spec), report)
    told = text_of(client.get("/models/diff?a=one&b=other"))
    for piece in (
        "Added: log_sigma",
        "Removed: range",
        "2 in common",
        "1 hour +2.00 % +2.50 % +0.50",
        "seed differs 1 9",
        "epochs differs 3 8",
        "window 8 8",
        "Both were tested on the same days.",
    ):
        assert piece in told, piece
    assert "Compare with" in text_of(client.get("/models/one"))
    assert client.get("/models/diff").status_code == 400
    assert client.get("/models/diff?a=one&b=nobody").status_code == 404
    (made.models / "one" / "report.json").write_text("{}")
    assert "cannot be compared: report.json has SHA-256" in text_of(client.get("/models/diff?a=one&b=other"))


def test_retraining_is_set_and_ended_and_a_challenge_is_shown(made: Bench, client: FlaskClient) -> None:
    recipe = {"recipe": {"kind": "tcn", "window": 16}}
    for name in ("old", "new"):
        spec = tiny_model.spec(name, train_from_ms=tiny_model.START_MS, train_until_ms=tiny_model.START_MS + 10**9)
        write_model(made.models, spec, tiny_model.graph(spec, seed=len(name)), recipe)
    assert "Retrain every" in text_of(client.get("/models/old"))
    assert post(client, "/models/old/schedule", every="x", unit="hours", action="set").status_code == 400
    assert post(client, "/models/alpha/schedule", every="24", unit="hours", action="set").status_code == 400
    answer = post(client, "/models/old/schedule", every="48", unit="candles", action="set")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/models/old")
    assert "every 48 candles; next" in text_of(client.get("/models/old"))
    post(client, "/models/old/schedule", action="off")
    assert made.services.retrainer.schedules.all() == []
    old, new = (made.services.registry.get(name) for name in ("old", "new"))
    skill = {"skill": 0.01, "low": 0.002, "high": 0.02}
    result = {
        "champion": "old",
        "challenger": "new",
        "won": True,
        "words": "new: its loss is lower: it wins",
        "from_ms": tiny_model.START_MS,
        "until_ms": tiny_model.START_MS + 10**9,
        "course": [[0, 0.30, 0.29, 0.31], [1, 0.31, 0.29, 0.31]],
        "champion_over_naive": skill,
        "challenger_over_naive": skill | {"low": None, "high": None},
    }
    made.services.results.put(
        new.digest, Task.CHALLENGE, result, model_id="new", now_ms=made.services.clock.now_ms(), against=old.digest
    )
    for name in ("old", "new"):
        told = text_of(client.get(f"/models/{name}"))
        assert "Challenge: new against old won" in told
        assert "old +1.00 % (+0.2 … +2.0) , new +1.00 %" in told


def upload(client: FlaskClient, content: bytes) -> TestResponse:
    return client.post("/models/import", data={"file": (io.BytesIO(content), "beta.zip")}, headers=OURS)


@pytest.mark.parametrize(
    "address",
    [
        "/models/import",
        "/models/alpha/promote",
        "/models/alpha/archive",
        "/models/rollback",
        "/models/train",
        "/models/train/1/cancel",
    ],
)
@pytest.mark.parametrize("headers", [{}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_other_sites_change_nothing(at_work: Bench, address: str, headers: dict[str, str]) -> None:
    client, jobs = at_work.app.test_client(), at_work.runner.jobs
    assert client.post(address, data=FORM | {"interval": "1h"}, headers=headers).status_code == 403
    assert len(jobs.recent(10)) == 1
    assert not jobs.get(1).cancelling


@pytest.mark.parametrize("name", ["..", "%2e%2e%2fx", ".archive", "x" * 65, "a b", "nobody"])
def test_names_lead_nowhere_else(at_work: Bench, name: str) -> None:
    client = at_work.app.test_client()
    before = sorted(path.name for path in at_work.folder.rglob("*"))
    assert client.get(f"/models/{name}").status_code in (400, 404)
    for action in ("promote", "archive", "unarchive", "delete"):
        assert post(client, f"/models/{name}/{action}").status_code in (400, 404, 405)
    assert sorted(path.name for path in at_work.folder.rglob("*")) == before


def test_the_card_of_the_committed_model_shows_its_report(made: Bench, client: FlaskClient) -> None:
    source = Path(__file__).resolve().parents[2] / "saved_models" / "scale-1h"
    shutil.copytree(source, made.models / "scale-1h")
    entry = made.services.registry.get("scale-1h")
    told = text_of(client.get("/models/scale-1h"))
    score = next(one for one in entry.report["test"] if one["horizon"] == 6)
    for piece in (
        f"6 hours {100 * score['skill_fraction']:+.2f} % ± {100 * score['skill_standard_error']:.2f} %",
        entry.report["data"]["hash"],
        entry.digest,
        entry.report["data"]["test"],
        "Test of its twin, which never saw it",
        "On candles its twin never saw, that one beats no change beyond doubt",
        entry.report["notes"]["scores"],
        f"lowest {min(entry.report['curve']['validation_loss']):.5f}",
        "Too few to say: 0 of 100 scored 6 h forecasts",
        "differs from the trained network by",
    ):
        assert piece in told, piece


def test_the_card_of_an_int8_twin_does_not_take_its_originals_scores_for_its_own(
    made: Bench, client: FlaskClient
) -> None:
    score = {"horizon": 1, "count": 900, "skill_fraction": 0.02, "skill_standard_error": 0.001}
    score |= {"coverage_50": 0.5, "coverage_90": 0.9}
    spec = tiny_model.spec("beta-int8")
    report = {"test": [score], "quantized": {"of": "beta", "told": "int8 against single precision: smaller"}}
    write_model(made.models, spec, tiny_model.graph(spec), report)
    told = text_of(client.get("/models/beta-int8"))
    for piece in (
        "On candles beta, its original in single precision, never saw, that one beats no change beyond doubt",
        "Scores shown those of beta in single precision; what int8 changed: Quantized",
        "Quantized int8 against single precision: smaller",
    ):
        assert piece in told, piece


def test_the_table_says_whose_scores_those_of_a_twin_are(made: Bench, client: FlaskClient) -> None:
    test = {"test": [{"horizon": 1, "count": 900, "skill_fraction": 0.02}]}
    others: dict[str, dict[str, Any]] = {
        "beta-int8": {"quantized": {"of": "beta"}},
        "refitted": {"data": {"twin": {}}},
        "plain": {},
    }
    for name, report in others.items():
        spec = tiny_model.spec(name)
        write_model(made.models, spec, tiny_model.graph(spec), {**test, **report})
    page = client.get("/models").text
    rows = {name: page.partition(f'id="model-{name}"')[2].partition("</tr>")[0] for name in others}
    assert all("<b>+2.00 %</b> at" in row for row in rows.values())
    told = {name: re.findall(r"of (?:beta|its twin)[^<]*", row) for name, row in rows.items()}
    assert told == {
        "beta-int8": ["of beta, its original in single precision"],
        "refitted": ["of its twin, which never saw the test"],
        "plain": [],
    }


def test_the_card_of_a_model_without_a_report_says_so(client: FlaskClient) -> None:
    told = text_of(client.get("/models/alpha"))
    assert "nothing says that it beats no change" in told
    assert "No test is on record." in told
    assert "No curve is on record." in told


def test_every_page_works_without_script_or_style_of_its_own(made: Bench, client: FlaskClient) -> None:
    job = running_job(made)
    for address in ("/models", "/models/alpha", "/models/train", f"/models/train/{job.id}"):
        page = client.get(address).text
        assert page.count("<h1") == page.count("<main") == 1
        assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=", page), address
        ids = re.findall(r'\sid="([^"]+)"', page)
        assert len(ids) == len(set(ids)), address
        assert len(re.findall(r"<label for=", page)) == len(re.findall(r"<(?:input|select) id=", page))
