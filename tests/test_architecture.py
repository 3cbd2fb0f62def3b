"""docs/architecture.md: true of the files that are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import rooms


def test_the_list_of_rooms_is_that_of_the_files() -> None:
    assert rooms.PAGE.read_text(encoding="utf-8") == rooms.page(), "run: python -m tests.support.rooms"


@pytest.mark.parametrize("path", rooms.files(), ids=lambda path: str(path.relative_to(rooms.ROOT)))
def test_every_file_says_first_what_it_is(path: Path) -> None:
    line = rooms.first_line(path)
    assert line, f"{path} begins without a docstring"
    assert len(line) <= 120
