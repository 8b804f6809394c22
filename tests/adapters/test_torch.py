"""PyTorch's learning rates, what is refused as model and optimizer, and how a module is found."""

from __future__ import annotations

import reprlib
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import trainhooks
from trainhooks.errors import CapabilityError

torch = pytest.importorskip("torch", reason="torch is not installed")
from torch import nn  # noqa: E402  # after the skip
from trainhooks_adapters.torch import TorchTrainable, wrap  # noqa: E402


def linear() -> Any:
    return nn.Linear(2, 1)


def sgd(*models: Any, lr: Any = 0.1) -> Any:
    return torch.optim.SGD([{"params": list(model.parameters())} for model in models], lr=lr)


# The learning rate


def test_the_learning_rates_are_those_of_the_groups_of_all_optimizers() -> None:
    model, twice = linear(), sgd(linear(), linear())
    trainable = TorchTrainable(model, [twice, sgd(model, lr=0.5)])
    trainable.set_lrs([0.1, 0.01, 0.001])
    assert trainable.get_lrs() == [group["lr"] for group in twice.param_groups] + [0.001] == [0.1, 0.01, 0.001]


def test_setting_lr_scales_the_groups_in_their_first_proportions() -> None:
    model = nn.Sequential(linear(), linear())
    optimizer = torch.optim.SGD([{"params": model[0].parameters()}, {"params": model[1].parameters(), "lr": 1.0}], lr=2)
    run = wrap(model, optimizer)
    run.lr = 0.5
    assert (run.lr, run.lrs) == (0.5, [0.5, 0.25])


def test_a_wrong_number_of_learning_rates_is_refused_and_none_is_set() -> None:
    trainable = TorchTrainable(linear(), sgd(linear(), linear()))
    with pytest.raises(ValueError) as error:
        trainable.set_lrs([1.0])
    assert str(error.value) == "run.lrs = [1.0]: the parameter groups are 2, the values 1"
    assert trainable.get_lrs() == [0.1, 0.1]


def test_a_tensor_learning_rate_stays_the_same_tensor_and_a_float_a_float() -> None:
    model, lr = linear(), torch.tensor(0.25)
    tensor, plain = sgd(model, lr=lr), sgd(model)
    trainable = TorchTrainable(model, (tensor, plain))
    assert trainable.get_lrs() == [0.25, 0.1] and {type(lr) for lr in trainable.get_lrs()} == {float}
    trainable.set_lrs([0.5, np.float32(0.5)])
    assert tensor.param_groups[0]["lr"] is lr
    assert lr.item() == 0.5 and type(plain.param_groups[0]["lr"]) is float


def test_the_groups_are_looked_up_anew_after_the_optimizer_has_loaded_its_state() -> None:
    model = linear()
    optimizer = sgd(model)
    trainable = TorchTrainable(model, optimizer)
    trainable.set_lrs([0.2])
    optimizer.load_state_dict(sgd(model, lr=0.7).state_dict())
    assert trainable.get_lrs() == [0.7]
    trainable.set_lrs([0.3])
    assert optimizer.param_groups[0]["lr"] == 0.3


SCHEDULERS: dict[str, Callable[[Any], Any]] = {
    "StepLR": lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 10),
    "ReduceLROnPlateau": torch.optim.lr_scheduler.ReduceLROnPlateau,  # it leaves no mark on the optimizer
}


@pytest.mark.parametrize("name, given", [("StepLR", False), ("StepLR", True), ("ReduceLROnPlateau", True)])
def test_a_scheduler_that_also_sets_the_rate_is_warned_of_once_at_the_line_that_sets_it(name: str, given: bool) -> None:
    model = linear()
    optimizer = sgd(model)
    scheduler = SCHEDULERS[name](optimizer)
    run = wrap(model, optimizer, lr_scheduler=scheduler if given else None).run
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert run.lr == 0.1 and seen == []
        run.lr = 0.2
        run.lr = 0.3
    assert [(str(one.message), one.filename) for one in seen] == [
        (
            "run.lr was set, and a torch.optim.lr_scheduler also sets it: its next step() may overwrite the value. "
            "Let one of the two own the learning rate: leave out the scheduler, or the callback.",
            __file__,
        )
    ]
    assert run.lr == 0.3


# What is refused, and how a module is found

OPTIMIZER = "Give the optimizer whose step() the loop calls, or a list of them."


def test_what_is_no_optimizer_is_refused_with_what_is_needed() -> None:
    model = linear()
    scheduler = torch.optim.lr_scheduler.StepLR(sgd(model), 1)
    parameters = model.parameters()
    hints = {
        scheduler: " It has one inside: give that, as optimizer=scheduler.optimizer, and this as "
        "lr_scheduler=scheduler.",
        torch.optim.SGD: " It is a class: make one, as SGD(...).",
        parameters: "",
    }
    for given, hint in hints.items():
        for one in (given, [sgd(model), given]):
            with pytest.raises(TypeError) as error:
                trainhooks.wrap(model, optimizer=one)
            assert (
                str(error.value)
                == f"wrap(optimizer=...): {reprlib.repr(given)} is no torch.optim.Optimizer.{hint} {OPTIMIZER}"
            )


def test_an_empty_list_of_optimizers_and_one_given_twice_are_refused() -> None:
    optimizer = sgd(linear())
    for given in ([], [optimizer, optimizer]):
        with pytest.raises(ValueError) as error:
            wrap(linear(), given)
        assert str(error.value) == f"wrap(optimizer={given!r}): one or more optimizers, each once"


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(TypeError) as error:
        wrap(nn.Linear)
    hint = "It is a class: make one, as Linear(...)."
    assert str(error.value) == f"wrap({nn.Linear!r}): a torch.nn.Module is needed. {hint}"


def test_without_an_optimizer_the_learning_rate_and_its_steps_are_lacking_and_the_rest_is_there() -> None:
    run = wrap(linear())
    uses = [
        ("lr", lambda: run.lr),
        ("lr", lambda: setattr(run, "lrs", [0.1])),
        ("optimizer_step", lambda: run.on("optimizer_step")(lambda: None)),
        ("optimizer_step", lambda: TorchTrainable(run.model).watch_optimizer(lambda: None)),
    ]
    for need, use in uses:
        with pytest.raises(CapabilityError) as error:
            use()
        assert str(error.value).endswith(
            f"needs {need!r}, which this trainer lacks: it was given no optimizer. "
            "Use trainhooks.wrap(model, optimizer=optimizer)."
        )
    assert run.optimizer_step is None
    assert run.get_weights().keys() == {"weight", "bias"}


def test_an_optimizer_without_a_learning_rate_of_its_own_still_counts_steps() -> None:
    class Free(torch.optim.Optimizer):
        def step(self, closure: Any = None) -> None: ...

    model = linear()
    optimizer = Free(model.parameters(), {})
    with wrap(model, optimizer) as run:
        optimizer.step()
    assert run.optimizer_step == 1
    with pytest.raises(CapabilityError) as error:
        run.lr = 0.1
    assert str(error.value) == (
        "run needs 'lr', which this trainer lacks: its optimizer has a parameter group without 'lr'."
    )


def test_a_module_is_found_by_wrap_and_an_unknown_argument_is_refused() -> None:
    model = linear()
    optimizer = sgd(model)
    run = trainhooks.wrap(model, optimizer=optimizer)
    assert (run.framework, run.model, run.optimizer) == ("torch", model, optimizer)
    with pytest.raises(TypeError) as error:
        trainhooks.wrap(model, optimiser=optimizer)
    assert str(error.value) == (
        "wrap(Linear): there is no argument 'optimiser'. Did you mean 'optimizer'? "
        "There are 'callbacks', 'optimizer', 'min_epochs', 'resume', 'resume_stopped', 'plugins', "
        "'lr_scheduler', 'scaler', 'world'."
    )


@pytest.mark.parametrize("name", ["a", "z"])
def test_an_adapter_for_some_modules_comes_before_the_one_for_all(name: str) -> None:
    class Special:
        @trainhooks.hookimpl
        def trainhooks_adapter(self, target: object) -> Callable[..., str]:
            return lambda options: "special"

    trainhooks.plugins.register(Special(), name)
    try:
        assert trainhooks.wrap(linear()) == "special"
    finally:
        trainhooks.plugins.unregister(name)


def test_the_adapter_loads_no_torch_and_names_the_extra_where_there_is_none() -> None:
    code = """
import sys, trainhooks
from trainhooks_adapters.torch import plugin, wrap
assert plugin.trainhooks_adapter(object()) is None
assert "torch" not in sys.modules
sys.modules["torch"] = None  # as where it is not installed
assert plugin.trainhooks_adapter(object()) is None
wrap(object())
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stderr.splitlines()[-1] == (
        "trainhooks.errors.FrameworkNotInstalledError: torch is not installed: pip install 'trainhooks[torch]'"
    )
