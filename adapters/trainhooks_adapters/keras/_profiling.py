"""The profiler of Keras's backend, whose traces go into a folder that TensorBoard's profiler page reads."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path


def profile(folder: Path) -> Callable[[], None]:
    """As ``Trainable.profile``: traces in ``plugins/profile/<time>``.

    Raises:
        NotImplementedError: the backend has no profiler.
    """
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        tf.profiler.experimental.start(str(folder))
        return tf.profiler.experimental.stop  # type: ignore[no-any-return]
    if backend == "jax":
        import jax

        jax.profiler.start_trace(str(folder))
        return jax.profiler.stop_trace
    if backend == "torch":
        from torch import profiler

        session = folder / "plugins" / "profile" / time.strftime("%Y_%m_%d_%H_%M_%S")
        made = profiler.profile(on_trace_ready=profiler.tensorboard_trace_handler(str(session)))
        made.start()
        return made.stop
    raise NotImplementedError(f"Keras's {backend} backend has no profiler: there are tensorflow's, jax's and torch's.")
