"""All callbacks that keep a state, in one run, and all that can be seen of such a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from event_files import read, scalars

from trainhooks import Callback, callbacks
from trainhooks.store import load_arrays


def still() -> float:
    return 0.0


def score(model: Any) -> float:
    """A sum over the weights, which tells which ones the model has."""
    weights = model.get_weights()
    values = weights.values() if isinstance(weights, dict) else weights
    return float(sum(np.abs(np.asarray(value, np.float64)).sum() for value in values))


def all_of_them(order: int = 0, *more: Callback) -> list[Callback]:
    """One of each, and ``more``; in another order for each number above 0."""
    made: list[Callback] = [
        *more,
        callbacks.EMA(0.8),
        callbacks.SwapEMAWeights(swap_on_epoch=True),
        callbacks.EpochScoring(score, name="score", every=2),
        # no epoch improves by so much: patience and cooldown run, and must go on over a crash
        callbacks.EarlyStopping("val_loss", min_delta=10, patience=4, restore_best_weights=True),
        callbacks.ReduceLROnPlateau("val_loss", factor=0.5, patience=2, min_delta=10, cooldown=1),
        callbacks.LearningRateMonitor("step"),
        callbacks.ModelCheckpoint("best.safetensors", save_best_only=True),
        callbacks.ModelCheckpoint("w{epoch}.safetensors", keep_best=2, keep_last=1),
        callbacks.CSVLogger("log.csv"),
        callbacks.JSONLogger("log.jsonl", save_freq=2),
        callbacks.TensorBoard("logs", update_freq=2, write_graph=False),
        callbacks.GradientClipping(norm=0.5),
        callbacks.Throughput(8, clock=still),
        callbacks.Timer(3600, clock=still),
        callbacks.StopFile("STOP"),
        callbacks.TerminateOnNaN(),
        callbacks.History(),
    ]
    return [made[at] for at in np.random.default_rng(order).permutation(len(made))] if order else made


def outcome_of(run: Any, weights: Any, made: list[Callback]) -> dict[str, Any]:
    """What a run in the working directory came to; the clock's own values left out."""
    history = next(one for one in made if isinstance(one, callbacks.History))
    names = [f"{number} {type(one).__name__}" for number, one in enumerate(made)]
    kept = {name: one.state_dict() for name, one in zip(names, made, strict=True) if not name.endswith("TensorBoard")}
    return {
        "weights": plain(dict(weights)),
        "history": [(record.epoch, record.logs) for record in run.history],
        "shown": history.history,
        "end": (run.outcome, run.epochs_done, run.step, run.optimizer_step, run.lr),
        "stop": run.stop_reason if run.stop_kind == "decision" else None,
        "states": plain(kept),
        "files": sorted(str(path) for path in Path().rglob("*") if "tfevents" not in path.name),
        "texts": {path.name: path.read_text() for path in sorted(Path().glob("*.[cj]s*"))},
        "saved": {path.name: plain(load_arrays(path)) for path in sorted(Path().glob("*.safetensors"))},
        "events": {str(path): (scalars(path), histograms(path)) for path in sorted(Path().glob("*logs/*/"))},
    }


def histograms(folder: Path) -> dict[str, Any]:
    """The steps and buckets of each tag."""
    found = read(folder)
    return {
        tag: [(one.step, repr(one.histogram_value)) for one in found.Histograms(tag)]
        for tag in found.Tags()["histograms"]
    }


def plain(value: Any) -> Any:
    """As lists; paths without the folder that the run was in."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, str):
        return value.rpartition("/")[2]
    return value.tolist() if isinstance(value, np.ndarray) else value
