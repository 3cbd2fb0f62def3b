"""The pages of what serves beside single models: ensembles, and models of their own markets."""

from __future__ import annotations

import shutil

from flask.testing import FlaskClient

from data.symbol import Symbol
from models.model_writing import write_model
from tests.support import tiny_model
from tests.support.model_pages import FORM, client, made, post, serving, text_of
from tests.support.workbench import Bench

__all__ = ["client", "made"]


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
    made.services.clearing.clear("data_cache")  # the folder is looked at once a second
    assert "mix, without gamma" in text_of(client.get("/"))
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
