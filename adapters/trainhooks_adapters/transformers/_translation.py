"""Translation: what each native hook of a Trainer becomes."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import trainhooks
from trainhooks import errors
from trainhooks_adapters.torch import rows_of

from . import _checkpoint
from ._evaluations import Evaluations, is_number

_NO_METRICS: Final = ("epoch", "learning_rate", "grad_norm", "num_input_tokens_seen")
_BEGINS_ELSEWHERE: Final = (
    "the state has {done} epochs behind it, and the Trainer begins after {begun}: a callback of its own cannot tell it "
    "otherwise. Use wrap(trainer, callbacks=[...], resume=...).train(), or go on from the Trainer's own checkpoint: "
    "train(resume_from_checkpoint=...)."
)
_FILTERED: Final = (
    "bridge(...): all that is known of the training loss is what the Trainer logs, in which a NaN is hidden. Give it "
    "logging_nan_inf_filter=False; or use wrap(trainer, callbacks=[...]), which sees each step's loss."
)


class Translation(Evaluations):
    """The native hooks, each a line of translation; ``bridge`` makes a native callback of it."""

    def prepare(self, options: trainhooks.WrapOptions) -> None:
        super().prepare(options)
        self._pass: Any = None
        """The scope of the running epoch's batches."""
        self._loss: Any = None
        """Of the running step, as far as its micro-batches are done."""
        self._rows = 0
        self._logged_at = 0

    # The native hooks

    def on_train_begin(self, args: Any, state: Any, control: Any, **native: Any) -> None:
        if self._acting:
            return
        self.bury()
        self._acting = True
        try:
            self._begin_training(args, state, native)
        except BaseException as error:  # raised on
            self._break(error)
            raise
        self._acting = False
        self._pass_on(control)

    def on_train_end(self, args: Any, state: Any, control: Any, **native: Any) -> None:
        if self._do(state, control, self._end_training, state):
            self.over()  # out of `_do`: what a teardown raises is not told to `exception`

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **native: Any) -> None:
        self._do(state, control, self._begin_epoch)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **native: Any) -> None:
        logs_first = control.should_log and state.global_step > self._logged_at
        self._do(state, control, self._end_pass, bool(control.should_evaluate or logs_first))

    def on_step_begin(self, args: Any, state: Any, control: Any, **native: Any) -> None:
        self._do(state, control, self._begin_step)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **native: Any) -> None:
        if self.driver is not None:
            self._trainable.hold()

    def on_step_end(self, args: Any, state: Any, control: Any, **native: Any) -> None:
        self._do(state, control, self._end_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **native: Any) -> None:
        self._do(state, control, self._take_logs, state, logs or {}, bool(control.should_evaluate))

    def on_prediction_step(self, args: Any, state: Any, control: Any, **native: Any) -> None:
        self._do(state, control, self._end_batch)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **native: Any) -> None:
        self._do(state, control, self._end_evaluation, metrics or {})

    def on_predict(self, args: Any, state: Any, control: Any, metrics: Any = None, **native: Any) -> None:
        self._do(state, control, self._end_evaluation, {})

    def on_save(self, args: Any, state: Any, control: Any, **native: Any) -> None:
        self._do(state, control, self._save_beside, args, state)

    # What is seen of the Trainer's methods

    def saw_loss(self, loss: Any, inputs: Any) -> None:
        """A part of a step's loss: of each of its micro-batches there is one."""
        if not self._acting and self.driver is not None:
            self._loss = loss if self._loss is None else self._loss + loss
            self._rows += rows_of(inputs)

    # What the hooks do

    def _begin_training(self, args: Any, state: Any, native: Mapping[str, Any]) -> None:
        driver = self.new_driver(args, native)
        steps = _checkpoint.steps_per_epoch(args, state, native["train_dataloader"])
        self._loss, self._rows, self._logged_at = None, 0, state.global_step
        resume, self.resume = self.resume, None  # the next training is a new run
        is_beside = resume is None and state.global_step > 0
        if resume is not None:
            driver.load_state_dict(resume, resume_stopped=self.options.resume_stopped)
        elif is_beside:
            self._go_on_beside(driver, args, state, steps)
        driver.setup(ask=not (self.is_asked or is_beside))
        progress = driver.progress
        begun = progress.epochs_done if steps is None and state.global_step else state.global_step // (steps or 1)
        if not (is_beside or progress.should_stop) and progress.epochs_done != begun:
            raise errors.LoopError(_BEGINS_ELSEWHERE.format(done=progress.epochs_done, begun=begun))
        if not self.is_watched and self.options.callbacks and args.logging_nan_inf_filter:
            self._tell(_FILTERED)
        total = state.num_train_epochs + max(progress.epochs_done - begun, 0)  # of one that was cut the rest comes now
        driver.open("train", epochs=total if total < sys.maxsize else None, steps=steps)
        if is_beside and progress.epochs_done < begun:  # the checkpoint is of an epoch's last step, before its end
            self._begin_epoch(driver)
            self._end_pass(driver, awaits=False)
        self._is_training = True

    def _go_on_beside(self, driver: trainhooks.Driver, args: Any, state: Any, steps: int | None) -> None:
        """The Trainer goes on from a checkpoint of its own: go on from what was kept beside it."""
        places = [self.checkpoint] if self.checkpoint is not None else [_folder(args, state)]
        if self.checkpoint is None and isinstance(args.resume_from_checkpoint, str):
            places.insert(0, Path(args.resume_from_checkpoint))
        saved = next((found for one in places if (found := _checkpoint.read(one)) is not None), None)
        if saved is not None:
            driver.goes_on_stopped = self.options.resume_stopped
            _checkpoint.load(saved, driver, self._trainable)
            return
        warnings.warn(
            f"the Trainer goes on after {state.global_step} steps, and there is no {_checkpoint.FILE!r} in "
            f"{errors.listing(map(str, places))}: the callbacks begin anew.",
            stacklevel=2,
        )
        progress = driver.progress
        progress.step = progress.optimizer_step = state.global_step
        progress.epochs_done = int(state.epoch) if steps is None else state.global_step // steps

    def _end_training(self, driver: trainhooks.Driver, state: Any) -> None:
        self._finish_epoch(driver)
        progress = self._progress
        if progress.max_epochs is None and not progress.should_stop and state.global_step >= state.max_steps:
            progress.max_epochs = progress.epochs_done  # where the data has no length it is known only now
        self._is_training = False
        driver.close("train")

    def _begin_epoch(self, driver: trainhooks.Driver) -> None:
        self._finish_epoch(driver)
        driver.place.arrive(driver.open("epoch", epoch=self._progress.epochs_done))
        self._pass = driver.open("pass")

    def _end_pass(self, driver: trainhooks.Driver, awaits: bool) -> None:
        driver.drop_batch()
        self._loss, self._rows = None, 0
        driver.close("pass")
        self._awaits = True
        if not awaits:
            self._finish_epoch(driver)

    def _begin_step(self, driver: trainhooks.Driver) -> None:
        self._trainable.hold()
        driver.batch_begin(self._pass.batch + 1)

    def _end_step(self, driver: trainhooks.Driver) -> None:
        self._trainable.hold()  # the Trainer's scheduler has just set it
        if not self._pass.in_batch:  # in old releases a step may have begun in the epoch before
            driver.batch_begin(self._pass.batch + 1)
        if self._loss is not None:
            driver.log({"loss": self._loss}, n=self._rows)
            self._loss, self._rows = None, 0
        driver.batch_end()

    def _take_logs(self, driver: trainhooks.Driver, state: Any, logs: Mapping[str, Any], evaluates: bool) -> None:
        if self._test is not None or driver.stack[-1].kind not in ("epoch", "pass"):
            return  # of an evaluation, or of the whole training
        steps = 1
        if "loss" in logs:  # then all of it is a mean over the steps since the last time
            steps, self._logged_at = max(state.global_step - self._logged_at, 1), state.global_step
        metrics = {name: value for name, value in logs.items() if self._is_metric(name, value)}
        if metrics:
            driver.log(metrics, n=steps)
            driver.run.announce(*metrics)  # it need not come in each epoch
        if not evaluates:
            self._finish_epoch(driver)

    def _is_metric(self, name: str, value: Any) -> bool:
        if name == "loss" and self.is_watched:
            return False
        return is_number(value) and name not in _NO_METRICS and not name.startswith(("eval_", "train_"))

    def _save_beside(self, driver: trainhooks.Driver, args: Any, state: Any) -> None:
        if not state.is_world_process_zero:
            return
        folder = _folder(args, state)
        if folder.is_dir():
            _checkpoint.write(folder, driver.run, self._trainable)
        else:
            self._tell(f"the Trainer saved, and not to {str(folder)!r}: the state of the callbacks is not kept there.")


def _folder(args: Any, state: Any) -> Path:
    """Of the Trainer's checkpoint of this step."""
    return Path(args.output_dir, f"checkpoint-{state.global_step}")
