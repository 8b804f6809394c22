"""Translation: what each native hook of Lightning becomes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import trainhooks
from trainhooks import errors
from trainhooks_adapters.torch import rows_of

from ._metrics import Metrics, loss_in
from ._resuming import Native, begin_at, end_where_left, native_state
from ._steering import Steering, is_in_epoch
from ._trainable import LightningTrainable, world_of


class Translation:
    """The native hooks, each a line of translation; ``bridge`` makes a Lightning callback of it.

    Attributes:
        run: the run of the last or running ``fit``, ``validate``, ``test`` or ``predict``; None before the first.
        driver: of the run that is open.
        interrupt: the KeyboardInterrupt that the last of them ended in, which Lightning makes another exception of.
    """

    state_key = "trainhooks"

    def prepare(self, options: trainhooks.WrapOptions) -> None:
        self.options, self.resume = options, options.state()
        self.run: trainhooks.Run | None = None
        self.driver: trainhooks.Driver | None = None
        self.interrupt: BaseException | None = None
        self._metrics, self._steering = Metrics(), Steering()
        self._acting = False
        self._native = Native()
        self._fitted: tuple[trainhooks.Run, LightningTrainable] | None = None
        """The run of the last fit."""

    # The run

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.over(errors.LoopError("Lightning's loop was left before its end"))  # as by what no callback is told of
        self.interrupt, self._native = None, Native()

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        trainable = LightningTrainable(trainer)
        self._new_driver(self.options, trainable, trainer)
        self._fitted = self.driver.run, trainable  # type: ignore[union-attr]

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self._do(trainer, self._begin_training)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self._do(trainer, self._end_training)

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        if self.driver is not None and self.driver.life == "new":  # there was nothing to train
            self._do(trainer, self._begin_training)
            self._do(trainer, self._end_training)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.over()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self.interrupt = exception if isinstance(exception, KeyboardInterrupt) else None
        self.over(exception)

    def over(self, error: BaseException | None = None) -> None:
        """The run is over, in ``error`` or well; a second time does nothing."""
        driver, self.driver = self.driver, None
        self._steering.end()
        if driver is not None:
            try:
                if error is not None:
                    driver.fail(error)
            finally:
                driver.teardown()

    # Epochs and training batches

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self._do(trainer, self._begin_epoch)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if self.driver is not None and not self._acting and self._steering.owes_validation(trainer):
            trainer.validating = True  # as Lightning's epoch does, had it had a batch
            trainer.fit_loop.epoch_loop.val_loop.run()
            trainer.training = True
        self._do(trainer, self._end_epoch)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self._do(trainer, self._begin_batch, batch_idx)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._do(trainer, self._end_batch, outputs, batch)

    # Validations, tests, predictions

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        self._begin_pass(trainer, "test")

    def on_validation_batch_start(self, trainer: Any, *rest: Any) -> None:
        self._do(trainer, self._begin_pass_batch)

    def on_validation_batch_end(self, trainer: Any, *rest: Any) -> None:
        self._do(trainer, self._end_test_batch, "validate")

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        self._do(trainer, self._end_test, "validate")

    def on_test_start(self, trainer: Any, pl_module: Any) -> None:
        self._begin_pass(trainer, "test")

    def on_test_batch_start(self, trainer: Any, *rest: Any) -> None:
        self._do(trainer, self._begin_pass_batch)

    def on_test_batch_end(self, trainer: Any, *rest: Any) -> None:
        self._do(trainer, self._end_test_batch, "test")

    def on_test_end(self, trainer: Any, pl_module: Any) -> None:
        self._do(trainer, self._end_test, "test")

    def on_predict_start(self, trainer: Any, pl_module: Any) -> None:
        self._begin_pass(trainer, "predict")

    def on_predict_batch_start(self, trainer: Any, *rest: Any) -> None:
        self._do(trainer, self._begin_pass_batch)

    def on_predict_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *rest: Any) -> None:
        self._do(trainer, _end_prediction, outputs)

    def on_predict_end(self, trainer: Any, pl_module: Any) -> None:
        self._do(trainer, _close_prediction)

    # Lightning's own checkpoints

    def state_dict(self) -> dict[str, Any]:
        return {} if self._fitted is None else native_state(*self._fitted)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._native = Native(state_dict)

    # What they do

    def _new_driver(self, options: trainhooks.WrapOptions, trainable: LightningTrainable, trainer: Any) -> None:
        self.driver = options.driver(trainable, world=world_of(trainer))
        self.run = self.driver.run

    def _do(self, trainer: Any, act: Callable[..., object], *given: Any) -> None:
        if self._acting or self.driver is None or trainer.sanity_checking:
            return
        self._acting = True
        try:
            act(self.driver, trainer, *given)
            self._steering.look(self.driver, trainer)
        finally:
            self._acting = False

    def _begin_training(self, driver: trainhooks.Driver, trainer: Any) -> None:
        native, resume = self._native, self.resume
        if native.state is not None and resume is not None:
            raise ValueError("fit(ckpt_path=...) and resume=... are both there to go on from: give one of them.")
        if resume is not None:
            driver.load_state_dict(resume, resume_stopped=self.options.resume_stopped)
        elif native.state is not None:
            native.load_into(driver, self.options.resume_stopped)
        self.resume = None  # the first fit goes on from it; the next is a new run
        self._native = Native()
        driver.setup(ask=trainer.ckpt_path is None)
        progress, epochs = driver.progress, None if trainer.max_epochs == -1 else trainer.max_epochs
        if not progress.resumed:
            progress.epochs_done = trainer.current_epoch  # a second fit goes on from there
        elif native.state is None:
            begin_at(trainer, progress, epochs)
        batches = trainer.num_training_batches
        self._steering.begin(progress, trainer)
        driver.open("train", epochs=epochs, steps=int(batches) if math.isfinite(batches) else None)

    def _end_training(self, driver: trainhooks.Driver, trainer: Any) -> None:
        if not driver.is_complete:
            self._steering.look(driver, trainer)  # a callback of Lightning's may have stopped it after the last event
        end_where_left(driver, trainer)
        progress = driver.progress
        progress.epochs_done = max(progress.epochs_done, trainer.current_epoch)  # as of a checkpoint without a state
        if 0 <= trainer.max_steps <= trainer.global_step:
            progress.max_epochs = progress.epochs_done
        self._steering.trains = False
        driver.close("train")

    def _begin_epoch(self, driver: trainhooks.Driver, trainer: Any) -> None:
        end_where_left(driver, trainer)
        self._metrics.look(trainer)
        self._steering.batches = 0
        epoch = driver.open("epoch", epoch=trainer.current_epoch)
        if driver.run.is_getting_back:
            driver.place.arrive(epoch)
        driver.open("pass")

    def _end_epoch(self, driver: trainhooks.Driver, trainer: Any) -> None:
        if not is_in_epoch(driver):
            if not driver.run.is_getting_back:  # Lightning ends an epoch twice that ended before its checkpoint
                return
            self._begin_epoch(driver, trainer)
        _leave_pass(driver)
        for name, value in self._metrics.of_epoch(trainer).items():
            driver.logs.begin(name, value)
        driver.close("epoch")
        self._steering.go_on(driver.progress)

    def _begin_batch(self, driver: trainhooks.Driver, trainer: Any, batch: int) -> None:
        if not is_in_epoch(driver):  # Lightning goes on inside of one
            self._begin_epoch(driver, trainer)
        elif driver.stack[-1].kind == "epoch":  # there was a validation between the batches
            driver.open("pass")
        self._steering.batches += 1
        driver.batch_begin(batch)

    def _end_batch(self, driver: trainhooks.Driver, trainer: Any, outputs: Any, batch: Any) -> None:
        if not driver.stack[-1].in_batch:  # of a batch that is None no begin is told
            return
        values = self._metrics.of_batch(trainer)
        if "loss" not in values and (loss := loss_in(outputs, trainer.accumulate_grad_batches)) is not None:
            values["loss"] = loss
        if values:
            driver.log(values, n=rows_of(batch))
        driver.batch_end()

    def _begin_pass(self, trainer: Any, kind: Literal["test", "predict"]) -> None:
        if self.driver is None and trainer.state.fn != "fit":
            trainable = LightningTrainable(trainer)
            self._new_driver(_those_that_fit(self.options, trainable), trainable, trainer)
            self._do(trainer, lambda driver, trainer: driver.setup(ask=False))
        self._do(trainer, self._open_pass, kind)

    def _open_pass(self, driver: trainhooks.Driver, trainer: Any, kind: Literal["test", "predict"]) -> None:
        if self._steering.trains and not is_in_epoch(driver):
            self._begin_epoch(driver, trainer)
        _leave_pass(driver)
        self._metrics.look(trainer)
        driver.open(kind)

    def _begin_pass_batch(self, driver: trainhooks.Driver, trainer: Any) -> None:
        driver.batch_begin(driver.stack[-1].batch + 1)  # several loaders are one validation

    def _end_test_batch(self, driver: trainhooks.Driver, trainer: Any, stage: str) -> None:
        calls = driver.stack[-1].calls
        heard = calls is not None and calls.end is not None
        driver.batch_end(logs=_logs(self._metrics.so_far(trainer, stage)) if heard else None)

    def _end_test(self, driver: trainhooks.Driver, trainer: Any, stage: str) -> None:
        driver.drop_batch()
        driver.close("test", _logs(self._metrics.of_evaluation(trainer, stage)))


def _leave_pass(driver: trainhooks.Driver) -> None:
    """The training batches are over, or a validation comes between them; one that will never end is forgotten."""
    driver.drop_batch()
    if driver.stack[-1].kind == "pass":
        driver.close("pass")


def _logs(metrics: dict[str, Any]) -> trainhooks.Logs:
    """Values that stay on their device until they are read."""
    logs = trainhooks.Logs()
    for name, value in metrics.items():
        logs.begin(name, value)
    return logs


def _end_prediction(driver: trainhooks.Driver, trainer: Any, outputs: Any) -> None:
    driver.batch_end(outputs=outputs)


def _close_prediction(driver: trainhooks.Driver, trainer: Any) -> None:
    driver.drop_batch()
    driver.close("predict")


def _those_that_fit(options: trainhooks.WrapOptions, trainable: LightningTrainable) -> trainhooks.WrapOptions:
    """An evaluation without a fit before it has no optimizer: callbacks that need one have nothing to do in it."""
    reason = trainable.missing("lr")
    if reason is None:
        return options
    fitting = []
    for callback in options.callbacks:
        try:
            trainhooks.Driver(trainable, [callback], plugins="none")
        except errors.CapabilityError as error:
            if reason not in str(error):
                raise
        else:
            fitting.append(callback)
    return trainhooks.WrapOptions(fitting, min_epochs=options.min_epochs, plugins=options.plugins)
