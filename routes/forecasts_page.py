"""Forecasts page: all markets, horizons and models in one table, and whether the forecasts have deserved belief."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import xxhash

from data.interval import Interval
from data.symbol import Symbol
from models.ledger_scores import LedgerModel
from models.ledger_sums import Detail
from routes import score_charts, wording
from routes.chain_view import ChainView, chain_view
from routes.forecast_score import models_digest, shown_horizons, trade_cost
from routes.forecast_table import Cell, ModelTable, chain, detail, forecast_tables
from routes.forecast_weather import WeatherView, weather_view
from routes.forecasts_choice import chosen_horizon, chosen_table, told_instead
from routes.ledger_answers import silence_mark
from routes.mix_wording import making_of, seen_sentence
from routes.score_charts import Chart
from routes.services import Services
from routes.wording import MIN_SCORED, SHAPES, Trend, Verdict
from utils.last_known import Silence
from utils.phrases import counted

MOST_ROWS = 100
"""Markets and models on one page; the search narrows them down, the files hold all."""
_RANKED = 5
_VERSION_EACH_MS = 60_000


@dataclass(frozen=True, slots=True)
class CellView:
    """One forecast at one horizon, as texts."""

    ahead: str
    trend: Trend
    shape: str
    median: str
    band: str
    clears_cost: bool
    verdict: Verdict
    skill: str
    note: str


@dataclass(frozen=True, slots=True)
class Row:
    """One market and model."""

    symbol: Symbol
    model_id: str
    from_ms: int
    cells: tuple[CellView, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of one model, folded away unless `shown`; without a title where all rows stand in one table."""

    title: str
    rows: tuple[Row, ...]
    shown: bool = True
    count: str = ""
    skill: str = ""
    """Over all markets, at the chosen horizon."""
    verdict: Verdict = "unknown"


@dataclass(frozen=True, slots=True)
class Ranked:
    """A market, model and horizon with its skill."""

    symbol: Symbol
    model_id: str
    ahead: str
    skill: str
    interval: str
    count: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class ForecastsPage:
    """Everything the page of forecasts shows."""

    interval: Interval
    intervals: tuple[Interval, ...]
    models: tuple[str, ...]
    model: str
    model_version: str
    horizons: tuple[tuple[int, str], ...]
    horizon: int
    horizon_text: str
    rows: tuple[Row, ...]
    groups: tuple[Group, ...]
    """The same rows, by model where there are several and no name is looked for."""
    left_out: int
    total: int
    modelled: bool
    """Whether any model can forecast this interval: without one, waiting for a candle to close is in vain."""
    search: str
    best: tuple[Ranked, ...]
    worst: tuple[Ranked, ...]
    evidence: str
    instead: str
    """That something else is shown than what was asked for; nothing where it is the very same."""
    seen: str
    """That the model knows what came after this time; nothing where it does not."""
    verdict: Verdict
    coverage_text: str
    cost_text: str
    clearing: str
    scored_text: str
    chain: ChainView
    coverage: Chart | None
    calibration: Chart | None
    course: Chart | None
    weather: WeatherView | None
    least: int
    silence: Silence | None
    at_ms: int


def forecasts_version(services: Services) -> str:
    """A new one with each forecast or score that is written, and each minute while the chain is walked."""
    parts = (
        services.ledger.version,
        *(models_digest(services, interval) for interval in services.market.intervals),
        str(services.clock.now_ms() // _VERSION_EACH_MS),
        services.exchange.name,
        silence_mark(services),
        services.app_version,
    )
    return xxhash.xxh3_64_hexdigest("|".join(parts).encode())


def forecasts_page(
    services: Services, interval: Interval, *, model_id: str = "", horizon: int = 0, search: str = ""
) -> ForecastsPage:
    """`model_id` and `horizon` choose what the charts are about; nothing or 0: the first and the middle one.

    NotFound for a model that is not there, InvalidInput for a horizon that no model has.
    """
    found = forecast_tables(services, interval)
    chosen = chosen_table(services, found, interval, model_id)
    shown = shown_horizons(chosen.model.horizons) if chosen else ()
    ahead = chosen_horizon(found, shown, horizon)
    looked = detail(services, chosen.model, ahead) if chosen else None
    tables = sorted(found, key=lambda table: table is not chosen)  # which is never what is left out
    rows = [row for table in tables for row in _rows(table) if search in row.symbol]
    cells = [cell for table in found for cell in table.cells]
    skill = chosen.pooled[ahead] if chosen else None
    ahead_text = wording.ahead(interval, ahead)
    return ForecastsPage(
        interval=interval,
        intervals=services.market.intervals,
        models=tuple(table.model.id for table in found),
        model=chosen.model.id if chosen else "",
        model_version=chosen.model.digest[:12] if chosen else "",
        horizons=tuple((one, wording.ahead(interval, one)) for one in shown),
        horizon=ahead,
        horizon_text=ahead_text,
        rows=tuple(rows[:MOST_ROWS]),
        groups=_groups(rows[:MOST_ROWS], tables, ahead, whole=bool(search)),
        left_out=max(0, len(rows) - MOST_ROWS),
        total=sum(len({cell.symbol for cell in table.cells}) for table in found),
        modelled=bool(services.forecaster.models(interval)),
        search=search,
        best=_ranked(cells, best=True),
        worst=_ranked(cells, best=False),
        evidence=wording.evidence(skill, ahead_text) if skill else "",
        instead=told_instead(interval, (model_id, horizon), chosen.model.id if chosen else "", ahead),
        seen=_seen(services, interval, chosen.model.id) if chosen else "",
        verdict=wording.verdict_on(skill) if skill else "unknown",
        coverage_text=wording.coverage_sentence(skill),
        cost_text=wording.percent(trade_cost(services)),
        clearing=f"{sum(cell.clears_cost for cell in cells):,} of {len(cells):,}" if cells else wording.NOTHING,
        scored_text=f"{sum(one.count for table in found for one in table.pooled.values()):,}",
        chain=chain_view(chain(services)),
        coverage=score_charts.coverage_chart(chosen.pooled, MIN_SCORED) if chosen else None,
        calibration=_calibration(chosen.model, looked) if chosen and looked else None,
        course=score_charts.course_chart(looked.course) if looked else None,
        weather=weather_view(looked.weather, interval) if looked else None,
        least=MIN_SCORED,
        silence=services.known.silence,
        at_ms=services.clock.now_ms(),
    )


def _seen(services: Services, interval: Interval, model_id: str) -> str:
    entry = next((one for one in services.forecaster.models(interval) if one.id == model_id), None)
    return seen_sentence(making_of(entry), services.clock.now_ms())


def _calibration(model: LedgerModel, looked: Detail) -> Chart | None:
    return score_charts.calibration_chart(looked.ranks, model.quantiles, MIN_SCORED)


def _rows(table: ModelTable) -> Iterable[Row]:
    """Cells come market by market."""
    width = len(shown_horizons(table.model.horizons))
    for first in range(0, len(table.cells), width):
        cells = table.cells[first : first + width]
        start = cells[0].latest.last_open_time_ms
        yield Row(
            symbol=cells[0].symbol,
            model_id=table.model.id,
            from_ms=table.model.interval.next_open_ms(start),
            cells=tuple(_cell_view(cell) for cell in cells),
        )


def _groups(rows: Sequence[Row], tables: Sequence[ModelTable], horizon: int, *, whole: bool) -> tuple[Group, ...]:
    """One for each model, the first of them open: all of them at once are too long to read, above all on a phone."""
    if whole or len(tables) < 2:
        return (Group("", tuple(rows)),) if rows else ()
    found = []
    for table in tables:
        own = tuple(row for row in rows if row.model_id == table.model.id)
        skill = table.pooled.get(horizon)
        if own:
            found.append(
                Group(
                    title=table.model.id,
                    rows=own,
                    shown=table is tables[0],
                    count=counted(len(own), "market"),
                    skill=wording.skill_cell(skill)[0] if skill else wording.NOTHING,
                    verdict=wording.verdict_on(skill) if skill else "unknown",
                )
            )
    return tuple(found)


def _cell_view(cell: Cell) -> CellView:
    trend = wording.trend(cell.median)
    skill, note = skill_texts(cell)
    return CellView(
        ahead=wording.ahead(cell.model.interval, cell.horizon),
        trend=trend,
        shape=SHAPES[trend],
        median=wording.percent(cell.median, signed=True),
        band=f"{wording.percent(cell.low, 1, signed=True)} to {wording.percent(cell.high, 1, signed=True)}",
        clears_cost=cell.clears_cost,
        verdict=cell.verdict,
        skill=skill,
        note=note,
    )


def skill_texts(cell: Cell) -> tuple[str, str]:
    """The skill, and what it rests on: coverage of the 90 % band and number of scores."""
    skill = cell.skill
    if skill.count < MIN_SCORED:
        return "too few", f"{skill.count} of {MIN_SCORED}"
    covered = f"{wording.percent(skill.coverage_90, 0)} in band, {skill.count:,}"
    return f"skill {wording.percent(skill.skill_fraction, 1, signed=True)}", covered


def _ranked(cells: Sequence[Cell], *, best: bool) -> tuple[Ranked, ...]:
    """The highest or the lowest skills of those that can be told; none where there is nothing to rank."""
    told = [cell for cell in cells if cell.skill.count >= MIN_SCORED and cell.bounds is not None]
    ordered = sorted(told, key=lambda cell: cell.skill.skill_fraction or 0.0, reverse=best)
    most = min(_RANKED, (len(told) + 1 * best) // 2)
    return tuple(_rank(cell) for cell in ordered[:most])


def _rank(cell: Cell) -> Ranked:
    low, high = cell.bounds or (None, None)
    return Ranked(
        symbol=cell.symbol,
        model_id=cell.model.id,
        ahead=wording.ahead(cell.model.interval, cell.horizon),
        skill=wording.percent(cell.skill.skill_fraction, 1, signed=True),
        interval=f"{wording.percent(low, 1, signed=True)} to {wording.percent(high, 1, signed=True)}",
        count=f"{cell.skill.count:,}",
        verdict=cell.verdict,
    )
