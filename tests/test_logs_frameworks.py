"""Metrics that are tensors: torch on the host and on a device, and JAX arrays and tracers."""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from trainhooks import Logs, Mean
from trainhooks.errors import MetricValueError


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch", reason="torch is not installed")


@pytest.fixture
def device(torch: Any) -> Callable[..., Any]:
    """Makes tensors that say they are on a device, and fail the test where they are read too early."""

    class OnDevice(torch.Tensor):  # type: ignore[misc]
        may_be_read = False

        @property
        def is_cpu(self) -> bool:
            return False

        def item(self) -> Any:
            assert OnDevice.may_be_read, "a device tensor was copied to the host"
            return super().item()

        __float__ = __bool__ = item

        @staticmethod
        def made(value: Any, **options: Any) -> Any:
            return torch.tensor(value, **options).as_subclass(OnDevice)

        @staticmethod
        def read(one: Any) -> float:
            OnDevice.may_be_read = True
            try:
                return one.value()  # type: ignore[no-any-return]
            finally:
                OnDevice.may_be_read = False

    OnDevice.made.read = OnDevice.read  # type: ignore[attr-defined]
    return OnDevice.made


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64", "int64", "bool"])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_a_host_tensor_is_read_at_once(torch: Any, name: str, shape: tuple[int, ...]) -> None:
    mean, value = Mean(), torch.ones(shape, dtype=getattr(torch, name))
    alone = mean.add(value, 4)
    value.zero_()
    assert (type(alone), alone, mean.value()) == (float, 1.0, 1.0)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
@pytest.mark.parametrize("where", ["host", "device"])
def test_sums_of_half_precision_do_not_stop_growing(torch: Any, device: Any, name: str, where: str) -> None:
    mean = Mean()
    make = torch.tensor if where == "host" else device
    for _ in range(1000):
        mean.add(make(100.0, dtype=getattr(torch, name)))  # in fp16 the sum is inf, in bf16 it stands still
    assert (device.read(mean), mean.weight) == (100.0, 1000)


def test_a_device_tensor_is_not_read_until_somebody_asks(device: Any) -> None:
    logs = Logs()
    alone = [logs.add("loss", device(value), n) for value, n in ((1.0, 3), (5.0, 1))]
    assert [type(one) for one in alone] == [Mean, Mean]
    assert list(logs) == ["loss"]
    assert (device.read(logs.raw["loss"]), [device.read(one) for one in alone]) == (2.0, [1.0, 5.0])
    assert logs["loss"] == 2.0  # read once: from here on it is a number on the host
    logs.add("loss", device(8.0), 4)
    assert device.read(logs.raw["loss"]) == 5.0


@pytest.mark.parametrize("n", [1, 2, 0])
def test_changing_the_tensor_afterwards_changes_nothing(device: Any, n: float) -> None:
    mean = Mean()
    first, second = device(1.0), device(3.0)
    alone = [mean.add(first, n), mean.add(second, n)]
    for one in (first, second):
        one.mul_(100.0)
    assert [device.read(one) for one in alone] == [1.0, 3.0]
    assert repr(device.read(mean)) == ("2.0" if n else "nan")


def test_a_device_value_of_no_weight_enters_nothing_not_even_as_nan(device: Any) -> None:
    mean = Mean()
    mean.add(device(math.nan), 0)
    mean.add(device(2.0))
    assert device.read(mean) == 2.0


def test_nan_on_a_device_stays(device: Any) -> None:
    mean = Mean()
    for value in (1.0, math.nan, 2.0):
        mean.add(device(value))
    assert math.isnan(device.read(mean))


def test_long_sums_on_a_device_are_put_aside_before_rounding_shows(torch: Any, device: Any) -> None:
    # in one float32 sum, 16,777,216 + 1 is 16,777,216: the ones after the fold would be lost
    mean = Mean()
    mean.add(device(2.0**24))
    for _ in range(4095):
        mean.add(device(0.0))
    one = device(1.0)
    for _ in range(100):
        mean.add(one)
    assert device.read(mean) * mean.weight == 2.0**24 + 100


class Kept:
    """Lives as long as the graph that holds it."""


@pytest.mark.parametrize("where", ["host", "device"])
def test_a_loss_with_its_graph_keeps_no_graph_and_warns_of_nothing(
    torch: Any, device: Any, where: str, recwarn: pytest.WarningsRecorder
) -> None:
    class Thrice(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(node: Any, x: Any) -> Any:
            node.kept = made = Kept()
            nodes.append(weakref.ref(made))
            return x * 3

    nodes: list[weakref.ref[Kept]] = []
    weight = (torch.tensor if where == "host" else device)(2.0, requires_grad=True)
    mean, loss = Mean(), Thrice.apply(weight)
    alone = mean.add(loss)
    (kept,) = nodes
    assert kept() is not None  # the loss itself has its graph
    del loss
    gc.collect()
    assert kept() is None
    assert (device.read(mean), [str(one.message) for one in recwarn]) == (6.0, [])
    assert isinstance(alone, float if where == "host" else Mean)


def test_a_sum_begun_under_inference_mode_goes_on_outside_it(torch: Any, device: Any) -> None:
    mean = Mean()
    with torch.inference_mode():
        mean.add(device(1.0))
    mean.add(device(3.0))
    with torch.inference_mode():
        mean.add(device(5.0))
    assert device.read(mean) == 3.0


def test_a_weight_may_be_a_tensor_and_the_mean_stays_a_float(torch: Any) -> None:
    mean, mask = Mean(), torch.tensor([True, True, False])
    mean.add(torch.tensor(3.0), mask.sum())
    mean.add(6.0, 1)
    assert (type(mean.value()), mean.value()) == (float, 4.0)


@pytest.mark.parametrize("where", ["host", "device"])
def test_tensors_that_are_not_one_real_number_are_refused(torch: Any, device: Any, where: str) -> None:
    make = torch.tensor if where == "host" else device
    kind = "torch.Tensor" if where == "host" else f"{type(device(0)).__module__}.{type(device(0)).__qualname__}"
    said = []
    for value in ([1.0, 2.0], [[1.0], [2.0]], []):
        with pytest.raises(MetricValueError) as caught:
            Logs().add("loss", make(value))
        said.append(str(caught.value))
    assert said == [
        f"log(loss=...): a {kind} of shape {shape} is not one number: log its mean"
        for shape in ("(2,)", "(2, 1)", "(0,)")
    ]
    with pytest.raises(MetricValueError) as caught:
        Logs().add("loss", make(1 + 2j))
    assert str(caught.value).endswith(f"of type {kind} is not a real number")


# JAX


@pytest.fixture
def jax() -> Any:
    return pytest.importorskip("jax", reason="jax is not installed")


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "int32", "bool_"])
def test_a_jax_array_is_appended_and_read_when_asked(jax: Any, name: str) -> None:
    logs = Logs()
    alone = logs.add("loss", jax.numpy.ones((1,), getattr(jax.numpy, name)), 3)
    mean = logs.raw["loss"]
    assert (type(alone), mean.total, mean.weight) == (Mean, 0.0, 3)  # nothing is in the host's sum
    assert (logs["loss"], mean.total, alone.value()) == (1.0, 3.0, 1.0)  # type: ignore[union-attr]


def test_jax_arrays_in_half_precision_are_summed_on_the_host(jax: Any) -> None:
    mean, value = Mean(), jax.numpy.asarray(100.0, jax.numpy.float16)
    for _ in range(1000):
        mean.add(value)
    assert (mean.value(), mean.weight) == (100.0, 1000)


@pytest.mark.parametrize("transform", ["jit", "grad", "vmap"])
def test_a_tracer_is_refused_and_told_where_to_log(jax: Any, transform: str) -> None:
    logs, said = Logs(), []

    def step(x: Any) -> Any:
        with pytest.raises(MetricValueError) as caught:
            logs.add("loss", x)
        said.append(str(caught.value))
        return x

    getattr(jax, transform)(step)(jax.numpy.ones(2 if transform == "vmap" else ()))
    (text,) = said
    assert dict(logs) == {}
    assert text.startswith("log(loss=...): a jax")
    assert text.endswith("Tracer has no value yet: return the metric from the compiled function and log it outside")
    logs.add("loss", 1.0)  # and the logs are as good as before
    assert dict(logs) == {"loss": 1.0}


def test_jax_arrays_that_are_not_one_real_number_are_refused_when_logged(jax: Any) -> None:
    said = []
    for value in (jax.numpy.ones(3), jax.numpy.ones(0), jax.numpy.asarray(1j), jax.random.key(0)):
        with pytest.raises(MetricValueError) as caught:
            Logs().add("loss", value)
        said.append(str(caught.value).rpartition(" is ")[0].partition("(loss=...): ")[2][:6])
    shaped, other = str(type(jax.numpy.ones(3)).__module__)[:4], "Array("
    assert said == [f"a {shaped}", f"a {shaped}", other, other]


def test_torch_and_jax_and_numbers_may_take_turns_in_one_mean(torch: Any, device: Any, jax: Any) -> None:
    mean = Mean()
    for value in (1.0, device(2.0), jax.numpy.asarray(3.0), torch.tensor(4.0), 5):
        mean.add(value, 2)
    assert (device.read(mean), mean.weight) == (3.0, 10)
