"""The pages of models and trainings: what they show, what they refuse, and that each button does what it says."""

from __future__ import annotations

import io
import random
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import asdict
from html import unescape
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from data.interval import Interval
from data.symbol import Symbol
from models.job_requests import Task
from models.jobs import Job, JobState
from models.recipe import Recipe
from models.registry import write_model
from models.training_request import TrainingRequest, preset_texts
from routes.security import MAX_REQUEST_BYTES
from tests.support import tiny_model
from tests.support.trainings import request as training
from tests.support.workbench import Bench, bench

OURS = {"Origin": "http://localhost"}
FORM = {"kind": "tcn", "interval": "1h", "action": "start", **preset_texts("quick")}


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Bench]:
    for age, name in enumerate(("alpha", "beta", "gamma")):
        tiny_model.save(tmp_path / "models", tiny_model.spec(name, created_ms=tiny_model.START_MS - age), seed=age)
    with bench(tmp_path) as built:
        yield built


@pytest.fixture
def client(made: Bench) -> FlaskClient:
    return made.app.test_client()


def text_of(answer: TestResponse) -> str:
    return unescape(" ".join(re.sub(r"<[^>]+>", " ", answer.text).split()))


def post(client: FlaskClient, address: str, **form: str | list[str]) -> TestResponse:
    return client.post(address, data=form, headers=OURS)


def serving(made: Bench) -> str:
    entry = made.services.registry.default(Interval.H1)
    assert entry is not None
    return str(entry.id)


def running_job(made: Bench) -> Job:
    """As a trainer would have left it in its eighth epoch."""
    jobs = made.runner.jobs
    job = jobs.add(training("made-one", epochs=20), venue="binance", now_ms=1_000)
    jobs.begin(job.id, 2_000)
    curve = [[0.09 - 0.001 * epoch, 0.26 - 0.002 * epoch] for epoch in range(8)]
    jobs.progressed(job.id, stage="training", epoch=8, curve=curve, eta_s=140.0, windows=3000, fit_s=30.0, log="<b>x")
    return jobs.get(job.id)


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
    assert "'beta' is already here" in text_of(refused)
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
    assert text_of(client.get("/models/beta")).count("Not run yet.") == 4
    answer = post(client, "/models/beta/leaktest")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/models/train/1")
    assert post(client, "/models/beta/leaktest").headers["Location"] == "/models/train/1"
    assert made.runner.jobs.get(1).task is Task.LEAKTEST
    assert "Job 1: Leak test of beta" in text_of(client.get("/models/train/1"))
    assert "Leak test of beta" in text_of(client.get("/models/train"))
    assert "Under way" in text_of(client.get("/models/beta"))
    post(client, "/models/train/1/cancel")
    check = {"name": "planted: <one>", "ok": True, "words": "caught", "findings": []}
    finding = {"file": "data/features.py", "feature": "return_1", "problem": "sees the future", "fix": "shift it"}
    bad = {"name": "features", "ok": False, "words": "differ", "findings": [finding]}
    digest = made.services.registry.get("beta").digest
    result = {"ok": False, "data": "made candles", "checks": [check, bad]}
    made.services.results.put(digest, Task.LEAKTEST, result, model_id="beta", now_ms=1_000)
    told = text_of(client.get("/models/beta"))
    for piece in ("1 checks failed, 1 planted leaks caught, on made candles.", "planted: <one>", "fix: shift it"):
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


def test_a_search_is_asked_for_and_its_best_recipe_fills_the_form(made: Bench, client: FlaskClient) -> None:
    wanted = {"kind": "tcn", "interval": "1h", "trials": "12", "study": ""}
    for wrong in ({"trials": "0"}, {"trials": "x"}, {"kind": "oracle"}, {"interval": "1s"}, {"study": "../up"}):
        assert post(client, "/models/search", **wanted | wrong).status_code == 400, wrong
    assert post(client, "/models/search", **wanted).headers["Location"] == "/models/train/1"
    job = made.runner.jobs.get(1)
    assert (job.task, job.model_id, job.steps) == (Task.SEARCH, "search-tcn-1h", 12)
    assert "12 more, each over 3 folds" in text_of(client.get("/models/train/1"))
    recipe = {**asdict(Recipe()), "kind": "tcn", "units": 48, "dropout": 0.25}
    result = {"kind": "tcn", "interval": "1h", "trials": 12, "counts": {"complete": 9, "pruned": 3}, "skill": 0.011}
    result |= {"preset_skill": 0.008, "recipe": recipe}
    made.services.results.put("s" * 64, Task.SEARCH, result, model_id="search-tcn-1h", now_ms=1_000)
    told = text_of(client.get("/models"))
    assert "12 (3 pruned) +1.10 % +0.80 % window 16, units 48" in told
    form = client.get("/models/train?study=search-tcn-1h").text
    assert 'name="units" value="48"' in form
    assert 'name="dropout" value="0.25"' in form
    assert client.get("/models/train?study=nobody").status_code == 404
    assert "best of 12 trials of the search search-tcn-1h" in form
    typed = preset_texts("quick") | {"units": "48", "dropout": "0.25"}
    typed |= {name: f"{recipe[name]:g}" for name in ("window", "learning_rate", "half_life_days")}
    typed |= {"kind": "tcn", "interval": "1h", "action": "start", "study": "search-tcn-1h"}
    for units, study in (("48", "search-tcn-1h"), ("47", "")):
        answer = post(client, "/models/train", **typed | {"units": units})
        asked = made.runner.jobs.get(int(answer.headers["Location"].rpartition("/")[2])).request
        assert isinstance(asked, TrainingRequest)
        assert (asked.study, asked.trials) == (study, 12 if study else 0)
    spec = tiny_model.spec("winner")
    write_model(made.models, spec, tiny_model.graph(spec), {"search": {"study": "search-tcn-1h", "trials": 12}})
    assert "Its recipe is the best of 12 trials of the search search-tcn-1h." in text_of(client.get("/models/winner"))
    assert "trials of the search" not in text_of(client.get("/models/alpha"))


def test_one_model_for_each_market_is_asked_for_at_once(made: Bench, client: FlaskClient) -> None:
    answer = post(client, "/models/train", **FORM | {"own": "each", "model_id": "mine"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/models/train#jobs")
    waiting = made.runner.jobs.within(JobState.QUEUED)
    assert [job.model_id for job in waiting] == ["mine-btcusdt", "mine-ethusdt"]
    again = post(client, "/models/train", **FORM | {"own": "each", "model_id": "mine"})
    assert again.status_code == 400
    assert "a model named 'mine-btcusdt' is there or about to be" in text_of(again)
    assert 'value="each" checked' in again.text
    assert len(made.runner.jobs.within(JobState.QUEUED)) == 2, "all of them or none"
    both = text_of(post(client, "/models/train", **FORM | {"own": "each", "action": "estimate"}))
    assert "2 trainings one after the other" in both


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
def test_other_sites_change_nothing(made: Bench, client: FlaskClient, address: str, headers: dict[str, str]) -> None:
    running_job(made)
    assert client.post(address, data=FORM | {"interval": "1h"}, headers=headers).status_code == 403
    assert len(made.runner.jobs.recent(10)) == 1
    assert not made.runner.jobs.get(1).cancelling


@pytest.mark.parametrize("name", ["..", "%2e%2e%2fx", ".archive", "x" * 65, "a b", "nobody"])
def test_names_lead_nowhere_else(made: Bench, client: FlaskClient, name: str) -> None:
    before = sorted(path.name for path in made.folder.rglob("*"))
    assert client.get(f"/models/{name}").status_code in (400, 404)
    for action in ("promote", "archive", "unarchive", "delete"):
        assert post(client, f"/models/{name}/{action}").status_code in (400, 404, 405)
    assert sorted(path.name for path in made.folder.rglob("*")) == before


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


def test_the_card_of_a_model_without_a_report_says_so(client: FlaskClient) -> None:
    told = text_of(client.get("/models/alpha"))
    assert "nothing says that it beats no change" in told
    assert "No test is on record." in told
    assert "No curve is on record." in told


def test_the_form_starts_a_training_and_goes_to_its_page(made: Bench, client: FlaskClient) -> None:
    answer = post(client, "/models/train", **FORM, symbols=["ETHUSDT"])
    assert (answer.status_code, answer.headers["Location"]) == (303, "/models/train/1")
    job = made.runner.jobs.get(1)
    assert isinstance(job.request, TrainingRequest)
    assert (job.state, job.request.symbols, job.request.recipe.units) == (JobState.QUEUED, ("ETHUSDT",), 8)
    told = text_of(client.get("/models/train/1"))
    assert "queued" in told
    assert "ETHUSDT, 1h candles" in told
    assert job.model_id in text_of(client.get("/models/train"))


def test_what_was_typed_is_kept_beside_what_is_wrong_with_it(made: Bench, client: FlaskClient) -> None:
    typed = FORM | {"epochs": "0", "dropout": "0.33", "model_id": "my <model>", "from": "soon"}
    answer = post(client, "/models/train", **typed, symbols=["ETHUSDT"])
    assert answer.status_code == 400
    told = text_of(answer)
    for piece in ("epochs is 0; use 1 to 500", "'soon' is no date", "take 1 to 64 letters"):
        assert piece in told, piece
    for piece in ('value="0.33"', 'value="my &lt;model&gt;"', 'value="soon"', 'value="ETHUSDT" checked'):
        assert piece in answer.text, piece
    assert answer.text.count('aria-invalid="true"') == 3
    assert made.runner.jobs.recent(1) == []


def test_a_preset_fills_in_numbers_and_keeps_the_rest(made: Bench, client: FlaskClient) -> None:
    answer = post(client, "/models/train", **FORM | {"action": "preset:thorough", "model_id": "kept"})
    assert answer.status_code == 200
    assert 'name="epochs" value="24"' in answer.text
    assert 'name="model_id" value="kept"' in answer.text
    assert made.runner.jobs.recent(1) == []


def test_an_estimate_says_what_it_rests_on(made: Bench, client: FlaskClient) -> None:
    assert "an assumption from another machine" in text_of(client.get("/models/train"))
    job = running_job(made)
    made.runner.jobs.end(job.id, JobState.DONE, 60_000, of=(JobState.RUNNING,))
    told = text_of(post(client, "/models/train", **FORM | {"action": "estimate"}))
    assert "measured in training 1 on this machine" in told


def test_a_hopeless_training_is_refused_with_the_numbers(client: FlaskClient) -> None:
    answer = post(client, "/models/train", **FORM | {"from": "2099-01-01"})
    assert answer.status_code == 400
    assert "at least 500 are needed" in text_of(answer)


def test_progress_is_live_and_costs_nothing_while_nothing_changes(made: Bench, client: FlaskClient) -> None:
    job = running_job(made)
    page = client.get(f"/models/train/{job.id}")
    told = text_of(page)
    assert "Epoch 9 of 20, about 2 min left in training." in told
    assert "800 windows a second" in told
    assert "&lt;b&gt;x" in page.text
    version = re.search(r'id="job" data-version="([^"]+)"', page.text)
    assert version is not None
    live = f"/models/train/{job.id}/live?version="
    assert client.get(live + version[1]).status_code == 204
    made.runner.jobs.progressed(job.id, epoch=9)
    fresh = client.get(live + version[1])
    assert fresh.status_code == 200
    assert "Epoch 10 of 20" in text_of(fresh)
    assert "<html" not in fresh.text
    listed = re.search(r'id="jobs" data-version="([^"]+)"', client.get("/models/train").text)
    assert listed is not None
    assert client.get(f"/models/train/live?version={listed[1]}").status_code == 204
    assert client.get("/models/train/live?version=0").status_code == 200


def test_cancel_and_repeat(made: Bench, client: FlaskClient) -> None:
    post(client, "/models/train", **FORM)
    assert post(client, "/models/train/1/repeat").status_code == 400
    assert post(client, "/models/train/1/cancel").headers["Location"] == "/models/train/1"
    assert made.runner.jobs.get(1).state is JobState.CANCELLED
    assert post(client, "/models/train/1/cancel").status_code == 400
    again = post(client, "/models/train/1/repeat")
    assert again.headers["Location"] == "/models/train/2"
    assert "training 1" in text_of(client.get("/models/train/2"))
    assert client.get("/models/train/99").status_code == 404


def test_every_page_works_without_script_or_style_of_its_own(made: Bench, client: FlaskClient) -> None:
    job = running_job(made)
    for address in ("/models", "/models/alpha", "/models/train", f"/models/train/{job.id}"):
        page = client.get(address).text
        assert page.count("<h1") == page.count("<main") == 1
        assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=", page), address
        ids = re.findall(r'\sid="([^"]+)"', page)
        assert len(ids) == len(set(ids)), address
        assert len(re.findall(r"<label for=", page)) == len(re.findall(r"<(?:input|select) id=", page))


def test_an_ensemble_is_made_weighed_and_dissolved_on_its_pages(made: Bench, client: FlaskClient) -> None:
    refused = post(client, "/models/ensemble", name="mix", members=["beta"])
    assert refused.status_code == 400
    assert "An ensemble needs at least two members; 1 given." in text_of(refused)
    assert 'value="beta" checked' in refused.text, "what was ticked stays ticked"
    assert 'name="name" value="mix"' in refused.text
    answer = post(client, "/models/ensemble", name="mix", members=["beta", "gamma"])
    assert (answer.status_code, answer.headers["Location"]) == (303, "/models/mix")
    told = text_of(client.get("/models/mix"))
    for piece in ("The weighted mean of 2 models", "beta 50.0 %", "0 of 100 scored 24 h forecasts", "all would weigh"):
        assert piece in told, piece
    assert "50.0 % beta" in text_of(client.get("/models"))
    assert "is there already" in text_of(post(client, "/models/ensemble", name="mix", members=["beta", "gamma"]))
    assert "or about to be" in text_of(post(client, "/models/train", **FORM, model_id="mix"))
    assert post(client, "/models/mix/weigh").headers["Location"] == "/models/mix"
    made.services.promotion.archive("gamma")
    told = text_of(client.get("/models/mix"))
    assert "gamma cannot be used: archived, broken or gone." in told
    assert "The other members’ weights are used as if there were no more of them" in told
    assert post(client, "/models/mix/every", every="0").headers["Location"] == "/models/mix"
    assert "; only by hand" in text_of(client.get("/models/mix"))
    assert "use 1 to 10,000" in text_of(post(client, "/models/mix/every", every="99999"))
    assert post(client, "/models/mix/dissolve").headers["Location"] == "/models"
    assert client.get("/models/mix").status_code == 404
    assert post(client, "/models/nobody/dissolve").status_code == 404


def test_an_ensemble_is_promoted_rolled_back_and_archived_by_its_buttons(made: Bench, client: FlaskClient) -> None:
    post(client, "/models/ensemble", name="mix", members=["beta", "gamma"])
    before = serving(made)
    assert 'action="/models/mix/promote"' in client.get("/models").text
    assert 'action="/models/mix/promote"' in client.get("/models/mix").text
    assert post(client, "/models/mix/promote").status_code == 303
    told = text_of(client.get("/models"))
    for piece in (
        "1h mix an ensemble, chosen",
        f"Roll back to {before}",
        "member of mix, which serves",
        "champion of 1h",
    ):
        assert piece in told, piece
    card = client.get("/models/mix").text
    assert "/models/mix/archive" not in card
    assert "/models/mix/dissolve" not in card
    assert "let another serve first" in text_of(post(client, "/models/beta/archive"))
    shutil.rmtree(made.models / "gamma")
    assert "without gamma, which cannot be used: the other members weigh more" in text_of(client.get("/models"))
    shutil.rmtree(made.models / "beta")
    assert "mix was chosen and cannot be used, so the newest usable model serves" in text_of(client.get("/models"))
    assert "No member is left, so this ensemble forecasts nothing" in text_of(client.get("/models/mix"))
    assert post(client, "/models/mix/archive").status_code == 303
    assert "archived" in text_of(client.get("/models/mix"))
    assert post(client, "/models/mix/unarchive").status_code == 303


def test_a_model_of_its_own_markets_is_let_serve_them_and_gives_them_back(made: Bench, client: FlaskClient) -> None:
    spec = tiny_model.spec("mine", symbols=(Symbol("BTCUSDT"),))
    write_model(made.models, spec, tiny_model.graph(spec), {})
    told = text_of(client.get("/models"))
    assert "for BTCUSDT alone" in told
    assert "Let it serve its markets" in text_of(client.get("/models/mine"))
    assert post(client, "/models/mine/promote").status_code == 400
    assert post(client, "/models/alpha/own").status_code == 400
    assert post(client, "/models/mine/own").status_code == 303
    told = text_of(client.get("/models"))
    assert "serves BTCUSDT alone" in told
    assert "1h mine BTCUSDT alone Give back" in told
    assert serving(made) == "alpha"
    assert post(client, "/models/mine/archive").status_code == 400
    assert post(client, "/models/mine/give_back").status_code == 303
    assert "for BTCUSDT alone" in text_of(client.get("/models/mine"))
    assert post(client, "/models/mine/archive").status_code == 303
