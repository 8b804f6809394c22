"""``optimizer_step``: each real update of a PyTorch optimizer, and no other."""

from __future__ import annotations

import functools
from typing import Any

import pytest

import trainhooks
from trainhooks.testing import Trace

torch = pytest.importorskip("torch", reason="torch is not installed")
from torch import nn  # noqa: E402  # after the skip


def parts(lr: Any = 0.1) -> tuple[Any, Any]:
    torch.manual_seed(0)
    model = nn.Linear(2, 1)
    return model, torch.optim.SGD(model.parameters(), lr=lr)


X = torch.tensor([[1.0, 2], [3, -1]])


def test_a_step_every_second_batch_is_one_event_in_two_batches() -> None:
    model, optimizer = parts()
    trace = Trace(optimizer_steps=True)
    with trainhooks.wrap(model, optimizer=optimizer, callbacks=[trace]) as run:
        for _ in run.epochs(1):
            for number, x in enumerate(run.train([X] * 4)):
                model(x).sum().backward()
                if number % 2:
                    optimizer.step()
                    optimizer.zero_grad()
    assert trace.outline() == (
        "setup train[ epoch0[ batch0[] batch1[ optimizer_step1 ] batch2[] batch3[ optimizer_step2 ] ] ] teardown"
    )
    assert (run.step, run.optimizer_step) == (4, 2)


OPTIMIZERS = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "fused adam": functools.partial(torch.optim.Adam, fused=True),
    "lbfgs": functools.partial(torch.optim.LBFGS, max_iter=5),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_each_optimizer_tells_of_each_step_once_and_after_the_weights_moved(make: Any) -> None:
    model, _ = parts()
    optimizer = make(model.parameters(), lr=0.1)
    before, moved, calls = model.weight.detach().clone(), [], []

    def closure() -> Any:
        calls.append(1)
        optimizer.zero_grad()
        loss = model(X).square().mean()
        loss.backward()
        return loss

    with trainhooks.wrap(model, optimizer=optimizer) as run:
        run.on("optimizer_step")(lambda optimizer_step: moved.append((optimizer_step, model.weight.detach().clone())))
        for _ in run.epochs(1):
            for _ in run.train(range(2)):
                optimizer.step(closure)
    assert [number for number, _ in moved] == [1, 2]
    first, second = (weight for _, weight in moved)
    assert not torch.equal(first, before) and not torch.equal(first, second)
    assert torch.equal(second, model.weight)
    assert len(calls) > 2 or not isinstance(optimizer, torch.optim.LBFGS)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam])
def test_a_step_that_the_scaler_skips_for_infinite_gradients_is_no_event(kind: Any, fused: bool) -> None:
    model, _ = parts()
    optimizer = kind(model.parameters(), lr=0.1, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    native: list[bool] = []
    optimizer.register_step_post_hook(lambda *_: native.append(True))
    trace = Trace(optimizer_steps=True)
    with trainhooks.wrap(model, optimizer=optimizer, callbacks=[trace]) as run:
        for _ in run.epochs(1):
            for factor in run.train([1.0, float("inf"), 1.0]):
                before = model.weight.detach().clone()
                scaler.scale((model(torch.ones(1, 2)) * factor).sum()).backward()
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad()
                assert torch.equal(before, model.weight) == (factor != 1)
    assert trace.outline() == (
        "setup train[ epoch0[ batch0[ optimizer_step1 ] batch1[] batch2[ optimizer_step2 ] ] ] teardown"
    )
    assert len(native) == (3 if fused else 2)  # what this guards against: a fused step is called, and moves nothing


def test_two_optimizers_are_counted_together() -> None:
    model = nn.ModuleDict({"generator": nn.Linear(2, 2), "critic": nn.Linear(2, 1)})
    optimizers = [torch.optim.SGD(part.parameters(), lr=0.1) for part in model.values()]
    trace = Trace(optimizer_steps=True)
    with trainhooks.wrap(model, optimizer=optimizers, callbacks=[trace]) as run:
        for _ in run.epochs(1):
            for x in run.train([X]):
                model["critic"](model["generator"](x)).sum().backward()
                for optimizer in optimizers:
                    optimizer.step()
    assert trace.outline() == "setup train[ epoch0[ batch0[ optimizer_step1 optimizer_step2 ] ] ] teardown"


def test_steps_are_seen_when_a_scheduler_patches_step_and_when_the_step_is_compiled() -> None:
    model, optimizer = parts(lr=torch.tensor(0.1))
    torch.optim.lr_scheduler.StepLR(optimizer, 1)
    compiled = torch.compile(lambda: optimizer.step(), backend="eager")
    with trainhooks.wrap(model, optimizer=optimizer) as run:
        for _ in run.epochs(1):
            for x in run.train([X] * 3):
                model(x).sum().backward()
                compiled()
    assert run.optimizer_step == 3


class Prepared(torch.optim.Optimizer):
    """An optimizer around another, which never runs ``Optimizer.__init__``: as accelerate's."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer

    @property
    def param_groups(self) -> Any:
        return self.optimizer.param_groups

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.optimizer.zero_grad(set_to_none)

    def step(self, closure: Any = None) -> None:
        self.optimizer.step(closure)


def test_the_optimizer_inside_a_wrapper_that_has_no_hooks_is_watched() -> None:
    model, optimizer = parts()
    with trainhooks.wrap(model, optimizer=Prepared(optimizer)) as run:
        for _ in run.epochs(1):
            for x in run.train([X, X]):
                model(x).sum().backward()
                optimizer.step()
    assert (run.optimizer_step, run.lrs) == (2, [0.1])
