"""Input source: how a kind's or a model's inputs are computed: from a market alone, or beside a season and BTC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from data.candles import Candles
from data.symbol import Symbol
from models.inputs import INPUTS, WARM_UP, input_matrix
from models.kinds import inputs_of
from models.samples import Inputs
from models.scale_catalogue import OWN
from models.scale_inputs import CONTEXT, ScaleInputs
from models.scale_series import HISTORY
from models.season import Season, fit_season
from models.spec import Kind, ModelSpec
from models.split import Period
from utils.errors import SchemaMismatch

CONTEXT_MARKET = Symbol.parse("BTCUSDT")
"""The market that the others follow."""
NOT_EVERYWHERE = ("trades_24", "imbalance", "imbalance_12")
"""Features of columns that many sources lack; a model must be the same without them."""
CHOSEN = tuple(name for name in INPUTS if name not in NOT_EVERYWHERE)


@dataclass(frozen=True, slots=True)
class InputSource:
    """What a kind is trained on. `compute` gives the inputs of a market; `warm_up` candles before the window."""

    names: tuple[str, ...]
    warm_up: int
    compute: Inputs
    season: Season | None = None
    context: Symbol | None = None


def training_source(kind: Kind, markets: Sequence[Candles], train: Period) -> InputSource:
    """Statistics of the inputs come from the training period alone."""
    names = inputs_of(kind) or CHOSEN
    if kind is not Kind.SCALE:
        return InputSource(names, WARM_UP, input_matrix)
    season = fit_season(markets, train.from_ms, train.until_ms)
    compute = ScaleInputs(season, _found(markets, CONTEXT_MARKET))
    return InputSource(names, HISTORY - 1, compute, season, CONTEXT_MARKET)


def inputs_for(spec: ModelSpec, markets: Sequence[Candles] = ()) -> Inputs:
    """A model's inputs. `markets`: where its other market's candles are, if they are at hand."""
    if spec.season is None:
        return input_matrix
    return ScaleInputs(spec.season, context_of(spec, markets))


def check_inputs(spec: ModelSpec) -> None:
    """SchemaMismatch where the model wants inputs that this version does not compute."""
    computed = INPUTS if spec.season is None else (*OWN, *CONTEXT)
    if unknown := [name for name in spec.features if name not in computed]:
        raise SchemaMismatch(
            f"model {spec.id!r} wants {', '.join(unknown)}, which this version does not compute; train it again"
        )


def context_of(spec: ModelSpec, markets: Sequence[Candles]) -> Candles | None:
    """The candles of the other market that a model looks at; None where it looks at none, or they are not there."""
    return None if spec.context is None else _found(markets, spec.context)


def _found(markets: Sequence[Candles], symbol: Symbol) -> Candles | None:
    return next((one for one in markets if one.symbol == symbol), None)
