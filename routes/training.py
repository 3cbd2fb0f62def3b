"""Training: the form that asks for a model, the queue, and each training with its living progress."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, render_template, request, url_for

from models.jobs import Job
from models.training_request import preset_texts
from routes.budgets import budget
from routes.forms import theme_of
from routes.loss_curve import CURVE_HEIGHT, CURVE_WIDTH
from routes.rate_limits import dear
from routes.services import Services, services
from routes.training_form import DEFAULT_PRESET, chosen, first_texts, form, search_named, texts_of_search, typed
from routes.training_page import job_page, job_rows, job_version, trainings_version
from utils.errors import InvalidInput, NotFound, NotReady
from utils.request_trace import traced

bp = Blueprint("training", __name__, url_prefix="/models/train")

_SIZE: dict[str, Any] = {"curve_width": CURVE_WIDTH, "curve_height": CURVE_HEIGHT}


@bp.get("")
@budget(p95_ms=100, size_bytes=40_000, queries=20)
def page() -> Response:
    parts = _parts()
    texts = first_texts(parts, request.args.get("preset", DEFAULT_PRESET))
    return _form_page(parts, texts | _found_by(parts, request.args.get("study", "")), [])


@bp.post("")
@budget(p95_ms=250, size_bytes=40_000, queries=20)
@dear
def ask() -> Response:
    """Starts what was typed, or fills in a preset, or shows again what is wrong with everything kept as typed."""
    parts, texts, symbols = _parts(), request.form.to_dict(), request.form.getlist("symbols")
    action = texts.get("action", "")
    if action.startswith("preset:"):
        filled = preset_texts(action.removeprefix("preset:"), *chosen(parts, texts))
        return _form_page(parts, texts | filled, symbols)
    if action == "estimate":
        return _form_page(parts, texts, symbols, _wrong(parts, texts, symbols))
    try:
        made = parts.training.submit_all(typed(parts, texts, symbols))
    except InvalidInput as error:
        return _form_page(parts, texts, symbols, error)
    return _to_job(made[0]) if len(made) == 1 else _to_jobs()


@bp.get("/live")
@budget(p95_ms=50, size_bytes=20_000, queries=20)
def live() -> Response:
    """The list of trainings alone; 204 while `version` still names what the reader has."""
    parts = _parts()
    version = trainings_version(parts)
    if request.args.get("version") == version:
        return Response(status=204)
    with traced("render"):
        return _fresh(render_template("_training_jobs.html", jobs=job_rows(parts), version=version))


@bp.get("/<int:job_id>")
@budget(p95_ms=100, size_bytes=60_000, queries=20)
def job(job_id: int) -> Response:
    parts = _parts()
    found = parts.training.jobs.get(job_id)
    return parts.pages.respond(
        request,
        key=("training", job_id, theme_of(request)),
        version=f"{job_version(found)}.{parts.exchange.name}",
        render=lambda: render_template("training_job.html", page=job_page(parts, found), **_SIZE),
    )


@bp.get("/<int:job_id>/live")
@budget(p95_ms=50, size_bytes=40_000, queries=20)
def job_live(job_id: int) -> Response:
    parts = _parts()
    found = parts.training.jobs.get(job_id)
    if request.args.get("version") == job_version(found):
        return Response(status=204)
    with traced("render"):
        return _fresh(render_template("_training_job.html", page=job_page(parts, found), **_SIZE))


@bp.post("/<int:job_id>/<any(cancel, repeat):action>")
@budget(p95_ms=250, size_bytes=2_000, queries=20)
@dear
def change(job_id: int, action: str) -> Response:
    runner = _parts().training
    return _to_job(runner.cancel(job_id) if action == "cancel" else runner.repeat(job_id))


def _found_by(parts: Services, study: str) -> dict[str, str]:
    """What a search found best, as texts; nothing where none was asked for. NotFound where there is no such study."""
    if not study:
        return {}
    found = search_named(parts, study)
    if found is None:
        raise NotFound(f"there is no search {study[:70]!r}")
    return texts_of_search(found)


def _parts() -> Services:
    parts = services()
    if parts.promotion is None or parts.training is None:
        raise NotReady("nothing can be trained here: the application was built without its training parts")
    return parts


def _wrong(parts: Services, texts: dict[str, str], symbols: list[str]) -> InvalidInput | None:
    try:
        typed(parts, texts, symbols)
    except InvalidInput as error:
        return error
    return None


def _form_page(
    parts: Services, texts: dict[str, str], symbols: list[str], error: InvalidInput | None = None
) -> Response:
    with traced("render"):
        html = render_template(
            "training.html",
            form=form(parts, texts, symbols, error),
            jobs=job_rows(parts),
            version=trainings_version(parts),
        )
    return _fresh(html, 400 if error is not None else 200)


def _to_job(found: Job) -> Response:
    return Response(status=303, headers={"Location": url_for("training.job", job_id=found.id)})


def _to_jobs() -> Response:
    return Response(status=303, headers={"Location": url_for("training.page") + "#jobs"})


def _fresh(html: str, status: int = 200) -> Response:
    return Response(html, status, mimetype="text/html", headers={"Cache-Control": "no-cache"})
