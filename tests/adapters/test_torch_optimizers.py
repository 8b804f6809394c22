"""Each optimizer, learning rate scheduler and gradient scaler of PyTorch goes on from a state bit for bit."""

from __future__ import annotations

import inspect
import itertools
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from trainhooks.store import load_checkpoint, save_checkpoint

torch = pytest.importorskip("torch", reason="torch is not installed")
from trainhooks_adapters.torch import TorchTrainable  # noqa: E402  # after the skip

nn, optim, schedulers = torch.nn, torch.optim, torch.optim.lr_scheduler


def classes(module: Any, base: Any) -> dict[str, Any]:
    """Those of a module; a class that torch will have one day is among them."""
    found = {name: one for name, one in vars(module).items() if isinstance(one, type) and issubclass(one, base)}
    return {name: one for name, one in found.items() if one is not base and not name.startswith("_")}


OPTIMIZERS = classes(optim, optim.Optimizer)
OPTIONS: dict[str, dict[str, Any]] = {
    "amsgrad": {"amsgrad": True},
    "centered": {"centered": True, "momentum": 0.5},
    "decoupled_weight_decay": {"decoupled_weight_decay": True, "weight_decay": 0.1},
    "differentiable": {},  # takes steps that autograd goes through, for loops of another kind
    "capturable": {},  # for CUDA graphs: no step of it runs on the CPU
    "foreach": {"foreach": True},
    "fused": {"fused": True},
    "line_search_fn": {"line_search_fn": "strong_wolfe"},
    "maximize": {"maximize": True},
    "momentum": {"momentum": 0.9},
    "nesterov": {"nesterov": True, "momentum": 0.9},
}


def cases() -> Iterator[Any]:
    for name, one in OPTIMIZERS.items():
        yield pytest.param(one, {}, id=name)
        takes = inspect.signature(one).parameters
        if "foreach" in takes:
            yield pytest.param(one, {"foreach": False}, id=f"{name}-one by one")
        for option, settings in OPTIONS.items():
            if settings and option in takes and settings.keys() <= takes.keys():
                yield pytest.param(one, settings, id=f"{name}-{option}")


class Trained:
    """A model and what trains it, made anew and alike each time."""

    def __init__(self, kind: Any, settings: dict[str, Any] | None = None, **parts: Callable[[Any], Any]) -> None:
        torch.manual_seed(0)
        if kind is optim.SparseAdam:
            self.model: Any = nn.Embedding(7, 3, sparse=True)
        else:
            self.model = nn.Sequential(nn.Conv2d(2, 3, 2), nn.Flatten(), nn.Linear(12, 2))
            if kind is not optim.LBFGS:  # which knows one memory order alone
                self.model.to(memory_format=torch.channels_last)
        matrices = kind is getattr(optim, "Muon", None)
        self.parameters = [one for one in self.model.parameters() if not matrices or one.ndim == 2]
        self.optimizer = kind(self.parameters, **(settings or {}))
        self.parts = {name: make(self.optimizer) for name, make in parts.items()}
        self.trainable = TorchTrainable(self.model, self.optimizer, **self.parts)
        self.lrs: list[float] = []

    def train(self, *batches: int) -> Trained:
        for number in batches:
            generator = torch.Generator().manual_seed(number)
            x = torch.randn(5, 2, 3, 3, generator=generator)
            if isinstance(self.model, nn.Embedding):
                x = torch.randint(0, 7, (4,), generator=generator)

            def closure(x: Any = x) -> Any:
                self.optimizer.zero_grad()
                loss = (self.model(x) - 1).square().mean()
                loss.backward()
                return loss

            self.step(closure, number)
        return self

    def step(self, closure: Callable[[], Any], number: int) -> None:
        loss = self.optimizer.step(closure)
        for one in self.parts.values():
            metric = (float(loss.detach()) if number % 3 else 99.0,)
            one.step(*metric if isinstance(one, schedulers.ReduceLROnPlateau) else ())
        self.lrs += [float(group["lr"]) for group in self.optimizer.param_groups]

    def told(self) -> str:
        """All that there is, to the bit."""
        parts = [self.optimizer.state_dict(), *(one.state_dict() for one in self.parts.values())]
        torch.set_printoptions(precision=12, threshold=10_000)
        return f"{[one.tolist() for one in self.model.state_dict().values()]} {parts}"


def filed(state: Any) -> Any:
    """A state as a file gives it back."""
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(f"{folder}/state", state)
        return load_checkpoint(f"{folder}/state")


@pytest.mark.parametrize("kind, settings", [*cases()])
def test_an_optimizer_goes_on_as_if_it_had_never_stopped(kind: Any, settings: dict[str, Any]) -> None:
    whole = Trained(kind, settings).train(*range(6))
    state = filed(Trained(kind, settings).train(0, 1, 2).trainable.state_dict())
    again = Trained(kind, settings).train(7)  # it has been elsewhere
    again.trainable.load_state_dict(state)
    assert again.train(3, 4, 5).told() == whole.told()


def test_the_learning_rate_may_be_a_tensor() -> None:
    def made() -> Trained:
        return Trained(optim.SGD, {"lr": torch.tensor(0.1), "momentum": 0.9}, lr_scheduler=PARTS["StepLR"])

    whole, first, again = made().train(*range(6)), made().train(0, 1, 2), made()
    again.trainable.load_state_dict(filed(first.trainable.state_dict()))
    assert again.train(3, 4, 5).told() == whole.told()
    assert torch.is_tensor(again.optimizer.param_groups[0]["lr"])


# Schedulers


class Factor:
    """A lambda with a state of its own."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, epoch: int) -> float:
        self.calls += 1
        return float(0.9**self.calls)


PARTS: dict[str, Callable[[Any], Any]] = {
    "LambdaLR": lambda o: schedulers.LambdaLR(o, lambda epoch: 0.9**epoch),
    "LambdaLR-of an object": lambda o: schedulers.LambdaLR(o, Factor()),
    "MultiplicativeLR": lambda o: schedulers.MultiplicativeLR(o, lambda epoch: 0.9),
    "MultiplicativeLR-of an object": lambda o: schedulers.MultiplicativeLR(o, Factor()),
    "StepLR": lambda o: schedulers.StepLR(o, 2),
    "MultiStepLR": lambda o: schedulers.MultiStepLR(o, [2, 4, 4, 5]),
    "ConstantLR": lambda o: schedulers.ConstantLR(o, total_iters=4),
    "LinearLR": lambda o: schedulers.LinearLR(o, total_iters=5),
    "ExponentialLR": lambda o: schedulers.ExponentialLR(o, 0.7),
    "SequentialLR": lambda o: schedulers.SequentialLR(
        o, [schedulers.LinearLR(o, total_iters=4), schedulers.MultiStepLR(o, [1, 2])], [4]
    ),
    "PolynomialLR": lambda o: schedulers.PolynomialLR(o, 6),
    "CosineAnnealingLR": lambda o: schedulers.CosineAnnealingLR(o, 5),
    "ChainedScheduler": lambda o: schedulers.ChainedScheduler(
        [schedulers.MultiStepLR(o, [1, 4]), schedulers.ExponentialLR(o, 0.9)], o
    ),
    "ReduceLROnPlateau": lambda o: schedulers.ReduceLROnPlateau(o, patience=0),
    "CyclicLR": lambda o: schedulers.CyclicLR(o, 0.01, 0.1, step_size_up=2, mode="triangular2"),
    "CyclicLR-scale_fn": lambda o: schedulers.CyclicLR(o, 0.01, 0.1, step_size_up=2, scale_fn=lambda x: 1 / x),
    "CosineAnnealingWarmRestarts": lambda o: schedulers.CosineAnnealingWarmRestarts(o, 2, 2),
    "OneCycleLR": lambda o: schedulers.OneCycleLR(o, 0.1, total_steps=7, three_phase=True),
    "SWALR": lambda o: optim.swa_utils.SWALR(o, 0.05, anneal_epochs=5),
}


def test_each_scheduler_of_torch_is_tried() -> None:
    names = classes(schedulers, schedulers.LRScheduler) | classes(optim.swa_utils, schedulers.LRScheduler)
    assert names.keys() == {name.partition("-")[0] for name in PARTS}


@pytest.mark.parametrize("name", PARTS)
def test_a_scheduler_goes_on_as_if_it_had_never_stopped(name: str) -> None:
    def made() -> Trained:
        return Trained(optim.SGD, {"lr": 0.1, "momentum": 0.9}, lr_scheduler=PARTS[name])

    whole = made().train(*range(6))
    for stop in range(6):
        first, again = made().train(*range(stop)), made().train(7)
        again.trainable.load_state_dict(filed(first.trainable.state_dict()))
        again.lrs = first.lrs
        assert (again.train(*range(stop, 6)).told(), again.lrs) == (whole.told(), whole.lrs)
    assert len(set(whole.lrs)) > 1


def test_milestones_are_a_counter_again_inside_another_scheduler_too() -> None:
    first, again = (Trained(optim.SGD, {"lr": 0.1}, lr_scheduler=PARTS["SequentialLR"]) for _ in range(2))
    again.trainable.load_state_dict(filed(first.trainable.state_dict()))
    milestones = again.parts["lr_scheduler"]._schedulers[1].milestones
    assert (type(milestones), milestones) == (Counter, {1: 1, 2: 1})


def test_a_scheduler_of_ones_own_leaves_out_its_functions_as_the_code_gives_them_again() -> None:
    class Own(schedulers.LRScheduler):  # type: ignore[misc]
        def __init__(self, optimizer: Any) -> None:
            self.curve = lambda epoch: 0.1 / (1 + epoch)
            super().__init__(optimizer)

        def get_lr(self) -> list[float]:
            return [self.curve(self.last_epoch)]

    whole = Trained(optim.SGD, lr_scheduler=Own).train(*range(4))
    first, again = Trained(optim.SGD, lr_scheduler=Own).train(0, 1), Trained(optim.SGD, lr_scheduler=Own)
    again.trainable.load_state_dict(filed(first.trainable.state_dict()))
    assert first.lrs + again.train(2, 3).lrs == whole.lrs


# GradScaler


class Scaled(Trained):
    """With a scaler whose scale grows every second step, and falls where a batch has no finite gradient."""

    def __init__(self, kind: Any, settings: dict[str, Any]) -> None:
        super().__init__(kind, settings, scaler=lambda _: torch.amp.GradScaler("cpu", growth_interval=2))
        self.scales: list[float] = []

    def step(self, closure: Callable[[], Any], number: int) -> None:
        self.optimizer.zero_grad()
        scaler, factor = self.parts["scaler"], torch.inf if number == 3 else 1.0
        scaler.scale((self.model(torch.ones(2, 2, 3, 3)) - 1).square().mean() * factor).backward()
        scaler.step(self.optimizer)
        scaler.update()
        self.scales.append(scaler.get_scale())


@pytest.mark.parametrize("fused", [False, True])
def test_a_gradient_scaler_goes_on_as_if_it_had_never_stopped(fused: bool) -> None:
    def made() -> Scaled:
        return Scaled(optim.Adam, {"fused": fused})

    whole = made()
    whole.train(*range(6))
    for stop in range(6):
        first, again = made(), made()
        first.train(*range(stop))
        again.trainable.load_state_dict(filed(first.trainable.state_dict()))
        again.train(*range(stop, 6))
        assert (again.told(), first.scales + again.scales) == (whole.told(), whole.scales)
    assert len(set(whole.scales)) == 2


# Optimizers of one's own


class Lookahead(optim.SGD):  # type: ignore[misc]
    """Keeps something of no parameter, in kinds that JSON does not have."""

    def step(self, closure: Any = None) -> Any:
        seen = self.state["global"]
        seen["steps"] = seen.get("steps", 0) + 1
        seen["pairs"] = (*seen.get("pairs", ()), (1, torch.tensor(2.0)))
        self.param_groups[0].update({"dtype": torch.bfloat16, "noise": np.float32(0.5), "by": {3: "three"}})
        return super().step(closure)


def test_what_an_optimizer_keeps_of_no_parameter_comes_back() -> None:
    whole = Trained(Lookahead, {"lr": 0.1, "momentum": 0.9}).train(*range(4))
    first, again = (Trained(Lookahead, {"lr": 0.1, "momentum": 0.9}) for _ in range(2))
    again.trainable.load_state_dict(filed(first.train(0, 1).trainable.state_dict()))
    assert again.train(2, 3).told() == whole.told()
    assert again.optimizer.state["global"]["steps"] == 4


# Gradients


@pytest.mark.parametrize("sparse", [False, True])
def test_gradients_that_no_step_has_used_yet_are_kept(sparse: bool) -> None:
    made = lambda: Trained(optim.SparseAdam if sparse else optim.Adam)  # noqa: E731
    whole, first, again = made(), made(), made()

    def backward(trained: Trained, number: int) -> None:
        x = torch.tensor([number, 2]) if sparse else torch.full((2, 2, 3, 3), float(number))
        trained.model(x).square().sum().backward()

    for number, trained in itertools.product([0, 1], [whole, first]):
        backward(trained, number)
    again.trainable.load_state_dict(filed(first.trainable.state_dict()))
    for trained in (whole, again):
        backward(trained, 3)
        trained.optimizer.step()
    assert again.told() == whole.told()


def test_gradients_that_a_step_has_used_are_not_kept_and_those_of_before_do_not_stay() -> None:
    first, again = Trained(optim.SGD), Trained(optim.SGD)
    unwatch = first.trainable.watch_optimizer(lambda: None)
    first.trainable.state_dict()  # from the first state on: before it, no step need tell
    kept: list[bool] = []

    def look() -> None:
        kept.append(any(one is not None for one in first.trainable.state_dict()["gradients"][0]))

    first.train(0)
    look()  # they are there until the next batch begins
    first.model(torch.ones(1, 2, 3, 3)).sum().backward()
    look()  # added to
    first.optimizer.zero_grad()
    look()
    first.model(torch.ones(1, 2, 3, 3)).sum().backward()
    look()  # anew
    first.train(1)
    unwatch()
    again.train(0).trainable.load_state_dict(first.trainable.state_dict())
    assert (kept, [one.grad for one in again.parameters]) == ([False, True, False, True], [None] * 4)
