"""WrappedLearner: a fastai Learner whose entry points carry callbacks."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, Final

import trainhooks

_ENTRIES: Final = {
    *("fit", "fit_one_cycle", "fit_flat_cos", "fit_sgdr", "fine_tune"),
    *("validate", "get_preds", "predict", "show_results", "tta"),
}


class WrappedLearner(trainhooks.Wrapped):
    """A Learner whose fits, validations and predictions carry callbacks; all else is the Learner's own.

    Attributes:
        run: the run of the last fit, validation or prediction (of ``fine_tune`` the second); None before the first.
    """

    __slots__ = ()

    def _carry(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """One of the Learner's own methods with the callbacks; exception and teardown are certain."""
        call, bridge = getattr(self._target, name), self._bridge
        if bridge.driver is not None:  # from inside a callback: no part of the run around it
            return call(*args, **kwargs)
        for one in _callbacks_in([*args, *kwargs.values()]):
            raise TypeError(f"{name}(cbs=[{one!r}]): it is no fastai callback; give it to wrap(learn, callbacks=[...])")
        with self._target.added_cbs([bridge]):
            try:
                return call(*args, **kwargs)
            except BaseException as error:  # raised on
                bridge.over(error)
                raise

    def __getattr__(self, name: str) -> Any:
        found = super().__getattr__(name)
        if name in _ENTRIES:
            return functools.wraps(found)(functools.partial(self._carry, name))
        if getattr(found, "__self__", None) is self._target:
            return functools.wraps(found)(functools.partial(self._chain, found))
        return found

    def _chain(self, call: Any, *args: Any, **kwargs: Any) -> Any:
        """Any other method; of one that gives its Learner, as ``to_fp16``, the callbacks are on that as well."""
        given = call(*args, **kwargs)
        return self if given is self._target else given


def _callbacks_in(values: list[Any]) -> Iterator[trainhooks.Callback]:
    for value in values:
        several = value if isinstance(value, (list, tuple)) or hasattr(value, "attrgot") else [value]
        yield from (one for one in several if isinstance(one, trainhooks.Callback))
