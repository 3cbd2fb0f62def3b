"""Documents: their links lead somewhere, and the files, modules and make targets they name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.rooms import ROOT

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "THIRD_PARTY.md", *sorted((ROOT / "docs").rglob("*.md"))]
TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
FOLDERS = ("utils/", "data/", "models/", "routes/", "templates/", "static/", "tests/", "benchmarks/", "docs/")
MADE_LATER = ("static/vendor/",)
"""Not in the repository: `python download_assets.py` fills it."""


def anchors(page: str) -> set[str]:
    """The fragments by which a page's headings are reached: GitHub's rule."""
    headings = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def broken_links(page: str, at: Path) -> list[str]:
    """The relative links of a page in the file `at` that lead to no file, or to no heading of it."""
    broken = []
    for link in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", page):
        name, _, fragment = link.partition("#")
        target = at.parent / name if name else at
        if not target.exists() or (
            fragment and fragment not in anchors(page if target == at else target.read_text("utf-8"))
        ):
            broken.append(link)
    return broken


def unknown_names(page: str) -> list[str]:
    """Files of ours, modules to run and make targets that a page names in code, and that are not there."""
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", page, re.DOTALL))
    files = [name for name in re.findall(r"[\w./-]+/[\w.-]+\.\w+", code) if name.startswith(FOLDERS)]
    modules = re.findall(r"python -m (\w+(?:\.\w+)*)", code)
    return [
        *(name for name in files if not name.startswith(MADE_LATER) and not (ROOT / name).exists()),
        *(f"python -m {name}" for name in modules if name not in ("pip", "venv") and not _runs(name)),
        *(f"make {name}" for name in re.findall(r"\bmake ([a-z-]+)", code) if name not in TARGETS),
    ]


def _runs(module: str) -> bool:
    path = ROOT.joinpath(*module.split("."))
    return path.with_suffix(".py").exists() or (path / "__main__.py").exists()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_page_names_is_there(path: Path) -> None:
    page = path.read_text("utf-8")
    assert broken_links(page, path) == []
    assert unknown_names(page) == []


def test_what_is_not_there_is_found() -> None:
    page = (
        "# One heading\n[a](#one-heading) [b](#two) [c](none.md) `models/none.py` `python -m models.none` `make none`"
    )
    assert broken_links(page, ROOT / "README.md") == ["#two", "none.md"]
    assert unknown_names(page) == ["models/none.py", "python -m models.none", "make none"]
