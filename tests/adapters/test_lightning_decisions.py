"""The very same callbacks decide under Lightning as under the reference loop, on the same metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lightning", reason="lightning is not installed")

from bench_lightning import LightningBench
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainhooks import Callback, Run
from trainhooks.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from trainhooks.testing import Bench, ReferenceBench

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning", "ignore::FutureWarning")

values = st.one_of(st.integers(1, 12).map(lambda eighths: eighths / 8), st.sampled_from([math.nan, math.inf]))
epochs = st.fixed_dictionaries({"loss": st.integers(1, 12).map(lambda eighths: eighths / 8), "val_loss": values})


class Rates(Callback):
    """The learning rates that each epoch ended with."""

    phase = "save"

    def __init__(self) -> None:
        self.kept: list[float] = []

    def on_epoch_end(self, run: Run) -> None:
        self.kept.append(run.lr)


def decided(bench: Bench, history: Sequence[dict[str, float]], folder: Path) -> dict[str, Any]:
    """What was decided in a training, and what stands in the files."""
    folder.mkdir()
    rates = Rates()
    callbacks = [
        EarlyStopping("val_loss", patience=2),
        ReduceLROnPlateau("val_loss", factor=0.5, patience=1),
        ModelCheckpoint(folder / "{epoch}.safetensors", save_best_only=True),
        CSVLogger(folder / "log.csv"),
        rates,
    ]
    run = bench.train(history, callbacks)
    return {
        "ended": (run.outcome, run.epochs_done, run.stop_reason, run.step),
        "rates": rates.kept,
        "saved": sorted(path.name for path in folder.glob("*.safetensors")),
        "table": (folder / "log.csv").read_text(),
    }


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(epochs, min_size=1, max_size=6))
def test_stops_rates_files_and_tables_are_those_of_the_reference_loop(
    history: list[dict[str, float]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("runs")
    under_lightning = decided(LightningBench(), history, folder / "lightning")
    assert under_lightning == decided(ReferenceBench(), history, folder / "reference")
