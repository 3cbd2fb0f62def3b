"""Training page: the trainings and checks asked for, and one of them with its progress, curves and log."""

from __future__ import annotations

from dataclasses import dataclass

from models.job_requests import CheckRequest, SearchRequest, Task
from models.jobs import FETCHING, Job, JobState
from models.promotion import Promotion
from models.training_request import TrainingRequest
from models.traits import TRAITS
from routes import wording
from routes.loss_curve import LossCurve, loss_curves
from routes.model_card import Fact, venue_text
from routes.services import Services
from routes.training_form import NUMBERS, about
from utils.phrases import some

SHOWN = 30
_MARKETS_NAMED = 6
TASK_WORDS = {
    Task.LEAKTEST: "Leak test",
    Task.PLACEBO: "Placebo twin",
    Task.WALKFORWARD: "Walk forward",
    Task.IMPORTANCE: "Importance of inputs",
    Task.QUANTIZE: "Int8 twin",
    Task.CHALLENGE: "Challenge",
    Task.SEARCH: "Search",
}
"""What a job that is no training is called."""
_SIGNS = {
    JobState.QUEUED: "◷",
    JobState.RUNNING: "▶",
    JobState.DONE: "✓",
    JobState.FAILED: "✕",
    JobState.CANCELLED: "–",
    JobState.LOST: "?",
}
_STEPS = {
    "training": ("epoch", "training ends"),
    "walking": ("fold", "all folds are over"),
    "searching": ("trial", "all trials are over"),
    "asking": ("deal", "all inputs were dealt out"),
}
_STAGES = {
    "": "starting",
    FETCHING: "fetching history from the exchange",
    "reading": "reading candles",
    "preparing": "computing features",
    "training": "training",
    "walking": "learning fold by fold",
    "searching": "trying recipes",
    "checking": "checking the exported graph against the network",
    "asking": "asking the model with one input dealt out at a time",
    "judging": "judging on validation and test",
    "writing": "writing the model",
}
_LEFT_IN = {FETCHING: " in fetching, before it begins", "training": " in training"}
_CHECK_STAGES = {
    "checking": "trying whether it sees the future",
    "judging": "asking the model about stored candles",
}
"""What stages mean in a job that trains nothing, where that is something else."""


@dataclass(frozen=True, slots=True)
class JobRow:
    """One training in a line. `share` is what is over of its epochs, or of the candles it fetches first: 0 … 100."""

    id: int
    title: str
    model_id: str
    state: str
    sign: str
    word: str
    doing: str
    share: float
    created_ms: int
    took: str
    unfinished: bool


@dataclass(frozen=True, slots=True)
class JobPage:
    """One training with all that is known of it."""

    version: str
    row: JobRow
    message: str
    cancelling: bool
    eta: str
    started_ms: int | None
    ended_ms: int | None
    speed: str
    model_there: bool
    repeats: int | None
    facts: tuple[Fact, ...]
    trains: bool
    curves: tuple[LossCurve, ...]
    log: str


def trainings_version(parts: Services) -> str:
    return str(parts.training.jobs.changes())


def job_version(job: Job) -> str:
    return f"{job.id}.{job.changes}"


def job_rows(parts: Services) -> tuple[JobRow, ...]:
    """The newest first."""
    return tuple(_row(job) for job in parts.training.jobs.recent(SHOWN))


def job_page(parts: Services, job: Job) -> JobPage:
    """Of a training, a check or a search, as it stands now."""
    promotion: Promotion = parts.promotion
    return JobPage(
        version=job_version(job),
        row=_row(job),
        message=job.message,
        cancelling=job.cancelling and job.unfinished,
        eta=_eta(parts, job) if job.unfinished else "",
        started_ms=job.started_ms,
        ended_ms=job.ended_ms,
        speed=f"{job.windows_per_s:,.0f} windows a second" if job.windows_per_s else wording.NOTHING,
        model_there=job.task is not Task.SEARCH and job.state is JobState.DONE and promotion.taken(job.model_id),
        repeats=job.repeats,
        facts=_facts(job),
        trains=job.task is Task.TRAIN,
        curves=loss_curves(job.curve, job.steps if job.unfinished else len(job.curve)),
        log=job.log,
    )


def _row(job: Job) -> JobRow:
    running = job.state is JobState.RUNNING
    doing = _doing(job) if running else ""
    if running and job.stage == FETCHING and job.windows:
        doing += f", {job.epoch:,} of {job.windows:,} candles"
    if running and job.stage in _STEPS and job.steps:
        name, end = _STEPS[job.stage]
        doing = f"{name} {job.epoch + 1} of {job.steps}" if job.epoch < job.steps else end
    took = wording.NOTHING
    if job.started_ms is not None and job.ended_ms is not None:
        took = wording.duration((job.ended_ms - job.started_ms) / 1000)
    return JobRow(
        id=job.id,
        title=title(job),
        model_id=job.model_id,
        state=str(job.state),
        sign=_SIGNS[job.state],
        word="being cancelled" if job.cancelling and job.unfinished else str(job.state),
        doing=doing,
        share=round(100 * job.share, 1),
        created_ms=job.created_ms,
        took=took,
        unfinished=job.unfinished,
    )


def _eta(parts: Services, job: Job) -> str:
    """What is left of the stage in words; nothing where that is not known.

    A first epoch holds TensorFlow's set-up: carried on it is only the most that the others may take. Until there are
    two, earlier trainings of the kind tell more.
    """
    left_s = job.eta_s
    if job.stage == "training" and job.epoch < 2 and job.windows and isinstance(job.request, TrainingRequest):
        rate = parts.training.estimate(job.request).windows_per_s
        guessed_s = job.windows * (job.steps - job.epoch) / rate
        if left_s is None or guessed_s < left_s:
            return f"{about(guessed_s)} left in training by a rough estimate"
    if left_s is None:
        return ""
    return f"{about(left_s)} left{_LEFT_IN.get(job.stage, '')}"


def _doing(job: Job) -> str:
    words = _STAGES if job.task is Task.TRAIN else _STAGES | _CHECK_STAGES
    return words.get(job.stage, "")


def title(job: Job) -> str:
    """The model's name, or what is done with it."""
    if job.task is Task.TRAIN:
        return job.model_id
    return f"{TASK_WORDS[job.task]} {'in study' if job.task is Task.SEARCH else 'of'} {job.model_id}"


def _facts(job: Job) -> tuple[Fact, ...]:
    if isinstance(job.request, TrainingRequest):
        return _training_facts(job, job.request)
    facts = [Fact("What", TASK_WORDS[job.task]), Fact("Candles of", venue_text(job.venue))]
    if isinstance(job.request, CheckRequest) and job.request.against:
        facts.append(Fact("Against", job.request.against))
    if isinstance(job.request, SearchRequest):
        facts.append(Fact("Kind", f"{job.request.kind}, {job.request.interval} candles"))
        facts.append(Fact("Trials", f"{job.request.trials} more, each over {job.request.folds} folds"))
    return tuple(facts)


def _training_facts(job: Job, request: TrainingRequest) -> tuple[Fact, ...]:
    recipe = request.recipe
    span = f"{request.from_date or 'the first stored'} … {request.until_date or 'the last stored'}"
    return (
        Fact("Kind", str(recipe.kind)),
        Fact("Markets", f"{some(request.symbols, _MARKETS_NAMED)}, {request.interval} candles"),
        Fact("Serves", "these markets alone" if request.own else "any market"),
        *([Fact("Recipe", f"best of {request.trials} trials of {request.study}")] if request.study else []),
        Fact("Span", span),
        Fact("Candles of", venue_text(job.venue)),
        *(Fact(NUMBERS[name][0], f"{getattr(recipe, name):g}") for name in TRAITS[recipe.kind].uses),
    )
