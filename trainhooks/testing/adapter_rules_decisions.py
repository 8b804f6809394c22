"""Rules of an adapter: callbacks decide under it what they decide under the reference loop."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from ..callback import Callback
from ..callbacks import EarlyStopping, LearningRateScheduler, ModelCheckpoint, ReduceLROnPlateau, TerminateOnNaN
from ..run import Run
from .adapter_rules_tools import Factory, Rules, ask, changed, differ, like, see
from .bench import Bench, Epoch
from .doubles import Do

RULES = Rules("decisions")

EPOCHS: Final = 7
HISTORIES: Final = 6


def histories(count: int = HISTORIES, *, finite: bool = False) -> list[list[dict[str, float]]]:
    """Random histories, the same each time: eighths, which are exact in float32, and now and then NaN or infinity.

    Some epochs have no validation, but the first has.
    """
    rng = np.random.default_rng(2024)

    def value() -> float:
        odd = rng.random()
        if not finite and odd < 0.2:
            return float("nan") if odd < 0.1 else float("inf")
        return float(rng.integers(1, 17)) / 8

    made: list[list[dict[str, float]]] = []
    for _ in range(count):
        epochs = [{"loss": float(rng.integers(1, 17)) / 8, "val_loss": value()} for _ in range(EPOCHS)]
        for epoch in epochs[1:]:
            if rng.random() < 0.15:
                del epoch["val_loss"]
        made.append(epochs)
    return made


@RULES.add("same-stops", "EarlyStopping stops after the same epoch as under the reference loop, for the same reason.")
def _same_stops(factory: Factory) -> str | None:
    def decided(run: Run) -> Any:
        return run.epochs_done, run.stop_reason, run.outcome

    return _compared(factory, "(epochs, reason, outcome)", [], lambda: EarlyStopping(patience=2, strict=False), decided)


@RULES.add("same-weights", "EarlyStopping restores the weights of the same epoch as under the reference loop.")
def _same_weights(factory: Factory) -> str | None:
    def made() -> Callback:
        return EarlyStopping(patience=2, strict=False, restore_best_weights=True)

    bench = factory()
    if not ask(bench, lambda run: run.can("snapshot") and run.can("weights")):
        return None
    for history in _some(bench):
        expected, came = (_restored(one, history, made()) for one in (like(bench), bench))
        if found := differ(f"the epoch whose weights the run ends with, of {_told(history)}", expected, came):
            return found
    return None


@RULES.add("same-rates", "ReduceLROnPlateau and LearningRateScheduler set the learning rates of the reference loop.")
def _same_rates(factory: Factory) -> str | None:
    schedules: tuple[Callable[[], Callback], ...] = (
        lambda: ReduceLROnPlateau(factor=0.5, patience=1, strict=False),
        lambda: LearningRateScheduler(lambda epoch, lr: lr / 2 if epoch % 3 else 0.5),
    )
    for made in schedules:
        if found := _compared(factory, "run.lr at the end of each epoch", ["lr"], made, lambda run: None):
            return found
    return None


@RULES.add("same-files", "ModelCheckpoint saves at the end of the same epochs as under the reference loop.")
def _same_files(factory: Factory) -> str | None:
    has_weights, saves = ask(factory(), lambda run: (run.can("weights"), run.can("save")))
    if not (has_weights or saves):
        return None

    def made() -> Callback:
        shutil.rmtree("kept", ignore_errors=True)
        suffix = ".safetensors" if has_weights else ""  # without one it is the trainer's own
        return ModelCheckpoint(f"kept/{{epoch}}{suffix}", save_best_only=True, strict=False)

    def saved(run: Run) -> list[str]:
        return sorted(path.stem for path in Path("kept").glob("*"))

    return _compared(factory, "the files", [], made, saved)


@RULES.add("same-faults", "TerminateOnNaN ends the run in the same batch as under the reference loop.")
def _same_faults(factory: Factory) -> str | None:
    history = [{"loss": 0.5, "val_loss": 1.0}, {"loss": float("nan"), "val_loss": 1.0}, {"loss": 0.5, "val_loss": 1.0}]

    def decided(run: Run) -> Any:
        return run.epochs_done, run.step, run.stop_kind, run.outcome

    return _compared(factory, "(epochs, steps, kind, outcome)", [], TerminateOnNaN, decided, [history])


def _compared(
    factory: Factory,
    what: str,
    needs: Sequence[str],
    made: Callable[[], Callback],
    decided: Callable[[Run], Any],
    told: Sequence[Sequence[Epoch]] | None = None,
) -> str | None:
    """Whether a callback decides the same in each history: what is read of the run at its end, and its rates."""
    bench = factory()
    if not ask(bench, lambda run: all(run.can(need) for need in needs)):
        return None

    def watched(one: Bench, history: Sequence[Epoch]) -> Any:
        rates: list[float] = []
        watch = Do("epoch_end", lambda run: rates.append(run.lr), nth=None)
        watch.phase = "save"
        seen = see(one, history, *([Do("train_begin", _half), watch] if "lr" in needs else []), made())
        return rates if "lr" in needs else seen.run and decided(seen.run)

    for history in _some(bench) if told is None else told:
        expected, came = watched(like(bench), history), watched(bench, history)
        if found := differ(f"{what}, where val_loss was {_told(history)}", expected, came):
            return found
    return None


def _some(bench: Bench) -> list[list[dict[str, float]]]:
    return histories(2 if bench.sparing else HISTORIES)


def _half(run: Run) -> None:
    run.lr = 0.5


def _restored(bench: Bench, history: Sequence[Epoch], stopper: Callback) -> int | None:
    """The number of the epoch whose weights the run ends with; None for those of none."""
    kept: list[Any] = []
    ended: list[Any] = []
    last = Do("teardown", lambda run: ended.append(run.get_weights()))
    see(bench, history, Do("epoch_end", lambda run: kept.append(run.get_weights()), nth=None), stopper, last)
    return next((epoch for epoch, weights in enumerate(kept) if not changed(weights, ended[0])), None)


def _told(history: Sequence[Epoch]) -> list[Any]:
    return [epoch.get("val_loss") if isinstance(epoch, dict) else epoch for epoch in history]
