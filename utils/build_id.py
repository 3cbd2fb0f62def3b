"""Build id: which state of the program this is, so that two of them can be held against each other."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import xxhash

_ROOT = Path(__file__).resolve().parent.parent
_PARTS = ("app.py", "config.py", "startup_optimizer.py", "utils", "data", "models", "routes", "templates", "static")
_KINDS = frozenset({".py", ".html", ".css", ".js"})


@cache
def build_id(version: str, root: Path = _ROOT) -> str:
    """`0.1.0-3f2a91c0`: the version, and a digest of the program's own files: of each, name and content."""
    state = xxhash.xxh3_64()
    for part in _PARTS:
        place = root / part
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.suffix in _KINDS and "vendor" not in path.parts and path.is_file():
                state.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return f"{version}-{state.hexdigest()[:8]}"
