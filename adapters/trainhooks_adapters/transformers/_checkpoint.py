"""Where a run goes on from: our file in the Trainer's checkpoints, and a checkpoint that has it begin at an epoch."""

from __future__ import annotations

import contextlib
import inspect
import json
import math
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import trainhooks
from trainhooks import errors
from trainhooks_adapters.torch import RunState

from ._trainable import TransformersTrainable

FILE: Final = "trainhooks.pt"
"""In a folder ``checkpoint-N`` of the Trainer's: what ``RunState`` gives, and learning rates that a callback set."""


def write(folder: Path, run: trainhooks.Run, trainable: TransformersTrainable) -> None:
    """Put the run's state beside the Trainer's own; the file is there whole or not at all."""
    import torch

    with trainable.apart():
        state = RunState(run).state_dict()
    unfinished = folder / f".{FILE}"
    torch.save({"run": state, "held": trainable.held}, unfinished)
    os.replace(unfinished, folder / FILE)


def read(folder: Path) -> dict[str, Any] | None:
    """What ``write`` wrote, or None."""
    import torch

    path = folder / FILE
    found: dict[str, Any] | None = torch.load(path, map_location="cpu", weights_only=True) if path.is_file() else None
    return found


def load(saved: Mapping[str, Any], driver: trainhooks.Driver, trainable: TransformersTrainable) -> None:
    """Have a run that has not begun go on from what ``read`` gave; the Trainer has loaded all else."""
    state, inside = saved["run"], saved["run"]["inside"]
    if inside is not None:  # its batches count on
        done = state["progress"]["step"] - inside["first_step"]
        state = {**state, "inside": {**inside, "batch": done - 1}}
    with trainable.apart():
        RunState(driver.run).load_state_dict(state)
    driver.run.lr_shares = state["lr_shares"]
    trainable.held = saved["held"]
    trainable.hold()


def steps_per_epoch(args: Any, state: Any, loader: Any) -> int | None:
    """The optimizer's steps in an epoch of the training that begins; None where the data does not know its length.

    Batches that are too few for a step at an epoch's end make one all the same; in old releases they do not.
    """
    try:
        batches: int = len(loader)
    except TypeError:
        return None
    down, left = divmod(batches, int(args.gradient_accumulation_steps))
    up = max(down + (left > 0), 1)
    if args.max_steps > 0:
        fits = math.ceil(args.max_steps / up) == state.num_train_epochs
    else:
        fits = math.ceil(args.num_train_epochs * up) == state.max_steps
    return up if fits else max(down, 1)


def _steps_to_come(trainer: Any) -> int | None:
    """The same of a training that has not begun."""
    args, loader = trainer.args, trainer.get_train_dataloader()
    try:
        batches: int = len(loader)
    except TypeError:
        return None
    ask = getattr(trainer, "set_initial_training_values", None)  # with another argument in some releases
    if ask is None:
        return max(batches // int(args.gradient_accumulation_steps), 1)
    given = (args, loader, trainer.get_total_train_batch_size(args))
    return int(ask(*given[: len(inspect.signature(ask).parameters)])[1])


@contextlib.contextmanager
def beginning_at(trainer: Any, state: Mapping[str, Any], *, resume_stopped: bool) -> Iterator[str]:
    """A checkpoint of the Trainer's from which it begins at the epoch that ``state`` goes on with; gone afterwards.

    It holds counts alone: its weights are an index of files in which there are none, so that nothing large is written.
    What is trained comes out of ``state``, once the Trainer has made its optimizer.

    Raises:
        LoopError: under DeepSpeed or FSDP.
    """
    from safetensors.torch import save_file
    from transformers.trainer_callback import ExportableState, TrainerState
    from transformers.utils import SAFE_WEIGHTS_INDEX_NAME

    if getattr(trainer, "is_deepspeed_enabled", False) or getattr(trainer, "is_fsdp_enabled", False):
        raise errors.LoopError(
            "resume=...: under DeepSpeed or FSDP the Trainer goes on from its own checkpoints only. "
            "Use train(resume_from_checkpoint=...), which takes the callbacks along."
        )
    args, progress = trainer.args, state["progress"]
    steps = _steps_to_come(trainer)
    done = progress["step"] if steps is None else progress["epochs_done"] * steps
    is_over = steps is None and done >= args.max_steps
    if is_over or (progress["is_stopped"] and not resume_stopped):  # then no epoch is left to train
        begun = sys.maxsize * (args.max_steps if steps is None else steps)
    else:
        begun = done
    native = [*trainer.callback_handler.callbacks, trainer.control]
    stateful: Any = [one for one in native if isinstance(one, ExportableState)]  # it asks for them as it saves
    told = TrainerState(
        global_step=begun,
        epoch=progress["epochs_done"],
        train_batch_size=args.per_device_train_batch_size * max(1, args.n_gpu),
        logging_steps=args.logging_steps,
        save_steps=args.save_steps,
        eval_steps=args.eval_steps,
        stateful_callbacks=stateful,
    )
    skips = args.ignore_data_skip
    with tempfile.TemporaryDirectory(prefix="trainhooks-") as folder:
        told.save_to_json(os.path.join(folder, "trainer_state.json"))
        if hasattr(trainer.model, "peft_config"):
            trainer.save_model(folder)  # the adapter, which is small
        else:
            shard = "model-00001-of-00001.safetensors"
            index = {"metadata": {}, "weight_map": dict.fromkeys(trainer.model.state_dict(), shard)}
            Path(folder, SAFE_WEIGHTS_INDEX_NAME).write_text(json.dumps(index), encoding="utf-8")
            save_file({}, os.path.join(folder, shard))
        try:
            args.ignore_data_skip = skips or steps is None  # an epoch begins: of an iterator nothing is to be dropped
            yield folder
        finally:
            args.ignore_data_skip = skips
            if begun != done and trainer.state.global_step == begun:
                trainer.state.global_step = done
