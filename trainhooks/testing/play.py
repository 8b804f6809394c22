"""play: feed a scripted history of metrics to callbacks, through the real events of a real run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..callback import Callback
from ..loop import LoopRun
from ..trainable import Trainable


class Dial(Trainable):
    """A Trainable that trains nothing: a learning rate, and one weight that counts the epochs.

    Args:
        lrs: the learning rates of its groups.
        store: how it keeps a learning rate; a trainer with float32 optimizers rounds.
    """

    framework = "dial"

    def __init__(self, lrs: Sequence[float] = (0.1,), store: Any = float) -> None:
        self._store = store
        self.lrs = [float(store(lr)) for lr in lrs]
        self.weight = 0

    def get_lrs(self) -> list[float]:
        return list(self.lrs)

    def set_lrs(self, lrs: Sequence[float]) -> None:
        self.lrs = [float(self._store(lr)) for lr in lrs]

    def snapshot(self) -> int:
        return self.weight

    def restore(self, snapshot: int) -> None:
        self.weight = snapshot


def play(
    history: Iterable[Mapping[str, float]],
    callbacks: Iterable[Callback],
    *,
    trainable: Trainable | None = None,
    min_epochs: int = 0,
    resume: Mapping[str, Any] | None = None,
    plugins: str | None = "none",
) -> LoopRun:
    """Run one epoch for each entry of ``history``: a batch that logs its metrics, and a validation its ``val_`` ones.

    Args:
        history: for each epoch its metrics; the epoch validates when one of them begins with ``val_``.
        callbacks: attached in this order.
        trainable: what they steer; a ``Dial`` by default, whose weight becomes the number of each epoch. Callbacks that
            need more, as weights, are given ``trainhooks.MLP((1, 1))``.
        min_epochs, resume: as for ``LoopRun``; a resumed run skips the epochs that it has done.
        plugins: which plugins take part; none, whatever is installed.

    Returns:
        The run, over; it stopped where a callback said so, or at the end of ``history``.
    """
    script = list(history)
    model = Dial() if trainable is None else trainable
    with LoopRun(model, callbacks, min_epochs=min_epochs, resume=resume, plugins=plugins) as run:
        for epoch in run.epochs(len(script)):
            logs = script[epoch]
            for _ in run.train([0]):
                run.log({name: value for name, value in logs.items() if not name.startswith("val_")})
                if isinstance(model, Dial):
                    model.weight = epoch
            validation = {name[4:]: value for name, value in logs.items() if name.startswith("val_")}
            if validation:
                for _ in run.test([0]):
                    run.log(validation)
    return run
