"""Forecasts choice: which model and horizon the page of forecasts is about, of those that an address may ask for."""

from __future__ import annotations

from collections.abc import Sequence

from data.interval import Interval
from routes import wording
from routes.forecast_score import shown_horizons
from routes.forecast_table import ModelTable
from routes.forms import MOST_LISTED
from routes.services import Services
from utils.errors import InvalidInput, NotFound
from utils.phrases import some


def chosen_table(
    services: Services, found: Sequence[ModelTable], interval: Interval, model_id: str
) -> ModelTable | None:
    """The first where none is named, or where the one named is there and has made no forecast yet."""
    named = next((table for table in found if table.model.id == model_id), None)
    if named is None and model_id:
        known = dict.fromkeys([*(table.model.id for table in found), *_serving(services, interval)])
        if model_id not in known:
            told = some(list(known), MOST_LISTED) or "none yet"
            raise NotFound(f"no model {model_id!r} forecasts {interval} candles; those that do: {told}")
    return named or (found[0] if found else None)


def _serving(services: Services, interval: Interval) -> list[str]:
    return [str(entry.id) for entry in services.forecaster.models(interval)]


def chosen_horizon(found: Sequence[ModelTable], shown: Sequence[int], horizon: int) -> int:
    """The middle one where none is asked for, or where only another model has it: its links lead here."""
    every = sorted({one for table in found for one in shown_horizons(table.model.horizons)})
    if horizon and every and horizon not in every:
        raise InvalidInput(f"horizon is {horizon}; use one of {', '.join(map(str, every))} candles ahead")
    return horizon if horizon in shown else (shown[len(shown) // 2] if shown else 0)


def told_instead(interval: Interval, asked: tuple[str, int], model: str, ahead: int) -> str:
    """That something else is shown than what was asked for; nothing where it is the very same."""
    model_id, horizon = asked
    if model and model_id not in ("", model):
        return f"{model_id} has made no forecast of {interval} candles yet: the charts are about {model}."
    if ahead and horizon not in (0, ahead):
        there, here = wording.ahead(interval, horizon), wording.ahead(interval, ahead)
        return f"{model} is not shown at {there}: the charts are about {here}."
    return ""
