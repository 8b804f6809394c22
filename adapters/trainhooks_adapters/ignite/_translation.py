"""Translation: what each event of an Ignite engine becomes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import trainhooks
from trainhooks import errors
from trainhooks_adapters.torch import rows_of, world_of_processes

from ._metrics import add_attached, metrics_of, no_metrics
from ._places import begin_at, is_done

_TRAIN, _EPOCH = 2, 3
"""How many scopes are open in a training, and in an epoch."""


def _told(act: Callable[..., None]) -> Callable[..., None]:
    """A handler that is silent where no run is open, and ends the run when it raises."""

    @functools.wraps(act)  # Ignite reads the signature
    def handler(self: Translation, engine: Any, *given: Any, **named: Any) -> None:
        if self.driver is None or self._acting:  # one of our callbacks evaluates: that is no part of the run
            return
        self._acting = True
        try:
            act(self, engine, *given, **named)
        except BaseException as error:  # raised on
            self.over(error)
            raise
        finally:
            self._acting = False

    return handler


class Translation:
    """The handlers, and the run that they drive.

    Attributes:
        run: the run of the last or running training; None before the first.
        driver: of the running one.
        resume: the state that the next run goes on from.
        interrupted: ``engine.interrupt()`` was called, and the run is to go on.
    """

    driver: Any
    _acting = interrupted = False
    _batch = _tested = 0
    _testing: Any = None
    """The evaluator whose validation is open."""

    def __init__(
        self,
        options: trainhooks.WrapOptions,
        trainable: Any,
        evaluators: Mapping[str, Any],
        transform: Callable[[Any], Any] | None,
    ) -> None:
        self.options, self.resume = options, options.state()
        self.trainable, self.evaluators, self.transform = trainable, evaluators, transform
        self.run: trainhooks.Run | None = None
        self.driver = None
        self._handles: list[Any] = []
        """What is on the engines while a run is open."""
        self._before: Mapping[str, Any] = {}
        self._test_before: Mapping[str, Any] = {}
        options.driver(trainable)  # refuses what cannot be had, before anything trains

    def begin(self) -> Any:
        """A new run is about to begin; one that was left without a word ends first."""
        import ignite.distributed as idist

        self.bury()
        self.driver = self.options.driver(self.trainable, world=world_of_processes(idist.device()))
        self.run = self.driver.run
        return self.driver

    def over(self, error: BaseException | None = None) -> None:
        """The run is over, in ``error`` or well; a second time does nothing."""
        driver, self.driver, self._testing, self.interrupted = self.driver, None, None, False
        handles, self._handles = self._handles, []
        for handle in handles:
            handle.remove()
        if driver is not None:
            try:
                if error is not None:
                    driver.fail(error)
            finally:
                driver.teardown()

    def bury(self) -> None:
        """End a run that was left by an exception of which no handler is told."""
        if self.driver is not None:
            self.over(errors.LoopError("Ignite's run was left before its end, by an exception"))

    def _listen(self, engine: Any) -> None:
        """Put the handlers on: after those of the user, whose evaluations belong to the epoch."""
        from ignite.engine import Events

        for event, handler in (
            (Events.EPOCH_STARTED, self._epoch_started),
            (Events.ITERATION_STARTED, self._iteration_started),
            (Events.ITERATION_COMPLETED, self._iteration_completed),
            (Events.TERMINATE_SINGLE_EPOCH, self._epoch_terminated),
            (Events.EPOCH_COMPLETED, self._epoch_completed),
            (Events.INTERRUPT, self._interrupted),
            (Events.TERMINATE, self._terminated),
            (Events.COMPLETED, self._completed),
        ):
            self._handles.append(engine.add_event_handler(event, handler))
        for name, evaluator in self.evaluators.items():
            self.listen_to(evaluator, name, engine)

    def listen_to(self, evaluator: Any, name: str, trainer: Any = None) -> None:
        """Put on the handlers of a validation inside the run of ``trainer``, or of an evaluation alone."""
        from ignite.engine import Events

        self._handles += [
            evaluator.add_event_handler(Events.STARTED, self._test_started, name, trainer),
            evaluator.add_event_handler(Events.ITERATION_STARTED, self._test_iteration_started),
            evaluator.add_event_handler(Events.ITERATION_COMPLETED, self._test_iteration_completed),
            evaluator.add_event_handler(Events.TERMINATE, self._test_terminated),
            evaluator.add_event_handler(Events.COMPLETED, self._test_completed),
        ]

    # Training

    def _started(self, engine: Any) -> None:
        self.begin()
        self._listen(engine)
        self._train_started(engine)

    @_told
    def _train_started(self, engine: Any) -> None:
        driver, kept = self.driver, self.resume
        if kept is not None:
            driver.load_state_dict(kept, resume_stopped=self.options.resume_stopped)
            if kept.get("lrs") not in (None, driver.run.lrs if driver.run.can("read_lr") else None):
                driver.run.lrs = kept["lrs"]
        driver.setup()
        self.resume = None  # the first run goes on from it; the next is a new one
        state, progress = engine.state, driver.progress
        if progress.resumed:
            placed = kept is not None and kept["trainable"] is None and state.epoch > 0  # by Ignite's checkpoint
            begin_at(state.epoch if placed else progress.epochs_done, state, progress.should_stop)
        driver.open("train", epochs=state.max_epochs, steps=state.epoch_length)
        if progress.should_stop:
            engine.terminate()

    @_told
    def _epoch_started(self, engine: Any) -> None:
        self._begin_epoch(engine)

    def _begin_epoch(self, engine: Any) -> None:
        # no epoch comes of it, or it has begun: for a validation that one of the user's handlers began it with
        if engine.should_terminate or len(self.driver.stack) >= _EPOCH:
            return
        progress = self.driver.progress
        progress.steps_per_epoch = engine.state.epoch_length  # the first epoch finds it out, where data has no length
        self._batch, self._before = 0, dict(engine.state.metrics)
        self.driver.open("epoch", epoch=engine.state.epoch - 1)
        self.driver.open("pass")
        if progress.pause is not None:
            engine.terminate()

    @_told
    def _iteration_started(self, engine: Any) -> None:
        if self.driver.progress.halt:  # asked for as the epoch began, when the engine refuses terminate_epoch()
            self._end_batches(engine)
        elif not (engine.should_terminate or engine.should_terminate_single_epoch):
            self.driver.batch_begin(self._batch)
            self._batch += 1

    @_told
    def _iteration_completed(self, engine: Any) -> None:
        driver = self.driver
        if self.transform is not None:
            output = self.transform(engine.state.output)
            metrics = metrics_of(output)
            if metrics is None:
                raise no_metrics(output)
            driver.log(metrics, rows_of(engine.state.batch))
        driver.batch_end()
        if driver.progress.halt:
            self._end_batches(engine)

    def _end_batches(self, engine: Any) -> None:
        if self.driver.progress.pause is not None:
            engine.terminate()
        else:  # the epoch's validation and its end still come
            engine.terminate_epoch()

    @_told
    def _epoch_terminated(self, engine: Any, iter_counter: int = 0) -> None:
        self.driver.drop_batch()
        if engine.should_terminate_single_epoch == "skip_epoch_completed":
            self._end_epoch(engine)

    @_told
    def _epoch_completed(self, engine: Any) -> None:
        self._end_epoch(engine)

    def _end_epoch(self, engine: Any) -> None:
        driver = self.driver
        if len(driver.stack) >= _EPOCH:  # else a checkpoint was made meanwhile, and it has ended
            self._close(_EPOCH)
            add_attached(driver.logs, engine.state.metrics, self._before)
            driver.close("epoch")
        if driver.progress.should_stop:
            engine.terminate()

    def _interrupted(self, engine: Any) -> None:
        self.interrupted = True

    @_told
    def _terminated(self, engine: Any) -> None:
        driver = self.driver
        if not (driver.progress.should_stop or is_done(engine.state)):
            driver.run.stop("engine.terminate() was called", source="ignite")
            driver.attend()
        self._close(_TRAIN)
        if engine.should_terminate == "skip_completed":
            self._end_training(engine)

    @_told
    def _completed(self, engine: Any) -> None:
        self._end_training(engine)

    def _end_training(self, engine: Any) -> None:
        if is_done(engine.state):  # it was to end after so many iterations, in whatever epoch
            self.driver.progress.max_epochs = self.driver.progress.epochs_done
        self._close(1)
        self.over()

    def _close(self, depth: int) -> None:
        """Close from the innermost scope outwards; a batch that is open there was cut by the engine."""
        self._testing = None
        driver = self.driver
        while len(driver.stack) > depth:
            driver.drop_batch()
            driver.close(driver.stack[-1].kind)

    # Validation

    @_told
    def _test_started(self, evaluator: Any, name: str, trainer: Any) -> None:
        from ignite.engine import Events

        driver = self.driver
        if trainer is not None and self._testing is None:
            if trainer.last_event_name == Events.EPOCH_STARTED:
                self._begin_epoch(trainer)
            if trainer.last_event_name == Events.EPOCH_COMPLETED:
                self._close(_EPOCH)  # its training batches are over
            elif trainer.last_event_name in (Events.COMPLETED, Events.TERMINATE):
                self._close(1)
        if self._testing is None and driver.stack[-1].kind != "train":  # between epochs there are no logs to join
            self._testing, self._tested, self._test_before = evaluator, 0, dict(evaluator.state.metrics)
            driver.open("test", name=name)

    @_told
    def _test_iteration_started(self, evaluator: Any) -> None:
        if self._testing is evaluator:
            self.driver.batch_begin(self._tested)
            self._tested += 1

    @_told
    def _test_iteration_completed(self, evaluator: Any) -> None:
        if self._testing is evaluator:
            if metrics := metrics_of(evaluator.state.output):
                self.driver.log(metrics, rows_of(evaluator.state.batch))
            self.driver.batch_end()

    @_told
    def _test_terminated(self, evaluator: Any) -> None:
        self._end_test(evaluator, {})  # what is attached was not computed anew

    @_told
    def _test_completed(self, evaluator: Any) -> None:
        self._end_test(evaluator, evaluator.state.metrics)

    def _end_test(self, evaluator: Any, attached: Mapping[str, Any]) -> None:
        if self._testing is evaluator:
            self._testing = None
            self.driver.drop_batch()
            add_attached(self.driver.logs, attached, self._test_before)
            self.driver.close("test")
