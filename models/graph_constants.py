"""Graph constants: named float arrays out of an ONNX graph's bytes, read without the `onnx` package, which the serving
process does not hold.

Only what is needed of protobuf's wire format and onnx.proto3: ModelProto.graph (7), GraphProto.initializer (5),
TensorProto.dims (1), data_type (2), float_data (4), name (8), raw_data (9).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from utils.errors import ModelCorrupt

_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5


def float_constants(content: bytes, names: Collection[str]) -> dict[str, NDArray[np.float32]]:
    """Those of the named constants that are there, flat. ModelCorrupt where the bytes are no graph."""
    found: dict[str, NDArray[np.float32]] = {}
    try:
        for field, graph in _fields(memoryview(content)):
            if field == 7:
                for part, tensor in _fields(graph):
                    if part == 5 and (name := _name(tensor)) in names:
                        found[name] = _floats(tensor)
    except (IndexError, ValueError, TypeError, UnicodeDecodeError) as error:
        raise ModelCorrupt(f"the graph's bytes cannot be read: {error}") from error
    return found


def _name(tensor: memoryview) -> str:
    return next((bytes(value).decode() for field, value in _fields(tensor) if field == 8), "")


def _floats(tensor: memoryview) -> NDArray[np.float32]:
    content = b"".join(bytes(value) for field, value in _fields(tensor) if field in (4, 9))
    if not content or len(content) % 4:
        raise ValueError("a constant is not of single precision")
    return np.frombuffer(content, dtype="<f4").astype(np.float32)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and bytes of each field; of a plain number, no bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind, length = tag & 7, 0
        if kind == _VARINT:
            _, at = _varint(message, at)
        elif kind == _LENGTH:
            length, at = _varint(message, at)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            length = 8 if kind == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"a field of kind {kind}")
        if at + length > len(message):
            raise ValueError("a field is longer than its message")
        yield tag >> 3, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
        shift += 7
