"""Strict JSON: numpy arrays as lists, NaN and infinities as null, no other surprises."""

from __future__ import annotations

from typing import Any

import orjson

JSON = "application/json"
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def dumps(value: Any) -> bytes:
    return orjson.dumps(value, option=_OPTIONS, default=str)
