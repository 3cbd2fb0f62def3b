"""Forecast card: the forecast of one market in words, whether it can be believed, and what other models say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.champions import symbols_of
from routes import market_view, wording
from routes.forecast_score import Believed, believed, last_skills, shown_horizons
from routes.gathered import Gathered
from routes.mix_wording import Making, left_out_sentence, making_of, mix_sentence, seen_sentence
from routes.model_record import record_sentence
from routes.services import Services, SkillFace
from routes.wording import Outlook, Verdict


@dataclass(frozen=True, slots=True)
class HorizonRow:
    """The forecast at one horizon: texts of the median and bands, and of the naive forecast's median."""

    candles: int
    ahead: str
    outlook: Outlook
    median_price: str
    low_price: str
    high_price: str
    naive_price: str


@dataclass(frozen=True, slots=True)
class ForecastCard:
    """The forecast in words, and whether it can be believed."""

    headline: Outlook
    ahead: str
    rows: tuple[HorizonRow, ...]
    believed: Believed
    tested: str
    """What the model's own report says, the evidence until the ledger has some; of an ensemble, what it is made of."""
    left_out: str
    """Which members of the ensemble had no forecast; empty where all had."""
    model_id: str
    role: str
    model_age: str
    making: Making
    seen: str
    """That the model knows what came after this time; nothing where it does not."""
    from_ms: int
    made_at_ms: int


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one of the models says of this market at its last horizon, and what its record there is."""

    model_id: str
    role: str
    serves: bool
    shown: bool
    outlook: Outlook
    verdict: Verdict
    record: str
    count: str


def forecast_card(services: Services, gathered: Gathered, decimals: int, now_ms: int) -> ForecastCard | None:
    """None where there is no forecast; prices are told with that many `decimals`."""
    forecast = gathered.forecast
    if forecast is None:
        return None
    entries = _entries(services, gathered)
    entry = next((entry for entry in entries if entry.id == forecast.model_id), None)
    made = making_of(entry)
    horizons = [int(horizon) for horizon in forecast.horizons]
    wanted = [horizons.index(horizon) for horizon in shown_horizons(horizons)]
    return ForecastCard(
        headline=market_view.outlook(forecast),
        ahead=wording.candles_ahead(forecast.interval, horizons[-1]),
        rows=tuple(_horizon_row(forecast, index, horizons[index], decimals) for index in wanted),
        believed=believed(services, forecast, gathered.scores),
        tested=_tested(forecast, entry),
        left_out=left_out_sentence(forecast.mix),
        model_id=forecast.model_id,
        role=_role(services, forecast, entries),
        model_age=_model_age(made.made_ms, now_ms) if made.made_ms is not None else "",
        making=made,
        seen=seen_sentence(made, now_ms),
        from_ms=gathered.candles.last_close_time_ms + 1,
        made_at_ms=forecast.made_at_ms,
    )


def _entries(services: Services, gathered: Gathered) -> Sequence[Any]:
    """The models that can forecast this market, the one that serves it first."""
    return services.forecaster.models(gathered.candles.interval, gathered.candles.symbol)


def opinions(services: Services, gathered: Gathered) -> tuple[Opinion, ...]:
    """Of every model and ensemble that forecasts this market, the serving one first."""
    entries = _entries(services, gathered)
    order = {entry.id: place for place, entry in enumerate(entries)}
    made = sorted(services.forecaster.every([gathered.candles]), key=lambda one: order.get(one.model_id, len(order)))
    skills = last_skills(services, made)
    return tuple(_opinion(services, one, skills[one.record], gathered, entries) for one in made)


def _opinion(
    services: Services, forecast: Any, skill: SkillFace, gathered: Gathered, entries: Sequence[Any]
) -> Opinion:
    record, count = wording.skill_cell(skill)
    return Opinion(
        model_id=forecast.model_id,
        role=_role(services, forecast, entries),
        serves=entries[0].id == forecast.model_id,
        shown=gathered.forecast is not None and gathered.forecast.model_id == forecast.model_id,
        outlook=market_view.outlook(forecast),
        verdict=wording.verdict_on(skill),
        record=record,
        count=count,
    )


def _role(services: Services, forecast: Any, entries: Sequence[Any]) -> str:
    """Where the model stands in this market; `entries` are those that can forecast it, the serving one first."""
    entry = next((one for one in entries if one.id == forecast.model_id), None)
    mixed = ", an ensemble" if forecast.mix is not None else ""
    if entry is not None and entry is entries[0]:
        return ("serves this market alone" if symbols_of(entry) else "champion") + mixed
    common = next(iter(services.forecaster.models(forecast.interval)), None)
    if common is not None and common.id == forecast.model_id:
        return f"champion of the other markets{mixed}"
    return "ensemble" if mixed else "challenger"


def _tested(forecast: Any, entry: Any) -> str:
    if forecast.mix is not None:
        return mix_sentence(forecast.mix)
    last = int(forecast.horizons[-1])
    return record_sentence(entry.report if entry else None, last, wording.ahead(forecast.interval, last))


def _model_age(created_ms: int, now_ms: int) -> str:
    """Nothing where the exchange's clock stands before the model was made, as in a replay of the past."""
    return f"{wording.duration((now_ms - created_ms) / 1000)} old" if now_ms >= created_ms else ""


def _horizon_row(forecast: Any, index: int, horizon: int, decimals: int) -> HorizonRow:
    prices = forecast.prices[index]
    middle = list(forecast.quantiles).index(0.5)
    return HorizonRow(
        candles=horizon,
        ahead=wording.candles_ahead(forecast.interval, horizon),
        outlook=market_view.outlook(forecast, index),
        median_price=wording.price(float(prices[middle]), decimals),
        low_price=wording.price(float(prices[0]), decimals),
        high_price=wording.price(float(prices[-1]), decimals),
        naive_price=wording.price(float(forecast.baseline_prices[index][middle]), decimals),
    )
