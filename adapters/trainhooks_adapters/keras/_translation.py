"""Translation: what each native hook of Keras becomes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from threading import get_ident
from typing import Any, Literal

import trainhooks
from trainhooks import errors

from ._counting import Counting
from ._trainable import KerasTrainable


class Translation(Counting):
    """The native hooks, each a line of translation; ``bridge`` makes a Keras callback of it.

    Attributes:
        run: the run of the last or running ``fit``, ``evaluate`` or ``predict``; None before the first.
    """

    def prepare(self, options: trainhooks.WrapOptions) -> None:
        # what every batch reads comes first, side by side
        self._acting = False
        self._thread = 0
        """Where the run is driven from; 0 where there is none."""
        self.driver: trainhooks.Driver | None = None
        self._progress: Any = None
        self._logs = trainhooks.Logs()
        """Those of the running epoch; at each batch's end they show what Keras gave."""
        self.options, self.resume = options, options.state()
        self.initial_epoch: int | None = None
        """What ``fit`` was given, where that is known: beside ``resume`` it counts."""
        self.data: Any = None
        """What ``fit`` trains on, where that is known."""
        self.run: trainhooks.Run | None = None
        self.native = None
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
        self._thread = 0
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
        self._do(self._begin_epoch, epoch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._do(self._end_epoch, logs)

    def on_test_begin(self, logs: Any = None) -> None:
        self._do(self._begin_validation, "test")

    def on_test_end(self, logs: Any = None) -> None:
        self._do(self._end_validation, "test", trainhooks.Logs(logs))
        self._end_alone()

    def on_predict_begin(self, logs: Any = None) -> None:
        self._do(self._begin_validation, "predict")

    def on_predict_end(self, logs: Any = None) -> None:
        self._do(self._end_validation, "predict", None)
        self._end_alone()

    # Batches: a Keras callback gets those of these that somebody listens to. The two of training are hot: there a call
    # costs what a hook of the user's costs, so that they hold the usual way through `_do` themselves.

    def _batch_begin(self, batch: int, logs: Any = None) -> None:
        driver = self.driver
        if self._acting or driver is None:  # begins Keras never hands to other threads
            self._do(_begin_batch, batch)
            return
        self._acting = True
        try:
            driver.batch_begin(batch)
        except BaseException as error:  # raised on
            self._break(error)
            raise
        self._acting = False
        if self._progress.halt:
            self._pass_stop_on()

    def _train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._acting or get_ident() != self._thread:
            self._do(_end_batch, logs)
            return
        self._acting = True
        try:
            self._logs.raw = {} if logs is None else logs
            if batch == self._done:
                self._done = batch + 1
                self.driver.batch_end()  # type: ignore[union-attr]
            else:
                self.driver.batch_end(steps=self._steps(batch + 1))  # type: ignore[union-attr]
        except BaseException as error:  # raised on
            self._break(error)
            raise
        self._acting = False
        if self._progress.halt:
            self._pass_stop_on()

    def _counting_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Of a training batch, where nobody listens to the ends."""
        self._do(self._count_begun, batch)

    def _note_batch_end(self, batch: int, logs: Any = None) -> None:
        self._ended = batch + 1

    def _test_batch_end(self, batch: int, logs: Any = None) -> None:
        self._do(_end_batch, logs)

    def _predict_batch_end(self, batch: int, logs: Any = None) -> None:
        self._do(_end_prediction, logs)

    # What they do

    def _do(self, act: Callable[..., object], *given: Any) -> None:
        if self.driver is not None and get_ident() != self._thread:
            raise errors.LoopError(
                "Keras calls this bridge from another thread and out of order: what is overridden it sees in a list of "
                "callbacks only. Write fit(callbacks=[bridge])."
            )
        if self._acting:  # a callback of ours calls evaluate with this very bridge: that is no part of the run
            return
        self._acting = True
        try:
            if self.driver is None:
                self.driver = self.new_driver()
                self._thread = get_ident()
                self.run, self._progress = self.driver.run, self.driver.progress
                trains = act == self._begin_training
                if self.resume is not None and trains:  # an evaluation is of the weights that there are
                    self.driver.load_state_dict(self.resume, resume_stopped=self.options.resume_stopped)
                self.driver.setup(ask=trains)
            act(self.driver, *given)
        except BaseException as error:  # raised on
            self._break(error)
            raise
        self._acting = False
        if self._progress.halt:
            self._pass_stop_on()

    def _break(self, error: BaseException) -> None:
        """The run is over in ``error``, of which Keras will tell nobody."""
        try:
            self.over(error)
        finally:
            self._acting = False

    def _pass_stop_on(self) -> None:
        if self._progress.should_stop:
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
        self._begin_counting()
        self._logs = trainhooks.Logs()
        driver.open("epoch", epoch=epoch, logs=self._logs)
        driver.open("pass")

    def _end_epoch(self, driver: trainhooks.Driver, logs: dict[str, Any] | None) -> None:
        driver.drop_batch()
        self._count_finished(driver)
        driver.close("pass")
        driver.close("epoch", trainhooks.Logs(logs))

    def _count_begun(self, driver: trainhooks.Driver, batch: int) -> None:
        driver.count_steps(self._steps(batch))
        driver.batch_begin(batch)

    def _begin_validation(self, driver: trainhooks.Driver, kind: Literal["test", "predict"]) -> None:
        driver.drop_batch()
        self._count_finished(driver)
        self._logs.raw = dict(self._logs.raw)  # what the validation finds joins them: in no dictionary of Keras's
        driver.open(kind)

    def _end_validation(
        self, driver: trainhooks.Driver, kind: Literal["test", "predict"], logs: trainhooks.Logs | None
    ) -> None:
        driver.drop_batch()
        driver.close(kind, logs)


def _begin_batch(driver: trainhooks.Driver, batch: int) -> None:
    driver.batch_begin(batch)


def _end_batch(driver: trainhooks.Driver, logs: dict[str, Any] | None) -> None:
    driver.batch_end(logs=trainhooks.Logs(logs))


def _end_prediction(driver: trainhooks.Driver, logs: dict[str, Any] | None) -> None:
    driver.batch_end(outputs=(logs or {}).get("outputs"))
