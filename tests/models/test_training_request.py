"""Training requests: read field by field, refused field by field, and how long they are said to take."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from data.candle_store import SeriesStats
from data.interval import Interval
from data.symbol import Symbol
from models.job_requests import steps_of
from models.kinds import LEARNED
from models.recipe import LIMITS, preset
from models.spec import Kind
from models.train import _parser, _recipe
from models.training_estimate import START_S, Speed, estimate
from models.training_request import TrainingRequest, WrongFields, each_alone, preset_texts, read_request
from models.traits import PRESET_NAMES, TRAITS
from tests.support.trainings import MARKETS, request
from utils.errors import InvalidInput

FIRST_MS = 1_704_067_200_000
GOOD = {"kind": "tcn", "interval": "1h", "model_id": "mine", **preset_texts("standard")}


def read(changes: dict[str, str] | None = None, symbols: tuple[str, ...] = ()) -> TrainingRequest:
    return read_request(
        GOOD | (changes or {}),
        symbols,
        intervals=(Interval.H1, Interval.M15),
        markets=MARKETS,
        new_id=lambda stem: f"{stem}-new",
    )


def test_a_preset_as_texts_is_the_preset() -> None:
    for name in PRESET_NAMES:
        assert read(preset_texts(name)).recipe == preset(name, Kind.TCN)


def test_no_market_ticked_is_all_of_them() -> None:
    assert read().symbols == MARKETS
    assert read(symbols=("ETHUSDT",)).symbols == (Symbol("ETHUSDT"),)


def test_without_a_name_one_is_made() -> None:
    assert read({"model_id": " "}).model_id == "tcn-1h-new"


def test_the_trainer_understands_every_argument() -> None:
    asked = read({"from": "2024-01-01", "until": "2024-02-01", "learning_rate": "0.00001"})
    options = _parser().parse_args(asked.arguments())
    assert _recipe(options) == asked.recipe
    assert (options.id, options.interval, options.from_, options.until) == ("mine", "1h", "2024-01-01", "2024-02-01")
    assert tuple(options.symbols) == MARKETS


@pytest.mark.parametrize("name", LIMITS)
def test_each_number_has_its_limits(name: str) -> None:
    low, high = LIMITS[name]
    for text in (str(low - 1), str(high + 1), "many", "", "nan", "1e999"):
        with pytest.raises(WrongFields) as caught:
            read({name: text})
        assert set(caught.value.problems) == {name}
        assert name.replace("_", " ") in str(caught.value)
        assert f"{high:g}" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "field", "told"),
    [
        ({"kind": "oracle"}, "kind", "kind is 'oracle'; use one of tcn"),
        ({"interval": "1d"}, "interval", "interval is '1d'; use one of 1h, 15m"),
        ({"from": "yesterday"}, "from", "'yesterday' is no date"),
        ({"until": "2024-02-30"}, "until", "is no date"),
        ({"from": "2024-03-01", "until": "2024-02-01"}, "until", "must come after the first"),
        ({"window": "17"}, "window", "window 17 does not fit a TCN"),
        ({"model_id": "../up"}, "model_id", "cannot be used; take 1 to 64 letters"),
        ({"model_id": "train"}, "model_id", "is the address of a page"),
    ],
)
def test_what_does_not_fit_is_told_at_its_field(changes: dict[str, str], field: str, told: str) -> None:
    with pytest.raises(WrongFields) as caught:
        read(changes)
    assert told in caught.value.problems[field]
    assert len(caught.value.problems) == 1


def test_everything_wrong_is_told_at_once() -> None:
    with pytest.raises(WrongFields) as caught:
        read({"epochs": "0", "seed": "-1"}, ("NOPE",))
    assert set(caught.value.problems) == {"epochs", "seed", "symbols"}


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(InvalidInput, match="use one of quick, standard, thorough"):
        preset_texts("instant")


def stored(count: int, symbol: Symbol = MARKETS[0]) -> SeriesStats:
    return SeriesStats(symbol, Interval.H1, count, FIRST_MS, FIRST_MS + (count - 1) * Interval.H1.ms)


def test_the_time_rests_on_what_was_measured_here() -> None:
    asked = request(epochs=10)
    series = [stored(10_000), stored(10_000, MARKETS[1]), stored(99_999, Symbol("XRPUSDT"))]
    assumed = estimate(asked, series, [])
    assert (assumed.candles, assumed.markets, assumed.measured_by) == (20_000, 2, 0)
    assert assumed.windows_per_s == TRAITS[Kind.TCN].speed * 16 * 32 / (4 * 2)
    measured = estimate(asked, series, [Speed(asked.recipe, 500.0, 7, 40.0)])
    assert measured.measured_by == 7
    assert measured.seconds == pytest.approx(40.0 + 10 * measured.windows / 500.0)
    longer = Speed(asked.recipe, 500.0, 7, START_S + 20.0, measured.windows // 2)
    assert estimate(asked, series, [longer]).seconds == pytest.approx(
        START_S + 40.0 + 10 * measured.windows / 500.0, abs=0.1
    )
    brief = Speed(asked.recipe, 500.0, 7, 4.0, 10)
    assert estimate(asked, series, [brief]).seconds == pytest.approx(4.0 + 10 * measured.windows / 500.0)
    larger = replace(asked, recipe=replace(asked.recipe, units=4, epochs=20))
    assert estimate(larger, series, [Speed(asked.recipe, 500.0, 7, 40.0)]).windows_per_s == 250.0
    other = replace(asked.recipe, kind=Kind.LSTM)
    assert estimate(asked, series, [Speed(other, 500.0, 7)]).measured_by == 0
    assert assumed.seconds > START_S


def test_dates_narrow_the_span() -> None:
    asked = replace(request(), from_date="2024-01-11", until_date="2024-01-20")
    assert estimate(asked, [stored(24 * 100)], []).candles == 240
    assert estimate(replace(asked, until_date=""), [stored(24 * 100)], []).candles == 24 * 90
    assert estimate(replace(asked, from_date="2030-01-01", until_date=""), [stored(2400)], []).train_windows == 0


def test_each_kind_has_presets_of_its_own_and_a_day_is_as_long_as_its_candles() -> None:
    assert preset_texts("standard", "boosting")["units"] == "31"
    assert preset_texts("quick", "same-hour-yesterday", "15m")["window"] == "96"
    for kind in LEARNED:
        for name in PRESET_NAMES:
            assert read(preset_texts(name, kind) | {"kind": str(kind)}).recipe == preset(name, kind)


def test_a_number_beyond_a_kinds_own_limit_is_named_at_its_field() -> None:
    with pytest.raises(WrongFields) as caught:
        read(preset_texts("quick", "scale") | {"kind": "scale", "epochs": "40"})
    assert caught.value.problems == {"epochs": "epochs 40 is outside 1 … 32"}


def test_a_model_of_its_own_markets_is_asked_for() -> None:
    asked = read({"own": "yes"}, symbols=("ETHUSDT",))
    assert asked.own
    assert "--own" in asked.arguments()
    assert TrainingRequest.from_json(asked.to_json()) == asked
    older = {name: value for name, value in read().to_json().items() if name not in ("own", "study", "trials")}
    assert not TrainingRequest.from_json(older).own
    assert TrainingRequest.from_json(older).study == ""


def test_one_model_for_each_market_is_one_training_each() -> None:
    asked = read({"own": "each"}, symbols=("BTCUSDT", "ETHUSDT"))
    made = each_alone(asked, False, lambda stem: f"{stem}-free")
    assert [one.model_id for one in made] == ["tcn-1h-btcusdt-free", "tcn-1h-ethusdt-free"]
    assert all(one.own and len(one.symbols) == 1 for one in made)
    named = each_alone(replace(asked, model_id="mine", symbols=(Symbol("BTCUSDT"), Symbol("币安人生USDT"))), True, str)
    assert [one.model_id for one in named] == ["mine-btcusdt", "mine"]
    found = replace(asked, study="search-tcn-1h", trials=24)
    assert found.arguments().count("24") == 1
    assert TrainingRequest.from_json(found.to_json()) == found


def test_a_steady_kind_costs_by_what_it_is() -> None:
    """Trees by their number."""
    few, many = (read(preset_texts("quick", "forest") | {"kind": "forest", "epochs": text}) for text in ("10", "20"))
    times = [estimate(one, [stored(10_000)], []).seconds - START_S for one in (few, many)]
    assert times[1] == pytest.approx(2 * times[0])


@pytest.mark.parametrize(
    ("kind", "changes", "wanted"),
    [
        (Kind.TCN, {"epochs": 6}, 6),
        (Kind.BOOSTING, {}, 10),
        (Kind.SCALE, {"trees": 0}, 4),
        (Kind.SCALE, {"trees": 9}, 5),
    ],
)
def test_progress_is_counted_in_what_the_kind_reports(kind: Kind, changes: dict[str, Any], wanted: int) -> None:
    asked = replace(request("one"), recipe=replace(preset("standard", kind), **changes))
    assert steps_of(asked) == wanted
