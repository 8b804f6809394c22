"""SwapEMAWeights: validate, save and end with the moving averages of the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..callback import Callback
from ..errors import CapabilityError
from ._snapshots import KeptWeights
from .ema import EMA

if TYPE_CHECKING:
    from ..run import Run


class SwapEMAWeights(Callback):
    """Have the moving averages of the weights in the model while it is validated, evaluated or predicts.

    The constructor and the moments are Keras's. The averages are those of an optimizer that keeps them (Keras,
    ``Adam(use_ema=True)``), else of an ``EMA`` among the callbacks::

        callbacks=[EMA(0.999), SwapEMAWeights(swap_on_epoch=True), EarlyStopping(restore_best_weights=True)]

    Without ``swap_on_epoch`` what is saved or restored at an epoch's end are the training weights, although it was the
    averages that were validated.

    Training goes on with its own weights: they are kept aside (one more copy of the weights, on their device), and
    come back after the validation, and after an exception or a pause at any moment. Before anything was averaged the
    model's own weights stand. When training ends well, completed or stopped, the averages stay in the model, under
    every trainer, as Keras's ``use_ema=True`` has it; an ``EarlyStopping(restore_best_weights=True)`` comes after that
    and wins.

    With ``swap_on_epoch`` the averages are also in the model from ``epoch_end`` to the next ``epoch_begin``, so that
    the callbacks that come after this one (those that decide, report and save, and those given later) see them: a
    checkpoint saves them, and ``EarlyStopping`` keeps them as its best. A state that is saved meanwhile holds the
    training weights too, and a resumed run goes on with those.

    What differs from Keras's: nothing in the optimizer is touched (Keras swaps the two in place); ``predict`` ends with
    the training weights (Keras's leaves the averages in the model and the weights in the optimizer); an evaluation
    before the first update sees the model's own weights (Keras's raises, or swaps in zeros); it works without
    ``use_ema``, and a lack of both is an error before training. After an exception or a pause Keras may itself put the
    averages of its optimizer into the model when ``fit`` is left.

    Args:
        swap_on_epoch: swap at the end of each epoch too.
        average: the ``EMA`` to take, which must be among the callbacks; by default the optimizer's averages, and
            without any the first ``EMA`` among the callbacks.

    Raises:
        CapabilityError: (before training) nothing keeps an average, or ``average`` is not attached to the same run.
    """

    requires = {"snapshot"}

    def __init__(self, swap_on_epoch: bool = False, *, average: EMA | None = None) -> None:
        if average is not None and not isinstance(average, EMA):
            raise TypeError(f"SwapEMAWeights(average={average!r}): an EMA that is among the callbacks, or None")
        self.swap_on_epoch, self._ema = bool(swap_on_epoch), average
        self._training = KeptWeights()
        """The training weights, while the averages are in the model."""
        self._is_over = False
        """Training ended, and the model has the weights that it ended with."""

    @property
    def is_swapped(self) -> bool:
        """Whether the averages are in the model, and the training weights kept aside."""
        return bool(self._training)

    def reset(self) -> None:
        self._training.forget()

    def on_setup(self, run: Run) -> None:
        self._is_over = False
        self._swap_out(run)  # a state that was saved while the averages were in the model has them as its weights
        self._source(run)

    def on_train_begin(self) -> None:
        self._is_over = False

    def on_epoch_begin(self, run: Run) -> None:
        self._swap_out(run)

    def on_epoch_end(self, run: Run) -> None:
        if self.swap_on_epoch:
            self._swap_in(run)

    def on_test_begin(self, run: Run) -> None:
        self._swap_in(run)

    def on_test_end(self, run: Run) -> None:
        self._swap_out(run)

    def on_predict_begin(self, run: Run) -> None:
        self._swap_in(run)

    def on_predict_end(self, run: Run) -> None:
        self._swap_out(run)

    def on_train_end(self, run: Run) -> None:
        self._swap_in(run)
        self._training.forget()  # the averages are the model's weights from here on
        self._is_over = True

    def on_exception(self, run: Run) -> None:  # here, before a callback that decides gives the model its best weights
        self._swap_out(run)

    def on_teardown(self, run: Run) -> None:
        self._swap_out(run)

    def state_dict(self) -> dict[str, Any]:
        return {"training": self._training.state_dict(self.run)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._training.load_state_dict(state["training"])

    def _source(self, run: Run) -> EMA | None:
        """The ``EMA`` whose average is taken; None for the optimizer's."""
        if self._ema is not None:
            if not any(one is self._ema for one in run.bus.callbacks):
                raise CapabilityError(
                    "SwapEMAWeights(average=...): that EMA is not attached to this run. Add it to the callbacks."
                )
            return self._ema
        if run.can("optimizer_average"):
            return None
        for one in run.bus.callbacks:
            if isinstance(one, EMA):
                return one
        raise CapabilityError(
            "SwapEMAWeights: nothing keeps an average of the weights. Add trainhooks.callbacks.EMA(decay) to the "
            "callbacks; an optimizer of Keras can also keep one itself, as Adam(use_ema=True)."
        )

    def _swap_in(self, run: Run) -> None:
        if self.is_swapped or self._is_over:
            return
        source = self._source(run)
        average = run.trainable.optimizer_average() if source is None else source.average
        if average is not None:
            self._training.keep(run.snapshot(), run.framework)  # first: whatever is raised from here on, it comes back
            run.restore(average)

    def _swap_out(self, run: Run) -> None:
        training = self._training.in_form_of(run)
        if training is not None:
            run.restore(training)
        self._training.forget()
