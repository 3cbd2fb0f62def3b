"""Ledger writing: forecasts put down and chained, each once; the chain walked; past simulations forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from data.database import Database
from data.many_rows import insert_all
from data.venue import lasts
from models import ledger_calibrations, ledger_chain
from models.forecast import Forecast
from models.ledger_chain import Verification, Walk
from models.ledger_mixes import keep_mix
from models.ledger_models import known_models, model_hash, store_model
from models.ledger_rows import forecast_row, own_answer
from models.ledger_scores import LedgerModel
from models.ledger_tables import BANDS, CALIBRATIONS, FORECASTS, HEADS, MIXES, MODELS, RAW, SCORES, SUM_TABLES

_BATCH = 200


def append(database: Database, connection: sa.Connection, venue: str, forecasts: Sequence[Forecast]) -> int:
    """Forecasts of one model and interval."""
    model = store_model(database, connection, venue, forecasts[0])
    earliest = min(one.last_open_time_ms for one in forecasts)
    known = connection.execute(
        sa.select(FORECASTS.c.symbol, FORECASTS.c.last_open_time_ms).where(
            FORECASTS.c.model == model.key, FORECASTS.c.last_open_time_ms >= earliest
        )
    ).all()
    there = {(symbol, at_ms) for symbol, at_ms in known}
    new = {(str(one.symbol), one.last_open_time_ms): one for one in forecasts}
    written = [one for place, one in new.items() if place not in there]
    rows = [forecast_row(model.key, one) for one in written]
    if rows:
        if written[0].mix is not None:
            keep_mix(database, connection, model, written[0].mix)
        _chain(database, connection, venue, model, rows, [own_answer(one) for one in written])
        insert_all(connection, FORECASTS, rows)
        ledger_calibrations.keep_answers(connection, model, written)
    return len(rows)


def _chain(
    database: Database,
    connection: sa.Connection,
    venue: str,
    model: LedgerModel,
    rows: Sequence[dict[str, Any]],
    answers: Sequence[bytes | None],
) -> None:
    """Gives each row its hash, which covers the model's own answer too, and moves the venue's head on."""
    head = connection.execute(sa.select(HEADS).where(HEADS.c.venue == venue)).one_or_none()
    last = ledger_chain.beginning(venue) if head is None else head.chain
    hashed = model_hash(model, venue)
    for row, answer in zip(rows, answers, strict=True):
        content = (row[name] for name in ledger_chain.CONTENT)
        last = row["chain"] = ledger_chain.link(last, hashed, *content, answer=answer)
    moved = {"venue": venue, "rows": (head.rows if head else 0) + len(rows), "chain": last}
    connection.execute(database.upsert(HEADS), [moved])


def walked(connection: sa.Connection, venue: str, walk: Walk, *, most: int | None) -> Verification:
    """Follows the chain from where `walk` stands, by `most` rows or to its end, and says how far it is whole."""
    head = connection.execute(sa.select(HEADS).where(HEADS.c.venue == venue)).one_or_none()
    models = known_models(connection, venue)
    ours = FORECASTS.c.model.in_(list(models))
    in_order = (FORECASTS.c.model + 0).in_(list(models))  # no index has a sum: rows come by key, and none is sorted
    rows = connection.execute(sa.select(sa.func.count()).select_from(FORECASTS).where(ours)).scalar_one()
    hashes = {key: model_hash(model, venue) for key, model in models.items()}
    columns = [*(FORECASTS.c[name] for name in ("key", "model", "chain", *ledger_chain.CONTENT)), RAW.c.answer]
    query = sa.select(*columns).outerjoin(RAW, RAW.c.forecast == FORECASTS.c.key).where(in_order)
    query = query.where(FORECASTS.c.key > walk.key).order_by(FORECASTS.c.key).limit(most)
    found = connection.execution_options(yield_per=_BATCH).execute(query)
    seen = 0
    for key, model, chained, *content in found:
        seen += 1
        if not walk.step(key, models[model].id, hashes[model], chained, content):
            break
    found.close()
    complete = walk.broken is not None or most is None or seen < most
    if complete:
        walk.finish(head.rows if head else 0, head.chain if head else None)
    newest = ledger_chain.newest_hash(head.chain) if head else ""
    return Verification(rows, walk.checked, walk.unchained, complete, newest, walk.broken)


def forget_simulations(connection: sa.Connection, venue: str) -> None:
    """Everything of other venues that do not last."""
    kept = connection.execute(sa.select(MODELS.c.key, MODELS.c.venue)).all()
    gone = [row.key for row in kept if row.venue != venue and not lasts(row.venue)]
    venues = {row.venue for row in kept if row.key in set(gone)}
    forecasts = sa.select(FORECASTS.c.key).where(FORECASTS.c.model.in_(gone))
    connection.execute(sa.delete(SCORES).where(SCORES.c.forecast.in_(forecasts)))
    connection.execute(sa.delete(RAW).where(RAW.c.forecast.in_(forecasts)))
    for table in (FORECASTS, CALIBRATIONS, BANDS, MIXES, *SUM_TABLES):
        connection.execute(sa.delete(table).where(table.c.model.in_(gone)))
    connection.execute(sa.delete(MODELS).where(MODELS.c.key.in_(gone)))
    connection.execute(sa.delete(HEADS).where(HEADS.c.venue.in_(venues)))
