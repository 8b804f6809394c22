"""Schedules beside PyTorch's, on random arguments: the same values, and what each does after its end."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest

from trainhooks import schedules
from trainhooks.schedules import Schedule, preview

torch = pytest.importorskip("torch", reason="torch is not installed")
theirs = torch.optim.lr_scheduler

Maker = Callable[[Any], Any]
"""Makes a PyTorch scheduler for an optimizer."""


def optimizer(lr: float) -> Any:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr, momentum=0.9)


def rates(make: Maker, lr: float, steps: int) -> list[float]:
    """The rates that a PyTorch scheduler gives at steps 0 to ``steps - 1``."""
    made = optimizer(lr)
    scheduler, seen = make(made), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SequentialLR warns of its own call; and no step of the optimizer is made
        for at in range(steps):
            if at:
                scheduler.step()
            seen.append(made.param_groups[0]["lr"])
    return seen


def constant(rng: np.random.Generator, lr: float) -> tuple[Schedule, Maker]:
    return schedules.constant(lr), lambda made: theirs.ConstantLR(made, factor=1.0)


def linear(rng: np.random.Generator, lr: float) -> tuple[Schedule, Maker]:
    start, end, total = rng.uniform(0.01, 1), rng.uniform(0, 1), int(rng.integers(1, 30))
    return (
        schedules.linear(lr * start, total, end=lr * end),
        lambda made: theirs.LinearLR(made, start_factor=start, end_factor=end, total_iters=total),
    )


def polynomial(rng: np.random.Generator, lr: float) -> tuple[Schedule, Maker]:
    total, power = int(rng.integers(1, 30)), float(rng.uniform(0.3, 3))
    return (
        schedules.polynomial(lr, total, power=power),
        lambda made: theirs.PolynomialLR(made, total_iters=total, power=power),
    )


def exponential(rng: np.random.Generator, lr: float) -> tuple[Schedule, Maker]:
    gamma = float(rng.uniform(0.5, 1.1))
    return schedules.exponential(lr, 1, gamma), lambda made: theirs.ExponentialLR(made, gamma)


def step(rng: np.random.Generator, lr: float) -> tuple[Schedule, Maker]:
    size, gamma = int(rng.integers(1, 20)), float(rng.uniform(0.1, 1.1))
    return schedules.step(lr, size, gamma), lambda made: theirs.StepLR(made, size, gamma)


def multi_step(rng: np.random.Generator, lr: float) -> tuple[Schedule, Maker]:
    milestones = np.flatnonzero(rng.random(40) < 0.1) + 1
    gamma = float(rng.uniform(0.1, 1.1))
    return (
        schedules.multi_step(lr, milestones, gamma),
        lambda made: theirs.MultiStepLR(made, milestones.tolist(), gamma),
    )


def cosine_restarts(rng: np.random.Generator, lr: float) -> tuple[Schedule, Maker]:
    first, times, end = int(rng.integers(1, 12)), int(rng.integers(1, 4)), float(rng.uniform(0, lr))
    return (
        schedules.cosine_restarts(lr, first, t_mul=times, end=end),
        lambda made: theirs.CosineAnnealingWarmRestarts(made, first, times, eta_min=end),
    )


def warmup_then_step(rng: np.random.Generator, lr: float) -> tuple[Any, Maker]:
    steps, start = int(rng.integers(1, 20)), float(rng.uniform(0.01, 1))
    then, make_then = step(rng, lr)

    def make(made: Any) -> Any:
        warm = theirs.LinearLR(made, start_factor=start, total_iters=steps)
        return theirs.SequentialLR(made, [warm, make_then(made)], milestones=[steps])

    return schedules.warmup(steps, then, start=lr * start), make


def sequence(rng: np.random.Generator, lr: float) -> tuple[Schedule, Maker]:
    first, second = int(rng.integers(1, 15)), int(rng.integers(16, 30))
    (a, make_a), (b, make_b), (c, make_c) = constant(rng, lr), exponential(rng, lr), step(rng, lr)

    def make(made: Any) -> Any:
        return theirs.SequentialLR(made, [make_a(made), make_b(made), make_c(made)], milestones=[first, second])

    return schedules.sequence([a, b, c], [first, second]), make


@pytest.mark.parametrize(
    "kind",
    [
        constant,
        linear,
        polynomial,
        exponential,
        step,
        multi_step,
        cosine_restarts,
        warmup_then_step,
        sequence,
    ],
)
def test_it_gives_what_pytorch_gives_beyond_the_end_too(kind: Any) -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        lr = float(rng.uniform(0.001, 1))
        schedule, make = kind(rng, lr)
        np.testing.assert_allclose(preview(schedule, 60), rates(make, lr, 60), rtol=1e-9, atol=1e-15)


# Those of PyTorch that do something else after their end


def test_cosine_gives_what_pytorch_gives_and_stays_at_its_end_while_pytorch_s_goes_up_again() -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        lr, steps = float(rng.uniform(0.001, 1)), int(rng.integers(1, 40))
        end = float(rng.uniform(0, lr))
        schedule = schedules.cosine(lr, steps, end)
        wanted = rates(lambda made: theirs.CosineAnnealingLR(made, steps, eta_min=end), lr, 2 * steps + 1)  # noqa: B023
        np.testing.assert_allclose(preview(schedule, steps + 1), wanted[: steps + 1], rtol=1e-9, atol=1e-15)
        assert preview(schedule, 2 * steps + 1)[steps:].tolist() == [end] * (steps + 1)
        assert wanted[-1] == pytest.approx(lr)


def cycles(rng: np.random.Generator) -> tuple[float, int, dict[str, Any]]:
    """Arguments with which PyTorch divides by no zero, as it does where a phase has no length."""
    three_phase = bool(rng.random() < 0.5)
    return (
        float(rng.uniform(0.001, 1)),
        int(rng.integers(8, 50)),
        {
            "pct_start": float(rng.uniform(0.15, 0.45 if three_phase else 0.95)),
            "anneal_strategy": str(rng.choice(["cos", "linear"])),
            "div_factor": float(rng.uniform(1, 50)),
            "final_div_factor": float(rng.uniform(1, 1e5)),
            "three_phase": three_phase,
        },
    )


def test_one_cycle_gives_what_pytorch_gives() -> None:
    for seed in range(100):
        lr, steps, settings = cycles(np.random.default_rng(seed))
        wanted = rates(lambda made: theirs.OneCycleLR(made, lr, steps, **settings), 1.0, steps)  # noqa: B023
        np.testing.assert_allclose(preview(schedules.one_cycle(lr, steps, **settings), steps), wanted, rtol=1e-9)


def test_its_defaults_are_pytorch_s() -> None:
    wanted = rates(lambda made: theirs.OneCycleLR(made, 0.5, 10), 1.0, 10)
    np.testing.assert_allclose(preview(schedules.one_cycle(0.5, 10), 10), wanted, rtol=1e-9)


def test_one_cycle_stays_at_its_lowest_where_pytorch_s_goes_below_zero_and_then_raises() -> None:
    def make(made: Any) -> Any:
        return theirs.OneCycleLR(made, 0.5, 10, anneal_strategy="linear")

    ours = preview(schedules.one_cycle(0.5, 10, anneal_strategy="linear"), 30)
    assert ours[9:].tolist() == [0.5 / 25 / 1e4] * 21
    *_, last, beyond = rates(make, 1.0, 11)
    assert beyond < 0 < last
    with pytest.raises(ValueError, match="Tried to step 11 times"):
        rates(make, 1.0, 12)


def test_a_phase_without_length_is_left_out_where_pytorch_divides_by_zero() -> None:
    assert preview(schedules.one_cycle(0.5, 4, pct_start=0.25, anneal_strategy="linear"), 4)[0] == 0.5
    with pytest.raises(ZeroDivisionError):
        rates(lambda made: theirs.OneCycleLR(made, 0.5, 4, pct_start=0.25), 1.0, 4)


# In PyTorch's own LambdaLR


def test_lambda_lr_takes_a_schedule_as_factors_and_its_state_loads_without_pickle() -> None:
    factors = schedules.warmup(3, schedules.cosine(1.0, 5))
    first = theirs.LambdaLR(optimizer(0.5), factors)
    assert rates(lambda made: theirs.LambdaLR(made, factors), 0.5, 12) == [0.5 * factors(at) for at in range(12)]
    file = BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = theirs.LambdaLR(optimizer(0.5), factors)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert second.lr_lambdas == [factors]
    assert repr(pickle.loads(pickle.dumps(second)).lr_lambdas) == repr([factors])
