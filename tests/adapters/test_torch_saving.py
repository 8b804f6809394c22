"""PyTorch's .pt files: what is in them, that a fresh module takes it, and what is refused."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import trainhooks
from trainhooks.callbacks.model_checkpoint import ModelCheckpoint
from trainhooks.errors import CapabilityError, WeightsError
from trainhooks.testing import Do, play

torch = pytest.importorskip("torch", reason="torch is not installed")
from torch import nn  # noqa: E402  # after the skip
from trainhooks_adapters.torch import TorchTrainable  # noqa: E402


def net(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def averaged(model: Any) -> Any:
    average = torch.optim.swa_utils.AveragedModel(model)
    average.update_parameters(model)
    return average


def partly_compiled(model: Any) -> Any:
    model[0] = torch.compile(model[0], backend="eager")
    return model


WRAPPED = {
    "plain": lambda model: model,
    "compiled": lambda model: torch.compile(model, backend="eager"),
    "compiled in part": partly_compiled,
    "parallel": nn.DataParallel,
    "averaged": averaged,
    "averaged compiled": lambda model: averaged(torch.compile(model, backend="eager")),
    "compiled parallel": lambda model: torch.compile(nn.DataParallel(model), backend="eager"),
}


def saved(model: Any, path: Path) -> Any:
    """What ``.pt`` holds after a run of one epoch in which ``model`` was saved."""
    play([{"loss": 1.0}], [ModelCheckpoint(path)], trainable=TorchTrainable(model))
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("wrapper", WRAPPED.values(), ids=WRAPPED)
def test_a_fresh_plain_module_takes_the_file_and_gives_the_same(wrapper: Any, tmp_path: Path) -> None:
    x, model, fresh = torch.randn(5, 3), net(1), net(2)
    wanted = model.eval()(x)
    assert not torch.equal(fresh.eval()(x), wanted)
    fresh.load_state_dict(saved(wrapper(model), tmp_path / "w.pt"))
    assert torch.equal(fresh(x), wanted)


def test_the_versions_of_the_modules_are_kept_under_the_plain_names(tmp_path: Path) -> None:
    state = saved(torch.compile(partly_compiled(net()), backend="eager"), tmp_path / "w.pt")
    assert dict(state._metadata) == dict(net().state_dict()._metadata)


def test_a_module_of_the_users_own_that_is_called_module_keeps_its_name(tmp_path: Path) -> None:
    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = nn.Linear(2, 1)

    Around().load_state_dict(saved(Around(), tmp_path / "w.pt"))


def test_a_distributed_module_is_saved_as_the_plain_one(tmp_path: Path) -> None:
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        net().load_state_dict(saved(nn.parallel.DistributedDataParallel(net()), tmp_path / "w.pt"))
    finally:
        torch.distributed.destroy_process_group()


def test_dtypes_and_ties_are_kept(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).to(torch.bfloat16))
    model.register_parameter("tied", model[0].weight)
    state = saved(model, tmp_path / "w.pt")
    assert {name: one.dtype for name, one in state.items()} == {n: one.dtype for n, one in model.state_dict().items()}
    assert state["tied"].data_ptr() == state["0.weight"].data_ptr()
    assert all(one.device.type == "cpu" for one in state.values())


class Remembers(nn.Linear):
    """A module with an extra state."""

    def __init__(self, extra: Any) -> None:
        super().__init__(2, 1)
        self.extra = extra

    def get_extra_state(self) -> Any:
        if isinstance(self.extra, Exception):
            raise self.extra
        return self.extra

    def set_extra_state(self, state: Any) -> None:
        self.extra = state


def test_an_extra_state_of_plain_values_is_kept(tmp_path: Path) -> None:
    fresh = Remembers(None)
    fresh.load_state_dict(saved(Remembers({"seen": [1, 2.5, "x"], "mean": torch.ones(2)}), tmp_path / "w.pt"))
    assert (fresh.extra["seen"], fresh.extra["mean"].tolist()) == ([1, 2.5, "x"], [1, 1])


@pytest.mark.parametrize("extra", [Path("x"), lambda: 0], ids=["of a class", "not even to be pickled"])
def test_an_extra_state_that_could_not_be_read_is_refused_and_nothing_is_written(extra: Any, tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        saved(nn.Sequential(Remembers(extra)), tmp_path / "w.pt")
    assert str(caught.value) == (
        f"saving '.pt': '0._extra_state' is a {type(extra).__qualname__}, which torch.load(weights_only=True) does not "
        "read. Have get_extra_state() give tensors and plain values, or save '.safetensors', which has none."
    )
    assert list(tmp_path.iterdir()) == []


def test_the_same_weights_make_the_same_file_whatever_its_temporary_was_called(tmp_path: Path) -> None:
    for name in ("a.pt", "b.pt"):
        saved(net(), tmp_path / name)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()
    assert {name.partition("/")[0] for name in zipfile.ZipFile(tmp_path / "a.pt").namelist()} == {"archive"}


def test_weights_that_have_no_values_yet_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="have no values yet"):
        saved(nn.LazyLinear(1), tmp_path / "w.pt")


def test_the_best_of_a_real_loop_is_in_the_file(tmp_path: Path) -> None:
    model, x = net(), torch.randn(6, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    weights: list[Any] = []
    checkpoint = ModelCheckpoint(tmp_path / "best.pt", "val_loss", save_best_only=True)
    with trainhooks.wrap(model, optimizer=optimizer, callbacks=[checkpoint]) as run:
        for epoch in run.epochs(3):
            for batch in run.train([x]):
                loss = model(batch).square().mean()
                loss.backward()
                optimizer.step()
                run.log(loss=loss)
            weights.append(model[2].weight.detach().clone())
            for _ in run.test([0]):
                run.log(loss=[2.0, 1.0, 3.0][epoch])
    state = torch.load(tmp_path / "best.pt", weights_only=True)
    assert [torch.equal(state["2.weight"], one) for one in weights] == [False, True, False]


# What fails


def test_keras_formats_are_refused_before_training() -> None:
    with pytest.raises(CapabilityError) as caught:
        play([{"loss": 1.0}], [ModelCheckpoint("w.weights.h5")], trainable=TorchTrainable(net()))
    assert str(caught.value) == (
        "ModelCheckpoint(filepath='w.weights.h5'): torch does not write '.weights.h5'. There is '.safetensors' "
        "(weights by name), '.pt' (its state_dict(), for torch.load(weights_only=True))."
    )


def test_another_suffix_is_refused_by_the_verb_itself(tmp_path: Path) -> None:
    with pytest.raises(ValueError) as caught:
        TorchTrainable(net()).save(tmp_path / "w.pth")
    assert str(caught.value) == f"saving {str(tmp_path / 'w.pth')!r}: PyTorch writes '.pt'"


def test_a_module_that_fails_half_way_leaves_the_file_and_the_best(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 1), Remembers(None))
    checkpoint = ModelCheckpoint(tmp_path / "w.pt", save_best_only=True)
    break_it = Do("epoch_begin", lambda run: setattr(model[1], "extra", RuntimeError("no state today")), nth=1)
    history = [{"loss": 1.0, "val_loss": value} for value in (3.0, 2.0)]
    with pytest.raises(RuntimeError, match="no state today"):
        play(history, [break_it, checkpoint], trainable=TorchTrainable(model))
    model.load_state_dict(torch.load(tmp_path / "w.pt", weights_only=True))
    assert ([path.name for path in tmp_path.iterdir()], checkpoint.best) == (["w.pt"], 3.0)


@contextlib.contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """No file of this process can grow beyond ``size`` bytes: a write fails half way, as on a disk that is full."""
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_on_a_full_disk_the_file_that_was_there_is_whole(tmp_path: Path) -> None:
    path, model = tmp_path / "w.pt", nn.Linear(100, 1000)
    before = saved(model, path)["weight"]
    with no_file_beyond(100_000), pytest.raises(OSError, match=r"Is the disk full\?"):
        saved(model, path)
    assert torch.equal(torch.load(path, weights_only=True)["weight"], before)
    assert [one.name for one in tmp_path.iterdir()] == ["w.pt"]
