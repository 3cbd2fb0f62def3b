"""Forecast score: what the ledger shows of the model behind a forecast, and whether its move would pay for a trade."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from data.interval import Interval
from data.symbol import Symbol
from models.ensemble_file import read_ensembles
from models.ledger_sums import EVERY_HORIZON, SHOWN_HORIZONS, Bands
from routes import wording
from routes.ledger_answers import of_ledger
from routes.services import ForecastFace, Services, SkillFace
from routes.wording import Verdict

Scores = Mapping[tuple[Symbol | None, int], SkillFace]
"""By market (None: all together) and horizon."""
_KEPT_S = 300.0
_MODEL_LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Believed:
    """Sentences beside a forecast. `everywhere` is about all markets together, `cost_note` about all its horizons."""

    verdict: Verdict
    score: str
    everywhere: str
    coverage: str
    calibration: str
    novelty: str
    """What is unusual about the inputs; nothing where they are like those of the training."""
    cost: str
    cost_note: str


def shown_horizons(horizons: Sequence[int]) -> tuple[int, ...]:
    """Those that pages show: the usual ones that the model has, and its last."""
    return tuple(ahead for ahead in horizons if ahead in SHOWN_HORIZONS or ahead == horizons[-1])


def scores(services: Services, forecast: ForecastFace) -> Scores:
    """Of the forecast's very model, in its market and in all; read once for each state of the ledger."""
    horizons = shown_horizons(forecast.horizons)
    return of_ledger(
        services,
        ("scores", forecast.record, forecast.symbol, forecast.interval),
        lambda: services.ledger.skills_by_horizon(
            model_id=forecast.model_id,
            horizons=horizons,
            symbols=(forecast.symbol, None),
            interval=forecast.interval,
            digest=forecast.record,
        ),
        ttl_s=_KEPT_S,
    )


def last_skills(services: Services, forecasts: Sequence[ForecastFace]) -> dict[str, SkillFace]:
    """By record, how each of these models' forecasts of one market did at its last horizon; asked at once."""
    last = {one.record: int(one.horizons[-1]) for one in forecasts}
    if not last:
        return {}
    symbol, interval = forecasts[0].symbol, forecasts[0].interval
    found = of_ledger(
        services,
        ("last scores", symbol, interval, tuple(last)),
        lambda: services.ledger.skills_of(
            list(last), horizons=sorted(set(last.values())), symbols=(symbol,), interval=interval
        ),
        ttl_s=_KEPT_S,
    )
    return {record: found[record, symbol, ahead] for record, ahead in last.items()}


def market_skills(services: Services, interval: Interval, forecasts: Sequence[ForecastFace]) -> dict[Symbol, SkillFace]:
    """Over all horizons, of every market and whatever models serve them at once."""
    records = sorted({one.record for one in forecasts})
    symbols = tuple(one.symbol for one in forecasts)
    found = of_ledger(
        services,
        ("market scores", tuple(records), interval, symbols),
        lambda: services.ledger.skills_of(records, symbols=symbols, interval=interval),
        ttl_s=_KEPT_S,
    )
    return {one.symbol: found[one.record, one.symbol, EVERY_HORIZON] for one in forecasts}


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
        calibration=calibration_sentence(forecast, calibrated(services, forecast, (last,))[last]),
        novelty=novelty_sentence(forecast),
        cost=wording.cost_verdict(float(moves[-1]), cost, believed=verdict == "better"),
        cost_note=_cost_note(forecast, moves, cost),
    )


def calibrated(services: Services, forecast: ForecastFace, horizons: Sequence[int]) -> Mapping[int, Bands]:
    """What calibration did to this model's scored forecasts of this market, by horizon."""
    return of_ledger(
        services,
        ("bands", forecast.record, forecast.symbol, tuple(horizons)),
        partial(services.ledger.bands, digest=forecast.record, symbol=forecast.symbol, horizons=horizons),
        ttl_s=_KEPT_S,
    )


def calibration_sentence(forecast: ForecastFace, bands: Bands) -> str:
    """By how much the bands of the last horizon were stretched, on what grounds, and what that changed."""
    stretch = forecast.stretch
    if forecast.mix is not None:
        return "The bands are the weighted mean of its members’, each calibrated by its own outcomes."
    if stretch is None:
        return "The bands are the model’s own: nothing calibrates them."
    inner, outer = stretch.factors[-1][0], stretch.factors[-1][-1]
    grounds = [f"{stretch.split:,} outcomes after its training"] if stretch.split else []
    grounds += [f"{stretch.outcomes:,} of this market since"] if stretch.outcomes else []
    told = (
        f"Calibrated by {' and '.join(grounds)}: the 50 % band is {inner:.2f}, the 90 % band {outer:.2f} times as wide "
        "as the model’s own."
        if grounds
        else "The bands are still the model’s own; each outcome will calibrate them."
    )
    if bands.scored < wording.MIN_SCORED:
        return f"{told} What that changes: too few to say, {bands.scored} of {wording.MIN_SCORED} scored."
    raw, shown = (
        [wording.percent(share, 0) for share in pair]
        for pair in ((bands.raw_90, bands.raw_50), (bands.shown_90, bands.shown_50))
    )
    return (
        f"{told} Of {bands.scored:,} outcomes the calibrated bands held {shown[0]} and {shown[1]}, the model’s own "
        f"would have held {raw[0]} and {raw[1]}."
    )


def novelty_sentence(forecast: ForecastFace) -> str:
    """Where an input lies far outside of what the model was trained on, or where that is not known."""
    novelty = forecast.novelty
    if novelty is None:
        return "What this model was trained on is not known, so whether today is unlike it cannot be said."
    if not novelty.far:
        return ""
    side = "above" if novelty.distance > 0 else "below"
    return (
        f"Unusual: the input {novelty.feature} is {abs(novelty.distance):.1f} standard deviations {side} the mean of "
        "what this model was trained on. It has seen next to nothing like it; trust this forecast less."
    )


def models_digest(services: Services, interval: Interval) -> str:
    """Of every model of the interval, of every ensemble, and of which one serves which market; the folder of models is
    looked at once a second at most."""

    def look() -> str:
        told = [f"{one.id} {one.digest}" for one in services.forecaster.models(interval)]
        if services.promotion is not None:
            owners = services.promotion.champions.owners()
            told += sorted(f"{place}: {one.digest}" for place, one in owners.items())
            told += map(repr, read_ensembles(services.promotion.root))
        return "|".join(told)

    return services.data_cache.get_or_load(("model digests", interval), look, ttl_s=_MODEL_LOOK_S)


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
