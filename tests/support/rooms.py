"""`python -m tests.support.rooms`: writes the list of rooms in docs/architecture.md from every file itself."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "architecture.md"
_FLOORS = ("utils", "config.py", "data", "models", "startup_optimizer.py", "routes", "app.py", "download_assets.py")
_BEGIN, _END = "<!-- rooms -->\n", "<!-- /rooms -->\n"


def first_line(path: Path) -> str:
    """What the file's docstring says of it first; empty where it says nothing."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def files() -> list[Path]:
    """Every source file, floor by floor."""
    found: list[Path] = []
    for floor in _FLOORS:
        place = ROOT / floor
        found += [place] if place.is_file() else sorted(place.rglob("*.py"))
    return found


def table() -> str:
    rows = [f"| `{path.relative_to(ROOT).as_posix()}` | {first_line(path).replace('|', '/')} |" for path in files()]
    return "\n".join(["| room | what it is |", "| --- | --- |", *rows]) + "\n"


def page() -> str:
    """docs/architecture.md with the list as the files have it now."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return before + _BEGIN + table() + _END + after


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
