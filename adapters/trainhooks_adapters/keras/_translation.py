"""Translation: what each native hook of Keras becomes."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import Any, Literal

import trainhooks
from trainhooks import errors

from ._trainable import KerasTrainable


class Translation:
    """The native hooks, each a line of translation; ``bridge`` makes a Keras callback of it.

    Attributes:
        run: the run of the last or running ``fit``, ``evaluate`` or ``predict``; None before the first.
    """

    model: Any
    params: dict[str, Any]
    hooks: frozenset[str]

    def prepare(self, options: trainhooks.WrapOptions) -> None:
        self.options, self.resume = options, options.state()
        self.initial_epoch: int | None = None
        """What ``fit`` was given, where that is known: beside ``resume`` it counts."""
        self.data: Any = None
        """What ``fit`` trains on, where that is known."""
        self.driver: trainhooks.Driver | None = None
        self.run: trainhooks.Run | None = None
        self.native: Any = None
        self._done = self._ended = self._updates = 0
        self._acting = False
        self._thread = 0
        self._told: Any = None
        """The model whose ``fit`` was told where to begin, until it has begun there."""

    def set_model(self, model: Any) -> None:
        if not self._acting:  # Keras does this before each fit, evaluate and predict
            self.bury()
        super().set_model(model)  # type: ignore[misc]
        self.native = model  # stop_training may be set on it directly: `model` would synchronise JAX's state

    def new_driver(self) -> trainhooks.Driver:
        """A driver for the next run; refuses what the model lacks."""
        return self.options.driver(KerasTrainable(lambda: self.model, self.hooks, self.data))

    def check_state(self) -> None:
        """Refuse what is no state, before the model has been built that could take it back."""
        if self.resume is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what there is to say is said when fit begins
                trainhooks.Driver(plugins="none").load_state_dict(self.resume)

    def over(self, error: BaseException | None = None) -> None:
        """The run is over, in ``error`` or well; a second time does nothing."""
        self._forget_epoch()
        driver, self.driver = self.driver, None
        if driver is not None:
            try:
                if error is not None:
                    driver.fail(error)
            finally:
                driver.teardown()

    def bury(self) -> None:
        """End a run whose loop was left without a word: by an exception of which no callback is told."""
        if self.driver is not None:
            self.over(errors.LoopError("Keras's loop was left before its end, by an exception"))

    # The run

    def on_train_begin(self, logs: Any = None) -> None:
        if not self._acting:
            self.bury()  # once more: a native CallbackList sets the model once only
        self._do(self._begin_training)

    def on_train_end(self, logs: Any = None) -> None:
        self._do(self._end_training)
        self._end()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._do(lambda driver: self._begin_epoch(driver, epoch))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._do(lambda driver: self._end_epoch(driver, _logs(logs)))

    def on_test_begin(self, logs: Any = None) -> None:
        self._do(lambda driver: self._begin_validation(driver, "test"))

    def on_test_end(self, logs: Any = None) -> None:
        self._do(lambda driver: self._end_validation(driver, "test", _logs(logs)))
        self._end_alone()

    def on_predict_begin(self, logs: Any = None) -> None:
        self._do(lambda driver: self._begin_validation(driver, "predict"))

    def on_predict_end(self, logs: Any = None) -> None:
        self._do(lambda driver: self._end_validation(driver, "predict", None))
        self._end_alone()

    # Batches: a Keras callback gets those of these that somebody listens to

    def _batch_begin(self, batch: int, logs: Any = None) -> None:
        self._do(lambda driver: self._begin_batch(driver, batch))

    def _train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._do(lambda driver: driver.batch_end(steps=self._steps(batch + 1), logs=_logs(logs)))

    def _note_batch_end(self, batch: int, logs: Any = None) -> None:
        self._ended = batch + 1

    def _test_batch_end(self, batch: int, logs: Any = None) -> None:
        self._do(lambda driver: driver.batch_end(logs=_logs(logs)))

    def _predict_batch_end(self, batch: int, logs: Any = None) -> None:
        self._do(lambda driver: driver.batch_end(outputs=(logs or {}).get("outputs")))

    # What they do

    def _do(self, act: Callable[[trainhooks.Driver], object]) -> None:
        if self.driver is not None and threading.get_ident() != self._thread:
            raise errors.LoopError(
                "Keras calls this bridge from another thread and out of order: what is overridden it sees in a list of "
                "callbacks only. Write fit(callbacks=[bridge])."
            )
        if self._acting:  # a callback of ours calls evaluate with this very bridge: that is no part of the run
            return
        self._acting = True
        try:
            if self.driver is None:
                self._thread = threading.get_ident()
                self.driver = self.new_driver()
                self.run = self.driver.run
                trains = act == self._begin_training
                if self.resume is not None and trains:  # an evaluation is of the weights that there are
                    self.driver.load_state_dict(self.resume, resume_stopped=self.options.resume_stopped)
                self.driver.setup(ask=trains)
            act(self.driver)
        except BaseException as error:  # raised on: Keras will tell nobody of it
            self.over(error)
            raise
        finally:
            self._acting = False
        if self.driver is not None and self.driver.progress.should_stop:
            self.native.stop_training = True

    def _end(self) -> None:
        """The run ended well; outside of ``_do``: what a teardown raises is not told to ``exception``."""
        if not self._acting:
            self.over()

    def _end_alone(self) -> None:
        if self.driver is not None and self.driver.is_idle:  # there is no fit around it
            self._end()

    def _begin_training(self, driver: trainhooks.Driver) -> None:
        progress = driver.progress
        progress.max_epochs = self.params.get("epochs")
        progress.steps_per_epoch = self.params.get("steps")
        if progress.resumed:
            first = progress.epochs_done
            if self.resume is not None and self.initial_epoch is not None:
                first = self.initial_epoch
                driver.run.history = [record for record in driver.run.history if record.epoch < first]
            self._begin_at(first, progress)
        self.resume = None  # the first fit goes on from it; the next is a new run
        driver.open("train")

    def _end_training(self, driver: trainhooks.Driver) -> None:
        progress = driver.progress
        cut = progress.max_epochs is not None and progress.epochs_done < progress.max_epochs
        if cut and self.native.stop_training and not progress.should_stop:  # a callback of Keras's own stops with it
            driver.run.stop("model.stop_training was set", source="keras")
            driver.attend()
        driver.close("train")

    def _begin_at(self, first: int, progress: Any) -> None:
        """Tell ``fit``, which has asked for ``initial_epoch`` before anybody knew better."""
        epochs = progress.max_epochs or 0
        if progress.should_stop:  # a stopped run stays stopped: no epoch is left
            first = max(first, epochs)
        elif first >= epochs:
            warnings.warn(
                f"fit(epochs={epochs}): the run that goes on has {first} epochs behind it, so that none is left to "
                "train. Ask for more, or begin anew without its state.",
                stacklevel=2,
            )
        # fit looks at this after the callbacks' on_train_begin (keras 3.15: "can be set by callbacks")
        self.native._initial_epoch, self._told = first, self.native

    def _forget_epoch(self) -> None:
        """A later fit of the model must not begin where this one did."""
        if self._told is not None:
            self._told._initial_epoch, self._told = None, None

    def _begin_epoch(self, driver: trainhooks.Driver, epoch: int) -> None:
        self._forget_epoch()
        self._done = self._ended = 0
        self._updates = self._count_updates()
        driver.open("epoch", epoch=epoch)
        driver.open("pass")

    def _end_epoch(self, driver: trainhooks.Driver, logs: trainhooks.Logs) -> None:
        driver.drop_batch()
        self._count_finished(driver)
        driver.close("pass")
        driver.close("epoch", logs)

    def _begin_batch(self, driver: trainhooks.Driver, batch: int) -> None:
        driver.drop_batch()
        if driver.progress.phase == "train" and "on_train_batch_end" not in self.hooks:
            driver.count_steps(self._steps(batch))
        driver.batch_begin(batch)

    def _steps(self, done: int) -> int:
        """How many batches were finished since it was last asked, now that ``done`` of the epoch are."""
        total = self.params.get("steps")
        if total is not None:
            done = min(done, total)  # the last of several steps_per_execution are fewer
        elif self.native.steps_per_execution > 1:
            done = min(done, self._finished())
        done = max(done, self._done)  # a rollback takes the optimizer's count back, and not the batches
        steps, self._done = done - self._done, done
        return steps

    def _count_finished(self, driver: trainhooks.Driver) -> None:
        if driver.progress.phase == "train" and "on_train_batch_end" not in self.hooks:
            driver.count_steps(self._steps(self._finished()))

    def _finished(self) -> int:
        """Batches finished in this epoch, as far as is seen without ``on_train_batch_end``."""
        if self._ended and self.native.steps_per_execution == 1:
            return self._ended
        updates, total = self._count_updates() - self._updates, self.params.get("steps")
        if total is None or self.native.stop_training:
            return updates
        each = updates > 0 and not hasattr(self.model.optimizer, "inner_optimizer")  # a scaled loss skips some
        return updates if each else int(total)

    def _count_updates(self) -> int:
        """How often the optimizer was given gradients: what ``iterations`` is before accumulation divides it."""
        optimizer = getattr(self.model, "optimizer", None)
        variables = getattr(getattr(optimizer, "inner_optimizer", optimizer), "variables", None)
        return int(variables[0]) if variables else 0  # it is the first of them, up to keras 3.15

    def _begin_validation(self, driver: trainhooks.Driver, kind: Literal["test", "predict"]) -> None:
        driver.drop_batch()
        self._count_finished(driver)
        driver.open(kind)

    def _end_validation(
        self, driver: trainhooks.Driver, kind: Literal["test", "predict"], logs: trainhooks.Logs | None
    ) -> None:
        driver.drop_batch()
        driver.close(kind, logs)


def _logs(logs: dict[str, Any] | None) -> trainhooks.Logs:
    return trainhooks.Logs(logs)
