"""Plain values: whatever a part reports, turned into what strict JSON can say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any


def plain(value: Any) -> Any:
    """Dataclasses (with their properties) and mappings become dicts, sequences lists, NaN and infinities None."""
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or isinstance(value, bool | int | str):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if is_dataclass(value):
        return {name: plain(getattr(value, name)) for name in _public_names(type(value))}
    return _scalar(value)


def _public_names(kind: type[Any]) -> list[str]:
    names = [field.name for field in fields(kind)]
    properties = [name for name, member in vars(kind).items() if isinstance(member, property)]
    return [name for name in [*names, *properties] if not name.startswith("_")]


def _scalar(value: Any) -> Any:
    """numpy's numbers have `.item()`; anything else is shown as text."""
    item = getattr(value, "item", None)
    return plain(item()) if callable(item) and getattr(value, "ndim", None) == 0 else str(value)
