"""An ensemble that serves: promoted, rolled back, archived, weighed again by itself, and whole over faults."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.candles import Candles
from data.database import connect
from data.interval import Interval
from data.symbol import Symbol
from models import promote
from models.ensemble_file import FILE, read_ensembles, write_ensembles
from models.ensembles import Ensembles
from models.forecast import Forecast
from models.forecaster import Forecaster
from models.ledger import Ledger
from models.ledger_scores import NOTHING_SCORED
from models.model_writing import write_model
from models.promotion import Promotion
from models.registry import Registry
from models.scorekeeper import Scorekeeper
from tests.support import tiny_model
from tests.support.ledgers import forecast
from utils.clock import ManualClock
from utils.errors import InvalidInput, ModelNotFound
from utils.model_cache import ModelCache

H1 = Interval.H1
HOUR_MS = H1.ms
BTC, ETH = Symbol("BTCUSDT"), Symbol("ETHUSDT")
COUNT = 500


class Desk:
    """Three models and a ledger in one folder, a clock turned by hand, and what the dashboard makes of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.models = folder / "models"
        self.clock = ManualClock(tiny_model.START_MS + COUNT * HOUR_MS + 1000)
        self.markets = [
            tiny_model.candles(COUNT + 60, symbol=str(one), seed=seed) for seed, one in enumerate((BTC, ETH))
        ]
        self.seen = COUNT
        self.database = connect(f"sqlite:///{folder}/ledger.db")
        self.ledger = Ledger(self.database, self.clock)
        self.begin()

    def begin(self) -> None:
        """As after a restart: everything is read anew."""
        self.registry = Registry(self.models)
        self.promotion = Promotion(registry=self.registry, clock=self.clock)
        self.ensembles = Ensembles(registry=self.registry, ledger=self.ledger, clock=self.clock)
        self.forecaster = Forecaster(
            registry=self.registry, model_cache=ModelCache(), batch_size=32, max_workers=1, clock=self.clock
        )
        self.keeper = Scorekeeper(
            forecaster=self.forecaster, ledger=self.ledger, candles=self.candles, ensembles=self.ensembles
        )

    def candles(self, symbol: Symbol, interval: Interval) -> Candles:
        return next(one for one in self.markets if one.symbol == symbol).slice(0, self.seen)

    def close_candles(self, count: int) -> None:
        """So many more candles close, and the score is kept after each."""
        for _ in range(count):
            self.seen += 1
            self.clock.set_wall(self.clock.now_ms() + HOUR_MS)
            self.keeper.keep(H1, [BTC, ETH])

    def past(self, model_id: str, knew: float, count: int = 400) -> None:
        """What the model forecast of BTCUSDT before, its bands moved by that share of what came; and its scores."""
        entry, candles = self.registry.get(model_id), self.candles(BTC, H1)
        made = [forecast(candles, row) for row in range(COUNT - count, COUNT - 30)]
        came = [
            np.log(candles.close[row + 1 : row + 25] / candles.close[row]) for row in range(COUNT - count, COUNT - 30)
        ]
        self.ledger.append(
            replace(
                one,
                model_id=model_id,
                model_digest=entry.digest,
                log_returns=one.baseline_log_returns + knew * outcome[:, None],
            )
            for one, outcome in zip(made, came, strict=True)
        )
        self.ledger.score(candles)

    def serving(self) -> str:
        """As another process would see it."""
        found = Promotion(registry=Registry(self.models), clock=self.clock).champions.of(H1)
        return found.id if found is not None else ""

    def now(self, model_id: str | None = None) -> Forecast:
        answer = self.forecaster.answer(self.candles(BTC, H1), model_id)
        assert isinstance(answer, Forecast)
        return answer


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    for age, name in enumerate(("one", "two", "three")):
        tiny_model.save(tmp_path / "models", tiny_model.spec(name, created_ms=tiny_model.START_MS - age), seed=age)
    made = Desk(tmp_path)
    made.ensembles.make("mix", ["two", "three"])
    yield made
    made.database.close()


def test_promoted_it_serves_every_market_and_one_click_brings_the_model_back(desk: Desk) -> None:
    assert desk.now().model_id == "one"
    assert desk.promotion.promote("mix") is H1
    assert (desk.serving(), desk.now().model_id) == ("mix", "mix")
    assert [one.id for one in desk.forecaster.models(H1)] == ["mix", "one", "three", "two"]
    both = desk.forecaster.answers([desk.candles(BTC, H1), desk.candles(ETH, H1)])
    assert [one.model_id for one in both if isinstance(one, Forecast)] == ["mix", "mix"]
    np.testing.assert_array_equal(both[0].log_returns, desk.now("mix").log_returns)  # type: ignore[union-attr]
    assert desk.promotion.previous(H1).id == "one"  # type: ignore[union-attr]
    assert desk.promotion.roll_back(H1) == "one"
    assert desk.now().model_id == "one"
    assert desk.promotion.roll_back(H1) == "mix", "and a second click undoes that"
    desk.begin()
    assert desk.now().model_id == "mix", "it survives a restart"


def test_nothing_that_it_needs_is_laid_aside(desk: Desk) -> None:
    desk.promotion.archive("mix")
    assert read_ensembles(desk.models)[0].archived
    with pytest.raises(ModelNotFound, match="no model 'mix'"):
        desk.promotion.promote("mix")
    assert "mix" not in {one.model_id for one in desk.forecaster.every([desk.candles(BTC, H1)])}
    desk.promotion.unarchive("mix")
    desk.promotion.promote("mix")
    for act in (desk.promotion.archive, desk.promotion.dissolve):
        with pytest.raises(InvalidInput, match="ensemble 'mix' serves 1h candles; let another serve"):
            act("mix")
    with pytest.raises(InvalidInput, match="model 'two' is a member of mix, which serves"):
        desk.promotion.archive("two")
    assert desk.promotion.needed() == {"two": ["mix"], "three": ["mix"]}
    desk.promotion.archive("one")
    desk.promotion.unarchive("one")
    desk.promotion.roll_back(H1)
    desk.promotion.archive("two")  # now that it serves nothing


def test_a_broken_member_leaves_the_rest_and_without_any_the_newest_model_serves(desk: Desk) -> None:
    desk.promotion.promote("mix")
    whole = desk.now()
    assert whole.mix is not None
    assert whole.mix.left_out == ()
    graph = desk.models / "two" / "model.onnx"
    kept = graph.read_bytes()
    graph.write_bytes(kept[:-9])
    left = desk.now()
    assert left.mix is not None
    assert (left.model_id, left.mix.left_out, left.mix.weights) == ("mix", ("two",), (("three", 1.0),))
    np.testing.assert_allclose(left.log_returns, desk.now("three").log_returns, rtol=1e-12)
    assert (left.record, left.model_digest != whole.model_digest) == (whole.record, True)
    shutil.rmtree(desk.models / "three")
    assert desk.now().model_id == "one", "as where a model that was chosen breaks"
    with pytest.raises(InvalidInput, match="no member of ensemble 'mix' can be used: three, two"):
        desk.promotion.promote("mix")
    graph.write_bytes(kept)
    assert desk.now().model_id == "mix", "and it comes back with its member"


def test_it_weighs_itself_again_by_what_was_scored_and_each_row_tells_its_weights(desk: Desk) -> None:
    desk.ensembles.set_every("mix", 6)
    desk.close_candles(3)
    assert {one.version for one in read_ensembles(desk.models)} == {1}
    desk.past("two", 0.3)
    desk.past("three", -0.3)
    assert desk.ledger.skill(model_id="two").skill_fraction > desk.ledger.skill(model_id="three").skill_fraction  # type: ignore[operator]
    desk.close_candles(2)
    assert {one.version for one in read_ensembles(desk.models)} == {1}, "not before it is due"
    desk.close_candles(2)
    (mix,) = read_ensembles(desk.models)
    assert mix.version == 2
    assert mix.weights["two"] > 0.8
    assert mix.weighed_ms <= desk.clock.now_ms() < mix.due_ms()  # type: ignore[operator]
    newest, oldest = desk.ledger.weighings(mix.record)
    assert (oldest.version, oldest.weights, oldest.forecasts) == (1, {"two": 0.5, "three": 0.5}, 10)
    assert (newest.version, newest.weights, newest.forecasts) == (2, mix.weights, 4)
    assert newest.weighed_ms <= newest.first_ms, "made after its weights were known"
    assert desk.ledger.verify().broken is None
    assert desk.now("mix").model_digest == newest.digest


def test_all_versions_are_one_record_beside_those_of_the_members(desk: Desk) -> None:
    desk.ensembles.set_every("mix", 2)
    desk.past("two", 0.3)
    desk.close_candles(30)
    (mix,) = read_ensembles(desk.models)
    assert mix.version > 1
    (model,) = [one for one in desk.ledger.models(H1) if one.id == "mix"]
    assert model.record == mix.record
    assert len(model.keys) == len(desk.ledger.weighings(mix.record))
    pooled = desk.ledger.skill(model_id="mix", digest=mix.record)
    alone = desk.ledger.skill(model_id="mix", digest=model.digest)
    assert pooled.count == desk.ledger.skill(model_id="one").count > alone.count
    assert set(desk.ledger.latest([model])[model.key]) == {BTC, ETH}
    together = desk.ledger.skills_of([model.record, "nobody"], symbols=(None, BTC), horizons=(0, 1))
    for symbol, horizon in ((None, 0), (None, 1), (BTC, 0), (BTC, 1)):
        alone = desk.ledger.skill(model_id=model.id, digest=model.record, symbol=symbol, horizon=horizon or None)
        assert together[model.record, symbol, horizon] == alone
    assert together["nobody", BTC, 1].count == 0
    assert (
        desk.ledger.details([model], [1], 60)[model.key, 1].ranks.sum()
        == desk.ledger.details([model], [1], 60)[model.key, 1].weather.count.sum()
        == 29 * 2
    )
    assert desk.ledger.details([model], [1], 60)[model.key, 1].course.count.sum() == 29 * 2
    duel = desk.ledger.against(mix.record, desk.registry.get("one").digest)
    assert duel.count == pooled.count
    assert duel.baseline_loss == pytest.approx(desk.ledger.skill(model_id="one").loss)
    assert desk.ledger.against(mix.record, "f" * 64) == replace(NOTHING_SCORED, skill_standard_error=None)


def test_weights_of_another_market_or_time_are_weighed_anew_before_the_next_forecast(desk: Desk) -> None:
    (mix,) = read_ensembles(desk.models)
    elsewhere = replace(mix, venue="simulated", weights={"two": 0.9, "three": 0.1})
    ahead = replace(mix, weighed_ms=desk.clock.now_ms() + 1000 * HOUR_MS, weights={"two": 0.9, "three": 0.1})
    for one in (elsewhere, ahead):
        write_ensembles(desk.models, [one])
        assert [again.weights for again in desk.ensembles.weigh_due(H1)] == [{"two": 0.5, "three": 0.5}]
        assert desk.ensembles.weigh_due(H1) == []
        assert desk.ensembles.weigh_due(Interval.H4) == []
    for never in (replace(elsewhere, every=0), replace(elsewhere, archived=True)):
        write_ensembles(desk.models, [never])
        assert desk.ensembles.weigh_due(H1) == []


def test_a_retrained_member_hands_its_place_and_weight_on(desk: Desk) -> None:
    (before,) = read_ensembles(desk.models)
    tiny_model.save(desk.models, tiny_model.spec("heir"), seed=9)
    spec = tiny_model.spec("other", sigma_half_life=48.0)
    write_model(desk.models, spec, tiny_model.graph(spec), {})
    desk.clock.tick(1.0)
    assert desk.ensembles.pass_on("two", "other") == [], "it cannot be averaged with the rest"
    assert desk.ensembles.pass_on("two", "nobody") == []
    assert desk.ensembles.pass_on("two", "heir") == ["mix"]
    (after,) = read_ensembles(desk.models)
    assert after.weights == {"heir": 0.5, "three": 0.5}
    assert after.record != before.record, "with other members its record begins anew"
    assert desk.ensembles.pass_on("two", "heir") == []


def test_own_markets_can_be_served_by_an_ensemble(desk: Desk) -> None:
    for seed, name in enumerate(("btc-a", "btc-b"), 5):
        tiny_model.save(desk.models, tiny_model.spec(name, symbols=(BTC,)), seed=seed)
    desk.ensembles.make("own-mix", ["btc-a", "btc-b"])
    with pytest.raises(InvalidInput, match="'own-mix' serves some markets only"):
        desk.promotion.promote("own-mix")
    with pytest.raises(InvalidInput, match="'mix' serves any market; promote it"):
        desk.promotion.choose_own("mix")
    desk.promotion.choose_own("own-mix")
    answers = desk.forecaster.answers([desk.candles(BTC, H1), desk.candles(ETH, H1)])
    assert [one.model_id for one in answers if isinstance(one, Forecast)] == ["own-mix", "one"]
    with pytest.raises(InvalidInput, match="serves BTCUSDT alone; give its markets back"):
        desk.promotion.archive("own-mix")
    with pytest.raises(InvalidInput, match="member of own-mix"):
        desk.promotion.archive("btc-a")
    silent = desk.forecaster.answer(desk.candles(ETH, H1), "own-mix")
    assert "serve other markets" in silent.reason  # type: ignore[union-attr]
    desk.promotion.give_back("own-mix")
    assert desk.now().model_id == "one"


def test_the_command_does_what_the_buttons_do(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*words: str) -> str:
        code = promote.main([*words, "--models", str(desk.models)])
        told = capsys.readouterr()
        return told.out if code == 0 else told.err

    assert run("promote", "mix") == "mix serves 1h candles\n"
    assert desk.serving() == "mix"
    assert run("list") == "1h: mix (before: one)\n"
    assert "let another serve" in run("archive", "mix")
    assert run("roll-back", "1h") == "one serves 1h candles again\n"
    assert run("archive", "mix").startswith("mix is laid aside")
    assert run("list") == "1h: one\narchived: mix\n"
    assert "ensembles" not in run("promote", "nobody")
    assert run("bring-back", "mix") == "mix is back; it serves once it is promoted\n"
    assert "no earlier model of 4h" in run("roll-back", "4h")


def test_changes_at_the_same_time_lose_nothing(desk: Desk) -> None:
    """Each thread with parts of its own, as workers have them."""

    def work(number: int) -> None:
        owner = Ensembles(registry=Registry(desk.models), ledger=desk.ledger, clock=desk.clock)
        for turn in range(5):
            owner.make(f"mix-{number}-{turn}", ["one", "two"])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(read_ensembles(desk.models)) == 21
    assert not [path for path in desk.models.iterdir() if path.name.startswith(f"{FILE}.")]
    assert json.loads((desk.models / FILE).read_text())["schema"] == 1
