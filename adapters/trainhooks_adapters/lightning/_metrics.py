"""What a module tells by ``self.log``: which values are new, what they are called here, and how much they weigh."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Final

_PREFIXES: Final = {"train": ("train_", "train/"), "validate": ("val_", "val/"), "test": ("test_", "test/")}


class Metrics:
    """The metrics of ``trainer.callback_metrics`` that are of now: there are also those of last epoch and other stages.

    Lightning makes a tensor of each value that it takes in, and hands a stale one on as it was.
    """

    def __init__(self) -> None:
        self._seen: dict[str, Any] = {}

    def look(self, trainer: Any) -> None:
        """What is there now is not new."""
        self._seen = dict(trainer.callback_metrics)

    def of_batch(self, trainer: Any) -> dict[str, Any]:
        """What the training batch that ends logged with ``on_step``."""
        new = {}
        for name, value in trainer.callback_metrics.items():
            seen = self._seen.get(name)
            # the tensor is another one at each look: what was taken in anew has memory of its own
            if seen is None or value.data_ptr() != seen.data_ptr():
                self._seen[name] = new[name] = value
        return _renamed(new, "train")

    def of_epoch(self, trainer: Any) -> dict[str, Any]:
        """What the training batches of the epoch that ends logged with ``on_epoch``, as Lightning reduces it."""
        before = dict(trainer.callback_metrics)  # to look at them makes those that are of this epoch anew
        new = {name: value for name, value in trainer.callback_metrics.items() if value is not before[name]}
        return _renamed(new, "train")

    def of_evaluation(self, trainer: Any, stage: str) -> dict[str, Any]:
        """What came since ``look``, in a validation or a test that ends."""
        seen, metrics = self._seen, trainer.callback_metrics
        new = {name: value for name, value in metrics.items() if value is not seen.get(name)}
        self._seen = dict(metrics)
        return _renamed(new, stage)

    def so_far(self, trainer: Any, stage: str) -> dict[str, Any]:
        """The means of a validation or a test that is running."""
        # private, in lightning 2.0 to 2.6: what is public has them at the end only, and a test pins it
        return _renamed(trainer._results.metrics(on_step=False)["callback"], stage)


def _renamed(metrics: Mapping[str, Any], stage: str) -> dict[str, Any]:
    if not metrics:
        return {}
    return {name: metrics[key] for key, name in plain_names(tuple(metrics), stage).items()}


@functools.lru_cache(maxsize=64)  # a few sets of names, asked for at each batch
def plain_names(keys: tuple[str, ...], stage: str) -> dict[str, str]:
    """For each metric what it is called here.

    ``loss_step`` and ``loss_epoch`` go where there is a ``loss``, which is the same; and so does the prefix of the
    stage, as in ``train_loss`` or ``val/loss``, but where that would give two metrics one name.

    Args:
        keys: the names that the module gave.
        stage: ``"train"``, ``"validate"`` or ``"test"``.
    """
    kept = [key for key in keys if not any(_is_fork(key, suffix, keys) for suffix in ("_step", "_epoch"))]
    named: dict[str, str] = {}
    for key in kept:
        prefix = next((one for one in _PREFIXES[stage] if key.startswith(one) and len(key) > len(one)), "")
        named[key] = key[len(prefix) :]
    taken = list(named.values())
    return {
        key: name if name == key or (name not in kept and taken.count(name) == 1) else key
        for key, name in named.items()
    }


def _is_fork(key: str, suffix: str, keys: tuple[str, ...]) -> bool:
    name, slash, loader = key.partition("/dataloader_idx_")
    return name.endswith(suffix) and name.removesuffix(suffix) + slash + loader in keys


def loss_in(outputs: Any, accumulated: int) -> Any:
    """The loss that ``training_step`` returned; None where it returned none, or no single number.

    Args:
        outputs: what Lightning hands on of it, divided by the batches that are accumulated.
        accumulated: how many these are.
    """
    loss: Any = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
    if not hasattr(loss, "detach") or loss.numel() != 1:
        return None
    return loss.detach() * accumulated if accumulated > 1 else loss.detach()
