"""A PyTorch run goes on from its state as if it had never stopped: module, optimizer, and whatever is in them."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

import trainhooks  # noqa: E402
from trainhooks.errors import WeightsError  # noqa: E402
from trainhooks.store import load_checkpoint, save_checkpoint  # noqa: E402
from trainhooks.testing import Do  # noqa: E402
from trainhooks.trainable import OnDevice  # noqa: E402

nn, optim = torch.nn, torch.optim


def net(dtype: Any = torch.float32) -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)).to(dtype)


def train(model: Any, optimizer: Any, epochs: int, *callbacks: Any, resume: Any = None) -> Any:
    """Two batches an epoch, which depend on the epoch alone."""
    dtype = model[0].weight.dtype
    with trainhooks.wrap(model, optimizer=optimizer, callbacks=callbacks, resume=resume) as run:
        for epoch in run.epochs(epochs):
            generator = torch.Generator().manual_seed(epoch)
            for x in run.train(torch.randn(2, 5, 3, generator=generator).to(dtype)):

                def closure(x: Any = x) -> Any:
                    optimizer.zero_grad()
                    loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
                    loss.backward()
                    return loss

                run.log(loss=optimizer.step(closure), n=len(x))
    return run


def told(model: Any, run: Any) -> Any:
    return {key: value.tolist() for key, value in model.state_dict().items()}, list(run.history), run.lr


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_to_go_on_from_a_file_is_never_to_have_stopped(dtype: Any, tmp_path: Path) -> None:
    whole, first, second = (net(dtype) for _ in range(3))
    never = train(whole, optim.Adam(whole.parameters()), 4)
    file = tmp_path / "state"
    callback = Do("train_end", lambda run: save_checkpoint(file, run.state_dict()))
    train(first, optim.Adam(first.parameters()), 2, callback)
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.zero_()
    again = train(second, optim.Adam(second.parameters()), 4, resume=load_checkpoint(file))
    assert told(second, again) == told(whole, never)


def test_a_module_whose_names_a_wrapper_changed_takes_the_state_of_the_plain_one() -> None:
    plain, wrapped = net(), nn.DataParallel(net())
    state = train(plain, optim.SGD(plain.parameters(), lr=0.1), 1).state_dict()
    with trainhooks.wrap(wrapped, optimizer=optim.SGD(wrapped.parameters(), lr=0.1), resume=state) as run:
        assert run.epochs_done == 1
    assert wrapped.module.state_dict()["0.weight"].tolist() == plain.state_dict()["0.weight"].tolist()


class Keeper(nn.Linear):
    """A module that keeps more than weights."""

    kept: Any = None

    def get_extra_state(self) -> Any:
        return self.kept

    def set_extra_state(self, state: Any) -> None:
        self.kept = state


def test_extra_state_of_plain_values_goes_along_and_another_is_refused() -> None:
    first, second = Keeper(1, 1), Keeper(1, 1)
    first.kept = {"seen": 3, "mean": torch.ones(2)}
    with trainhooks.wrap(first) as run:
        state = run.state_dict()
    with trainhooks.wrap(second, resume=state):
        assert (second.kept["seen"], second.kept["mean"].tolist()) == (3, [1, 1])
    first.kept = object()
    with trainhooks.wrap(first) as run, pytest.raises(WeightsError) as caught:
        run.state_dict()
    assert str(caught.value) == (
        "run.state_dict(): the model's '_extra_state' holds a object, which no file keeps without pickle. "
        "Keep numbers, strings, lists, dictionaries and tensors in it."
    )


def test_extra_state_goes_along_whatever_wrapper_is_around_the_module() -> None:
    plain, wrapped = Keeper(1, 1), nn.DataParallel(Keeper(1, 1))
    plain.kept = torch.tensor(2.0)  # a tensor, and no weight
    with trainhooks.wrap(plain) as run:
        state = run.state_dict()
    with trainhooks.wrap(wrapped, resume=state):
        assert wrapped.module.kept.tolist() == 2.0


# Snapshots


class OnGPU(torch.Tensor):  # type: ignore[misc]
    """A tensor that says it is on a device, and tells when it is copied to the host."""

    copied = 0

    @property
    def device(self) -> Any:
        return torch.device("cuda", 0)

    def numpy(self, *, force: bool = False) -> Any:
        OnGPU.copied += 1
        return super().numpy(force=force).copy()


class Moved(nn.Module):  # type: ignore[misc]
    def __init__(self, *values: float) -> None:
        super().__init__()
        self.register_buffer("there", torch.tensor(values).as_subclass(OnGPU))
        self.register_buffer("here", torch.tensor(values))


def test_a_snapshot_leaves_on_the_device_what_is_there_and_training_on_does_not_change_it() -> None:
    model, copied = Moved(1.0, 2.0), OnGPU.copied
    with trainhooks.wrap(model) as run:
        snapshot = run.trainable.state_snapshot()["model"]
        model.there.zero_()
        model.here.zero_()
        assert (type(snapshot["there"]), type(snapshot["here"]), OnGPU.copied) == (OnDevice, np.ndarray, copied)
        assert (np.asarray(snapshot["there"]).tolist(), snapshot["here"].tolist()) == ([1, 2], [1, 2])


def test_a_snapshot_can_be_gone_on_from_as_it_is() -> None:
    model = Moved(1.0, 2.0)
    with trainhooks.wrap(model) as run:
        snapshot = run.trainable.state_snapshot()
        model.here.zero_()
        model.there.zero_()
        run.trainable.load_state_dict(snapshot)
    assert (model.here.tolist(), np.asarray(model.there.numpy()).tolist()) == ([1, 2], [1, 2])


def test_a_state_is_owned_and_of_tied_weights_it_holds_one_copy() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    with trainhooks.wrap(model) as run:
        weights = run.state_dict()["trainable"]["model"]
        before = weights["0.weight"].tolist()
        with torch.no_grad():
            model[0].weight.zero_()
    assert weights["0.weight"] is weights["1.weight"]
    assert weights["0.weight"].tolist() == before


def test_a_state_copies_weights_on_the_host_once() -> None:
    model = nn.Linear(1000, 1000)
    with trainhooks.wrap(model) as run:
        tracemalloc.start()
        state = run.trainable.state_dict()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert state["model"]["weight"].nbytes <= peak < 1.1 * state["model"]["weight"].nbytes


def test_a_tensor_that_no_array_can_hold_is_refused() -> None:
    model = Keeper(1, 1)
    model.kept = torch.eye(2).to_sparse_csr()
    with trainhooks.wrap(model) as run, pytest.raises(WeightsError, match=r"holds a torch\.sparse_csr, which no file"):
        run.state_dict()


class Versioned(nn.Linear):  # type: ignore[misc]
    _version = 3
    found: Any = None

    def _load_from_state_dict(self, state: Any, prefix: str, metadata: Any, *rest: Any) -> None:
        self.found = metadata.get("version")
        super()._load_from_state_dict(state, prefix, metadata, *rest)


def test_a_module_is_told_its_version_as_by_torch() -> None:
    model = Versioned(1, 1)
    with trainhooks.wrap(model) as run:
        run.trainable.load_state_dict(run.trainable.state_dict())
    assert model.found == 3
