"""What a step of a PyTorch loop costs, counted: calls, operations and reads of a device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trainhooks_adapters
from counting import OURS, Calls, calls

import trainhooks
from trainhooks import MLP, Callback, LoopRun
from trainhooks.callbacks import CSVLogger, EarlyStopping, ReduceLROnPlateau
from trainhooks.testing import Do

torch = pytest.importorskip("torch", reason="torch is not installed")
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402  # after the skip
from torch.utils._pytree import tree_iter, tree_map_only  # noqa: E402

aten = torch.ops.aten
ADAPTERS = str(Path(trainhooks_adapters.__file__).parent)


class OnDevice(torch.Tensor):  # type: ignore[misc]
    """A tensor that is not on the host: its value is in another one, and no operation but a dispatched one finds it."""

    inner: Any

    @staticmethod
    def __new__(cls, inner: Any) -> Any:
        return torch.Tensor._make_wrapper_subclass(cls, inner.size(), dtype=inner.dtype, device="meta")

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, kwargs = tree_map_only(cls, lambda one: one.inner, (args, kwargs or {}))
        return tree_map_only(torch.Tensor, cls, func(*args, **kwargs))


class Operations(TorchDispatchMode):  # type: ignore[misc]
    """Keeps the names of what is done with tensors on a device, and of what brings their values to the host."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if any(isinstance(one, OnDevice) for one in tree_iter((args, kwargs))):
            self.done.append(str(func))
        return func(*args, **kwargs)

    @property
    def reads(self) -> int:
        """How often a value came to the host."""
        return sum(name in ("aten._local_scalar_dense.default", "aten._to_copy.default") for name in self.done)


@contextmanager
def training(*callbacks: Callback) -> Iterator[tuple[Any, Any, Any]]:
    """A run inside an epoch, with its model and optimizer."""
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with trainhooks.wrap(model, optimizer=optimizer, callbacks=callbacks, plugins="none") as run:
        for _epoch in run.epochs(1):
            yield run, model, optimizer


def untimed(turns: list[Calls]) -> list[Calls]:
    """The different turns past the first, but for the two of each batch that is timed."""
    timed = [turn for turn in turns if any(name.startswith("sampler.") for name in turn)]
    return [list(turn) for turn in dict.fromkeys(map(tuple, turns[64:400])) if list(turn) not in timed]


def test_a_tensor_on_the_host_is_logged_by_two_calls_and_read_by_one() -> None:
    loss = torch.tensor(0.5, requires_grad=True)
    with training() as (run, _, _), calls("passes.batches") as turns:
        for _batch in run.train(range(401)):
            run.log(loss=loss, n=32)
    assert untimed(turns) == [["passes.batches", "loop.log", ".items", ".get", "means.add", ".get", ".item"]]


def test_an_optimizers_step_is_told_of_by_two_calls() -> None:
    with training() as (run, model, optimizer), calls("passes.batches", (*OURS, ADAPTERS)) as turns:
        for _batch in run.train(range(401)):
            model(torch.ones(2)).sum().backward()
            optimizer.step()
    assert untimed(turns) == [["passes.batches", "stepped", ".vars", ".get", "batches.optimizer_stepped"]]


MADE_FLOAT32 = {"float32": [], "bfloat16": ["aten._to_copy.default"]}


@pytest.mark.parametrize("name", MADE_FLOAT32)
def test_a_value_on_a_device_is_added_there_by_few_operations(name: str) -> None:
    with training() as (run, _, _):
        for _batch in run.train(range(3)):
            loss = OnDevice(torch.tensor(0.5, dtype=getattr(torch, name)))
            with Operations() as operations:
                run.log(loss=loss, n=32)
    assert operations.done == [
        *["aten.detach.default", *MADE_FLOAT32[name], "aten.view.default"],
        *["aten.mul.Tensor", "aten.add.Tensor"],
    ]


def test_callbacks_that_read_logs_at_epoch_ends_read_each_metric_once_an_epoch(tmp_path: Path) -> None:
    callbacks = [
        EarlyStopping("loss", patience=9),
        ReduceLROnPlateau("accuracy", mode="max", patience=9),
        CSVLogger(tmp_path / "log.csv"),
        Do("train_batch_end", lambda run: None, None),
    ]
    reads = []
    with Operations() as operations, LoopRun(MLP((2, 1)), callbacks, plugins="none") as run:
        for epoch in run.epochs(3):
            for batch in run.train(range(100)):
                run.log(loss=OnDevice(torch.tensor(1.0 * batch)), accuracy=OnDevice(torch.tensor(0.1 * epoch)), n=32)
            reads.append(operations.reads)
    assert [*reads, operations.reads] == [0, 2, 4, 6]
