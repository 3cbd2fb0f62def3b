"""The one import of Keras, without what it would load beside itself and nothing here uses. Imports TensorFlow.

Keras looks for scikit-learn, for wrappers that make its networks estimators, and for pandas, to take frames as input.
Those two, with all of scipy behind them, were three tenths of the processor time in which a trainer process came up.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_ON_SIGHT = ("sklearn", "pandas")


@contextmanager
def _absent(names: tuple[str, ...]) -> Iterator[None]:
    """Those that are not loaded yet cannot be until this ends; Keras then does without."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None there says: cannot be imported
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


with _absent(_ON_SIGHT):
    import keras
    from keras import layers, ops

__all__ = ["keras", "layers", "ops"]
