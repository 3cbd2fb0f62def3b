"""Ensembles: weights from sure skill with a floor, forecasts in order, refusals, and the ledger's view of them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data.database import connect
from data.interval import Interval
from data.symbol import Symbol
from models import ensemble
from models.ensemble import Ensemble, combined, weigh
from models.ensemble_file import FILE, read_ensembles, write_ensembles
from models.ensembles import Ensembles
from models.forecast import Forecast, Novelty
from models.forecaster import Forecaster
from models.ledger import Ledger
from models.ledger_scores import NOTHING_SCORED, Skill
from models.promotion import Promotion
from models.registry import Registry
from tests.support import tiny_model
from utils.clock import ManualClock, SystemClock
from utils.errors import InvalidInput, ModelNotFound
from utils.model_cache import ModelCache

MIX = Ensemble("mix", Interval.H1, {"one": 0.75, "two": 0.25})


NOW_MS = 1_800_000_000_000


class Told:
    """A ledger that says of each model what it is told to."""

    venue = "binance"

    def __init__(self, known: dict[str, Skill]) -> None:
        self.known = known
        self.asked_since: set[int | None] = set()

    def skill(self, *, model_id: str, digest: str | None = None, since_ms: int | None = None) -> Skill:
        self.asked_since.add(since_ms)
        return self.known[model_id]


def skill(fraction: float, error: float = 0.0, count: int = 500, blocks: int = 30) -> Skill:
    return replace(NOTHING_SCORED, count=count, skill_fraction=fraction, skill_standard_error=error, blocks=blocks)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(("one", "two"), 1):
        tiny_model.save(folder, tiny_model.spec(name), seed)
    return folder


@pytest.fixture
def forecaster(root: Path) -> Forecaster:
    (root / FILE).unlink(missing_ok=True)
    return Forecaster(
        registry=Registry(root), model_cache=ModelCache(), batch_size=32, max_workers=1, clock=SystemClock()
    )


def forecasts(forecaster: Forecaster) -> list[Forecast]:
    return forecaster.every([tiny_model.candles(300), tiny_model.candles(300, symbol="ETHUSDT", seed=2)])


@given(st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=6), st.floats(0.01, 1.0))
@example([0.0, 5e-324], 0.5)
def test_weights_add_up_and_nobody_falls_below_the_floor(skills: list[float], floor: float) -> None:
    weights = weigh({str(place): skill(one) for place, one in enumerate(skills)}, floor)
    assert sum(weights.values()) == pytest.approx(1.0)
    assert min(weights.values()) >= floor / len(skills) - 1e-12


def test_weights_follow_what_a_member_surely_has() -> None:
    weights = weigh({"sure": skill(0.03, 0.01), "unsure": skill(0.03, 0.05), "young": skill(0.2, count=99)}, 0.3)
    assert weights == {"sure": pytest.approx(0.8), "unsure": pytest.approx(0.1), "young": pytest.approx(0.1)}
    assert weigh({"a": skill(-0.1), "b": NOTHING_SCORED}) == {"a": 0.5, "b": 0.5}
    assert weigh({"a": skill(0.1, blocks=6), "b": NOTHING_SCORED})["a"] == 0.5, "six days are too few to say"


@pytest.mark.parametrize(
    ("count", "floor", "told"), [(1, 0.25, "at least two"), (2, 0.0, "no part"), (2, 1.1, "no part")]
)
def test_what_is_no_ensemble_is_refused(count: int, floor: float, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        weigh({str(place): skill(0.1) for place in range(count)}, floor)


def test_a_forecast_is_the_weighted_mean_of_its_members(root: Path, forecaster: Forecaster) -> None:
    alone = forecasts(forecaster)
    assert len(alone) == 4
    write_ensembles(root, [MIX])
    mixed = [one for one in forecasts(forecaster) if one.model_id == "mix"]
    assert {one.symbol for one in mixed} == {"BTCUSDT", "ETHUSDT"}
    for one in mixed:
        members = {other.model_id: other for other in alone if other.symbol == one.symbol}
        expected = 0.75 * members["one"].log_returns + 0.25 * members["two"].log_returns
        np.testing.assert_allclose(one.log_returns, expected, rtol=1e-12)
        assert np.all(np.diff(one.log_returns, axis=1) > 0)
        assert one.model_digest == MIX.digest({name: other.model_digest for name, other in members.items()})


def test_a_missing_member_leaves_its_weight_to_the_others_and_that_is_told(forecaster: Forecaster) -> None:
    alone = forecasts(forecaster)
    left = [one for one in alone if one.model_id == "two"]
    for mixed, member in zip(combined(MIX, left), left, strict=True):
        np.testing.assert_allclose(mixed.log_returns, member.log_returns, rtol=1e-12)
        assert mixed.mix is not None
        assert (mixed.mix.left_out, mixed.mix.weights) == (("one",), (("two", 1.0),))
        assert mixed.record == MIX.record
        assert mixed.model_digest not in (MIX.digest({"one": "", "two": member.model_digest}), member.model_digest)
    assert combined(replace(MIX, interval=Interval.H4), alone) == []
    shorter = [replace(one, horizons=(1, 2)) if one.model_id == "two" else one for one in alone]
    assert {one.mix.left_out for one in combined(MIX, shorter) if one.mix} == {("two",)}


def test_it_is_as_strange_as_its_strangest_member_and_no_older_than_its_weights(forecaster: Forecaster) -> None:
    strange = {"one": Novelty("volume", -9.0, far=True), "two": Novelty("range", 2.0, far=False)}
    alone = [replace(one, novelty=strange[one.model_id], made_at_ms=50) for one in forecasts(forecaster)]
    assert {one.novelty for one in combined(MIX, alone)} == {strange["one"]}
    assert {one.made_at_ms for one in combined(replace(MIX, weighed_ms=70), alone)} == {70}


def test_the_digest_names_versions_and_weights() -> None:
    digests = {"one": "a" * 64, "two": "b" * 64}
    other = replace(MIX, weights={"one": 0.5, "two": 0.5})
    assert len({MIX.digest(digests), other.digest(digests), MIX.digest(digests | {"one": "c" * 64})}) == 3


def test_the_ledger_keeps_it_as_a_model_of_its_own(root: Path, forecaster: Forecaster, tmp_path: Path) -> None:
    write_ensembles(root, [MIX])
    database = connect(f"sqlite:///{tmp_path}/ledger.db")
    try:
        ledger = Ledger(database, SystemClock())
        assert ledger.append(forecasts(forecaster)) == 6
        assert [one.id for one in ledger.models(Interval.H1)] == ["mix", "one", "two"]
        assert ledger.verify().broken is None
    finally:
        database.close()


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"schema": 2, "ensembles": {}}', '{"schema": 1, "ensembles": {"x": {"interval": "1h", "weights": {}}}}',
     '{"schema": 1, "ensembles": {"x": {"interval": "1h", "weights": {"a": 0.9, "b": 0.2}}}}'],
)  # fmt: skip
def test_a_damaged_file_is_no_ensemble(text: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(text, "utf-8")
    assert read_ensembles(tmp_path) == ()


def test_the_command_weighs_and_refuses(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / FILE).unlink(missing_ok=True)
    given_arguments = ["--models", str(root), "--database", f"sqlite:///{tmp_path}/new.db", "--id", "both"]
    assert ensemble.main([*given_arguments, "--members", "one", "two"]) == 0
    assert "both of 1h candles: one 50.0 %, two 50.0 %; weighed again every 24" in capsys.readouterr().out
    (made,) = read_ensembles(root)
    assert (made.id, made.weights, made.version, made.venue) == ("both", {"one": 0.5, "two": 0.5}, 1, "binance")
    assert made.made_ms == made.weighed_ms > 0
    assert ensemble.main([*given_arguments, "--members", "one", "two", "--floor", "0.5"]) == 0
    assert read_ensembles(root)[0].floor == 0.5
    assert ensemble.main([*given_arguments, "--members", "one", "three"]) == 2
    assert "no usable model is named three; there are one, two" in capsys.readouterr().err
    assert ensemble.main([*given_arguments[:-1], "one", "--members", "one", "two"]) == 2
    assert "is a model's name" in capsys.readouterr().err


def test_weighing_again_follows_the_skill_and_refusals_say_what_fits(tmp_path: Path) -> None:
    tiny_model.save(tmp_path, tiny_model.spec("one"))
    tiny_model.save(tmp_path, tiny_model.spec("two"), 2)
    tiny_model.save(tmp_path, tiny_model.spec("slow", sigma_half_life=48.0), 3)
    for name, symbol in (("btc", "BTCUSDT"), ("eth", "ETHUSDT")):
        tiny_model.save(tmp_path, tiny_model.spec(name, symbols=(Symbol(symbol),)), 4)
    known = {"one": NOTHING_SCORED, "two": NOTHING_SCORED}
    owner = Ensembles(registry=Registry(tmp_path), ledger=Told(known), clock=ManualClock(NOW_MS))
    made = owner.make("mix", ["one", "two"])
    assert made.weights == {"one": 0.5, "two": 0.5}
    known["one"] = skill(0.05, 0.01)
    assert owner.weights_now(made) == {"one": pytest.approx(0.875), "two": pytest.approx(0.125)}
    assert owner.get("mix").weights == made.weights, "weights stay until they are weighed again"
    again = owner.weigh_again("mix")
    assert owner.entry(again).digest != owner.entry(made).digest
    assert (again.version, again.record) == (2, made.record)
    assert owner.weigh_again("mix").version == 2, "the same weights are the same version"
    for name, members, told in (
        ("mix", ["one", "two"], "named 'mix' is there already"),
        ("one", ["one", "two"], "is a model's name"),
        ("new", ["one", "one"], "at least two members; 1 given"),
        ("new", ["one", "nobody"], "no usable model is named nobody; there are btc, eth, one, slow, two"),
        ("new", ["one", "slow"], "one and slow cannot be averaged: one forecasts volatility with half-life 24"),
        ("new", ["btc", "eth"], "serve no market in common"),
        ("train", ["one", "two"], "address of a page"),
        ("a b", ["one", "two"], "cannot be used"),
    ):
        with pytest.raises(InvalidInput, match=told):
            owner.make(name, members)
    shutil.rmtree(tmp_path / "two")
    left = owner.get("mix")
    assert owner.weights_now(left) == left.weights, "one alone is not weighed against nothing"
    assert owner.entry(left).missing == ("two",)
    promotion = Promotion(registry=Registry(tmp_path), clock=ManualClock(NOW_MS))
    promotion.dissolve("mix")
    with pytest.raises(ModelNotFound, match="known: none"):
        promotion.dissolve("mix")
