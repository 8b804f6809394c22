"""Translation: what each native event of fastai becomes."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Callable
from numbers import Real
from typing import Any, Final, Literal

import trainhooks
from trainhooks import errors
from trainhooks_adapters.torch import world_of_processes

from ._batches import Batches
from ._trainable import FastaiTrainable

FIT, EPOCH, TRAIN = "CancelFitException", "CancelEpochException", "CancelTrainException"


class Translation(Batches):
    """The native events, each a few lines of translation; ``bridge`` makes a fastai callback of it.

    A method returns the name of the exception by which fastai is to be told to go on elsewhere, or None.

    Attributes:
        run: the run of the last or running fit, validation or prediction; None before the first.
    """

    def prepare(self, options: trainhooks.WrapOptions, count_rows: Callable[[Any], int]) -> None:
        self.count_rows = count_rows
        self.options, self.resume = options, options.state()
        self.run: trainhooks.Run | None = None
        self.driver: trainhooks.Driver | None = None
        self._progress: Any = None
        self._acting = False
        self._aside = 0
        """How many fits and validations are running that are no part of a run of ours."""
        self._trains = self._has_asked = False
        """Whether the run is a training; whether it was ended by us."""

    def check(self, learn: Any) -> None:
        """Refuse callbacks that need what the Learner lacks, and what is no state, before anything is trained."""
        self.options.driver(FastaiTrainable(learn))
        if self.resume is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what there is to say is said when a fit begins
                trainhooks.Driver(plugins="none").load_state_dict(self.resume)

    def handle(self, event: str) -> str | None:
        """Translate one event; returns what its method does."""
        if self._acting:  # a callback of ours trains or evaluates with the very same Learner
            return None
        if event == "before_fit":
            if self._stands_aside():
                return None
        elif self._aside:
            self._aside -= event == "after_fit"
            return None
        elif self.driver is None:
            return None
        self._acting = True
        try:
            cancel: str | None = getattr(self, event)()
        except BaseException as error:  # raised on
            self.over(error)
            raise
        finally:
            self._acting = False
        if self._trains and self._progress.halt and self.driver is not None:
            cancel = cancel or self._stop(event)
        self._has_asked = self._has_asked or cancel in (FIT, TRAIN)
        return cancel

    def _stands_aside(self) -> bool:
        """Whether the fit or the validation that begins is no part of a run of ours."""
        is_inside = _is_running(self.learn, "_do_fit", "_do_epoch_validate")  # a callback of fastai's begins it
        if not is_inside:
            self._aside = 0
            self.over(errors.LoopError("fastai's fit was left before its end, by an exception"))
        self._aside += is_inside or hasattr(self.learn, "lr_finder")
        return self._aside > 0

    def _stop(self, event: str) -> str | None:
        """How to go about what was asked for: no training batch is to begin any more."""
        progress = self._progress
        if self.in_batch or event.startswith("after_cancel"):  # it waits for the batch's end, or is under way
            return None
        if progress.pause is not None:
            return FIT
        if event == "before_train" or (event == "after_batch" and progress.phase == "train"):
            return TRAIN
        return FIT if progress.should_stop and event in ("before_fit", "after_epoch") else None

    def over(self, error: BaseException | None = None) -> None:
        """The run is over, in ``error`` or well; a second time does nothing."""
        driver, self.driver = self.driver, None
        self.in_batch = False
        if driver is not None:
            try:
                if error is not None:
                    driver.fail(error)
            finally:
                driver.teardown()

    def leave(self) -> None:
        """It is taken off its Learner: where that is for an exception, the run ends with that."""
        error = sys.exc_info()[1]
        if error is not None and not self._acting:
            self.over(error)

    # The run

    def before_fit(self) -> str | None:
        learn = self.learn
        self._trains, self._has_asked = _is_running(learn, "fit"), False
        state = self.resume if self._trains else None  # a validation is of the weights that there are
        world = world_of_processes(getattr(learn.dls, "device", None) or "cpu")
        self.driver = driver = self.options.driver(FastaiTrainable(learn), state, world)
        self.run, self._progress = driver.run, driver.progress
        driver.setup(ask=self._trains)
        if not self._trains:
            return None
        self.resume = None  # the first fit goes on from it; the next is a new run
        driver.open("train", epochs=learn.n_epoch, steps=_length(learn.dls.train))
        if self._progress.should_stop or not 0 < learn.n_epoch <= self._first:
            return None
        warnings.warn(
            f"fit({learn.n_epoch}): the run that goes on has {self._first} epochs behind it, so that none is left to "
            "train. Ask for more, or begin anew without its state.",
            stacklevel=2,
        )
        return FIT

    @property
    def _first(self) -> int:
        """The epoch at which a run that goes on begins."""
        return self._progress.epochs_done if self._progress.resumed else 0

    def before_epoch(self) -> str | None:
        if self._trains and self.learn.epoch < self._first:
            return EPOCH
        if self._trains:
            self.open_driver.open("epoch", epoch=self.learn.epoch)
        return None

    def before_train(self) -> None:
        self.open_driver.open("pass")

    def after_cancel_train(self) -> None:
        recorder = vars(self.learn).get("recorder")
        if self._has_asked and recorder is not None:
            # else it leaves train_loss out of the epoch's values, and those who look for theirs by place find others
            recorder.cancel_train = False

    def after_train(self) -> None:
        self._close("pass", self._metrics("train"))

    def before_validate(self) -> None:
        if _length(self.learn.dl) != 0:  # fit validates on what is empty as well
            self.open_driver.open("predict" if hasattr(self.learn, "gather_preds") else "test")

    def after_validate(self) -> None:
        self._close("test", self._metrics("valid"))
        self._close("predict", {})

    def after_epoch(self) -> None:
        if self._is_in_epoch:
            self.end_batch()
            self.open_driver.close_down(3)  # the run, the training and the epoch stay open
            self.open_driver.close("epoch")

    def after_cancel_fit(self) -> None:
        driver, progress = self.open_driver, self._progress
        self.end_batch()
        done = progress.epoch + 1 if self._is_in_epoch else progress.epochs_done
        if not self._has_asked and (progress.phase is not None or done < progress.max_epochs):
            driver.run.stop("a callback raised CancelFitException", source="fastai")
            driver.attend()

    def after_fit(self) -> None:
        driver, error = self.open_driver, sys.exc_info()[1]
        if error is not None and not (self._trains or driver.is_idle):  # so a validation ends that raised
            self.over(error)
            return
        self.end_batch()
        driver.close_down(1)
        self.over()

    def _close(self, kind: Literal["pass", "test", "predict"], metrics: dict[str, Any]) -> None:
        driver = self.open_driver
        if driver.stack[-1].kind == kind:  # else a callback of fastai's skipped it before it had begun
            self.end_batch()
            for name, value in metrics.items():
                driver.logs.add(name, value)
            driver.close(kind)

    def _metrics(self, which: Literal["train", "valid"]) -> dict[str, Any]:
        """What ``learn.metrics`` came to, as the Recorder has just written it: a metric may be dear to ask again."""
        recorder = vars(vars(self.learn)["recorder"]) if "recorder" in vars(self.learn) else {}
        if not recorder.get(f"{which}_metrics") or recorder.get(f"cancel_{which}"):
            return {}
        names = [metric.name for metric in self.learn.metrics]
        values = list(recorder["log"])[-len(names) :] if names else []
        return {name: value for name, value in zip(names, values, strict=False) if isinstance(value, Real)}

    @property
    def _is_in_epoch(self) -> bool:
        return any(frame.kind == "epoch" for frame in self.open_driver.stack)


EVENTS: Final = frozenset(name for name in dir(Translation) if name.startswith(("before_", "after_")))


def _is_running(learn: Any, *methods: str) -> bool:
    """Whether one of these methods of the Learner is being called: nothing else tells a fit from a validation."""
    frame: Any = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name in methods and frame.f_locals.get("self") is learn:
            return True
        frame = frame.f_back
    return False


def _length(loader: Any) -> int | None:
    with contextlib.suppress(TypeError):  # it streams
        return len(loader)
    return None
