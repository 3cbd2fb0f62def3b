"""The scale kind: its graph answers as what was trained, bands hold what they say, the other market may be absent."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from data.interval import Interval
from data.symbol import Symbol
from models.altered_candles import with_other_future
from models.folds import folds
from models.input_source import CONTEXT_MARKET, InputSource, check_inputs, inputs_for, training_source
from models.inputs import input_matrix
from models.kinds import MAX_DIFFERENCE, Task, Trained, fit
from models.leak_beside import check_beside, with_context
from models.recipe import preset
from models.samples import Samples, decided, gather
from models.scale_inputs import CONTEXT, KNOWN, ScaleInputs
from models.scale_series import HISTORY
from models.season import Season
from models.spec import HORIZONS, QUANTILES, Kind, ModelSpec
from models.split import split
from models.synthetic_candles import synthetic_candles
from models.walk import Plan, walked_inputs
from tests.support import tiny_model
from utils.errors import InvalidInput, ModelCorrupt, SchemaMismatch
from utils.model_utils import session_of

RECIPE = replace(preset("quick", Kind.SCALE), units=4, epochs=2, stride=1, batch_size=256)
MARKETS = synthetic_candles(Interval.H1, 3000, 2)


@cache
def source() -> InputSource:
    return training_source(Kind.SCALE, MARKETS, split(MARKETS, max(HORIZONS), None).train)


@cache
def samples() -> Samples:
    found = source()
    return gather(
        MARKETS, found.names, window=1, warm_up=found.warm_up, horizons=HORIZONS, half_life=24.0, inputs=found.compute
    )


@cache
def task() -> Task:
    known = decided(samples(), samples().ends)
    return Task(samples(), known[::2], known[1::2], 1, HORIZONS, QUANTILES, features=source().names, threads=1)


@cache
def trained() -> Trained:
    return fit(RECIPE, task())


def answers(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    return session_of(trained().graph, "scale").run(windows)


def test_the_graph_answers_as_what_was_trained() -> None:
    assert 0 < trained().difference <= MAX_DIFFERENCE
    assert trained().sizes == {"units": 4, "members": 2}
    assert len(trained().train_loss) == len(trained().validation_loss) == 2


def test_quantiles_never_cross_however_wild_the_inputs() -> None:
    wild = np.random.default_rng(1).normal(0, 100, (200, 1, len(source().names))).astype(np.float32)
    assert np.all(np.diff(answers(wild), axis=2) > 0)


def test_bands_hold_as_much_of_the_validation_period_as_they_say() -> None:
    ends = task().validation
    bands = answers(samples().features[ends][:, None])
    realised = samples().scaled[ends]
    for low, high, wanted in ((1, 3, 0.5), (0, 4, 0.9)):
        inside = (realised >= bands[:, :, low]) & (realised <= bands[:, :, high])
        beyond = inside.mean(axis=0) - wanted  # the margin for markets that were not trained on
        assert np.all((beyond > 0) & (beyond < 0.03))


def test_what_is_told_of_the_other_market_counts_only_where_it_is_known() -> None:
    names = source().names
    rows = np.repeat(samples().features[task().train[:1]][:, None], 2, axis=0)
    others = [names.index(name) for name in CONTEXT if name != KNOWN]
    rows[1, 0, others] += 1.0
    known, other = answers(rows)
    assert not np.array_equal(known, other)
    rows[:, 0, names.index(KNOWN)] = 0.0
    unknown, same = answers(rows)
    assert np.array_equal(unknown, same)


@cache
def spec() -> ModelSpec:
    made = tiny_model.spec("scale")
    return replace(
        made, kind=Kind.SCALE, features=source().names, window=1, warm_up=HISTORY - 1, season=source().season,
        context=CONTEXT_MARKET,
    )  # fmt: skip


def test_a_spec_keeps_its_season_and_its_other_market() -> None:
    assert ModelSpec.from_json(spec().to_json()) == spec()
    old = tiny_model.spec("tcn")
    assert ModelSpec.from_json(old.to_json()) == old
    with pytest.raises(ModelCorrupt, match="season"):
        ModelSpec.from_json(replace(spec(), season=Season((1.0,), (0.0,))).to_json())


def test_inputs_are_those_of_the_spec() -> None:
    check_inputs(spec())
    with pytest.raises(SchemaMismatch, match="moon_phase"):
        check_inputs(replace(spec(), features=("moon_phase",)))
    beside = with_context(spec(), MARKETS)
    rows = inputs_for(spec(), beside)(MARKETS[0], spec().features)
    assert rows[-1, spec().features.index(KNOWN)] == 1
    alone = [one for one in MARKETS if one.symbol != Symbol.parse("BTCUSDT")]
    assert not inputs_for(spec(), alone)(alone[0], (KNOWN,))[-1].any()


def test_the_leak_test_watches_the_other_market_and_the_season() -> None:
    checks = check_beside(spec(), MARKETS, (0.6,))
    assert [check.ok for check in checks] == [True, True]
    assert check_beside(tiny_model.spec("tcn"), MARKETS, (0.6,)) == []


def test_a_look_at_the_other_market_s_next_candle_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from models import scale_inputs

    real = scale_inputs._same
    monkeypatch.setattr(scale_inputs, "_same", lambda times, others: real(times + Interval.H1.ms, others))
    _, caught = check_beside(spec(), MARKETS, (0.6,))
    assert not caught.ok
    assert {finding.feature for finding in caught.findings} & set(CONTEXT)
    assert caught.findings[0].file.startswith("models/scale_inputs.py")


def test_a_walk_learns_the_hours_from_the_first_fold_alone() -> None:
    plan, inputs = walked_inputs("scale", MARKETS, Plan(folds=2))
    assert (plan.window, plan.warm_up) == (1, HISTORY - 1)
    settled, end = int(MARKETS[0].open_time_ms[HISTORY - 1]), MARKETS[0].last_open_time_ms + Interval.H1.ms
    first = folds(settled, end, Interval.H1, 24, 2, expanding=True)
    later = int(np.searchsorted(MARKETS[0].open_time_ms, first[0].train.until_ms))
    changed = [with_other_future(one, later, 1, 0.05) for one in MARKETS]
    _, other = walked_inputs("scale", changed, Plan(folds=2))
    assert isinstance(inputs, ScaleInputs)
    assert isinstance(other, ScaleInputs)
    assert inputs.season == other.season
    assert walked_inputs("tcn", MARKETS, Plan()) == (Plan(), input_matrix)
    with pytest.raises(InvalidInput, match="889 candles"):
        walked_inputs("scale", [one.tail(500) for one in MARKETS], Plan())
