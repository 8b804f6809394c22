"""LambdaCallback: a callback made of functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Literal

from ..callback import Callback
from ..dispatch import ErrorPolicy, Listener, Phase
from ..errors import did_you_mean, listing
from ..events import ALIASES, EVENTS, Event

Hook = Callable[..., Any]

_HOOKS: Final = {f"on_{name}": event for name, event in ({name: name for name in EVENTS} | ALIASES).items()}
"""The names of all hooks, Keras's older ones included, and the event of each."""
_SETTINGS: Final = ("phase", "on_error", "requires", "ranks")


class LambdaCallback(Callback):
    """Call functions at events: ``LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))``.

    Args:
        on_epoch_begin, on_epoch_end, on_train_begin, on_train_end, on_train_batch_begin, on_train_batch_end: a
            function, or None for none. It takes any of the event's arguments, and ``run``, by name.
        phase, on_error, requires, ranks: as the attributes of ``Callback``.
        hooks: the same for every other event, as ``on_stop=lambda reason: ...``. Of ``on_batch_end`` and
            ``on_train_batch_end`` only the latter runs, as in Keras.

    Unlike Keras's, which passes arguments by place, a function here names what it uses, so that one that needs the
    epoch alone need not list the rest; and a name that is no hook's is refused where Keras would never call it. An
    event that a plugin declares is listened to with ``run.on``. Where a run goes on inside an epoch, ``on_train_begin``
    and ``on_epoch_begin`` are called again; ``run.begins_again`` tells.

    Raises:
        TypeError: a name is no hook's, what is given for a hook is no function, or ``requires`` are no names.
    """

    def __init__(
        self,
        on_epoch_begin: Hook | None = None,
        on_epoch_end: Hook | None = None,
        on_train_begin: Hook | None = None,
        on_train_end: Hook | None = None,
        on_train_batch_begin: Hook | None = None,
        on_train_batch_end: Hook | None = None,
        *,
        phase: Phase = "observe",
        on_error: ErrorPolicy = "raise",
        requires: Iterable[str] = (),
        ranks: Literal["main", "all"] = "all",
        **hooks: Hook | None,
    ) -> None:
        hooks |= {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
        }
        for name, call in hooks.items():
            if name not in _HOOKS:
                near = did_you_mean(name, [*_HOOKS, *_SETTINGS]) or f" There are {listing(_HOOKS)}."
                raise TypeError(f"LambdaCallback({name}=...): there is no such hook.{near}")
            if call is not None and not callable(call):
                raise TypeError(f"LambdaCallback({name}={call!r}): a hook is a function, or None for none")
        self.phase, self.on_error, self.ranks = phase, on_error, ranks
        self.requires = _needs(requires)
        self.hooks: dict[str, Hook] = {name: call for name, call in hooks.items() if call is not None}

    def listeners(self, events: Mapping[str, Event] = EVENTS) -> Iterator[Listener]:
        for hook, call in self.hooks.items():
            event = events[_HOOKS[hook]]
            if hook != event.hook and event.hook in self.hooks:
                continue  # both the older and the newer name: the newer one runs
            yield Listener(event, call, f"LambdaCallback.{hook}", phase=self.phase, on_error=self.on_error, owner=self)


def _needs(requires: Any) -> frozenset[str]:
    needs = [requires] if isinstance(requires, str) or not isinstance(requires, Iterable) else list(requires)
    if not all(isinstance(one, str) for one in needs):
        raise TypeError(f"LambdaCallback(requires={requires!r}): the name of a capability, or several")
    return frozenset(needs)
