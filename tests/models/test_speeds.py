"""Model speeds: measured beside whoever asks, once per model, and a model that fails holds nobody up."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from models.model_writing import write_model
from models.registry import Registry
from models.registry_entry import RegistryEntry
from models.speeds import ModelSpeeds, measured_s
from tests.support.tiny_model import graph, spec
from utils.clock import SystemClock


@dataclass
class Entry:
    """A model whose building waits until it is let go, or fails."""

    digest: str
    id: str = "one"
    go: threading.Event | None = None
    opened: int = 0

    @property
    def spec(self) -> None:
        return None

    def open(self) -> Any:
        self.opened += 1
        if self.go is None:
            raise RuntimeError("planted")
        assert self.go.wait(90)
        return self

    def run(self, _windows: Any) -> None: ...


def asked(speeds: ModelSpeeds, entry: Any) -> bool:
    return speeds.known(entry)


def test_nobody_waits_and_each_is_measured_once() -> None:
    speeds, go = ModelSpeeds(SystemClock()), threading.Event()
    slow, broken = Entry("a", go=go), Entry("b")
    assert [asked(speeds, slow), asked(speeds, broken), asked(speeds, slow)] == [False, False, False]
    go.set()
    while not (asked(speeds, slow) and asked(speeds, broken)):
        go.wait(0.01)
    speeds.close()
    assert (slow.opened, broken.opened, speeds.changes) == (1, 1, 2)
    seconds: Any = speeds.seconds(slow)  # type: ignore[arg-type]
    assert 0 <= seconds < 1
    assert speeds.seconds(broken) is None  # type: ignore[arg-type]
    assert "model-speeds" not in [thread.name for thread in threading.enumerate()]


def test_nothing_is_measured_any_more_once_it_is_closed() -> None:
    speeds, entry = ModelSpeeds(SystemClock()), Entry("a")
    speeds.close()
    assert not asked(speeds, entry)
    assert "model-speeds" not in [thread.name for thread in threading.enumerate()]
    assert entry.opened == 0


def test_a_real_model_is_timed(tmp_path: Path) -> None:
    write_model(tmp_path, spec("good"), graph(spec("good")), {})
    entry: RegistryEntry = Registry(tmp_path).all()[0]
    assert 0 < measured_s(entry, SystemClock()) < 5


def test_closing_forgets_what_waits() -> None:
    speeds, go = ModelSpeeds(SystemClock()), threading.Event()
    asked(speeds, Entry("a", go=go))
    asked(speeds, Entry("b", go=go))
    closing = threading.Thread(target=speeds.close)
    closing.start()
    go.set()
    closing.join(90)
    assert not closing.is_alive()
    assert speeds.changes <= 2


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Any:
    yield
    assert "model-speeds" not in [thread.name for thread in threading.enumerate()]
