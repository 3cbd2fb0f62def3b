"""The pages of trainings: the form, what it refuses, and a training's progress."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

from flask.testing import FlaskClient

from data.interval import Interval
from models.job_requests import CheckRequest, Task
from models.jobs import JobState
from models.model_writing import write_model
from models.recipe import Recipe
from models.training_progress import steps_told
from models.training_request import TrainingRequest, preset_texts
from tests.support import tiny_model
from tests.support.model_pages import FORM, client, made, post, running_job, text_of
from tests.support.workbench import Bench
from utils.clock import ManualClock

__all__ = ["client", "made"]


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


def test_bounds_are_written_as_people_write_them(client: FlaskClient) -> None:
    page = client.get("/models/train").text
    assert "0.000001 to 0.1" in page
    assert 'min="1e' not in page
    assert "0 to 2147483647" in page


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


def test_set_up_is_not_taken_for_the_time_of_an_epoch(made: Bench, client: FlaskClient) -> None:
    """An epoch took 40 s, most of it set-up: an earlier training of the kind learned 2,000 windows a second."""
    earlier = running_job(made)
    made.runner.jobs.progressed(earlier.id, epoch=20, windows=3000, fit_s=30.0)
    made.runner.jobs.end(earlier.id, JobState.DONE, 90_000, of=(JobState.RUNNING,))
    job, jobs = running_job(made), made.runner.jobs
    shown = {}
    for epoch, eta_s in ((0, None), (1, 760.0), (2, 40.0)):
        jobs.progressed(job.id, epoch=epoch, eta_s=eta_s, windows=3000)
        shown[epoch] = text_of(client.get(f"/models/train/{job.id}"))
    assert "Epoch 1 of 20, about 30 s left in training by a rough estimate." in shown[0]
    assert "Epoch 2 of 20, about 30 s left in training by a rough estimate." in shown[1]
    assert "Epoch 3 of 20, about 40 s left in training." in shown[2]


def test_deals_of_inputs_are_counted_and_timed(made: Bench, client: FlaskClient) -> None:
    jobs = made.runner.jobs
    job = jobs.add(CheckRequest(Task.IMPORTANCE, "tiny", Interval.H1), venue="binance", now_ms=1)
    jobs.begin(job.id, 2)
    jobs.progressed(job.id, stage="asking")
    assert "Asking the model with one input dealt out at a time." in client.get(f"/models/train/{job.id}").text
    told: list[dict[str, Any]] = []
    clock = ManualClock()
    seen = steps_told(lambda stage, **values: told.append({"stage": stage, **values}), "asking", clock.monotonic)
    clock.tick(20)
    seen(10, 40)
    assert told == [{"stage": "asking", "step": 10, "windows": 40, "eta_s": 60.0}]
    jobs.progressed(job.id, epoch=10, windows=40, eta_s=60.0)
    assert (jobs.get(job.id).steps, jobs.get(job.id).share) == (40, 0.25)
    shown = client.get(f"/models/train/{job.id}").text
    assert "Deal 11 of 40, about 60 s left." in shown
    assert 'class="fill" width="25.0"' in shown


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
