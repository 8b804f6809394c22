"""What callbacks decide on a history of metrics: the same under a trainer as under the reference loop."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from trainhooks import Callback
from trainhooks.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from trainhooks.testing import Bench, Do, Epoch

_VALUES = st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0, float("nan"), float("inf"), float("-inf")])
HISTORIES = st.lists(st.fixed_dictionaries({"loss": _VALUES, "val_loss": _VALUES}), min_size=2, max_size=7)


def decided(bench: Bench, history: Sequence[Epoch], own: Sequence[Callback] = (), resume: Any = None) -> dict[str, Any]:
    """What four callbacks have done in a training, in a folder of its own.

    Args:
        bench: what trains.
        history: what it reports.
        own: callbacks that come after the four.
        resume: as for ``Bench.train``.
    """
    lrs: list[float] = []
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a learning rate that can sink no further, of a NaN
        os.chdir(folder)
        try:
            run = bench.train(
                history,
                [
                    stopping := EarlyStopping("val_loss", patience=2, restore_best_weights=True),
                    ReduceLROnPlateau("val_loss", patience=1, factor=0.5),
                    ModelCheckpoint("{epoch}.safetensors", save_best_only=True),
                    CSVLogger("log.csv"),
                    Do("epoch_end", lambda run: lrs.append(run.lr), nth=None),
                    *own,
                ],
                resume=resume,
            )
            text = Path("log.csv").read_text(encoding="utf-8")
            files = sorted(path.name for path in Path().glob("*.safetensors"))
        finally:
            os.chdir(before)
    best = (repr(stopping.best), stopping.best_epoch, stopping.wait)
    return {"epochs": run.epochs_done, "why": run.stop_reason, "lrs": lrs, "files": files, "log": text, "best": best}
