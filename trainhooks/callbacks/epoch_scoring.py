"""EpochScoring: a score over a whole data set, at the end of epochs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..callback import Callback
from ..checks import count
from ..errors import MetricValueError, listing
from ..logs import Mean

if TYPE_CHECKING:
    from ..logs import Logs
    from ..run import Run


class EpochScoring(Callback):
    """Score the model with a function of one's own at the end of epochs, before anything decides on the epoch.

    A mean of batches is no F1 score: some metrics are of a whole set. The function's value goes into the epoch's logs,
    where ``EarlyStopping``, ``ModelCheckpoint`` and every logger find it::

        def f1(model, x, y):
            model.eval()
            with torch.no_grad():
                found = model(x).argmax(1)
            model.train()
            hits = (found * y).sum()
            return 2 * hits / (found.sum() + y.sum())

        callbacks = [EpochScoring(f1, (x_val, y_val)), EarlyStopping("f1", mode="max", patience=3)]

    The model is the framework's own, as it is after the epoch's validation (with averaged weights where a
    ``SwapEMAWeights(swap_on_epoch=True)`` stands before it); the function gives it back as it was: in
    training mode, where the framework has such a thing. Under Keras it calls ``model.predict(x, verbose=0)``.

    Args:
        fn: called as ``fn(model)``; with ``data`` as ``fn(model, data)``, where a tuple is unpacked: ``fn(model, x,
            y)`` is what a scorer of scikit-learn looks like. It returns a number, or a mapping of numbers by name.
        data: what it is given beside the model; None for nothing.
        name: what a number is called, by default as the function is; before the names of a mapping, and ``_`` between
            them. A list of names says what a mapping holds, which must then be just that.
        every: score at every so many epochs, counted over the whole run, and at the last one in any case: a run that is
            over has the score of the model that it leaves, save where a stop ended it.

    At epochs that are left out the metric is absent, and whoever monitors it waits. What a mapping holds is known after
    its first score only: to monitor one of its numbers with ``every`` above 1, give ``name`` the list of them.

    With several ranks each scores, since a decision is made on all.

    Raises:
        TypeError: ``fn`` cannot be called, or has no name and is given none.
        ValueError: ``every`` is no whole number of at least 1, or ``name`` is empty; (at an epoch's end) there is a
            metric of that name already, or a mapping holds other names than ``name`` lists.
        MetricValueError: (at an epoch's end) what it returned is not one real number, or a mapping of them.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        data: Any = None,
        *,
        name: str | Sequence[str] | None = None,
        every: int = 1,
    ) -> None:
        if not callable(fn):
            raise TypeError(f"EpochScoring({fn!r}): a function of the model, and of data where it is given")
        called = getattr(fn, "__name__", None)
        if name is None and (called is None or called == "<lambda>"):
            kind = "a lambda" if called else f"a {type(fn).__name__}"
            raise TypeError(f"EpochScoring({fn!r}): {kind} has no name to log its value under. Give it name='...'.")
        names = [name] if isinstance(name, str) else [] if name is None else list(name)
        if name is not None and not (names and all(isinstance(one, str) and one for one in names)):
            raise ValueError(f"EpochScoring(name={name!r}): the name of a metric, or a list of them")
        self.fn, self.data, self.every = fn, data, count(every, f"EpochScoring(every={every!r})", 1)
        self.name: str | list[str] | None = name if name is None or isinstance(name, str) else names
        self._told = names or [str(called)]
        """The names that are known without a score."""
        self.reset()

    def reset(self) -> None:
        self._seen: list[str] = []
        """The names of the last score."""

    def on_setup(self, run: Run) -> None:
        if self.every > 1:
            run.announce(*(self._seen or self._told))

    def on_epoch_end(self, run: Run, logs: Logs) -> None:
        if run.epochs_done % self.every and run.epochs_done != run.max_epochs:
            return
        scores = self._scores(self._call(run.model))
        for name in scores:
            if name in logs:
                raise ValueError(f"{self._who}: the logs hold {name!r} already. Give it another name='...'.")
        self._seen = list(scores)
        logs.update(scores)
        if self.every > 1:
            run.announce(*scores)

    def state_dict(self) -> dict[str, Any]:
        return {"names": self._seen}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._seen = list(state["names"])

    @property
    def _who(self) -> str:
        return f"EpochScoring({_name_of(self.fn)})"

    def _call(self, model: Any) -> Any:
        if self.data is None:
            return self.fn(model)
        return self.fn(model, *self.data) if isinstance(self.data, tuple) else self.fn(model, self.data)

    def _scores(self, found: Any) -> dict[str, float]:
        if not isinstance(found, Mapping):
            if isinstance(self.name, list):
                raise MetricValueError(f"{self._who}: it returned {found!r}, and name={self.name!r} is of a mapping.")
            return {self._told[0]: self._number(self._told[0], found)}
        if isinstance(self.name, list) and set(found) != set(self.name):
            raise ValueError(
                f"{self._who}: it returned {listing(found)}, and name={self.name!r} says what it is to hold."
            )
        before = f"{self.name}_" if isinstance(self.name, str) else ""
        for key in found:
            if not isinstance(key, str):
                raise MetricValueError(f"{self._who}: the name of a metric is a string, not {key!r}")
        return {before + key: self._number(before + key, value) for key, value in found.items()}

    def _number(self, name: str, value: Any) -> float:
        mean = Mean()
        try:
            mean.add(value)
            return mean.value()
        except MetricValueError as error:
            raise MetricValueError(f"{self._who}: {name!r}: {error}") from error.__cause__


def _name_of(fn: Any) -> str:
    """How messages call a function."""
    if isinstance(fn, functools.partial):
        return _name_of(fn.func)
    return str(getattr(fn, "__qualname__", type(fn).__qualname__))
