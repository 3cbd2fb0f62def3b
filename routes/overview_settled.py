"""Overview settled: what the row of a market shows that no price changes: course, volatility, forecast and score."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.candles import Candles
from data.interval import Interval
from data.symbol import Symbol
from routes import market_view, wording
from routes.services import Services, SkillFace
from routes.svg import Sparkline, sparkline
from routes.wording import Outlook, Trend

SPARK_CANDLES = 48


@dataclass(frozen=True, slots=True)
class Settled:
    """The same until the candle closes, or another model, forecast or score comes; `key` names that state."""

    symbol: Symbol
    interval: Interval
    last_open_time_ms: int
    key: tuple[Any, ...]
    decimals: int
    spark: Sparkline | None
    spark_trend: Trend
    volatility: float | None
    volatility_text: str
    outlook: Outlook | None = None
    median: float | None = None
    no_forecast: str = ""
    skill: float | None = None
    skill_text: str = wording.NOTHING
    skill_note: str = ""
    own_model: str = ""
    """The model that serves this market alone; empty where the one of the interval does."""


def settled(services: Services, candles: Candles, answer: Any, skill: SkillFace | None, own_model: str) -> Settled:
    """Of one market's closed candles, its forecast (or why there is none) and that model's score; made once."""
    key: tuple[Any, ...] = ("overview", candles.digest, _name(answer), skill, own_model)
    return services.data_cache.get_or_load(
        key,
        lambda: _settle(key, candles, answer, skill, own_model),
        ttl_s=candles.interval.ms / 1000,
        lane=(("overview", candles.symbol, candles.interval), candles.last_open_time_ms),
    )


def _settle(key: tuple[Any, ...], candles: Candles, answer: Any, skill: SkillFace | None, own_model: str) -> Settled:
    closes = candles.close[-SPARK_CANDLES:]
    volatility = market_view.volatility_day(candles)
    return Settled(
        symbol=candles.symbol,
        interval=candles.interval,
        last_open_time_ms=candles.last_open_time_ms,
        key=key,
        decimals=wording.price_decimals(candles.close),
        spark=sparkline(closes),
        spark_trend=wording.trend(float(closes[-1] / closes[0] - 1)),
        volatility=volatility,
        volatility_text=wording.percent(volatility, 1),
        own_model=own_model,
        **_forecast_part(answer, skill),
    )


def _name(answer: Any) -> tuple[Hashable, ...]:
    """Which forecast it is, or why there is none."""
    if not market_view.is_forecast(answer):
        return (str(answer.reason),)
    return (answer.model_digest, answer.last_open_time_ms, answer.made_at_ms)


def _forecast_part(answer: Any, skill: SkillFace | None) -> dict[str, Any]:
    if not market_view.is_forecast(answer):
        return {"no_forecast": str(answer.reason)}
    value = skill.skill_fraction if skill is not None and skill.count >= wording.MIN_SCORED else None
    text, note = wording.skill_cell(skill) if skill is not None else wording.SKILL_NOT_KNOWN
    return {
        "outlook": market_view.outlook(answer),
        "median": float(np.asarray(answer.log_returns)[-1][list(answer.quantiles).index(0.5)]),
        "skill": value,
        "skill_text": text,
        "skill_note": note,
    }
