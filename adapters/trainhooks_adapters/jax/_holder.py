"""TrainState: the place where a functional loop puts its newest state, and where callbacks look for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ._leaves import like, to_host


class TrainState:
    """Holds what each step of a JAX loop replaces: ``state.params, state.opt_state, loss = step(state.params, ...)``.

    Callbacks see, save and set what is in it, and nothing that is not assigned to it.

    Args:
        params: any pytree of arrays.
        opt_state: of the optimizer; any pytree.
        value: in place of these two a pytree that has ``params`` and ``opt_state``, by name or by attribute, and
            ``batch_stats`` where there are any, as flax's own ``TrainState``; the loop assigns
            ``state.value = step(state.value, batch)``.
        get: in place of all these, what gives such a value, for those who keep it elsewhere.
        set: what takes one that is to be trained on instead.
        lr: the learning rate, for a step that takes it as an argument: it is given ``state.lr``. A number stays a
            number, and an array one of its dtype, so that another value compiles nothing anew.
        rng: a key that the loop splits; a run's state keeps it with the other random generators.
        donates: whether the step donates its arguments (``donate_argnums``), so that what is kept of them must be a
            copy. None looks at what became of earlier ones; until there has been a step, copies are made.

    Raises:
        TypeError: none of the three ways was taken, or several were; or ``lr`` is not one number.
    """

    def __init__(
        self,
        params: Any = None,
        opt_state: Any = None,
        *,
        value: Any = None,
        get: Callable[[], Any] | None = None,
        set: Callable[[Any], object] | None = None,  # noqa: A002 - it goes with get
        lr: Any = None,
        rng: Any = None,
        donates: bool | None = None,
    ) -> None:
        ways = (params is not None, value is not None, get is not None and set is not None)
        if sum(ways) != 1 or (get is None) != (set is None) or (opt_state is not None and params is None):
            raise TypeError("TrainState(...): give params and opt_state, or value=, or both of get= and set=")
        if callable(lr) or np.shape(lr) != ():
            raise TypeError(f"TrainState(lr={lr!r}): one number. A schedule is a callback: LearningRateScheduler(...).")
        self._value = value if params is None else {"params": params, "opt_state": opt_state}
        self._get, self._set = get, set
        self._lr = float(lr) if isinstance(lr, int) else lr
        self.rng, self.donates = rng, donates

    @property
    def value(self) -> Any:
        """All that a step replaces; a dictionary of ``params`` and ``opt_state`` where these were given."""
        return self._value if self._get is None else self._get()

    @value.setter
    def value(self, value: Any) -> None:
        if self._set is None:
            self._value = value
        else:
            self._set(value)

    @property
    def params(self) -> Any:
        """The parameters that are trained."""
        return value["params"] if isinstance(value := self.value, dict) else value.params

    @params.setter
    def params(self, params: Any) -> None:
        self._put("params", params)

    @property
    def opt_state(self) -> Any:
        """The optimizer's state."""
        return value["opt_state"] if isinstance(value := self.value, dict) else value.opt_state

    @opt_state.setter
    def opt_state(self, opt_state: Any) -> None:
        self._put("opt_state", opt_state)

    def _put(self, name: str, part: Any) -> None:
        if not isinstance(self.value, dict):
            raise AttributeError(f"state.{name}: its value is one object. Assign it whole: state.value = ...")
        self.value = {**self.value, name: part}

    @property
    def lr(self) -> Any:
        """The learning rate for the next step, in the form in which it was given; None without one."""
        return self._lr

    @lr.setter
    def lr(self, lr: Any) -> None:
        if self._lr is None:
            raise AttributeError("state.lr: it was made without one. Write TrainState(..., lr=0.1).")
        self._lr = like(self._lr, to_host(lr))
