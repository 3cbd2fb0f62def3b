"""Forecast score: what the ledger shows of the model behind a forecast, and whether its move would pay for a trade."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from data.interval import Interval
from data.symbol import Symbol
from models.ledger_sums import SHOWN_HORIZONS
from routes import wording
from routes.services import ForecastFace, Services, SkillFace
from routes.wording import Verdict

Scores = Mapping[tuple[Symbol | None, int], SkillFace]
"""By market (None: all together) and horizon."""
_KEPT_S = 300.0


@dataclass(frozen=True, slots=True)
class Believed:
    """Sentences beside a forecast. `everywhere` is about all markets together, `cost_note` about all its horizons."""

    verdict: Verdict
    score: str
    everywhere: str
    coverage: str
    cost: str
    cost_note: str


def shown_horizons(horizons: Sequence[int]) -> tuple[int, ...]:
    """Those that pages show: the usual ones that the model has, and its last."""
    return tuple(ahead for ahead in horizons if ahead in SHOWN_HORIZONS or ahead == horizons[-1])


def scores(services: Services, forecast: ForecastFace) -> Scores:
    """Of the forecast's very model, in its market and in all; read once for each state of the ledger."""
    horizons = shown_horizons(forecast.horizons)
    return services.data_cache.get_or_load(
        ("scores", forecast.model_digest, forecast.symbol, forecast.interval, services.ledger.version),
        lambda: services.ledger.skills_by_horizon(
            model_id=forecast.model_id,
            horizons=horizons,
            symbols=(forecast.symbol, None),
            interval=forecast.interval,
            digest=forecast.model_digest,
        ),
        ttl_s=_KEPT_S,
    )


def market_skills(services: Services, interval: Interval, forecasts: Sequence[ForecastFace]) -> dict[Symbol, SkillFace]:
    """Over all horizons, of every market at once; one question for each model."""
    models = {(one.model_id, one.model_digest) for one in forecasts}
    found: dict[Symbol, SkillFace] = {}
    for model_id, digest in models:
        symbols = tuple(one.symbol for one in forecasts if one.model_digest == digest)
        found |= services.data_cache.get_or_load(
            ("market scores", digest, interval, symbols, services.ledger.version),
            partial(services.ledger.skills, model_id=model_id, symbols=symbols, interval=interval, digest=digest),
            ttl_s=_KEPT_S,
        )
    return found


def trade_cost(services: Services) -> float:
    """Of a round trip, as a fraction."""
    return wording.round_trip(services.settings.trading_fee_bps, services.settings.spread_bps)


def believed(services: Services, forecast: ForecastFace, found: Scores) -> Believed:
    """About the forecast's last horizon, as its headline is."""
    last = int(forecast.horizons[-1])
    here, everywhere = found[forecast.symbol, last], found[None, last]
    ahead = wording.ahead(forecast.interval, last)
    verdict = wording.verdict_on(here)
    moves, cost = median_moves(forecast), trade_cost(services)
    return Believed(
        verdict=verdict,
        score=wording.evidence(here, ahead),
        everywhere=wording.evidence(everywhere, ahead),
        coverage=wording.coverage_sentence(here),
        cost=wording.cost_verdict(float(moves[-1]), cost, believed=verdict == "better"),
        cost_note=_cost_note(forecast, moves, cost),
    )


def median_moves(forecast: ForecastFace) -> Any:
    """(h,) fractions of the last close."""
    middle = list(forecast.quantiles).index(0.5)
    return np.asarray(forecast.prices, dtype=np.float64)[:, middle] / forecast.last_close - 1.0


def _cost_note(forecast: ForecastFace, moves: Any, cost: float) -> str:
    above = np.flatnonzero(np.abs(moves) > cost)
    if not len(above):
        largest = int(np.argmax(np.abs(moves)))
        ahead = wording.ahead(forecast.interval, int(forecast.horizons[largest]))
        move = wording.percent(float(moves[largest]), signed=True)
        return f"The largest median move of any horizon is {move}, after {ahead}."
    first = wording.ahead(forecast.interval, int(forecast.horizons[above[0]]))
    return f"{len(above)} of {len(moves)} horizons have a median move above the cost, the first after {first}."
