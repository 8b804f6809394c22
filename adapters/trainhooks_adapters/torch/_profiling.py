"""torch.profiler, whose traces go into a folder that TensorBoard's profiler page reads."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ._weights import import_torch


def profile(folder: Path) -> Callable[[], None]:
    """As ``Trainable.profile``: a trace in ``plugins/profile/<time>``, as JSON, which Perfetto and Chrome read too."""
    profiler = import_torch().profiler
    session = folder / "plugins" / "profile" / time.strftime("%Y_%m_%d_%H_%M_%S")
    made = profiler.profile(on_trace_ready=profiler.tensorboard_trace_handler(str(session)))
    made.start()
    return made.stop  # type: ignore[no-any-return]
