"""How often a run reads its device, where its callbacks read logs only at epoch ends.

    python -m benchmarks.device_reads

Two metrics are logged at each of 300 steps in each of 4 epochs, and listened to by built-in callbacks that look at
them once an epoch, and by one that listens to batches and reads nothing. A loop by hand with ``item()`` reads 300 times
for each metric and epoch; one that sums on the device reads once.

PyTorch: the metrics are tensors that are not on the host, and a dispatch mode counts what brings a value of such a
tensor to it (``aten._local_scalar_dense``, and ``aten._to_copy`` and ``aten.copy_`` to the CPU). With CUDA they are
CUDA's; without, they are on a device that holds its values in a host tensor of its own, and computes there whatever is
dispatched to it.

JAX: on a CPU a read copies nothing, so no transfer guard sees it; counted are the calls into the methods of its arrays
that give a host value (``item``, ``float()``, ``numpy.asarray``), whoever makes them outside of JAX itself.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType
from typing import Any

import trainhooks
from trainhooks.callbacks import CSVLogger, EarlyStopping, ReduceLROnPlateau

from .listening import listeners
from .pairs import Row, missing, show

EPOCHS, STEPS, METRICS = 4, 300, ("loss", "accuracy")

Count = list[int]
"""Grows by one at each read."""


def reads(value: Callable[[float], Any], counting: Callable[[Count], AbstractContextManager[object]]) -> float:
    """Reads for each metric and epoch, in a run that logs ``value(number)``."""
    count: Count = []
    with tempfile.TemporaryDirectory() as folder:
        callbacks = [
            EarlyStopping("loss", patience=9),
            ReduceLROnPlateau("accuracy", mode="max", patience=9),
            CSVLogger(f"{folder}/log.csv"),
            *listeners(1),
        ]
        with counting(count), trainhooks.LoopRun(trainhooks.MLP((2, 1)), callbacks) as run:
            for epoch in run.epochs(EPOCHS):
                for number in run.train(range(STEPS)):
                    run.log({name: value(1 / (1 + epoch + number)) for name in METRICS}, n=32)
    return len(count) / EPOCHS / len(METRICS)


def of_torch() -> Iterator[Row]:
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_flatten, tree_map_only

    class Elsewhere(torch.Tensor):
        """On a device that is not the host: no value leaves it but by what is dispatched."""

        inner: torch.Tensor

        @staticmethod
        def __new__(cls, inner: torch.Tensor) -> Any:
            return torch.Tensor._make_wrapper_subclass(cls, inner.size(), dtype=inner.dtype, device="meta")

        def __init__(self, inner: torch.Tensor) -> None:
            self.inner = inner

        @classmethod
        def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            args, kwargs = tree_map_only(cls, lambda one: one.inner, (args, kwargs or {}))
            return tree_map_only(torch.Tensor, cls, func(*args, **kwargs))

    class Reads(TorchDispatchMode):
        def __init__(self, count: Count) -> None:
            super().__init__()
            self.count = count

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            away = any(isinstance(one, torch.Tensor) and not one.is_cpu for one in tree_flatten((args, kwargs))[0])
            to_host = func is torch.ops.aten._to_copy.default and str(kwargs.get("device")) == "cpu"
            to_host |= func is torch.ops.aten.copy_.default and args[0].is_cpu
            if away and (to_host or func is torch.ops.aten._local_scalar_dense.default):
                self.count.append(1)
            return func(*args, **kwargs)

    def value(number: float) -> Any:
        return torch.tensor(number, device="cuda") if cuda else Elsewhere(torch.tensor(number))

    cuda = torch.cuda.is_available()
    yield _row("PyTorch", reads(value, Reads), "on CUDA" if cuda else "on a device that computes on the host")


def of_jax() -> Iterator[Row]:
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax

    home, ours = os.path.dirname(jax.__file__), os.path.dirname(trainhooks.__file__)
    giving = {"_item", "_value", "__array__", "__float__", "__int__", "__bool__", "__index__", "device_get"}

    @contextmanager
    def counting(count: Count) -> Iterator[None]:
        def note(frame: FrameType, event: str, argument: Any) -> None:
            if event == "call" and frame.f_code.co_name in giving and frame.f_code.co_filename.startswith(home):
                if frame.f_back is None or not frame.f_back.f_code.co_filename.startswith(home):
                    count.append(1)
            elif event == "c_call" and frame.f_code.co_filename.startswith(ours):
                count.extend([1] * (getattr(argument, "__name__", "") in ("asarray", "array")))

        sys.setprofile(note)
        try:
            yield
        finally:
            sys.setprofile(None)

    yield _row("JAX", reads(jax.device_put, counting), "on the CPU")


def _row(framework: str, count: float, beside: str) -> Row:
    what = f"{framework}, logs read at epoch ends: device reads for a metric and epoch"
    return Row(what, count, unit="reads", goal=1, beside=f"{STEPS} steps an epoch, {beside}")


def rows() -> Iterator[Row]:
    for name, of in {"torch": of_torch, "jax": of_jax}.items():
        if not missing(name):
            yield from of()


if __name__ == "__main__":
    show(rows())
