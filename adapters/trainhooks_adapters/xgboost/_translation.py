"""Translation: what each native hook of XGBoost becomes."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import trainhooks
from trainhooks import errors

from ._trainable import XGBoostTrainable, direction_of

TRAINING: Final = ("train", "training", "dtrain")
"""What the training set is called among ``evals``, where nobody says."""


class Translation:
    """The native hooks; ``translation`` makes a ``TrainingCallback`` of it.

    Attributes:
        run: the run of the last or running training; None before the first.
        rounds: ``num_boost_round``, where it is known: XGBoost does not tell it to callbacks.
        training: what the training set is called among ``evals``.
    """

    def prepare(
        self,
        options: trainhooks.WrapOptions,
        names: Mapping[str, str],
        rounds: int | None,
        training: Iterable[str],
    ) -> None:
        self.options, self.names, self.resume = options, names, options.state()
        self.rounds, self.training = rounds, frozenset(training)
        self.run: trainhooks.Run | None = None
        self.driver: trainhooks.Driver | None = None
        self._trainable: Any = None
        self._total: int | None = None
        self._first = 0
        """The number of the epoch that is XGBoost's round 0."""
        self._is_open = self._acting = False
        """Whether a round has begun; whether our callbacks are being told."""
        self._trained = 0
        """How many rounds the booster had as it began."""
        self._evals: Mapping[str, Any] = {}
        self._seen: dict[tuple[str, str], int] = {}
        """How many values of each metric were told."""

    def __reduce__(self) -> Any:  # a copy, as of an estimator's clone, has callbacks of its own and no run
        return translation, (self.options, self.names, self.rounds, self.training)

    def over(self, error: BaseException | None = None) -> None:
        """The run is over, in ``error`` or well; a second time does nothing."""
        driver, self.driver, self._trainable, self._is_open = self.driver, None, None, False
        if driver is not None:
            try:
                if error is not None:
                    driver.fail(error)
            finally:
                driver.teardown()

    @contextlib.contextmanager
    def _telling(self) -> Iterator[trainhooks.Driver]:
        """What a callback raises ends the run: XGBoost will tell nobody."""
        assert self.driver is not None
        self._acting = True
        try:
            yield self.driver
        except BaseException as error:  # raised on
            self.over(error)
            raise
        finally:
            self._acting = False

    # The hooks

    def before_training(self, model: Any) -> Any:
        import xgboost

        if not isinstance(model, xgboost.Booster):
            raise TypeError(
                "xgboost.cv trains several boosters at once, and a run has one: call xgboost.train for each fold."
            )
        if self._acting:  # a callback of ours trains with this very bridge: that is no part of the run
            return model
        if self.driver is not None:
            self.over(errors.LoopError("XGBoost's loop was left before its end, by an exception"))
        self._trainable = XGBoostTrainable(model)
        self.driver = self.options.driver(self._trainable)
        self.run, self._is_open, self._evals, self._seen = self.driver.run, False, {}, {}
        with self._telling() as driver:
            given = model.num_boosted_rounds()  # by xgb_model
            if self.resume is not None:
                driver.load_state_dict(self.resume, resume_stopped=self.options.resume_stopped)
                self.resume = None  # the first training goes on from it; the next is a new run
            driver.setup()
            self._first = driver.run.epochs_done if driver.run.resumed else given
            self._total = None if self.rounds is None else given + self.rounds
            if driver.run.resumed and not driver.run.should_stop and self._is_last():
                warnings.warn(
                    f"num_boost_round={self.rounds}: the run that goes on has {self._first} rounds behind it, so that "
                    "none is left to train. Ask for more, or begin anew without its state.",
                    stacklevel=2,
                )
            driver.open("train", epochs=self._total, steps=1)
        return model

    def before_iteration(self, model: Any, epoch: int, evals_log: Mapping[str, Any]) -> bool:
        if self._acting or self.driver is None:
            return False
        if self.driver.run.should_stop or self._is_last(epoch):
            return True
        with self._telling() as driver:
            driver.open("epoch", epoch=self._first + epoch)
            if driver.run.stop_kind == "pause":
                return True
            driver.open("pass")
            driver.batch_begin(0)
            self._is_open, self._evals, self._trained = True, evals_log, model.num_boosted_rounds()
        return False

    def after_iteration(self, model: Any, epoch: int, evals_log: Mapping[str, Any]) -> bool:
        if self._is_open and not self._acting:
            with self._telling() as driver:
                self._end_round(driver, evals_log)
        return False  # a stop is passed on before the next round: after this one others would miss the event

    def after_training(self, model: Any) -> Any:
        if self._acting or self.driver is None:
            return model
        with self._telling() as driver:
            if self._is_open and model.num_boosted_rounds() > self._trained:  # another callback ended training first
                self._end_round(driver, self._evals)
            elif self._is_open:  # one after this ended it, before the round that had begun
                driver.drop_batch()
            driver.close_down(2)
            run = driver.run
            if self._total is None:
                driver.progress.max_epochs = run.epochs_done
            elif run.epochs_done < self._total and not run.should_stop:
                run.stop("a callback of XGBoost's own ended training", source="xgboost")
                driver.attend()
            if run.stop_source != "xgboost":  # else the best is that of what ended training
                self._mark_best(model)
            driver.close_down(1)
        self.over()
        return model

    # What they do

    def _is_last(self, epoch: int = 0) -> bool:
        return self._total is not None and self._first + epoch >= self._total

    def _end_round(self, driver: trainhooks.Driver, evals_log: Mapping[str, Any]) -> None:
        self._is_open = False
        others = [name for name in evals_log if name not in self.training]
        for name in evals_log:
            if name in self.training:
                driver.log(self._told(name, evals_log[name], ""))
        driver.batch_end()
        driver.close("pass")
        for name in others:
            called = "val" if len(others) == 1 else name
            if told := self._told(name, evals_log[name], f"{called}_"):
                driver.open("test", name=called)
                driver.batch_begin(0)
                driver.log(told)
                driver.batch_end()
                driver.close("test")
        driver.close("epoch")

    def _told(self, data: str, metrics: Mapping[str, list[float]], prefix: str) -> dict[str, float]:
        """What this round's evaluation of ``data`` gave, by our names."""
        told = {}
        for metric, values in metrics.items():
            if len(values) > self._seen.get((data, metric), 0):  # a metric of the user's may leave rounds out
                self._seen[data, metric] = len(values)
                name = self.names.get(prefix + metric, prefix + metric)
                if not name.startswith(prefix):
                    raise errors.LoopError(
                        f"names={{{prefix + metric!r}: {name!r}}}: the name of a validation's metric begins with "
                        f"{prefix!r}, as {prefix + name!r}"
                    )
                self._trainable.directions[name] = direction_of(metric)
                told[name.removeprefix(prefix)] = values[-1]
        return told

    def _mark_best(self, model: Any) -> None:
        """Set what XGBoost's own EarlyStopping sets, so that predictions take the best rounds."""
        for callback in self.options.callbacks:
            best, epoch = getattr(callback, "best", None), getattr(callback, "best_epoch", None)
            if best is not None and epoch is not None:
                if epoch < model.num_boosted_rounds():  # XGBoost's own early stopping may have taken rounds away
                    model.set_attr(best_iteration=str(epoch), best_score=str(best))
                return


@functools.cache
def _native_class() -> type[Any]:
    with errors.importing("xgboost", "xgboost"):
        import xgboost
    return type("Bridge", (Translation, xgboost.callback.TrainingCallback), {})


def translation(
    options: trainhooks.WrapOptions, names: Mapping[str, str], rounds: int | None, training: Iterable[str]
) -> Any:
    """A native callback; for the arguments see ``bridge``.

    Raises:
        FrameworkNotInstalledError: XGBoost is not installed.
    """
    made = _native_class()()
    made.prepare(options, names, rounds, training)
    return made
