"""With TensorFlow: the same application with the training library in its process and a Keras model loaded beside it."""

from __future__ import annotations

import sys
import threading
import time

_EVERY_S = 5.0
"""A model that serves is asked: library pages that nobody uses would be let go of."""


def serve_with_tensorflow() -> None:
    """What serving costs where models are served by the library that trained them."""
    import keras
    import numpy as np

    import app as application
    from models.architectures import Head, build
    from models.spec import HORIZONS, Kind

    window, features = 64, 32
    naive = np.outer(np.sqrt(HORIZONS), [-1.6, -0.6, 0.0, 0.6, 1.6]).astype(np.float32)
    model: keras.Model = build(
        Kind.TCN, window, [0.0] * features, [1.0] * features, Head(HORIZONS, naive, 2), features, 0.0
    )
    windows = np.zeros((20, window, features), np.float32)
    model.predict(windows, verbose=0)

    def forecast_on() -> None:
        while True:
            time.sleep(_EVERY_S)
            model.predict(windows, verbose=0)

    threading.Thread(target=forecast_on, daemon=True).start()
    sys.exit(application.main([]))


if __name__ == "__main__":
    serve_with_tensorflow()
