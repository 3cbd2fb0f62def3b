"""One look: inside of a page the models are seen once, outside of it and for others anew each time."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from data.interval import Interval
from models.one_look import one_look, seen
from models.registry import Registry
from models.registry_entry import RegistryEntry
from models.spec import Kind
from tests.support import tiny_model


def test_within_a_look_the_first_sight_stays() -> None:
    counted = iter(range(10))

    def look() -> int:
        return next(counted)

    assert [seen("here", look), seen("here", look)] == [0, 1]
    with one_look():
        assert seen("here", look) == 2
        with one_look():
            assert seen("here", look) == 2
        assert seen("here", look) == 2
        assert seen("there", look) == 3
        others: list[int] = []
        thread = threading.Thread(target=lambda: others.append(seen("here", look)))
        thread.start()
        thread.join()
        assert others == [4]
    assert seen("here", look) == 5


def test_a_look_that_fails_is_not_remembered() -> None:
    def fails() -> int:
        raise OSError("no folder")

    with one_look():
        with pytest.raises(OSError, match="no folder"):
            seen("here", fails)
        assert seen("here", lambda: 1) == 1


def test_the_registry_is_read_once_in_a_look_and_anew_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry(tmp_path)
    looks: list[tuple[RegistryEntry, ...]] = []
    look = registry._look

    def counted() -> tuple[RegistryEntry, ...]:
        looks.append(look())
        return looks[-1]

    monkeypatch.setattr(registry, "_look", counted)
    with one_look():
        assert registry.default(Interval.H1) is None
        tiny_model.save(tmp_path, tiny_model.spec("tiny-tcn-1h", kind=Kind.TCN, interval=Interval.H1))
        assert registry.usable() == ()
        assert len(looks) == 1
    assert [entry.id for entry in registry.usable()] == ["tiny-tcn-1h"]
