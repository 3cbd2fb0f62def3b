"""Hashed noise: random numbers that are functions of their place, so that any stretch can be drawn alone."""

from __future__ import annotations

import numpy as np
import xxhash
from numpy.typing import NDArray

Keys = NDArray[np.uint64]
Floats = NDArray[np.float64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def named_key(*parts: object) -> int:
    """A 64-bit key from names and numbers, the same on every machine."""
    return xxhash.xxh3_64_intdigest("\x1f".join(map(str, parts)).encode())


def keys_at(key: int | Keys, *places: int | NDArray[np.integer]) -> Keys:
    """Keys of places under a key; the arrays broadcast against each other."""
    state = np.asarray(key, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for place in places:
            state = _mix(state ^ _mix(np.asarray(place).astype(np.uint64) + _GOLDEN))
    return state


def uniform(keys: Keys) -> Floats:
    """Uniform in the open interval (0, 1), shape of `keys`."""
    with np.errstate(over="ignore"):
        return (_mix(keys) >> np.uint64(12)).astype(np.float64) * 2.0**-52 + 2.0**-53


def normal(keys: Keys) -> Floats:
    """Standard normal (Box and Muller, 1958), shape of `keys`; never beyond 6.8 in size."""
    with np.errstate(over="ignore"):
        bits = _mix(keys)
    radius = np.sqrt(-2.0 * np.log(((bits >> _HALF).astype(np.float64) + 0.5) * 2.0**-32))
    return radius * np.cos((bits & _LOW).astype(np.float64) * (2.0**-31 * np.pi))


def _mix(state: Keys) -> Keys:
    """The finaliser of splitmix64 (Steele, Lea and Flood, 2014)."""
    state = (state ^ (state >> np.uint64(30))) * _FIRST
    state = (state ^ (state >> np.uint64(27))) * _SECOND
    return np.asarray(state ^ (state >> np.uint64(31)))
