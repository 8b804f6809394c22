"""Bench: how the kit trains under one trainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..callback import Callback
from ..run import Run

Epoch = Mapping[str, float] | BaseException | str
"""One epoch of a history: its metrics; or an exception, which its last batch raises; or ``LEAVE``."""

LEAVE: Final = "leave"
"""An epoch whose batches are left by ``break`` in the last one, after it has logged."""

BATCHES: Final = 2
"""Training batches in each epoch of most benches; a validation has as many."""


class Bench:
    """A model of one framework, as small as can be, and a training of it that reports what it is told to report.

    An author of an adapter writes one, with ``train`` alone to begin with::

        class TinyBench(Bench):
            def train(self, history, callbacks, *, resume=None):
                ...
                return run

        test_tiny = check_adapter(TinyBench)

    One object is one model: what is trained, evaluated and predicted in turn is the same. Each batch must really
    update the model, so that its weights differ after it, whatever the loss that it reports; a loss of
    ``told + (w.sum() - w.sum().detach())`` reports ``told`` and has a gradient. Where training draws random numbers
    (the order of rows, dropout), have the model draw some: a generator that the state forgets is not seen otherwise.

    Some histories validate in some of their epochs only. A trainer that validates in all or in none is subclassed
    here, or given data that it asks for anew in each epoch, so that no validation is begun where none is told of.

    Attributes:
        batches: of the class: the training batches in each epoch, and those of each validation, 1 or 2. It is 1 where
            an epoch is one round of the trainer, which has no batches.
        owns_loop: whether the loop over epochs and batches is the user's own (then ``LEAVE`` must be served).
        lacks: the capabilities that its adapter does not offer, as ``{"graph", "profile"}``; the kit holds the adapter
            to having all others, and to refusing these. None takes the adapter's own word for what it lacks.
        sparing: whether a training takes so long to begin that the kit is to try some of the places where a run can end
            and some of the histories, not all.
        looks_after_batches: whether the trainer looks for a stop only once a batch has ended: where one is asked for
            before, as in ``train_begin``, it may still begin the epoch and train one batch of it.
    """

    batches: int = BATCHES
    owns_loop: bool = False
    lacks: frozenset[str] | None = None
    sparing: bool = False
    looks_after_batches: bool = False

    def train(self, history: Sequence[Epoch], callbacks: Sequence[Callback], *, resume: Any = None) -> Run:
        """Train ``len(history)`` epochs, the total, of ``batches`` batches each; returns the run.

        Args:
            history: for each epoch the metrics that each of its batches reports, as ``loss``; those without ``val_``.
                Where it has a ``val_loss``, a validation of ``batches`` batches follows the epoch's training, which
                reports it as ``loss`` (and each other ``val_`` metric likewise). An exception in place of metrics is
                raised by the epoch's last batch, as the same object.
            callbacks: to be attached in this order.
            resume: the state to go on from, as ``run.state_dict()`` gave it.
        """
        raise NotImplementedError

    def evaluate(self, metrics: Mapping[str, float], callbacks: Sequence[Callback]) -> Run | None:
        """Evaluate the model, with no training, on ``batches`` batches that report ``metrics``; None: it cannot."""
        return None

    def evaluate_resumed(self, metrics: Mapping[str, float], callbacks: Sequence[Callback], resume: Any) -> Run | None:
        """As ``evaluate``, with the trainer wrapped as for a training that goes on from ``resume``; None: not tried.

        It evaluates what the model is now: a state is put back by a training alone. Where the loop is the user's own,
        a run that is wrapped with a state goes on from it whatever is done in it, and there is nothing to try.
        """
        return None

    def stop_itself(self) -> None:
        """Ask the trainer to stop by its own means, as a user of it does who has no callbacks of ours.

        It is called in the midst of ``train``, at the end of a batch, and does what a native hook would, as
        ``self.trainer.stop = True``.

        Raises:
            NotImplementedError: it cannot, and is not tried.
        """
        raise NotImplementedError

    def predict(self, callbacks: Sequence[Callback]) -> Run | None:
        """Predict on ``batches`` batches; None: it cannot."""
        return None

    def left_on(self) -> list[Any]:
        """What callbacks, or the adapter, have left on the model, the optimizer or the trainer: nothing after a run.

        What was there before does not count: list only what a run has added, as the trainer's hooks, or set, as a
        request to stop that would keep the next native training from its epochs. Without it listeners that stay are
        seen only where they hold their run, or drive it.
        """
        return []

    @classmethod
    def told(cls, epoch: Epoch, batch: int) -> dict[str, float]:
        """What this training batch of ``epoch`` reports; the exception is raised here, where the epoch is one."""
        if isinstance(epoch, BaseException):
            if batch == cls.batches - 1:
                raise epoch
            return {"loss": 1.0}
        if isinstance(epoch, str):
            return {"loss": 1.0}
        return {name: value for name, value in epoch.items() if not name.startswith("val_")}

    @staticmethod
    def told_in_validation(epoch: Epoch) -> dict[str, float]:
        """What each batch of its validation reports; empty where none follows."""
        if isinstance(epoch, (BaseException, str)):
            return {}
        return {name.removeprefix("val_"): value for name, value in epoch.items() if name.startswith("val_")}
