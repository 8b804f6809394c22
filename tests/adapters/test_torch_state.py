"""A PyTorch run goes on from its state as if it had never stopped: module, optimizer, and whatever is in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

import trainhooks  # noqa: E402
from trainhooks.errors import WeightsError  # noqa: E402
from trainhooks.state_file import load_state, save_state  # noqa: E402
from trainhooks.testing import Do  # noqa: E402

nn, optim = torch.nn, torch.optim

OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "SGD": lambda p: optim.SGD(p, lr=0.1),
    "SGD-nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "SGD-tensor-lr": lambda p: optim.SGD(p, lr=torch.tensor(0.1), momentum=0.9),
    "Adadelta": lambda p: optim.Adadelta(p),
    "Adafactor": lambda p: optim.Adafactor(p),
    "Adagrad": lambda p: optim.Adagrad(p),
    "Adam": lambda p: optim.Adam(p, lr=0.01),
    "Adam-amsgrad": lambda p: optim.Adam(p, lr=0.01, amsgrad=True),
    "Adamax": lambda p: optim.Adamax(p),
    "AdamW": lambda p: optim.AdamW(p, lr=0.01),
    "ASGD": lambda p: optim.ASGD(p),
    "LBFGS": lambda p: optim.LBFGS(p, lr=0.1, max_iter=3),
    "NAdam": lambda p: optim.NAdam(p),
    "RAdam": lambda p: optim.RAdam(p),
    "RMSprop": lambda p: optim.RMSprop(p, momentum=0.5, centered=True),
    "Rprop": lambda p: optim.Rprop(p),
}


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


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_to_go_on_from_a_file_is_never_to_have_stopped(name: str, tmp_path: Path) -> None:
    make = OPTIMIZERS[name]
    whole = net()
    never = train(whole, make(whole.parameters()), 4)
    first = net()
    file = tmp_path / "state.safetensors"
    train(first, make(first.parameters()), 2, Do("train_end", lambda run: save_state(file, run.state_dict())))
    second = net()
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.zero_()
    again = train(second, make(second.parameters()), 4, resume=load_state(file))
    assert told(second, again) == told(whole, never)


def test_each_optimizer_of_torch_is_tried() -> None:
    names = {name for name, one in vars(optim).items() if isinstance(one, type) and issubclass(one, optim.Optimizer)}
    special = {"Optimizer", "SparseAdam", "Muon"}  # abstract; sparse gradients alone; matrices alone
    assert names - special == {name.partition("-")[0] for name in OPTIMIZERS}


def test_bfloat16_goes_on_too(tmp_path: Path) -> None:
    whole, first, second = (net(torch.bfloat16) for _ in range(3))
    never = train(whole, optim.Adam(whole.parameters()), 2)
    state = train(first, optim.Adam(first.parameters()), 1).state_dict()
    save_state(tmp_path / "state.safetensors", state)
    again = train(second, optim.Adam(second.parameters()), 2, resume=load_state(tmp_path / "state.safetensors"))
    assert told(second, again) == told(whole, never)


def test_a_module_whose_names_a_wrapper_changed_takes_the_state_of_the_plain_one() -> None:
    plain, wrapped = net(), nn.DataParallel(net())
    state = train(plain, optim.SGD(plain.parameters(), lr=0.1), 1).state_dict()
    with trainhooks.wrap(wrapped, optimizer=optim.SGD(wrapped.parameters(), lr=0.1), resume=state) as run:
        assert run.epochs_done == 1
    assert wrapped.module.state_dict()["0.weight"].tolist() == plain.state_dict()["0.weight"].tolist()


def test_another_model_is_refused_and_nothing_is_written() -> None:
    first, other = net(), nn.Sequential(nn.Linear(3, 5))
    state = train(first, optim.SGD(first.parameters(), lr=0.1), 1).state_dict()
    before = other[0].weight.tolist()
    with pytest.raises(WeightsError, match="the weights do not fit"):
        trainhooks.wrap(other, optimizer=optim.SGD(other.parameters(), lr=0.1), resume=state)
    assert other[0].weight.tolist() == before


def test_other_parameter_groups_are_refused_and_nothing_is_written() -> None:
    first, second = net(), net()
    state = train(first, optim.SGD(first.parameters(), lr=0.1), 1).state_dict()
    groups = [{"params": second[0].parameters()}, {"params": second[2].parameters()}]
    before = second[0].weight.tolist()
    with pytest.raises(WeightsError) as caught:
        trainhooks.wrap(second, optimizer=optim.SGD(groups, lr=0.1), resume=state)
    assert str(caught.value) == (
        "load_state_dict(): the parameter groups of SGD hold [2, 2] parameters, those of the state [6]. "
        "Nothing was written."
    )
    with pytest.raises(WeightsError, match="the state is of 1 optimizers, and there are 0"):
        trainhooks.wrap(second, resume=state)
    assert second[0].weight.tolist() == before


def test_another_optimizer_is_refused_and_nothing_is_written() -> None:
    first, second = net(), net()
    state = train(first, optim.SGD(first.parameters(), lr=0.1), 1).state_dict()
    before = second[0].weight.tolist()
    with pytest.raises(WeightsError) as caught:
        trainhooks.wrap(second, optimizer=optim.Adam(second.parameters()), resume=state)
    assert str(caught.value) == "load_state_dict(): the state is of 'SGD', and there is 'Adam'. Nothing was written."
    assert second[0].weight.tolist() == before


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
