"""Translation: what each native signal of LightGBM becomes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import trainhooks
from trainhooks import errors

from ._trainable import LightGBMTrainable

TRAINING: Final = "training"
"""What LightGBM calls the training set among ``valid_sets``, where nobody says."""

FIRST: Final = -(10**9)
LAST: Final = 10**9
"""Places in LightGBM's order of callbacks."""


class Native:
    """A callback as LightGBM has them: it reads the attributes, and sorts by ``order``."""

    def __init__(self, call: Callable[[Any], None], *, order: int, before_iteration: bool) -> None:
        self.call, self.order, self.before_iteration = call, order, before_iteration

    def __call__(self, env: Any) -> None:
        self.call(env)


class Bridge(list[Native]):
    """Native callbacks that carry ours, for ``callbacks=[*bridge(...), ...]``.

    Attributes:
        run: the run of the last or running training; None before the first.
        driver: drives the running one.
        training: what the training set is called among ``valid_sets``.
        best_results: LightGBM's evaluation of the best round, by an ``EarlyStopping`` of ours.
    """

    def __init__(self, options: trainhooks.WrapOptions, names: Mapping[str, str], training: Iterable[str]) -> None:
        super().__init__(
            [
                Native(self.before, order=LAST, before_iteration=True),
                Native(self.after, order=FIRST, before_iteration=False),
                Native(self.finally_after, order=LAST, before_iteration=False),
            ]
        )
        self.options, self.names, self.resume = options, names, options.state()
        self.training = frozenset(training)
        self.run: trainhooks.Run | None = None
        self.driver: trainhooks.Driver | None = None
        self.trainable = LightGBMTrainable()
        self._is_carried = self._acting = False
        """Whether ``wrap`` sees to the end of the run; whether our callbacks are being told."""
        self._first = 0
        """The number of the epoch that is this training's first round."""
        self.best_results: list[Any] = []

    def __reduce__(self) -> Any:  # a copy, as of an estimator's clone, has callbacks of its own and no run
        return Bridge, (self.options, self.names, self.training)

    def __hash__(self) -> int:  # type: ignore[override]
        raise TypeError("it is a list of native callbacks: write callbacks=[*bridge(...)]")

    def new_driver(self, params: Mapping[str, Any] | None = None) -> trainhooks.Driver:
        """The driver of the next run; the first one goes on from ``resume``."""
        self.trainable = LightGBMTrainable(params)
        driver = self.options.driver(self.trainable)
        self.run, self.best_results = driver.run, []
        return driver

    @property
    def best_epoch(self) -> int | None:
        """The best epoch by the first of our callbacks that knows one."""
        for callback in self.options.callbacks:
            best, epoch = getattr(callback, "best", None), getattr(callback, "best_epoch", None)
            if best is not None and epoch is not None:
                return int(epoch)
        return None

    def load(self, driver: trainhooks.Driver) -> None:
        """Have the first training go on from ``resume``."""
        if self.resume is not None:
            driver.load_state_dict(self.resume, resume_stopped=self.options.resume_stopped)
            self.resume = None

    @contextlib.contextmanager
    def carried(self, params: Mapping[str, Any]) -> Iterator[trainhooks.Driver]:
        """A run around a whole training, for ``wrap``."""
        driver = self.new_driver(params)
        self.load(driver)
        self.driver, self._is_carried = driver, True
        try:
            with driver.carried():
                yield driver
        finally:
            self.driver, self._is_carried = None, False
            self.trainable = LightGBMTrainable()

    def over(self, error: BaseException | None = None) -> None:
        """The run of a bridge alone is over, in ``error`` or well."""
        driver, self.driver = self.driver, None
        if driver is not None:
            try:
                if error is not None:
                    driver.fail(error)
                else:
                    driver.close_down(1)
            except BaseException as raised:  # raised on
                driver.fail(raised)
                raise
            finally:
                driver.teardown()

    @contextlib.contextmanager
    def _telling(self) -> Iterator[trainhooks.Driver]:
        """What a callback raises ends the run: LightGBM will tell nobody."""
        assert self.driver is not None
        self._acting = True
        try:
            yield self.driver
        except BaseException as error:  # raised on
            if not self._is_carried:
                self.over(error)
            raise
        finally:
            self._acting = False

    # The signals

    def before(self, env: Any) -> None:
        """A round begins."""
        if self._acting:  # a callback of ours trains with this very bridge: that is no part of the run
            return
        if env.iteration == env.begin_iteration:
            self._begin(env)
        if self.driver is not None:
            with self._telling() as driver:
                driver.open("epoch", epoch=self._first + env.iteration - env.begin_iteration)
                driver.open("pass")
                driver.batch_begin(0)

    def after(self, env: Any) -> None:
        """It has ended, and other callbacks may yet end training."""
        if self.driver is not None and not self._acting:
            with self._telling() as driver:
                self._end_round(driver, env.evaluation_result_list or [])

    def finally_after(self, env: Any) -> None:
        """It has ended, and every other callback has seen it: here a stop is passed on."""
        if self.driver is None or self._acting:
            return
        should_stop = self.driver.run.should_stop
        if not self._is_carried and (should_stop or env.iteration + 1 == env.end_iteration):
            self.over()
        if should_stop:
            import lightgbm

            # what it is given as the best is the last round that the booster keeps
            raise lightgbm.callback.EarlyStopException(env.iteration, env.evaluation_result_list or [])

    # What they do

    def _begin(self, env: Any) -> None:
        import lightgbm

        if not isinstance(env.model, lightgbm.Booster):
            raise TypeError(
                "lightgbm.cv trains several boosters at once, and a run has one: call lightgbm.train for each fold."
            )
        if not self._is_carried:
            self.over(errors.LoopError("LightGBM's loop was left before its end, and it told no callback"))
            self.driver = self.new_driver()
        with self._telling() as driver:
            self.trainable.begin(env.model, env.params)
            if not self._is_carried:
                self.load(driver)
                driver.setup()
            self._first = driver.run.epochs_done if driver.run.resumed else env.begin_iteration
            total = self._first + env.end_iteration - env.begin_iteration
            driver.open("train", epochs=total, steps=1)

    def _end_round(self, driver: trainhooks.Driver, results: list[Any]) -> None:
        told: dict[str, list[Any]] = {}
        for one in results:
            told.setdefault(one[0], []).append(one)
        others = [name for name in told if name not in self.training]
        for name, metrics in told.items():
            if name in self.training:
                driver.log(self._named(metrics, ""))
        driver.batch_end()
        driver.close("pass")
        for name in others:
            called = "val" if len(others) == 1 else name
            driver.open("test", name=called)
            driver.batch_begin(0)
            driver.log(self._named(told[name], f"{called}_"))
            driver.batch_end()
            driver.close("test")
        driver.close("epoch")
        if self.best_epoch == driver.run.epoch:
            self.best_results = results

    def _named(self, metrics: Iterable[Any], prefix: str) -> dict[str, float]:
        """A data set's metrics by our names, without the prefix of its validation."""
        named = {}
        for _, metric, value, is_higher_better, *_ in metrics:
            name = self.names.get(prefix + metric, prefix + metric)
            if not name.startswith(prefix):
                raise errors.LoopError(
                    f"names={{{prefix + metric!r}: {name!r}}}: the name of a validation's metric begins with "
                    f"{prefix!r}, as {prefix + name!r}"
                )
            self.trainable.directions[name] = "max" if is_higher_better else "min"
            named[name.removeprefix(prefix)] = value
        return named
