"""Model pages: three small models behind the whole application, a reader of their pages, and what forms send."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from data.interval import Interval
from models.jobs import Job
from models.training_request import preset_texts
from tests.support import tiny_model
from tests.support.trainings import request as training
from tests.support.workbench import Bench, bench

OURS = {"Origin": "http://localhost"}
FORM = {"kind": "tcn", "interval": "1h", "action": "start", **preset_texts("quick")}


@contextmanager
def three_models(folder: Path) -> Iterator[Bench]:
    for age, name in enumerate(("alpha", "beta", "gamma")):
        tiny_model.save(folder / "models", tiny_model.spec(name, created_ms=tiny_model.START_MS - age), seed=age)
    with bench(folder) as built:
        yield built


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Bench]:
    with three_models(tmp_path) as built:
        yield built


@pytest.fixture
def client(made: Bench) -> FlaskClient:
    return made.app.test_client()


def text_of(answer: TestResponse) -> str:
    return unescape(" ".join(re.sub(r"<[^>]+>", " ", answer.text).split()))


def post(client: FlaskClient, address: str, **form: str | list[str]) -> TestResponse:
    return client.post(address, data=form, headers=OURS)


def serving(made: Bench) -> str:
    entry = made.services.registry.default(Interval.H1)
    assert entry is not None
    return str(entry.id)


def running_job(made: Bench) -> Job:
    """As a trainer would have left it in its eighth epoch."""
    jobs = made.runner.jobs
    job = jobs.add(training("made-one", epochs=20), venue="binance", now_ms=1_000)
    jobs.begin(job.id, 2_000)
    curve = [[0.09 - 0.001 * epoch, 0.26 - 0.002 * epoch] for epoch in range(8)]
    jobs.progressed(job.id, stage="training", epoch=8, curve=curve, eta_s=140.0, windows=3000, fit_s=30.0, log="<b>x")
    return jobs.get(job.id)
