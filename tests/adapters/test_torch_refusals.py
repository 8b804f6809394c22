"""A state that does not fit is refused with the names of what does not, and nothing is written."""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from typing import Any

import pytest

import trainhooks
from trainhooks.errors import WeightsError

torch = pytest.importorskip("torch", reason="torch is not installed")
from trainhooks_adapters.torch import TorchTrainable, wrap  # noqa: E402  # after the skip

nn, optim, schedulers = torch.nn, torch.optim, torch.optim.lr_scheduler


class Keeper(nn.Linear):  # type: ignore[misc]
    """A module that keeps more than weights."""

    kept: Any = None

    def get_extra_state(self) -> Any:
        return self.kept

    def set_extra_state(self, state: Any) -> None:
        self.kept = state


def net(*layers: Any) -> Any:
    torch.manual_seed(0)
    return nn.Sequential(*(layers or (nn.Linear(2, 2), nn.Linear(2, 2))))


def reverse(model: Any) -> Any:
    return optim.SGD([*model.parameters()][::-1])


def two(model: Any, kinds: tuple[Any, Any] = (optim.SGD, optim.SGD)) -> Any:
    return [kind(layer.parameters(), lr=0.1) for kind, layer in zip(kinds, model, strict=True)]


def loose(*shapes: tuple[int, ...]) -> Any:
    """An optimizer of parameters that the module does not have, as those of a loss."""
    return optim.SGD([nn.Parameter(torch.ones(shape)) for shape in shapes])


Parts = tuple[Any, dict[str, Any]]
STEP, EXPONENTIAL = lambda o: schedulers.StepLR(o, 1), lambda o: schedulers.ExponentialLR(o, 0.9)


def parts(model: Any, optimizer: Any = optim.SGD, scheduler: Any = None, **extra: Any) -> Parts:
    made = optimizer(model.parameters()) if isinstance(optimizer, type) else optimizer(model)
    if scheduler is not None:
        extra["lr_scheduler"] = scheduler(made)
    return model, {"optimizer": made, **extra}


def scaler(enabled: bool = True) -> Any:
    return torch.amp.GradScaler("cpu", enabled=enabled)


CASES: dict[str, tuple[Callable[[], Parts], Callable[[], Parts], str]] = {
    "another model": (
        lambda: parts(net()),
        lambda: parts(net(nn.Linear(2, 2), nn.Linear(2, 3, bias=False))),
        "the weights do not fit (unknown: '1.bias'). Nothing was written.",
    ),
    "another shape": (
        lambda: parts(net()),
        lambda: parts(net(nn.Linear(2, 2), nn.Linear(3, 2))),
        "the weights do not fit (another shape: '1.weight' is (2, 3), given (2, 2)). Nothing was written.",
    ),
    "an extra state that is not in it": (
        lambda: parts(net()),
        lambda: parts(net(Keeper(2, 2), nn.Linear(2, 2))),
        "the weights do not fit (not given: '0._extra_state'). Nothing was written.",
    ),
    "an extra state that nobody takes": (
        lambda: parts(net(Keeper(2, 2), nn.Linear(2, 2))),
        lambda: parts(nn.DataParallel(net())),
        "the weights do not fit (unknown: '0._extra_state'). Nothing was written.",
    ),
    "more optimizers": (
        lambda: parts(net(), two),
        lambda: parts(net()),
        "the state is of 2 optimizers, and there is 1. Nothing was written.",
    ),
    "no optimizer": (
        lambda: parts(net()),
        lambda: (net(), {}),
        "the state is of 1 optimizer, and there are 0. Nothing was written.",
    ),
    "another optimizer": (
        lambda: parts(net()),
        lambda: parts(net(), optim.Adam),
        "the state is of 'SGD', and there is 'Adam'. Nothing was written.",
    ),
    "optimizers the other way round": (
        lambda: parts(net(), lambda model: two(model, (optim.SGD, optim.Adam))),
        lambda: parts(net(), lambda model: two(model, (optim.Adam, optim.SGD))),
        "the state is of 'SGD', 'Adam', and there is 'Adam', 'SGD'. Nothing was written.",
    ),
    "other groups": (
        lambda: parts(net()),
        lambda: parts(net(), lambda model: optim.SGD([{"params": layer.parameters()} for layer in model])),
        "the parameter groups of SGD hold [2, 2] parameters, those of the state [4]. Nothing was written.",
    ),
    "another order": (
        lambda: parts(net()),
        lambda: parts(torch.compile(net(), backend="eager"), reverse),
        "group 0 of SGD holds '1.bias' where that of the state holds '0.weight'. Nothing was written. "
        "Give the optimizer its parameters in the order of then.",
    ),
    "another layer of the same shapes": (
        lambda: parts(net(), lambda model: optim.SGD(model[0].parameters())),
        lambda: parts(net(), lambda model: optim.SGD(model[1].parameters())),
        "group 0 of SGD holds '1.weight' where that of the state holds '0.weight'. Nothing was written. "
        "Give the optimizer its parameters in the order of then.",
    ),
    "other parameters that are not the model's": (
        lambda: parts(net(), lambda model: loose((2, 3))),
        lambda: parts(net(), lambda model: loose((3, 2))),
        "group 0 of SGD holds a parameter of shape (3, 2) where that of the state has (2, 3). Nothing was written.",
    ),
    "no scheduler": (
        lambda: parts(net(), scheduler=STEP),
        lambda: parts(net()),
        "the state is of 1 scheduler, and there are 0. Nothing was written.",
    ),
    "another scheduler": (
        lambda: parts(net(), scheduler=STEP),
        lambda: parts(net(), scheduler=EXPONENTIAL),
        "the state is of 'StepLR', and there is 'ExponentialLR'. Nothing was written.",
    ),
    "another scheduler inside": (
        lambda: parts(net(), scheduler=lambda o: schedulers.ChainedScheduler([STEP(o), EXPONENTIAL(o)])),
        lambda: parts(net(), scheduler=lambda o: schedulers.ChainedScheduler([EXPONENTIAL(o), STEP(o)])),
        "the state is of 'ChainedScheduler(StepLR, ExponentialLR)', and there is "
        "'ChainedScheduler(ExponentialLR, StepLR)'. Nothing was written.",
    ),
    "schedulers the other way round": (
        lambda: parts(net(), two, lambda both: [STEP(one) for one in both]),
        lambda: parts(net(), two, lambda both: [STEP(one) for one in both[::-1]]),
        "the state is of 'StepLR of optimizer 0', 'StepLR of optimizer 1', and there is "
        "'StepLR of optimizer 1', 'StepLR of optimizer 0'. Nothing was written.",
    ),
    "no scaler": (
        lambda: parts(net(), scaler=scaler()),
        lambda: parts(net()),
        "the state is of 1 GradScaler, and there are 0. Nothing was written.",
    ),
    "a scaler that was not there": (
        lambda: parts(net()),
        lambda: parts(net(), scaler=scaler()),
        "the state is of 0 GradScalers, and there is 1. Nothing was written.",
    ),
    "a scaler that was not enabled": (
        lambda: parts(net(), scaler=scaler(enabled=False)),
        lambda: parts(net(), scaler=scaler()),
        "the state is of a GradScaler with enabled=False, and there is one that is enabled. Nothing was written.",
    ),
}


def step(model: Any, given: dict[str, Any]) -> None:
    model(torch.ones(1, 2)).sum().backward()
    optimizers = given.get("optimizer", [])
    for one in optimizers if isinstance(optimizers, list) else [optimizers]:
        one.step()


def told(model: Any, given: dict[str, Any]) -> str:
    many = [one for some in given.values() for one in (some if isinstance(some, list) else [some])]
    return f"{model.state_dict()} {[one.state_dict() for one in many]}"


@pytest.mark.parametrize("was, now, message", CASES.values(), ids=CASES)
def test_what_does_not_fit_is_refused_and_nothing_is_written(was: Any, now: Any, message: str) -> None:
    old, given = was()
    step(old, given)
    with trainhooks.wrap(old, **given) as run:
        state = run.state_dict()
    model, given = now()
    before = told(model, given)
    with pytest.raises(WeightsError) as caught:
        trainhooks.wrap(model, **given, resume=state)
    assert str(caught.value) == f"load_state_dict(): {message}"
    assert told(model, given) == before


def test_an_optimizer_state_of_another_shape_than_its_parameter_is_refused() -> None:
    model, given = parts(net(), optim.Adam)
    step(model, given)
    trainable = TorchTrainable(model, given["optimizer"])
    state = trainable.state_dict()
    entries = dict(state["optimizers"][0]["state"]["value"][1][1])
    state["optimizers"][0]["state"]["value"][1][1] = {**entries, "exp_avg": entries["exp_avg"][:1]}
    with pytest.raises(WeightsError) as caught:
        trainable.load_state_dict(state)
    assert str(caught.value) == (
        "load_state_dict(): 'exp_avg' of Adam for parameter 1 is (1,), and the parameter (2,). Nothing was written."
    )


def test_a_scaler_that_is_not_enabled_here_takes_the_state_as_torch_has_it() -> None:
    state = TorchTrainable(net(), scaler=scaler()).state_dict()
    TorchTrainable(net(), scaler=scaler(enabled=False)).load_state_dict(state)


# What is given to wrap


def sgd() -> Any:
    return optim.SGD(net().parameters(), lr=0.1)


GIVE = {
    "lr_scheduler": ("torch.optim.lr_scheduler.LRScheduler", "scheduler whose step()"),
    "scaler": ("torch.amp.GradScaler", "scaler whose step(optimizer)"),
}


class Around:
    """As accelerate's."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler

    def __repr__(self) -> str:
        return "Around()"


WRONG: dict[str, list[tuple[Any, str]]] = {
    "lr_scheduler": [
        (3, ""),
        (sgd(), ""),
        (schedulers.StepLR, " It is a class: make one, as StepLR(...)."),
        (Around(STEP(sgd())), " It has one inside: give that, as lr_scheduler=scheduler.scheduler."),
    ],
    "scaler": [(True, ""), (torch.amp.GradScaler, " It is a class: make one, as GradScaler(...).")],
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_none_is_refused_with_what_is_needed(name: str) -> None:
    kind, role = GIVE[name]
    for given, hint in WRONG[name]:
        for make in (wrap, trainhooks.wrap):
            with pytest.raises(TypeError) as error:
                make(net(), optimizer=sgd(), **{name: given})
            assert str(error.value) == (
                f"wrap({name}=...): {reprlib.repr(given)} is no {kind}.{hint} "
                f"Give the {role} the loop calls, or a list of them."
            )


def test_each_is_given_once_and_with_its_optimizer() -> None:
    optimizer, one = sgd(), scaler()
    scheduler = STEP(optimizer)
    for given in ([], [scheduler, scheduler]):
        with pytest.raises(ValueError) as error:
            wrap(net(), optimizer, lr_scheduler=given)
        assert str(error.value) == f"wrap(lr_scheduler={given!r}): one or more schedulers, each once"
    for given in ([], [one, one]):
        with pytest.raises(ValueError) as error:
            wrap(net(), optimizer, scaler=given)
        assert str(error.value) == f"wrap(scaler={given!r}): one or more scalers, each once"
    for other in (None, sgd()):
        with pytest.raises(ValueError) as error:
            wrap(net(), other, lr_scheduler=scheduler)
        assert str(error.value) == (
            "wrap(lr_scheduler=...): StepLR sets the learning rate of an optimizer that was not given. "
            "Give that too, as optimizer=scheduler.optimizer."
        )
