"""Forecast weather: a model's skill by the hour of the day and the market's volatility, as a table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.interval import Interval
from models.ledger_sums import Weather
from routes import wording
from routes.wording import MIN_SCORED, Verdict

_THIRDS = ("calm", "usual", "lively")


@dataclass(frozen=True, slots=True)
class WeatherCell:
    text: str
    note: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class WeatherView:
    """Skill by UTC hour and third of the forecasts by volatility; `summary` counts where it is worse than naive."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, tuple[WeatherCell, ...]], ...]
    summary: str


def weather_view(weather: Weather, interval: Interval) -> WeatherView | None:
    """Skill by hour (UTC) and third of volatility; None before there are thirds."""
    if weather.edges is None:
        return None
    low, high = (wording.percent(edge) for edge in weather.edges)
    told = weather.count >= MIN_SCORED
    with np.errstate(divide="ignore", invalid="ignore"):
        skills = 1.0 - weather.loss / weather.baseline_loss
    worse = int((told & (skills < 0)).sum())
    cells = [
        [_weather_cell(float(skills[place]), int(weather.count[place])) for place in ((hour, 0), (hour, 1), (hour, 2))]
        for hour in range(len(weather.count))
    ]
    there = [hour for hour in range(len(weather.count)) if weather.count[hour].any()]
    return WeatherView(
        columns=tuple(zip(_THIRDS, (f"below {low}", f"{low} to {high}", f"above {high}"), strict=True)),
        rows=tuple((f"{hour:02d}:00", tuple(cells[hour])) for hour in there),
        summary=_weather_summary(worse, int(told.sum()), int(weather.count[there].size), interval),
    )


def _weather_cell(skill: float, count: int) -> WeatherCell:
    if count < MIN_SCORED:
        return WeatherCell("too few", f"{count}", "unknown")
    return WeatherCell(
        wording.percent(skill, 1, signed=True),
        f"{count:,}",
        "worse" if skill < 0 else "better" if skill > 0 else "even",
    )


def _weather_summary(worse: int, told: int, cells: int, interval: Interval) -> str:
    if not told:
        return f"Too few to say: no hour and volatility has {MIN_SCORED} scored forecasts yet."
    return (
        f"Worse than the naive forecast in {worse} of {told} cells that hold {MIN_SCORED} scored forecasts or more, "
        f"{cells - told} hold fewer. A model that knows nothing would be worse in about half of them. "
        f"Volatility is that of one {interval} candle, in thirds of all forecasts."
    )
