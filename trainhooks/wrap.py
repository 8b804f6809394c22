"""wrap(): asks each adapter whether the target is its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, overload

from .callback import Callback
from .checkpoint import Resume, state_from
from .errors import did_you_mean, listing, no_adapter, one_callback
from .loop import LoopRun
from .plugins import frameworks, plugin_manager
from .trainable import Trainable


@dataclass(frozen=True)
class WrapOptions:
    """What ``wrap`` was given beside its target. ``extra`` holds an adapter's own arguments."""

    callbacks: tuple[Callback, ...] = ()
    optimizer: Any = None
    min_epochs: int = 0
    resume: Resume = None
    resume_stopped: bool = False
    extra: dict[str, Any] = field(default_factory=dict)

    def state(self) -> Mapping[str, Any] | None:
        """The state to go on from, read from its files where ``resume`` is a path; None to begin anew."""
        return state_from(self.resume)

    def loop(self, trainable: Trainable) -> LoopRun:
        """A ``LoopRun`` over ``trainable`` with these options."""
        return LoopRun(
            trainable,
            self.callbacks,
            min_epochs=self.min_epochs,
            resume=self.resume,
            resume_stopped=self.resume_stopped,
        )

    def check_extra(self, who: str, known: Iterable[str] = ()) -> None:
        """Refuse arguments that the adapter does not have.

        Raises:
            TypeError: it names the nearest one.
        """
        known = ["callbacks", "optimizer", "min_epochs", "resume", "resume_stopped", *known]
        for name in self.extra:
            if name not in known:
                near = did_you_mean(name, known)
                raise TypeError(f"wrap({who}): there is no argument {name!r}.{near} There are {listing(known)}.")


@overload
def wrap(
    target: Trainable,
    *,
    callbacks: Iterable[Callback] = (),
    optimizer: Any = None,
    min_epochs: int = 0,
    resume: Resume = None,
    resume_stopped: bool = False,
) -> LoopRun: ...


@overload
def wrap(
    target: Any,
    *,
    callbacks: Iterable[Callback] = (),
    optimizer: Any = None,
    min_epochs: int = 0,
    resume: Resume = None,
    resume_stopped: bool = False,
    **extra: Any,
) -> Any: ...


def wrap(
    target: Any,
    *,
    callbacks: Iterable[Callback] = (),
    optimizer: Any = None,
    min_epochs: int = 0,
    resume: Resume = None,
    resume_stopped: bool = False,
    **extra: Any,
) -> Any:
    """Put callbacks around a model of any framework that an adapter serves.

    Args:
        target: a Keras model comes back wrapped, with ``fit``, ``evaluate`` and ``predict`` carrying the callbacks; a
            PyTorch module or a ``Trainable`` comes back as a ``LoopRun``.
        callbacks: attached in this order.
        optimizer: of the model, where the framework keeps it apart.
        min_epochs: a decision to stop before so many finished epochs is held until then.
        resume: what to go on from: what ``run.state_dict()`` gave, the path of a checkpoint, or a folder of
            checkpoints, of which the newest good one is taken; where there is none, training begins anew.
        resume_stopped: whether a run that was stopped goes on; it stays stopped otherwise, and says why.
        extra: the adapter's own arguments.

    What comes back depends on the framework, so that its type is not known here; an adapter's own ``wrap``, as
    ``trainhooks_adapters.torch.wrap``, is the same and typed.

    Raises:
        NoAdapterError: no adapter takes ``target``.
        RegistrationError: a callback cannot be registered, or needs what the framework lacks.
    """
    if isinstance(callbacks, Callback):
        raise one_callback(callbacks)
    options = WrapOptions(tuple(callbacks), optimizer, min_epochs, resume, resume_stopped, extra)
    if isinstance(target, Trainable):
        options.check_extra(type(target).__name__)
        return options.loop(target)
    wrapped = plugin_manager().hook.trainhooks_wrap(target=target, options=options)
    if wrapped is None:
        raise no_adapter(target, list(frameworks()))
    return wrapped
