"""wrap(): asks each adapter whether the target is its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, overload

from .callback import Callback, several
from .checkpoint import Resume, state_from
from .driver import Driver
from .errors import did_you_mean, listing, no_adapter, not_a_callback
from .loop import LoopRun
from .plugins import ask, failures, frameworks
from .trainable import Trainable
from .world import World
from .wrapped import Wrapped


class WrapOptions:
    """What ``wrap`` was given beside its target: the same arguments; ``extra`` holds an adapter's own.

    Raises:
        RegistrationError: ``callbacks`` is one callback, and no list.
    """

    def __init__(
        self,
        callbacks: Iterable[Callback] | None = (),
        optimizer: Any = None,
        min_epochs: int = 0,
        resume: Resume = None,
        resume_stopped: bool = False,
        plugins: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.callbacks: tuple[Callback, ...] = several(callbacks)
        self.optimizer, self.min_epochs = optimizer, min_epochs
        self.resume, self.resume_stopped, self.plugins = resume, resume_stopped, plugins
        self.extra: dict[str, Any] = dict(extra or {})

    def state(self) -> Mapping[str, Any] | None:
        """The state to go on from, read from its files where ``resume`` is a path; None to begin anew."""
        return state_from(self.resume)

    def loop(self, trainable: Trainable, world: World | None = None) -> LoopRun:
        """A ``LoopRun`` over ``trainable`` with these options.

        Args:
            trainable: what is trained.
            world: who else trains along.
        """
        return LoopRun(
            trainable,
            self.callbacks,
            min_epochs=self.min_epochs,
            resume=self.resume,
            resume_stopped=self.resume_stopped,
            plugins=self.plugins,
            world=world,
        )

    def driver(
        self, trainable: Trainable, state: Mapping[str, Any] | None = None, world: World | None = None
    ) -> Driver:
        """A ``Driver`` over ``trainable`` with these options, for a trainer that has its own loop.

        Args:
            trainable: what is trained.
            state: what the run goes on from: ``options.state()`` for the first that is trained.
            world: who else trains along.
        """
        made = Driver(trainable, self.callbacks, min_epochs=self.min_epochs, plugins=self.plugins, world=world)
        if state is not None:
            made.load_state_dict(state, resume_stopped=self.resume_stopped)
        return made

    def check(self) -> WrapOptions:
        """Refuse callbacks that nobody could attach, for a bridge that meets its trainer later; returns itself.

        Raises:
            RegistrationError: one is no callback, or has an unknown need.
        """
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise not_a_callback(callback)
            callback.check_needs()
        return self

    def settings(self, who: str, known: Iterable[str] = (), *, optimizer: str | None = None) -> dict[str, Any]:
        """All of it by name, for an adapter's own ``wrap(target, **options.settings("a Trainer"))``.

        Args:
            who: the target, in messages.
            known: the adapter's own arguments.
            optimizer: where the trainer has an optimizer of its own, a sentence that says whence: then none is taken.

        Raises:
            TypeError: it was given an argument that the adapter does not have.
        """
        self.check_extra(who, known)
        if optimizer is not None and self.optimizer is not None:
            raise TypeError(f"wrap({who}, optimizer=...): {optimizer}")
        given = {"callbacks": self.callbacks, "min_epochs": self.min_epochs, "resume": self.resume}
        given |= {"resume_stopped": self.resume_stopped, "plugins": self.plugins, **self.extra}
        return given if optimizer is not None else {**given, "optimizer": self.optimizer}

    def check_extra(self, who: str, known: Iterable[str] = ()) -> None:
        """Refuse arguments that the adapter does not have.

        Raises:
            TypeError: it names the nearest one.
        """
        known = ["callbacks", "optimizer", "min_epochs", "resume", "resume_stopped", "plugins", *known]
        for name in self.extra:
            if name not in known:
                near = did_you_mean(name, known)
                raise TypeError(f"wrap({who}): there is no argument {name!r}.{near} There are {listing(known)}.")


@overload
def wrap(
    target: Trainable,
    *,
    callbacks: Iterable[Callback] | None = (),
    optimizer: Any = None,
    min_epochs: int = 0,
    resume: Resume = None,
    resume_stopped: bool = False,
    plugins: str | None = None,
) -> LoopRun: ...


@overload
def wrap(
    target: Any,
    *,
    callbacks: Iterable[Callback] | None = (),
    optimizer: Any = None,
    min_epochs: int = 0,
    resume: Resume = None,
    resume_stopped: bool = False,
    plugins: str | None = None,
    **extra: Any,
) -> Any: ...


def wrap(
    target: Any,
    *,
    callbacks: Iterable[Callback] | None = (),
    optimizer: Any = None,
    min_epochs: int = 0,
    resume: Resume = None,
    resume_stopped: bool = False,
    plugins: str | None = None,
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
        plugins: which of the installed plugins are wanted: ``"none"``, ``"name,name"`` or ``"-name"`` for all but
            that one. What ``TRAINHOOKS_PLUGINS`` leaves out stays out.
        extra: the adapter's own arguments.

    What comes back depends on the framework, so that its type is not known here; an adapter's own ``wrap``, as
    ``trainhooks_adapters.torch.wrap``, is the same and typed.

    Raises:
        NoAdapterError: no adapter takes ``target``.
        TypeError: it is wrapped already, or an argument is not the adapter's.
        RegistrationError: a callback cannot be registered, or needs what the framework lacks.
    """
    options = WrapOptions(callbacks, optimizer, min_epochs, resume, resume_stopped, plugins, extra)
    if isinstance(target, Wrapped):
        raise TypeError(f"wrap({target!r}): it carries callbacks already. Wrap the trainer once, with all of them.")
    if isinstance(target, Trainable):
        options.check_extra(type(target).__name__)
        return options.loop(target)
    for plugin, wrapper in ask("trainhooks_adapter", plugins, target=target):
        try:
            return wrapper(options)
        except Exception as error:
            if not plugin.own and hasattr(error, "add_note"):  # Python 3.10 has none
                error.add_note(f"(raised by the adapter of trainhooks {plugin.label})")
            raise
    raise no_adapter(target, list(frameworks()), _failed())


def _failed() -> list[str]:
    """The plugins that may have been the adapter, had they not failed."""
    asked = ("import", "trainhooks_adapter")
    return [f"{one.name!r} ({one.error})" for one in failures if one.what in asked]
