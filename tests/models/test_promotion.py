"""Promotion: which model serves, the way back, and the archive; nothing outside the models' folder is touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data.interval import Interval
from data.symbol import Symbol
from models.in_use import FILE, Choice, read_choices, write_choices
from models.promotion import ARCHIVE, Promotion
from models.registry import Registry
from tests.support import tiny_model
from utils.clock import ManualClock
from utils.errors import InvalidInput, ModelCorrupt, ModelNotFound, StoreError


@pytest.fixture
def promotion(tmp_path: Path) -> Promotion:
    for age, name in enumerate(("newest", "middle", "oldest")):
        tiny_model.save(tmp_path, tiny_model.spec(name, created_ms=tiny_model.START_MS - age), seed=age)
    return Promotion(registry=Registry(tmp_path), clock=ManualClock(5))


def serving(folder: Path) -> str:
    """As another process would see it."""
    entry = Registry(folder).default(Interval.H1)
    assert entry is not None
    return entry.id


def test_the_newest_serves_until_one_is_chosen(promotion: Promotion, tmp_path: Path) -> None:
    assert serving(tmp_path) == "newest"
    assert promotion.previous(Interval.H1) is None
    assert promotion.promote("oldest") is Interval.H1
    assert serving(tmp_path) == "oldest"
    assert promotion.in_use()[Interval.H1].id == "oldest"


def test_one_click_back_and_forth(promotion: Promotion, tmp_path: Path) -> None:
    promotion.promote("oldest")
    promotion.promote("oldest")  # a second click changes nothing
    assert promotion.roll_back(Interval.H1) == "newest"
    assert serving(tmp_path) == "newest"
    assert promotion.roll_back(Interval.H1) == "oldest"
    assert serving(tmp_path) == "oldest"


def test_there_is_nothing_to_go_back_to(promotion: Promotion) -> None:
    with pytest.raises(InvalidInput, match="no earlier model of 1h candles"):
        promotion.roll_back(Interval.H1)
    promotion.promote("newest")
    with pytest.raises(InvalidInput, match="no earlier model of 1h candles"):
        promotion.roll_back(Interval.H1)


def test_a_chosen_model_that_breaks_gives_way_and_comes_back(promotion: Promotion, tmp_path: Path) -> None:
    promotion.promote("oldest")
    graph = tmp_path / "oldest" / "model.onnx"
    whole = graph.read_bytes()
    graph.write_bytes(whole[:-9])
    assert serving(tmp_path) == "newest"
    with pytest.raises(ModelCorrupt):
        promotion.promote("oldest")
    graph.write_bytes(whole)
    assert serving(tmp_path) == "oldest"


def test_pinned_what_serves_stays_though_a_newer_comes(promotion: Promotion, tmp_path: Path) -> None:
    promotion.pin(Interval.H1)
    tiny_model.save(tmp_path, tiny_model.spec("brand-new", created_ms=tiny_model.START_MS + 1))
    assert serving(tmp_path) == "newest"


def test_a_change_is_seen_by_a_registry_that_has_read_before(promotion: Promotion, tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    for name in ("oldest", "middle", "newest", "middle"):
        promotion.promote(name)
        assert registry.default(Interval.H1).id == name  # type: ignore[union-attr]


def test_the_archive_keeps_every_byte(promotion: Promotion, tmp_path: Path) -> None:
    promotion.promote("middle")
    before = {path.name: path.read_bytes() for path in (tmp_path / "oldest").iterdir()}
    promotion.archive("oldest")
    assert [entry.id for entry in promotion.archived()] == ["oldest"]
    assert promotion.taken("oldest")
    assert not (tmp_path / "oldest").exists()
    assert {path.name: path.read_bytes() for path in (tmp_path / ARCHIVE / "oldest").iterdir()} == before
    promotion.unarchive("oldest")
    assert promotion.archived() == ()
    assert serving(tmp_path) == "middle"


def test_what_serves_is_never_archived(promotion: Promotion, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="'newest' serves 1h candles; let another serve"):
        promotion.archive("newest")
    assert serving(tmp_path) == "newest"


def test_the_archived_model_before_is_no_way_back(promotion: Promotion) -> None:
    promotion.promote("oldest")
    promotion.archive("newest")
    with pytest.raises(InvalidInput, match="no earlier model"):
        promotion.roll_back(Interval.H1)


def test_two_of_one_name_are_kept_apart(promotion: Promotion, tmp_path: Path) -> None:
    promotion.archive("oldest")
    tiny_model.save(tmp_path, tiny_model.spec("oldest"))
    with pytest.raises(InvalidInput, match="named 'oldest' is already there"):
        promotion.unarchive("oldest")


@pytest.mark.parametrize("name", ["..", "../x", "a/b", ".archive", "", "x" * 65, "newest\n"])
def test_a_name_cannot_lead_elsewhere(promotion: Promotion, name: str) -> None:
    for act in (promotion.promote, promotion.archive, promotion.unarchive):
        with pytest.raises((InvalidInput, ModelNotFound)):
            act(name)


def test_links_are_left_alone(promotion: Promotion, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    models = tmp_path / "others"
    tiny_model.save(models, tiny_model.spec("a"))
    tiny_model.save(models, tiny_model.spec("b", created_ms=tiny_model.START_MS + 1))
    (models / ARCHIVE).symlink_to(outside)
    (models / "linked").symlink_to(outside)
    other = Promotion(registry=Registry(models), clock=ManualClock(5))
    with pytest.raises(StoreError, match="is a link"):
        other.archive("a")
    with pytest.raises(ModelNotFound, match="there is no model 'linked'"):
        other.archive("linked")
    assert list(outside.iterdir()) == []


def test_a_model_of_some_markets_serves_no_interval(promotion: Promotion, tmp_path: Path) -> None:
    tiny_model.save(tmp_path, tiny_model.spec("one", symbols=(Symbol("BTCUSDT"),)))
    with pytest.raises(InvalidInput, match="'one' serves some markets only"):
        promotion.promote("one")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"schema": 2, "intervals": {}}',
        b'{"schema": 1, "intervals": {"1h": {"model": "../x", "previous": "", "since_ms": 1}}}',
        b'{"schema": 1, "intervals": {"7m": {"model": "x", "previous": "", "since_ms": 1}}}',
        b'{"schema": 1, "intervals": {"1h": "x"}}',
        b'{"schema": 1, "intervals": "' + b"x" * 70_000 + b'"}',
    ],
)
def test_a_damaged_choice_is_no_choice(promotion: Promotion, tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert read_choices(tmp_path) == {}
    assert serving(tmp_path) == "newest"
    promotion.promote("oldest")
    assert serving(tmp_path) == "oldest"


def test_the_choice_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    choices = {Interval.H1: Choice("a", "b", 7), Interval.M15: Choice("c", "", 8)}
    write_choices(tmp_path, choices)
    assert read_choices(tmp_path) == choices
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert json.loads((tmp_path / FILE).read_text())["schema"] == 1
