"""The one import of ONNX Runtime, whose makers are told nothing. Takes 0.3 s and 8 MB: import this where it is used.

Since version 1.29 the official packages report to Microsoft: with the first import the program's path, machine and
system, later every session, into a database in the user's home and from there over the network, from a thread of its
own. This dashboard asks the exchange and nobody else, so that is switched off, which must be said before the import.
"""

from __future__ import annotations

import os
from typing import Any

# For the library and for our own commands that load it in other processes. Nothing is read from the environment here.
os.putenv("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime  # after what must be said first

onnxruntime.disable_telemetry_events()  # Windows goes by this alone

__all__ = ["onnxruntime", "quantization"]


def quantization() -> Any:
    """Its module that makes graphs smaller, for training commands alone: it needs the package `onnx`."""
    import onnxruntime.quantization

    return onnxruntime.quantization
