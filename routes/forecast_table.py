"""Forecast table: every model's newest forecast of every market with its scores, as numbers for page, JSON and CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from data.interval import Interval
from data.symbol import Symbol
from models.ledger_chain import Verification
from models.ledger_scores import Latest, LedgerModel, interval_95
from models.ledger_sums import Detail
from routes import tables, wording
from routes.digits import computed, significant_or_none
from routes.forecast_score import models_digest, shown_horizons, trade_cost
from routes.ledger_answers import of_ledger
from routes.services import Services, SkillFace
from routes.wording import Verdict

COURSE_POINTS = 60
_KEPT_S = 300.0
_CHAIN_S = 60.0
_LONG_ROWS = 2_000
"""Ten milliseconds; 20,000, the most of one walk, take a hundred."""
CSV_COLUMNS = (
    "symbol", "model", "digest", "horizon", "from_close_ms", "made_at_ms", "last_close", "median", "low_5", "high_95",
    "clears_cost", "scored", "blocks", "skill", "skill_low_95", "skill_high_95", "verdict", "coverage_50",
    "coverage_90",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cell:
    """One model's forecast of one market at one horizon: fractions of the last close, and how such ones did."""

    symbol: Symbol
    model: LedgerModel
    horizon: int
    latest: Latest
    median: float
    low: float
    high: float
    clears_cost: bool
    skill: SkillFace

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The 95 % interval of the skill."""
        return interval_95(self.skill.skill_fraction, self.skill.skill_standard_error, self.skill.blocks)

    @property
    def verdict(self) -> Verdict:
        return wording.verdict_on(self.skill)


@dataclass(frozen=True, slots=True)
class ModelTable:
    """A model's cells, market by market, and its scores over all markets at every horizon."""

    model: LedgerModel
    cells: tuple[Cell, ...]
    pooled: Mapping[int, SkillFace]


def forecast_tables(services: Services, interval: Interval) -> tuple[ModelTable, ...]:
    """One per model that has forecast on this interval; gathered once for each state of the ledger."""
    return of_ledger(
        services,
        ("forecast table", interval),
        partial(_tables, services, interval),
        ttl_s=_KEPT_S,
        beside=models_digest(services, interval),
    )


def detail(services: Services, model: LedgerModel, horizon: int) -> Detail:
    """What is kept of one model at one horizon."""
    return of_ledger(
        services,
        ("forecast detail", model.key, horizon),
        lambda: services.ledger.details([model], [horizon], COURSE_POINTS)[model.key, horizon],
        ttl_s=_KEPT_S,
    )


def chain(services: Services) -> Verification:
    """The hash chain, walked on by a bounded number of rows: a long one once a minute, whatever is written meanwhile,
    since each walk takes longer than everything else on the page of forecasts."""

    def walk() -> Verification:
        return of_ledger(services, ("ledger chain",), services.ledger.check, ttl_s=_CHAIN_S)

    return services.data_cache.get_or_load(
        ("long ledger chain", services.ledger.venue),
        walk,
        ttl_s=lambda found: _CHAIN_S if found.checked >= _LONG_ROWS else 0.0,
    )


def whole_chain(services: Services) -> Verification:
    """From its first row to its last, once a minute at most."""
    return services.data_cache.get_or_load(("whole ledger chain",), services.ledger.verify, ttl_s=_CHAIN_S)


def _tables(services: Services, interval: Interval) -> tuple[ModelTable, ...]:
    """The model that serves first, as everywhere; then the others by id. As many questions for many as for one."""
    serving = next((one.record for one in services.forecaster.models(interval)), "")
    models = sorted(services.ledger.models(interval), key=lambda model: model.record != serving)
    newest = services.ledger.latest(models)
    records, ask = [model.record for model in models], services.ledger.skills_of
    markets = [symbol for symbol in services.market.symbols if any(symbol in known for known in newest.values())]
    shown = sorted({ahead for model in models for ahead in shown_horizons(model.horizons)})
    every = sorted({ahead for model in models for ahead in model.horizons})
    found = ask(records, horizons=shown, symbols=markets, interval=interval)
    pooled = ask(records, horizons=every, interval=interval)
    cost = trade_cost(services)
    return tuple(
        ModelTable(
            model,
            tuple(
                _cell(model, newest[model.key][symbol], ahead, found[model.record, symbol, ahead], cost)
                for symbol in markets
                if symbol in newest[model.key]
                for ahead in shown_horizons(model.horizons)
            ),
            {ahead: pooled[model.record, None, ahead] for ahead in model.horizons},
        )
        for model in models
    )


def _cell(model: LedgerModel, latest: Latest, horizon: int, skill: SkillFace, cost: float) -> Cell:
    moves = np.expm1(latest.log_returns[model.horizons.index(horizon)])
    median = float(moves[model.quantiles.index(0.5)])
    return Cell(
        symbol=latest.symbol,
        model=model,
        horizon=horizon,
        latest=latest,
        median=median,
        low=float(moves[0]),
        high=float(moves[-1]),
        clears_cost=abs(median) > cost,
        skill=skill,
    )


def cell_row(cell: Cell) -> dict[str, Any]:
    """By CSV_COLUMNS; skill and coverage are null until something was scored."""
    low, high = cell.bounds or (None, None)
    return dict(
        zip(
            CSV_COLUMNS,
            (
                str(cell.symbol),
                cell.model.id,
                cell.model.digest,
                cell.horizon,
                cell.model.interval.next_open_ms(cell.latest.last_open_time_ms),
                cell.latest.made_at_ms,
                cell.latest.last_close,
                *map(significant_or_none, (cell.median, cell.low, cell.high)),
                cell.clears_cost,
                cell.skill.count,
                cell.skill.blocks,
                *map(significant_or_none, (cell.skill.skill_fraction, low, high)),
                cell.verdict,
                *map(significant_or_none, (cell.skill.coverage_50, cell.skill.coverage_90)),
            ),
            strict=True,
        )
    )


def forecasts_csv(found: Sequence[ModelTable]) -> str:
    rows = (list(cell_row(cell).values()) for table in found for cell in table.cells)
    return tables.csv_text(CSV_COLUMNS, rows)


def forecasts_json(services: Services, interval: Interval) -> dict[str, Any]:
    """Everything the page of forecasts shows of this interval, for every model at every shown horizon."""
    found = forecast_tables(services, interval)
    return {
        "interval": str(interval),
        "cost_fraction": trade_cost(services),
        "chain": chain_json(chain(services)),
        "columns": CSV_COLUMNS,
        "rows": [list(cell_row(cell).values()) for table in found for cell in table.cells],
        "models": computed(_models_json(services, found)),
    }


def chain_json(found: Verification) -> dict[str, Any]:
    """The same as `chain_view.chain_view` says in words."""
    broken = found.broken
    return {
        "intact": found.intact,
        "rows": found.rows,
        "checked": found.checked,
        "unchained": found.unchained,
        "complete": found.complete,
        "head": found.head,
        "broken": None
        if broken is None
        else {
            "row": broken.row,
            "model": broken.model_id,
            "symbol": broken.symbol,
            "last_open_time_ms": broken.last_open_time_ms,
            "reason": broken.reason,
        },
    }


def _models_json(services: Services, found: Sequence[ModelTable]) -> list[dict[str, Any]]:
    """Of all models what the page shows of the chosen one."""
    models = [table.model for table in found]
    every = {ahead for model in models for ahead in shown_horizons(model.horizons)}
    details = of_ledger(
        services,
        ("forecast details", tuple(model.key for model in models)),
        lambda: services.ledger.details(models, every, COURSE_POINTS),
        ttl_s=_KEPT_S,
    )
    return [_model_json(table, details) for table in found]


def _model_json(table: ModelTable, details: Mapping[tuple[int, int], Detail]) -> dict[str, Any]:
    model = table.model
    return {
        "model": model.id,
        "digest": model.digest,
        "quantiles": model.quantiles,
        "coverage": {
            "horizons": model.horizons,
            "scored": [table.pooled[ahead].count for ahead in model.horizons],
            "skill": [table.pooled[ahead].skill_fraction for ahead in model.horizons],
            "coverage_50": [table.pooled[ahead].coverage_50 for ahead in model.horizons],
            "coverage_90": [table.pooled[ahead].coverage_90 for ahead in model.horizons],
        },
        "details": {ahead: _detail_json(details[model.key, ahead]) for ahead in shown_horizons(model.horizons)},
    }


def _detail_json(found: Detail) -> dict[str, Any]:
    course, weather = found.course, found.weather
    return {
        "outcomes_between_quantiles": found.ranks.tolist(),
        "course": {
            "from_ms": course.from_ms.tolist(),
            "until_ms": course.until_ms.tolist(),
            "scored": course.count.tolist(),
            "loss_sum": course.loss.tolist(),
            "baseline_loss_sum": course.baseline_loss.tolist(),
        },
        "hour_by_volatility": {
            "edges": weather.edges,
            "scored": weather.count.tolist(),
            "loss_sum": weather.loss.tolist(),
            "baseline_loss_sum": weather.baseline_loss.tolist(),
        },
    }
