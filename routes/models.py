"""Models: the registry and each model's card; which one serves, the way back, and the archive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, render_template, request, url_for

from data.interval import Interval
from data.symbol import Symbol
from models import exchange
from models.exchange import pack
from models.job_requests import CheckRequest, Task
from models.schedules import UNITS
from models.search_request import search_request
from models.spec import ModelSpec, parse_id
from routes import score_charts
from routes.budgets import budget
from routes.ensemble_page import EnsembleCard, EnsembleForm, ensemble_form
from routes.ensemble_rows import ensemble_rows
from routes.forms import parse_whole, theme_of
from routes.last_card import last_card
from routes.loss_curve import CURVE_HEIGHT, CURVE_WIDTH
from routes.market_view import known_markets
from routes.model_card import found
from routes.model_diff import model_diff
from routes.model_life import HEIGHT, WIDTH
from routes.models_page import models_page, models_version
from routes.models_records import records_of
from routes.rate_limits import dear
from routes.services import Services, services
from utils.errors import InvalidInput, NotReady
from utils.request_trace import traced

bp = Blueprint("models", __name__, url_prefix="/models")

_CHANGES = {"own": "choose_own"}
"""What the promotion calls them, where not the same."""


@bp.get("")
@budget(p95_ms=150, size_bytes=40_000, queries=40)
def page() -> Response:
    return _respond(("models",), lambda parts: _models_html(parts, ensemble_form(parts)))


@bp.get("/diff")
@budget(p95_ms=250, size_bytes=40_000, queries=60)
def diff() -> Response:
    """Two models side by side."""
    parts = _parts()
    first, second = (parse_id(request.args.get(name, "")) for name in ("a", "b"))
    with traced("render"):
        html = render_template("model_diff.html", diff=model_diff(parts, first, second))
    return Response(html, mimetype="text/html", headers={"Cache-Control": "no-cache"})


@bp.get("/<model_id>")
@budget(p95_ms=250, size_bytes=60_000, queries=60)
def card(model_id: str) -> Response:
    def render(parts: Services) -> str:
        seen = last_card(parts, model_id)
        if isinstance(seen.card, EnsembleCard):
            return render_template("ensemble.html", card=seen.card, silence=seen.silence)
        size: dict[str, Any] = {"curve_width": CURVE_WIDTH, "curve_height": CURVE_HEIGHT}
        size |= {"life_width": WIDTH, "life_height": HEIGHT, "units": UNITS}
        size |= {"chart_width": score_charts.WIDTH, "chart_height": score_charts.HEIGHT}
        return render_template("model.html", card=seen.card, silence=seen.silence, **size)

    return _respond(("model", model_id), render)


@bp.get("/<model_id>/export")
@budget(p95_ms=1000, size_bytes=20_000_000, queries=20)
@dear
def export(model_id: str) -> Response:
    """The model as a zip, archived or not."""
    entry, _ = found(_parts(), parse_id(model_id))
    name = f'attachment; filename="{entry.id}.zip"'
    return Response(pack(entry), mimetype="application/zip", headers={"Content-Disposition": name})


@bp.post("/search")
@budget(p95_ms=250, size_bytes=2_000, queries=20)
@dear
def search() -> Response:
    """Asks for a search for a recipe in the background, and shows how it goes."""
    parts, texts = _parts(), request.form
    wanted = search_request(texts, parts.market.intervals, known_markets(parts.market))
    job = parts.training.ask(wanted)
    return Response(status=303, headers={"Location": url_for("training.job", job_id=job.id)})


@bp.post("/ensemble")
@budget(p95_ms=250, size_bytes=40_000, queries=60)
@dear
def ensemble() -> Response:
    """Makes an ensemble of the ticked models and shows it, or shows again what is wrong, with everything as typed."""
    parts, name, members = _parts(), request.form.get("name", "").strip(), request.form.getlist("members")
    try:
        made = parts.ensembles.make(name, members)
    except InvalidInput as error:
        return Response(_models_html(parts, ensemble_form(parts, name, members, str(error))), 400, mimetype="text/html")
    return Response(status=303, headers={"Location": url_for("models.card", model_id=made.id)})


@bp.post("/<model_id>/<any(weigh, every, dissolve):action>")
@budget(p95_ms=250, size_bytes=2_000, queries=20)
@dear
def change_ensemble(model_id: str, action: str) -> Response:
    """Weighs an ensemble again or sets how often, and shows it; or takes it away."""
    parts = _parts()
    if action == "dissolve":
        parts.promotion.dissolve(model_id)
        return Response(status=303, headers={"Location": url_for("models.page")})
    if action == "weigh":
        parts.ensembles.weigh_again(model_id)
    else:
        parts.ensembles.set_every(model_id, parse_whole("every", request.form.get("every", "")))
    return Response(status=303, headers={"Location": url_for("models.card", model_id=model_id)})


@bp.post("/import")
@budget(p95_ms=2000, size_bytes=2_000, queries=20)
@dear
def bring_in() -> Response:
    """Puts the uploaded zip's model among the others, and shows it."""
    sent = request.files.get("file")
    if sent is None or not sent.filename:
        raise InvalidInput("no file was chosen; choose the zip of a model")
    with sent.stream as stream:
        content = stream.read(exchange.MAX_ZIP_BYTES + 1)
    entry = exchange.bring_in(content, _parts().promotion)
    return Response(status=303, headers={"Location": url_for("models.card", model_id=entry.id)})


@bp.post("/<model_id>/<any(leaktest, placebo, walkforward, importance, quantize):task>")
@budget(p95_ms=250, size_bytes=2_000, queries=20)
@dear
def check(model_id: str, task: str) -> Response:
    """Asks for a check in the background, and shows how it goes."""
    parts = _parts()
    entry = parts.registry.get(parse_id(model_id))
    spec = entry.spec
    job = parts.training.ask(CheckRequest(Task(task), entry.id, spec.interval, symbols=_followed(parts, spec)))
    return Response(status=303, headers={"Location": url_for("training.job", job_id=job.id)})


@bp.post("/<model_id>/schedule")
@budget(p95_ms=250, size_bytes=2_000, queries=20)
@dear
def schedule(model_id: str) -> Response:
    """Sets, changes or ends the retraining of a model by itself, or begins one now."""
    parts, texts, name = _parts(), request.form, parse_id(model_id)
    if parts.retrainer is None:
        raise NotReady("models cannot be retrained here: the application was built without its training parts")
    action = texts.get("action", "set")
    if action == "off":
        parts.retrainer.schedules.remove(name)
    elif action == "now":
        parts.retrainer.now(name)
    else:
        parts.retrainer.set(name, parse_whole("every", texts.get("every", "")), texts.get("unit", ""))
    return Response(status=303, headers={"Location": url_for("models.card", model_id=name)})


@bp.post("/<model_id>/<any(promote, archive, unarchive, own, give_back):action>")
@budget(p95_ms=250, size_bytes=2_000, queries=10)
def change(model_id: str, action: str) -> Response:
    """Back to the registry, where the change is seen."""
    getattr(_parts().promotion, _CHANGES.get(action, action))(model_id)
    return Response(status=303, headers={"Location": url_for("models.page")})


@bp.post("/rollback")
@budget(p95_ms=250, size_bytes=2_000, queries=10)
def rollback() -> Response:
    """The model before serves that interval again."""
    _parts().promotion.roll_back(Interval.parse(request.form.get("interval", "")))
    return Response(status=303, headers={"Location": url_for("models.page")})


def _models_html(parts: Services, made: EnsembleForm | None) -> str:
    records = records_of(parts)
    page, ensembles = models_page(parts, records), ensemble_rows(parts, records)
    return render_template("models.html", page=page, ensembles=ensembles, ensemble_form=made)


def _followed(parts: Services, spec: ModelSpec) -> tuple[Symbol, ...]:
    """Of the markets that a model was trained on those that are followed, whose history can be fetched."""
    return tuple(one for one in spec.trained_on if one in parts.market.symbols)


def _parts() -> Services:
    parts = services()
    if parts.promotion is None or parts.training is None:
        raise NotReady("the models cannot be managed here: the application was built without its training parts")
    return parts


def _respond(key: tuple[str, ...], render: Callable[[Services], str]) -> Response:
    parts = _parts()
    return parts.pages.respond(
        request, key=(*key, theme_of(request)), version=models_version(parts), render=lambda: render(parts)
    )
