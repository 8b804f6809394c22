"""Callback: yields its listeners; names its needs; keeps its state."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from . import errors
from .dispatch import ErrorPolicy, Listener, Phase
from .events import ALIASES, EVENTS, Event
from .trainable import CAPABILITIES

if TYPE_CHECKING:
    from typing import Literal

    from .run import Run


_TRAINERS_ASK: Final = ("set_model", "set_params", "params", "on_batch_end", "state_key", "on_init_end", "name")
"""What Keras, skorch, Lightning, Hugging Face's Trainer and fastai look for in a callback of their own."""


class _AskedByTrainer:
    """An attribute that is not there, and says why."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: type) -> Any:
        raise errors.trainer_asks(owner.__name__, self.name)


class Callback:
    """Base of every callback: define ``on_<event>`` for the events you want.

    A hook takes any subset of its event's arguments, and ``run``, by name; ``on_<event> = None`` takes an inherited
    hook out::

        class PrintLoss(trainhooks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                print(epoch, logs["loss"])

    Attributes:
        requires: capabilities that the trainer must have, as ``{"lr"}``; checked when it is attached.
        phase: ``"observe"``, ``"decide"``, ``"report"`` or ``"save"``: its place within one event.
        on_error: what an exception in one of its hooks does: ``"raise"``; ``"warn"`` says it once and goes on;
            ``"disable"`` also leaves the callback out from then on.
        ranks: ``"main"`` or ``"all"``: where it runs under distributed training.
        run: the run it is attached to; None while it is attached to none.
    """

    requires: Iterable[str] = frozenset()
    phase: Phase = "observe"
    on_error: ErrorPolicy = "raise"
    ranks: Literal["main", "all"] = "all"
    run: Run | None = None

    @property
    def model(self) -> Any:
        """The framework's own model, fetched anew at each access; None while attached to no run.

        A stop is asked for with ``self.run.stop(reason)``; ``stop_training`` is Keras's, and means nothing elsewhere.
        """
        return None if self.run is None else self.run.model

    if not TYPE_CHECKING:  # what trainers ask of their own callbacks; no __getattr__, which would slow every self.x
        set_model, set_params, params, on_batch_end, state_key, on_init_end, name = map(_AskedByTrainer, _TRAINERS_ASK)

    @property
    def itself(self) -> Callback:
        """This callback; or the one that it stands for, where a plugin attached it."""
        return self

    def _state_key(self) -> str:
        """What its state goes by; a number follows where it is repeated."""
        return type(self).__name__

    def listeners(self, events: Mapping[str, Event] = EVENTS) -> Iterator[Listener]:
        """One listener for each hook that is defined.

        Raises:
            RegistrationError: a method is named ``on_...`` after no event, or takes an argument that its event has not.
        """
        for hook, event in self._hooks(events):
            yield Listener(
                event,
                getattr(self, hook),
                f"{type(self).__name__}.{hook}",
                phase=self.phase,
                on_error=self.on_error,
                owner=self,
            )

    def _hooks(self, events: Mapping[str, Event]) -> Iterator[tuple[str, Event]]:
        # on_error is a setting, and what is only there to say why it is not is none
        names = [name for name in dir(self) if name.startswith("on_") and name != "on_error" and hasattr(self, name)]
        defined = [name for name in names if getattr(self, name, None) is not None]
        for hook in names:
            name = hook.removeprefix("on_")
            event = events.get(ALIASES.get(name, name))
            if event is None:
                raise errors.unknown_hook(type(self).__name__, hook, [*events, *ALIASES])
            if name in ALIASES and event.hook in defined:
                continue  # as in Keras: of on_batch_end and on_train_batch_end only the latter runs
            if hook in defined:
                yield hook, event

    def check_needs(self) -> None:
        """Refuse a need or a setting that does not exist, and what no run could work with.

        Raises:
            RegistrationError: it names the nearest one.
        """
        known, who = list(CAPABILITIES), type(self).__name__
        for need in needs_of(self):
            if need not in known:
                raise errors.unknown_need(who, need, known)
        if self.ranks not in ("main", "all"):
            raise errors.unknown_setting(who, "ranks", self.ranks, ("main", "all"))
        if type(self).save is not Callback.save or "save" in vars(self):
            try:
                inspect.signature(self.save).bind(None)
            except TypeError:
                raise errors.other_save(who) from None
        try:
            self.run = self.run
        except AttributeError:  # a frozen dataclass
            raise errors.frozen_callback(who) from None

    def __getstate__(self) -> Any:  # a copy, and what is unpickled, is attached to no run
        state = super().__getstate__() if hasattr(object, "__getstate__") else self.__dict__  # type: ignore[misc]
        if isinstance(state, tuple):  # with the values of slots beside it
            return ({name: value for name, value in (state[0] or {}).items() if name != "run"}, *state[1:])
        return state and {name: value for name, value in state.items() if name != "run"}

    def reset(self) -> None:
        """Forget what an earlier run left. Called before the first ``train_begin`` of a new run; on a resume only where
        the state knows nothing of this callback."""

    def state_dict(self) -> dict[str, Any]:
        """Counters and bests, as JSON-able values and numpy arrays; settings belong to the constructor."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""

    def settings_dict(self) -> dict[str, Any]:
        """The constructor's arguments that are kept under their own names, where they are plain values.

        They are no state, and are never loaded: a resumed run tells with them of what was changed since.
        """
        try:
            names = inspect.signature(type(self)).parameters
        except (TypeError, ValueError):  # a class whose signature cannot be read
            return {}
        kept = {name: getattr(self, name, None) for name in names}
        return {
            name: os.fspath(value) if isinstance(value, os.PathLike) else value
            for name, value in kept.items()
            if isinstance(value, (bool, int, float, str, os.PathLike))
        }

    def resume_from(self, run: Run) -> Mapping[str, Any] | None:
        """What ``run.state_dict()`` gave, for the run to go on from; None for nothing.

        Asked before ``setup`` of a run that was given no state, so that no file is opened before the state is back.
        """
        return None

    def save(self, run: Run) -> None:
        """Carry out ``run.save()``: a callback that writes checkpoints overrides it."""


def several(callbacks: Iterable[Callback] | None) -> tuple[Callback, ...]:
    """The callbacks that were given as ``callbacks=``; None stands for none.

    Raises:
        RegistrationError: it is one callback, and no list.
    """
    if isinstance(callbacks, Callback):
        raise errors.one_callback(callbacks)
    return () if callbacks is None else tuple(callbacks)


def needs_of(callback: Callback) -> frozenset[str]:
    """The capabilities that a callback requires; one alone may be given as a string."""
    return frozenset([callback.requires] if isinstance(callback.requires, str) else callback.requires)


def keyed(callbacks: Iterable[Callback]) -> dict[str, Callback]:
    """The callbacks by the key of their state: the class's name, and a number when it is repeated.

    Of one that a plugin attached it begins with the plugin's name: neither takes the state of the other.
    """
    keys: dict[str, Callback] = {}
    for callback in callbacks:
        key = name = callback._state_key()
        number = 1
        while key in keys:  # another class may be called Name_2
            number += 1
            key = f"{name}_{number}"
        keys[key] = callback
    return keys
