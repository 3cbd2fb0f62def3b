"""TensorFlow's threads: how many a training may use, said before TensorFlow begins."""

from __future__ import annotations

from contextlib import suppress

import tensorflow as tf


def use_threads(threads: int) -> None:
    """Only before TensorFlow has begun: what began keeps what it has."""
    with suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
