"""LoopRun: the instrument for people who own their loop.

    with LoopRun(trainable, callbacks=[...]) as run:
        for epoch in run.epochs(10):
            for x, y in run.train(train_loader):
                run.log(loss=step(x, y), n=len(x))
            for x, y in run.test(val_loader):
                run.log(loss=loss(x, y), n=len(x))

A ``break`` and an exception look alike to a generator, so leaving a loop only marks its scope as left. Opening another
scope, the outer loop's next turn, ``run.log`` or the end of ``with`` then shows that it was a break, and its end fires
there: late by the lines in between. A ``with`` that ends in an exception makes it the exception, and no end fires.

Where a pause was taken, the loop that it was taken in ends the ``with``: no line of the owner's runs any more in it.
"""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from .callback import Callback
from .checkpoint import Resume, state_from
from .checks import whole
from .driver import Driver
from .errors import LoopError, MetricValueError
from .frames import Frame
from .logs import Mean, named
from .passes import Loop, Running, batches, come_back, length_hint, length_of
from .run import MEMBERS, Run
from .trainable import Trainable
from .world import World

T = TypeVar("T")

if TYPE_CHECKING:
    _Forwards = Run  # to a type checker, a LoopRun has all that a Run has
else:

    def _forward(name):
        return property(lambda self: getattr(self.run, name), lambda self, value: setattr(self.run, name, value))

    class _Forwards:
        """Hands on to ``self.run`` whatever a ``Run`` has; member by member, for __getattr__ would slow ``run.log``."""

        def __setattr__(self, name, value):
            if name.startswith("_") or name == "run":
                object.__setattr__(self, name, value)
            else:
                setattr(self.run, name, value)

    for _name in MEMBERS:
        setattr(_Forwards, _name, _forward(_name))


class _PausedError(BaseException):
    """Ends the owner's lines where a pause was taken: none of those that follow was meant for half a training.

    No ``Exception``, since it is not for the owner to handle; the ``with`` of its run ends there, and goes no further.
    """

    def __init__(self, run: LoopRun) -> None:
        super().__init__("the run was paused, which ends its `with`; who wraps that must return what __exit__ returns")
        self.run = run


class LoopRun(_Forwards):
    """A run whose loop is the user's own: holds the ``Run``, forwards to it, and adds the loop's verbs.

    Args:
        trainable: what an adapter gives; without one, ``lr``, weights and the like are lacking capabilities.
        callbacks: attached in this order.
        min_epochs: a decision to stop before so many finished epochs is held until then.
        resume: what the run goes on from: what ``run.state_dict()`` gave, the path of a checkpoint, or a folder of
            checkpoints, of which the newest good one is taken.
        resume_stopped: whether a run that was stopped goes on; it stays stopped otherwise, and says why.
        plugins: which of the installed plugins may take part, as for ``wrap``.
        world: who else trains along.

    Attributes:
        run: what its callbacks see.

    Raises:
        RegistrationError: a callback cannot be registered, or needs what the trainable lacks.
    """

    run: Run

    def __init__(
        self,
        trainable: Trainable | None = None,
        callbacks: Iterable[Callback] | None = (),
        *,
        min_epochs: int = 0,
        resume: Resume = None,
        resume_stopped: bool = False,
        plugins: str | None = None,
        world: World | None = None,
    ) -> None:
        self._driver = Driver(trainable, callbacks, min_epochs=min_epochs, plugins=plugins, world=world)
        self._driver.goes_on_stopped = resume_stopped
        self.run = self._driver.run
        self._handled: BaseException | None = None
        state = state_from(resume)
        if state is not None:
            self._driver.load_state_dict(state)

    # with

    def __enter__(self) -> LoopRun:
        if self._driver.life != "new":
            raise LoopError("this run has been entered before; make a new one with wrap(...) or LoopRun(...)")
        self._handled = sys.exc_info()[1]
        try:
            self._driver.setup()
        except BaseException as error:  # raised on: setup may have been partial, and teardown is owed to all
            self._end(error)
            raise
        self._driver.place.keep()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        paused = isinstance(error, _PausedError) and error.run is self
        if paused:
            error = None
        if error is None:
            try:
                self._driver.close_down(1)
            except BaseException as raised:  # raised on, by a hook of an end that was still owed
                self._end(raised)
                raise
        self._end(error)
        return paused

    def _end(self, error: BaseException | None) -> None:
        self._handled = None  # its traceback would keep alive whatever it went through
        try:
            if error is not None:
                self._driver.fail(error)
        finally:
            self._driver.teardown()

    # The loop's verbs

    def epochs(self, n: int | None) -> Loop[int]:
        """The numbers of the epochs to train, from 0.

        Args:
            n: how many in all, resumed or not; None goes on until a stop.

        Raises:
            LoopError: outside ``with``, or inside another loop of the run.
        """
        total = None if n is None else whole(n)
        if n is not None and (total is None or total < 0):
            raise ValueError(f"run.epochs({n!r}): the total of epochs, a whole number, or None to go on until a stop")
        return Loop(lambda: self._epochs(total), lambda: _left_of(total, self._driver.progress.epochs_done))

    def train(self, loader: Iterable[T], *, limit: int | None = None) -> Loop[T]:
        """One pass of training over ``loader``; two in one epoch go on counting its batches.

        Args:
            loader: any iterable of batches.
            limit: at most so many batches, and no more are drawn.

        Raises:
            LoopError: outside an epoch, or inside another pass.
        """
        return self._over("pass", "", "train", loader, limit)

    def test(self, loader: Iterable[T], *, name: str = "val", limit: int | None = None) -> Loop[T]:
        """One pass of validation, inside an epoch or a training batch, or alone.

        Args:
            loader: any iterable of batches.
            name: its metrics join the epoch's as ``<name>_<metric>``.
            limit: at most so many batches.

        Raises:
            LoopError: outside ``with``, or inside another validation.
        """
        if not isinstance(name, str) or not name or name == "train":
            raise ValueError(f"run.test(name={name!r}): a name such as 'val'; its metrics are called <name>_<metric>")
        return self._over("test", name, "test", loader, limit)

    def predict(self, loader: Iterable[T], *, limit: int | None = None) -> Loop[T]:
        """One pass of prediction; hand the outputs on with ``run.log(outputs=...)``.

        Raises:
            LoopError: outside ``with``, or inside a validation.
        """
        return self._over("predict", "", "predict", loader, limit)

    def log(self, values: Mapping[str, Any] | None = None, /, *, n: float = 1, **metrics: Any) -> None:
        """Add metrics to the running means of the innermost open scope: an epoch, a validation, a prediction.

        In an ``except`` or ``finally`` that is the scope it stands in, not one that the exception has left.

        Args:
            values: metrics whose names are no identifiers, as ``{"f1/macro": f1}``.
            n: their weight, usually the number of samples in the batch.
            metrics: each a number, or a tensor with one element. A value on a device stays there until it is read.

        Raises:
            LoopError: no such scope is open.
            MetricValueError: a value is not one real number.
        """
        # This runs at each step, in caches that the step has filled with its own: what is rare is done elsewhere.
        frame = self._driver.top
        if values is not None or frame is None or not frame.takes_logs:
            frame, metrics = self._taken(values, metrics)
        logs = frame.logs
        try:
            for name, value in metrics.items():
                mean = logs.raw.get(name)  # type: ignore[union-attr]  # it takes logs, so it has them
                metrics[name] = mean.add(value, n) if type(mean) is Mean else logs.begin(name, value, n)  # type: ignore[union-attr]
        except MetricValueError as error:
            raise named(error, name) from error.__cause__
        frame.logged = batch = frame.batch
        if frame.values_of == batch:
            metrics = {**frame.values, **metrics}
        frame.values, frame.values_of = metrics, batch

    def _taken(self, values: Any, metrics: dict[str, Any]) -> tuple[Frame, dict[str, Any]]:
        """The scope that ``log`` writes to, and all that it writes, where that takes more than a look."""
        frame = self._logged_into()
        if values is not None:
            if not isinstance(values, Mapping):
                raise MetricValueError(
                    f"run.log({reprlib.repr(values)}): a value needs its name, as run.log(loss=value)"
                )
            metrics = {**values, **metrics}
        if frame.kind == "predict" and "outputs" in metrics:
            frame.outputs = metrics.pop("outputs")
        return frame, metrics

    def _logged_into(self) -> Frame:
        driver = self._driver
        frame = driver.top
        if frame is not None and frame.left:
            if sys.exc_info()[1] is self._handled:
                driver.settle()  # nothing is being handled: whoever left it did so by a break
                frame = driver.top
            else:  # an except or a finally, that stands in the scope around what was left
                around = driver.stack[driver.left_at() - 1]
                frame = frame if around.logs is None else around
        if frame is None or frame.logs is None:
            raise LoopError(_LOG_OUTSIDE)
        return frame

    # How they iterate

    def _epochs(self, total: int | None) -> Iterator[int]:
        driver, progress = self._driver, self._driver.progress
        self._ready("epochs")
        progress.max_epochs = total
        driver.place.undo()
        train = driver.open("train")
        epoch: Frame | None = None
        try:
            while (total is None or progress.epochs_done < total) and not (
                (progress.should_stop and driver.place.ahead is None) or driver.signals.muted
            ):  # a stopped run that goes on inside an epoch has that epoch to end
                epoch = driver.open("epoch", epoch=progress.epochs_done)
                self._leave_if_paused()
                driver.place.hold(epoch)
                yield progress.epoch
                come_back(driver, epoch)  # whatever was left in the epoch was a break
                driver.close("epoch")
            driver.close("train")
            self._leave_if_paused()
        finally:
            train.leave()
            if epoch is not None:
                epoch.leave()

    def _over(
        self,
        kind: Literal["pass", "test", "predict"],
        name: str,
        verb: str,
        loader: Iterable[T],
        limit: int | None,
    ) -> Loop[T]:
        most = None if limit is None else whole(limit)
        if limit is not None and (most is None or most < 0):
            raise ValueError(f"run.{verb}(limit={limit!r}): a number of batches, at least 0")
        return Loop(
            lambda: batches(
                self._driver, lambda: self._start(kind, name, loader, most), loader, most, self._leave_if_paused
            ),
            lambda: max(0, length_of(loader, most) - self._driver.done_of_next),
        )

    def _start(
        self, kind: Literal["pass", "test", "predict"], name: str, loader: Iterable[Any], limit: int | None
    ) -> tuple[Frame, Running | None] | None:
        """Open a pass; None where nothing of it is to be done."""
        driver, progress = self._driver, self._driver.progress
        self._ready("train" if kind == "pass" else kind)
        top, running = driver.stack[-1], None
        if top.kind != "epoch":  # in one the pass begins first, and is gone on with: see Batches.boundary
            driver.boundary()
        self._leave_if_paused()
        if top.kind == "epoch":
            step = driver.place.next_pass(top, kind, name)
            if step == "done":
                driver.place.loaders.begin(top.key, loader)
                return None
            running = None if step == "new" else step
        if kind == "pass":
            if progress.halt and running is None and not driver.only_pauses:
                return None  # but one that is to pause begins, and is gone on with
            length = length_hint(loader, limit)
            progress.steps_per_epoch = None if length is None else top.batch + 1 + length
        index = top.begun - 1 if top.kind == "epoch" else None
        frame = driver.open(kind, name=name, index=index, again=running is not None)
        frame.key = top.key
        if running is not None:
            frame.batch, frame.random, frame.loader_state = running["batch"], running["random"], running["loader"]
            progress.batch = max(frame.batch, 0)
            driver.timings.samplers[kind].enter(frame)
            if frame.logs is not None and running["logs"] is not None:
                frame.logs.load_state_dict(running["logs"])
        return frame, running

    def _leave_if_paused(self) -> None:
        if self._driver.signals.muted:
            raise _PausedError(self)

    def _ready(self, verb: str) -> None:
        """Settle what was left, and see that ``verb`` has its place here."""
        driver = self._driver
        if driver.life != "open":
            when = "is over" if driver.life == "over" else "has not begun"
            raise LoopError(f"run.{verb}(...): the run {when}.\n{_RIGHT}")
        driver.settle()
        top = driver.stack[-1]
        allowed = {"epochs": ("run",), "train": ("epoch",)}.get(verb, ("run", "epoch", "pass"))
        if top.kind not in allowed:
            place = f"inside run.{_VERBS[top.kind]}(...)" if top.kind in _VERBS else "outside run.epochs(...)"
            raise LoopError(f"run.{verb}(...) {place}.\n{_RIGHT}")


def _left_of(total: int | None, done: int) -> int:
    if total is None:
        raise TypeError("run.epochs(None) goes on until a stop: it has no length")
    return max(total - done, 0)


_VERBS: Final = {"train": "epochs", "epoch": "epochs", "pass": "train", "test": "test", "predict": "predict"}
"""The verb that opened a scope, by the kind of the scope."""
_RIGHT: Final = """The loops of a run are nested like this:
    with trainhooks.wrap(model, callbacks=[...]) as run:
        for epoch in run.epochs(10):
            for batch in run.train(train_loader):
                ...
            for batch in run.test(val_loader):
                ..."""
_LOG_OUTSIDE: Final = f"run.log(...): no epoch, validation or prediction is open to log into.\n{_RIGHT}"
