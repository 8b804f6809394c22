"""GradientClipping under PyTorch: bit for bit what one would write before ``optimizer.step()``."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import pytest

import trainhooks
from trainhooks.callbacks.gradient_clipping import GradientClipping
from trainhooks.errors import CapabilityError, MetricValueError
from trainhooks.testing import RaiseAt, StopAt

torch = pytest.importorskip("torch", reason="torch is not installed")
from torch import nn  # noqa: E402  # after the skip
from torch.nn.utils import clip_grad_norm_, clip_grad_value_  # noqa: E402

Clip = Callable[[Any], Any]

X = torch.linspace(-2, 3, 48).reshape(6, 4, 2)
Y = X.prod(dim=2, keepdim=True)


def parts(make: Any = torch.optim.SGD, **options: Any) -> tuple[Any, Any]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    return model, make(model.parameters(), **{"lr": 0.3, **options})


def clip(model: Any, norm: float | None, value: float | None) -> float:
    """The lines that it stands for; the norm before them."""
    before = clip_grad_norm_(model.parameters(), math.inf).item()
    if value is not None:
        clip_grad_value_(model.parameters(), value)
    if norm is not None:
        clip_grad_norm_(model.parameters(), norm)
    return before


def train(model: Any, optimizer: Any, run: Any = None, before: Clip | None = None, accumulate: int = 1) -> list[float]:
    """Two epochs, with the callbacks of ``run`` or with ``before(model)`` in the loop; what that gave."""
    given = []
    for _ in range(2) if run is None else run.epochs(2):
        data = list(zip(X, Y, strict=True))
        for number, (x, y) in enumerate(data if run is None else run.train(data)):
            (model(x) - y).square().mean().backward()
            if (number + 1) % accumulate == 0:
                if before is not None:
                    given.append(before(model))
                optimizer.step()
                optimizer.zero_grad()
    return given


def equal(one: Any, other: Any) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return list(a) == list(b) and all(torch.equal(a[key], b[key]) for key in a)


OPTIMIZERS = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "fused adam": functools.partial(torch.optim.Adam, fused=True),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("norm, value", [(0.2, None), (None, 0.05), (0.1, 0.2), (1e9, None)])
def test_a_loop_with_the_callback_is_the_loop_with_the_line_in_it(
    make: Any, accumulate: int, norm: float | None, value: float | None
) -> None:
    model, optimizer = parts(make)
    clipping = GradientClipping(norm, value)
    with trainhooks.wrap(model, optimizer=optimizer, callbacks=[clipping]) as run:
        train(model, optimizer, run, accumulate=accumulate)
    by_hand = parts(make)
    norms = train(*by_hand, before=lambda model: clip(model, norm, value), accumulate=accumulate)
    assert equal(model, by_hand[0])
    half = len(norms) // 2
    means = [sum(norms[:half]) / half, sum(norms[half:]) / half]
    assert [record.logs["grad_norm"] for record in run.history] == pytest.approx(means, rel=1e-12)
    assert clipping.last_norm == norms[-1]
    bare = parts(make)
    train(*bare, accumulate=accumulate)
    assert equal(model, bare[0]) == (norm == 1e9)  # what this guards against: that there is nothing to clip


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("unscaled_by_hand", [False, True])
def test_under_a_scaler_what_is_clipped_are_the_unscaled_gradients(fused: bool, unscaled_by_hand: bool) -> None:
    def loop(model: Any, optimizer: Any, batches: Any, before: Clip | None = None) -> list[float]:
        scaler, given = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=2), []
        for number, (x, y) in enumerate(batches):
            factor = math.inf if number == 2 else 1
            scaler.scale((model(x) - y).square().mean() * factor).backward()
            if before is not None or unscaled_by_hand:
                scaler.unscale_(optimizer)
            if before is not None:
                given.append(before(model))
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
        return given

    model, optimizer = parts(torch.optim.Adam, fused=fused)
    clipping, data = GradientClipping(0.2, 0.15), list(zip(X, Y, strict=True))
    with trainhooks.wrap(model, optimizer=optimizer, callbacks=[clipping]) as run:
        for _ in run.epochs(1):
            loop(model, optimizer, run.train(data))
    by_hand = parts(torch.optim.Adam, fused=fused)
    norms = loop(*by_hand, data, before=lambda model: clip(model, 0.2, 0.15) if finite(model) else math.nan)
    assert equal(model, by_hand[0])
    real = [norm for norm in norms if not math.isnan(norm)]
    assert (len(norms), len(real), run.optimizer_step) == (6, 5, 5)  # the skipped step is none
    assert run.history[0].logs["grad_norm"] == pytest.approx(sum(real) / 5, rel=1e-6)
    assert not hasattr(optimizer, "grad_scale")


def finite(model: Any) -> bool:
    return all(one.grad.isfinite().all().item() for one in model.parameters())


def test_an_optimizer_that_takes_the_scaler_itself_is_refused_at_its_step() -> None:
    class Old(torch.optim.SGD):
        _step_supports_amp_scaling = True

        def step(self, closure: Any = None, *, grad_scaler: Any = None) -> Any:
            return super().step(closure)

    model, optimizer = parts(Old)
    scaler = torch.amp.GradScaler("cpu")
    with trainhooks.wrap(model, optimizer=optimizer, callbacks=[GradientClipping(1)]):
        scaler.scale(model(X[0]).sum()).backward()
        with pytest.warns(FutureWarning, match="GradScaler is going"), pytest.raises(CapabilityError) as error:
            scaler.step(optimizer)
    assert str(error.value) == (
        "GradientClipping needs 'gradients', which this trainer lacks: Old.step takes the GradScaler and unscales by "
        "itself. Call scaler.unscale_(optimizer) and torch.nn.utils.clip_grad_norm_ before scaler.step(optimizer)."
    )


@pytest.mark.parametrize("make", [torch.optim.SGD, functools.partial(torch.optim.LBFGS, max_iter=3)])
@pytest.mark.parametrize("by_name", [False, True])
def test_the_gradients_of_a_closure_are_clipped_each_time_it_is_called(make: Any, by_name: bool) -> None:
    def loop(model: Any, optimizer: Any, batches: Any, before: Clip | None = None) -> list[float]:
        given: list[float] = []

        def closure(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = (model(x) - y).square().mean()
            loss.backward()
            if before is not None:
                given.append(before(model))
            return loss

        for x, y in batches:
            call = functools.partial(closure, x, y)
            loss = optimizer.step(closure=call) if by_name else optimizer.step(call)
            assert loss.item() > 0
        return given

    model, optimizer = parts(make)
    clipping, data = GradientClipping(0.2), list(zip(X, Y, strict=True))
    with trainhooks.wrap(model, optimizer=optimizer, callbacks=[clipping]) as run:
        for _ in run.epochs(1):
            loop(model, optimizer, run.train(data))
    by_hand = parts(make)
    norms = loop(*by_hand, data, before=lambda model: clip(model, 0.2, None))
    assert equal(model, by_hand[0])
    assert run.history[0].logs["grad_norm"] == pytest.approx(sum(norms) / len(norms), rel=1e-12)
    assert len(norms) == 6 or make is not torch.optim.SGD


def test_each_of_several_optimizers_has_its_own_gradients_clipped() -> None:
    def loop(model: Any, optimizers: Any, batches: Any, before: Clip | None = None) -> list[float]:
        given = []
        for x, y in batches:
            (model(x) - y).square().mean().backward()
            for part, optimizer in zip((model[0], model[2]), optimizers, strict=True):
                if before is not None:
                    given.append(before(part))
                optimizer.step()
                optimizer.zero_grad()
        return given

    def made() -> tuple[Any, Any]:
        model, _ = parts()
        return model, [torch.optim.SGD(part.parameters(), lr=0.3) for part in (model[0], model[2])]

    model, optimizers = made()
    data = list(zip(X, Y, strict=True))
    with trainhooks.wrap(model, optimizer=optimizers, callbacks=[GradientClipping(0.1)]) as run:
        for _ in run.epochs(1):
            loop(model, optimizers, run.train(data))
    by_hand = made()
    norms = loop(*by_hand, data, before=lambda part: clip(part, 0.1, None))
    assert equal(model, by_hand[0])
    assert run.history[0].logs["grad_norm"] == pytest.approx(sum(norms) / 12, rel=1e-12)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_norm_that_is_not_finite_leaves_the_gradients_as_they_are(bad: float) -> None:
    weight = nn.Parameter(torch.zeros(3))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    module = nn.ParameterList([weight])
    clipping = GradientClipping(0.5)
    with trainhooks.wrap(module, optimizer=optimizer, callbacks=[clipping]):
        weight.grad = torch.tensor([bad, 3.0, -4.0])
        optimizer.step()
    assert (weight[1:].tolist(), str(clipping.last_norm)) == ([-3.0, 4.0], str(bad))


def hooks_of(optimizer: Any) -> int:
    return len(optimizer._optimizer_step_pre_hooks) + len(optimizer._optimizer_step_post_hooks)


@pytest.mark.parametrize(
    "event", ["setup", "epoch_begin", "optimizer_step", "train_batch_end", "train_end", "teardown"]
)
def test_nothing_is_left_on_the_optimizer_after_an_exception(event: str) -> None:
    model, optimizer = parts()
    with (
        pytest.raises(RuntimeError, match="asked for"),
        trainhooks.wrap(model, optimizer=optimizer, callbacks=[GradientClipping(1), RaiseAt(event)]) as run,
    ):
        train(model, optimizer, run)
    assert hooks_of(optimizer) == 0


@pytest.mark.parametrize("kind", ["decision", "fault", "pause"])
def test_nor_after_a_stop_nor_once_it_is_taken_off(kind: Any) -> None:
    model, optimizer = parts()
    clipping, seen = GradientClipping(1), []
    with trainhooks.wrap(model, optimizer=optimizer, callbacks=[StopAt(step=4, kind=kind)]) as run:
        without = hooks_of(optimizer)
        handle = run.add(clipping)
        seen.append(hooks_of(optimizer) - without)
        handle.remove()
        seen.append(hooks_of(optimizer) - without)
        run.add(clipping)
        train(model, optimizer, run)
    assert (seen, hooks_of(optimizer), clipping.last_norm is None) == ([1, 0], 0, False)


def test_an_optimizer_inside_a_wrapper_is_clipped_too() -> None:
    class Wrapper(torch.optim.Optimizer):
        """As accelerate's: it never ran ``Optimizer.__init__``."""

        def __init__(self, optimizer: Any) -> None:
            self.optimizer = optimizer

        @property
        def param_groups(self) -> Any:  # type: ignore[override]
            return self.optimizer.param_groups

        def step(self, closure: Any = None) -> Any:
            return self.optimizer.step(closure)

        def zero_grad(self, set_to_none: bool = True) -> None:
            self.optimizer.zero_grad(set_to_none)

    model, optimizer = parts()
    with trainhooks.wrap(model, optimizer=Wrapper(optimizer), callbacks=[GradientClipping(0.2)]) as run:
        train(model, Wrapper(optimizer), run)
    by_hand = parts()
    train(*by_hand, before=lambda model: clip(model, 0.2, None))
    assert equal(model, by_hand[0]) and hooks_of(optimizer) == 0


def test_the_norm_stays_on_its_device_until_it_is_read() -> None:
    """The meta device holds no values: whatever reads one raises."""
    model, clipping = nn.Linear(2, 1, device="meta"), GradientClipping(1.0, 1.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with trainhooks.wrap(model, optimizer=optimizer, callbacks=[clipping]):
        for _ in range(2):
            model(torch.zeros(3, 2, device="meta")).sum().backward()
            optimizer.step()
        with pytest.raises(MetricValueError):
            _ = clipping.last_norm


def test_without_an_optimizer_it_is_refused_when_it_is_attached() -> None:
    with pytest.raises(CapabilityError) as error:
        trainhooks.wrap(parts()[0], callbacks=[GradientClipping(1)])
    assert str(error.value) == (
        "GradientClipping needs 'gradients', which this trainer lacks: it was given no optimizer. Use "
        "trainhooks.wrap(model, optimizer=optimizer)."
    )
