"""Metrics that are tensors: torch on the host and on a device, and JAX arrays and tracers."""

from __future__ import annotations

import gc
import math
import os
import sys
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


GIVING = {"_item", "_value", "__array__", "__float__", "__int__", "__bool__", "__index__"}


def reads_of(jax: Any, call: Callable[[], object]) -> int:
    """How often ``call`` has a jax array give its value to the host."""
    home = os.path.dirname(jax.__file__)
    found: list[str] = []
    within: list[bool] = []

    def inside(frame: FrameType | None) -> bool:
        return frame is not None and frame.f_code.co_filename.startswith(home)

    def note(frame: FrameType, event: str, called: Any) -> None:
        if event == "call":
            if frame.f_code.co_name in GIVING and inside(frame) and not inside(frame.f_back) and not within:
                found.append(frame.f_code.co_name)
        elif called is numpy.asarray and not inside(frame):
            if event == "c_call":
                found.append("asarray")
                within.append(True)
            else:
                within.clear()

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    return len(found)


def added(values: Any, n: float = 1) -> Mean:
    mean = Mean()
    for value in values:
        mean.add(value, n)
    return mean


@pytest.mark.parametrize(
    "count, reads", [(1, 1), (7, 7), (8, 1), (64, 1), (65, 1), (300, 1), (1024, 1), (1025, 2), (1537, 3)]
)
def test_many_jax_arrays_are_read_together(jax: Any, count: int, reads: int) -> None:
    value = jax.numpy.ones(())
    mean, results = Mean(), []

    def run() -> None:
        for _ in range(count):
            mean.add(value, 2)
        results.extend([mean.value(), mean.value()])

    assert (reads_of(jax, run), results, mean.weight) == (reads, [1.0, 1.0], 2 * count)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "int8", "uint32", "bool_"])
def test_those_that_are_read_together_may_be_of_any_real_dtype(jax: Any, name: str) -> None:
    largest = 2**24 + 1 if name == "uint32" else 1  # is no float32
    values = list(jax.numpy.asarray([0, 1, largest] * 3).astype(getattr(jax.numpy, name)))
    mean, seen = added(values), []
    assert reads_of(jax, lambda: seen.append(mean.value())) == 1
    assert seen == [(largest + 1) / 3]


@pytest.mark.parametrize("odd", ["dtype", "shape"])
def test_jax_arrays_that_are_not_alike_are_read_one_by_one(jax: Any, odd: str) -> None:
    value = jax.numpy.asarray(16_777_217) if odd == "dtype" else jax.numpy.full((1, 1), 2.0)  # the first is no float32
    mean = added([*[jax.numpy.full((), 0.5)] * 9, value])
    assert mean.value() == (4.5 + float(value.item())) / 10


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(width=32), st.sampled_from([0, 1, 32, 0.3])), max_size=40),
    st.sampled_from([1, 2, 60]),
    st.sets(st.integers(0, 40)),
)
def test_a_mean_is_to_the_bit_that_of_reading_each_value_at_once(
    logged: list[tuple[float, float]], times: int, asked: set[int]
) -> None:
    jnp = pytest.importorskip("jax.numpy", reason="jax is not installed")
    late, at_once = Mean(), Mean()
    arrays = [(jnp.float32(value), n) for value, n in logged]
    for _ in range(times):
        for place, (array, n) in enumerate(arrays):
            late.add(array, n)
            at_once.add(array.item(), n)
            if times == 1 and place in asked:
                late.value()
    assert repr(late.value()) == repr(at_once.value())


@pytest.mark.parametrize("count", [3, 100])
def test_a_jax_array_that_was_donated_before_it_is_read_is_refused_in_a_sentence(jax: Any, count: int) -> None:
    mean = added([jax.numpy.ones(()) for _ in range(count)])
    gone = jax.numpy.ones(())
    mean.add(gone)
    jax.jit(lambda x: x + 1, donate_argnums=0)(gone)
    with pytest.raises(MetricValueError) as caught:
        mean.value()
    kind = f"{type(gone).__module__}.{type(gone).__qualname__}"
    said = f"a {kind} was deleted before it was read, as what is donated to a step is: log a copy"
    assert str(caught.value) == said


def test_a_jax_array_that_is_donated_after_its_mean_is_read_does_no_harm(jax: Any) -> None:
    values = [jax.numpy.ones(()) for _ in range(20)]
    mean = added(values)
    assert mean.value() == 1.0
    values[0].delete()
    mean.add(jax.numpy.asarray(22.0))
    assert mean.value() == 2.0


def test_logs_that_are_read_while_a_function_is_traced_are_those_of_before(jax: Any) -> None:
    mean, seen = added(jax.numpy.ones(()) for _ in range(20)), []
    jax.jit(lambda x: (seen.append(mean.value()), x)[1])(1.0)
    assert seen == [1.0]


def test_what_is_logged_without_end_is_not_held_without_end(jax: Any) -> None:
    mean, made = Mean(), []
    for _ in range(2000):
        value = jax.numpy.float32(1)
        made.append(weakref.ref(value))
        mean.add(value)
        del value
    assert (sum(one() is not None for one in made) <= 1024, mean.value()) == (True, 1.0)


def test_torch_and_jax_and_numbers_may_take_turns_in_one_mean(torch: Any, device: Any, jax: Any) -> None:
    mean = Mean()
    for value in (1.0, device(2.0), jax.numpy.asarray(3.0), torch.tensor(4.0), 5):
        mean.add(value, 2)
    assert (device.read(mean), mean.weight) == (3.0, 10)
