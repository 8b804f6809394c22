"""Bridge: what each notification of a skorch net becomes."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import trainhooks
from trainhooks_adapters.torch import TorchTrainable

from ._carrier import NoMoreEpochsError, put_on

_TRAIN, _EPOCH = 2, 3
"""How many scopes are open in a training, and in an epoch."""


class SkorchTrainable(TorchTrainable):
    """The modules and the optimizers of a net that is initialized: ``module_``, or those of its own that it has."""

    framework = "skorch"

    def missing(self, need: str) -> str | None:
        if need == "mid_epoch":
            return "skorch's fit begins at an epoch, never inside one."
        if need in ("lr", "read_lr", "optimizer_step", "gradients") and not self._optimizers:
            return "the net has no torch.optim.Optimizer, as optimizer_."
        return super().missing(need)


class Bridge:
    """The settings of a callback of skorch's, as scikit-learn wants them, and the run that it drives.

    Attributes:
        callbacks, min_epochs, resume, resume_stopped, plugins: as they were given; ``set_params`` changes them.
    """

    def __init__(
        self,
        callbacks: Iterable[trainhooks.Callback] | None = None,
        min_epochs: int = 0,
        resume: Any = None,
        resume_stopped: bool = False,
        plugins: str | None = None,
    ) -> None:
        self.callbacks, self.min_epochs, self.plugins = callbacks, min_epochs, plugins
        self.resume, self.resume_stopped = resume, resume_stopped
        # what ends in _ is no parameter: scikit-learn's clone leaves it behind
        self.run_: trainhooks.Run | None = None
        self.driver_: Any = None
        self.interrupt_: BaseException | None = None
        """The Ctrl-C that ended the last fit, which skorch swallows."""
        self.stop_: BaseException | None = None
        """The KeyboardInterrupt with which a callback of skorch's stopped the last fit."""
        self.acting_ = self.resumed_ = False
        self.first_ = self.batch_ = 0

    @property
    def run(self) -> trainhooks.Run | None:
        """The run of the last or running fit; None before the first."""
        return self.run_

    def on_train_begin(self, net: Any, **given: Any) -> None:
        put_on(net, self)

    def __reduce__(self) -> Any:
        from . import bridge

        settings = {name: value for name, value in vars(self).items() if not name.endswith("_")}
        return _made, (bridge, settings)

    @property
    def should_stop(self) -> bool:
        """Whether no further epoch is to begin."""
        return self.driver_ is not None and self.driver_.progress.should_stop and not self.acting_

    @property
    def ends_epoch(self) -> bool:
        """Whether no further batch of this epoch is to begin."""
        driver = self.driver_
        if driver is None or self.acting_:  # a fit inside a callback is no part of the run
            return False
        return driver.progress.halt and driver.stack[-1].kind == "pass"  # type: ignore[no-any-return]

    def count_batches(self, loader: Any) -> None:
        """The batches of each epoch are those of ``loader``, where it can tell."""
        if self.driver_ is not None and self.driver_.progress.steps_per_epoch is None:
            with contextlib.suppress(TypeError):
                self.driver_.progress.steps_per_epoch = len(loader)

    # The run

    def carry(self, net: Any, fit_loop: Any, *data: Any, epochs: int | None = None, **rest: Any) -> Any:
        """skorch's ``fit_loop`` as a run."""
        self.interrupt_ = self.stop_ = None
        try:
            driver = self._driver(net)
            with driver.carried():
                left = self._begin(net, net.max_epochs if epochs is None else epochs)
                if not driver.progress.should_stop:
                    self._train(net, lambda: fit_loop(*data, epochs=left, **rest))
        except KeyboardInterrupt as error:  # skorch takes it for a stop, and returns
            self.interrupt_ = error
            raise
        finally:
            self.driver_ = None
            self.acting_ = False
        if self.stop_ is not None:
            raise self.stop_
        return net

    def check(self, net: Any) -> None:
        """Refuse what cannot be had, as far as it is seen before the net is fitted."""
        options = self._options()
        if net.initialized_:
            options.driver(_trainable_of(net))

    def _options(self) -> trainhooks.WrapOptions:
        resume = None if self.resumed_ else self.resume
        return trainhooks.WrapOptions(self.callbacks, None, self.min_epochs, resume, self.resume_stopped, self.plugins)

    def _driver(self, net: Any) -> Any:
        options = self._options()
        driver = options.driver(_trainable_of(net), options.state())
        self.resumed_ = True  # the first fit goes on from the state; the next is a new run
        self.driver_, self.run_ = driver, driver.run
        return driver

    def _begin(self, net: Any, epochs: int) -> int:
        """Open the training; returns how many epochs skorch is to train."""
        progress, done = self.driver_.progress, len(net.history)
        total = done + epochs  # partial_fit goes on counting
        first = done
        if progress.resumed:
            total, first = epochs, progress.epochs_done
            if first >= total and not progress.should_stop:
                warnings.warn(
                    f"max_epochs={total}: the run that goes on has {first} epochs behind it, so that none is left to "
                    "train. Ask for more, or begin anew without its state.",
                    stacklevel=2,
                )
        self.first_ = first - done
        self.driver_.open("train", epochs=total)
        return max(total - first, 0)

    def _train(self, net: Any, fit_loop: Any) -> None:
        try:
            fit_loop()
        except NoMoreEpochsError:
            pass
        except KeyboardInterrupt as error:
            if not _is_stop(error):
                raise
            self.stop_ = error
            self._close(_EPOCH)
            self.driver_.run.stop("a callback of skorch's raised KeyboardInterrupt", source="skorch")
            self.driver_.attend()
            if len(self.driver_.stack) >= _EPOCH:
                self._end_epoch(net)
        self._close(1)

    def _close(self, depth: int) -> None:
        """Close from the innermost scope outwards; a batch that is open there was cut."""
        driver = self.driver_
        while len(driver.stack) > depth:
            driver.drop_batch()
            driver.close(driver.stack[-1].kind)

    # What the net notifies of

    def told(self, net: Any, method_name: str, given: Mapping[str, Any]) -> None:
        """A notification, of which every callback of skorch's has heard.

        Raises:
            NoMoreEpochsError: the run pauses.
        """
        act = _ACTS.get(method_name)
        if act is None or self.driver_ is None or self.acting_:
            return
        self.acting_ = True
        act(self, net, bool(given.get("training")))
        self.acting_ = False
        if self.driver_.progress.pause is not None and not self.driver_.is_in_batch:
            raise NoMoreEpochsError

    def _begin_epoch(self, net: Any, training: bool) -> None:
        self.batch_ = 0
        self.driver_.open("epoch", epoch=self.first_ + len(net.history) - 1)
        self.driver_.open("pass")

    def _begin_batch(self, net: Any, training: bool) -> None:
        driver = self.driver_
        if not training and driver.stack[-1].kind == "pass":  # the first batch of the validation
            self._close(_EPOCH)
            driver.open("test")
            self.batch_ = 0
        driver.batch_begin(self.batch_)
        self.batch_ += 1

    def _end_batch(self, net: Any, training: bool) -> None:
        row, prefix = net.history[-1]["batches"][-1], "train_" if training else "valid_"
        size = row.get(f"{prefix}batch_size", 1)
        metrics = {name.removeprefix(prefix): value for name, value in row.items() if _is_metric(name, value)}
        self.driver_.log(metrics, size)
        self.driver_.batch_end()

    def _end_epoch(self, net: Any, training: bool = True) -> None:
        driver = self.driver_
        self._close(_EPOCH)
        for name, value in net.history[-1].items():
            if _is_metric(name, value):
                name = f"val_{name[6:]}" if name.startswith("valid_") else name.removeprefix("train_")
                if name not in driver.logs:  # the means of the batches are exact, and there already
                    driver.logs[name] = value
        driver.close("epoch")


_ACTS = {
    "on_epoch_begin": Bridge._begin_epoch,
    "on_batch_begin": Bridge._begin_batch,
    "on_batch_end": Bridge._end_batch,
    "on_epoch_end": Bridge._end_epoch,
}


def _trainable_of(net: Any) -> SkorchTrainable:
    import torch

    parts = {name: one for name, one in vars(net).items() if name.endswith("_")}
    modules = {name: one for name, one in parts.items() if isinstance(one, torch.nn.Module)}
    optimizers = [one for one in parts.values() if isinstance(one, torch.optim.Optimizer)]
    model = modules["module_"] if "module_" in modules else torch.nn.ModuleDict(modules)
    return SkorchTrainable(model, optimizers or None)


def _made(bridge: Any, settings: Mapping[str, Any]) -> Any:
    return bridge(**settings)


def _is_metric(name: str, value: Any) -> bool:
    """Whether an entry of the history is a metric: not a flag, as ``valid_loss_best``, a count or a time."""
    if name in ("epoch", "dur") or name.endswith(("_batch_count", "_batch_size")):
        return False
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_stop(error: KeyboardInterrupt) -> bool:
    """Whether a callback of skorch's raised it, as its EarlyStopping does to stop; a Ctrl-C comes from elsewhere."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    owner = None if place is None else place.tb_frame.f_locals.get("self")
    return isinstance(owner, sys.modules["skorch.callbacks"].Callback)
