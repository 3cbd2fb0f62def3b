"""Leadership: one leads at a time, the next one takes over, and nothing runs twice."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from utils import file_lock
from utils.errors import ConfigError
from utils.leadership import Leadership


class Noted:
    """Writes down when it starts and ends."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name = name
        self.notes = notes
        self.started = threading.Event()

    def start(self) -> None:
        self.notes.append(f"+{self.name}")
        self.started.set()

    def close(self) -> None:
        self.notes.append(f"-{self.name}")


def test_the_first_leads_the_second_follows_until_the_first_is_gone(tmp_path: Path) -> None:
    notes: list[str] = []
    first = Leadership(tmp_path / "lock", follow=Noted("follow 1", notes), lead=[Noted("lead 1", notes)])
    feed, score = Noted("feed 2", notes), Noted("score 2", notes)
    second = Leadership(tmp_path / "lock", follow=Noted("follow 2", notes), lead=[feed, score], period_s=0.001)
    first.start()
    second.start()
    assert (first.leads, second.leads) == (True, False)
    assert file_lock.is_held(tmp_path / "lock")
    assert notes == ["+lead 1", "+follow 2"]
    first.close()
    assert score.started.wait(90)
    assert notes == ["+lead 1", "+follow 2", "-lead 1", "-follow 2", "+feed 2", "+score 2"]
    second.close()
    assert notes[-2:] == ["-score 2", "-feed 2"]
    assert not first.leads
    assert not second.leads
    assert not file_lock.is_held(tmp_path / "lock")
    assert not file_lock.is_held(tmp_path / "of nobody")


def test_a_follower_can_end_without_ever_leading(tmp_path: Path) -> None:
    notes: list[str] = []
    first = Leadership(tmp_path / "lock", follow=Noted("follow", notes), lead=[])
    second = Leadership(tmp_path / "lock", follow=Noted("follow", notes), lead=[Noted("lead", notes)])
    first.start()
    second.start()
    second.close()
    first.close()
    assert notes == ["+follow", "-follow"]


def test_without_file_locks_nobody_leads_and_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.file_lock.AVAILABLE", False)
    notes: list[str] = []
    with pytest.raises(ConfigError, match="set WORKERS=1"):
        Leadership(tmp_path / "lock", follow=Noted("follow", notes), lead=[Noted("lead", notes)]).start()
    assert notes == []
