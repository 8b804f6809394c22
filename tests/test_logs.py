"""Metrics: what is taken, when it is read, and that the mean is right."""

from __future__ import annotations

import copy
import decimal
import fractions
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainhooks import Logs, LoopRun, Mean
from trainhooks.errors import MetricValueError, MissingMetricError


def test_a_mean_is_weighted_by_the_size_of_each_batch() -> None:
    with LoopRun() as run:
        for _ in run.epochs(1):
            for size, loss in run.train([(3, 1.0), (1, 5.0)]):
                run.log(loss=loss, n=size)
    assert run.history == [(0, {"loss": 2.0})]


finite = st.floats(-1e6, 1e6)


@settings(max_examples=200, deadline=None)
@given(pairs=st.lists(st.tuples(finite, st.integers(0, 1000) | st.floats(0, 1000)), min_size=1, max_size=20))
def test_it_is_numpys_average(pairs: list[tuple[float, float]]) -> None:
    values, weights = zip(*pairs, strict=True)
    mean = Mean()
    for value, n in pairs:
        mean.add(value, n)
    if sum(weights) == 0:
        assert math.isnan(mean.value())
    else:
        expected = np.average(np.array(values), weights=np.array(weights, float))
        assert mean.value() == pytest.approx(expected, rel=1e-9, abs=1e-6)


VALUES = [
    1.5,
    2,
    True,
    np.float32(1.5),
    np.float16(1.5),
    np.float64(1.5),
    np.int8(3),
    np.bool_(True),
    np.array(1.5),
    np.array([1.5]),
    np.array([[7]], dtype=np.uint8),
    decimal.Decimal("1.5"),
    fractions.Fraction(3, 2),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{type(value).__name__} {value}")
def test_one_real_number_of_any_type_is_taken_as_a_float(value: Any) -> None:
    mean = Mean()
    alone = mean.add(value)
    exact = float(np.asarray(value).item())
    assert (type(alone), alone, type(mean.value()), mean.value()) == (float, exact, float, exact)


class HostArray:
    """What only gives itself as numpy, as TensorFlow's eager tensors do."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def numpy(self) -> Any:
        return np.asarray(self.value)


def test_what_gives_itself_as_numpy_is_read_so() -> None:
    assert Mean().add(HostArray(2.5)) == 2.5


REFUSED: list[tuple[Any, str]] = [
    (np.ones(3), "log(loss=...): a numpy.ndarray of shape (3,) is not one number: log its mean"),
    (np.ones((2, 1)), "log(loss=...): a numpy.ndarray of shape (2, 1) is not one number: log its mean"),
    (np.ones(0), "log(loss=...): a numpy.ndarray of shape (0,) is not one number: log its mean"),
    ("1.0", "log(loss=...): '1.0' of type builtins.str is not a real number"),
    (np.str_("1.0"), f"log(loss=...): {np.str_('1.0')!r} of type numpy.str_ is not a real number"),
    (b"1", "log(loss=...): b'1' of type builtins.bytes is not a real number"),
    (None, "log(loss=...): None of type builtins.NoneType is not a real number"),
    (1 + 2j, "log(loss=...): (1+2j) of type builtins.complex is not a real number"),
    (np.complex64(1), f"log(loss=...): {np.complex64(1)!r} of type numpy.complex64 is not a real number"),
    ([1.0], "log(loss=...): [1.0] of type builtins.list is not a real number"),
    ({"a": 1.0}, "log(loss=...): {'a': 1.0} of type builtins.dict is not a real number"),
]


@pytest.mark.parametrize("value, text", REFUSED, ids=[text for _, text in REFUSED])
def test_what_is_not_one_real_number_is_refused_by_name_and_leaves_the_mean_as_it_was(value: Any, text: str) -> None:
    logs = Logs()
    for _ in range(2):  # the second time its type is known
        with pytest.raises(MetricValueError) as caught:
            logs.add("loss", value)
        assert str(caught.value) == text
    assert (dict(logs), logs.raw) == ({}, {})
    logs.add("loss", 1.0)
    with pytest.raises(MetricValueError):
        logs.add("loss", value)
    assert dict(logs) == {"loss": 1.0}


def test_an_integer_beyond_floats_is_refused() -> None:
    with pytest.raises(MetricValueError):
        Mean().add(10**400)


def test_the_name_of_a_metric_is_a_string() -> None:
    with pytest.raises(MetricValueError) as caught:
        Logs().add(3, 1.0)  # type: ignore[arg-type]
    assert str(caught.value) == "log(3=...): the name of a metric is a string, not 3"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_stay(bad: float) -> None:
    mean = Mean()
    for value in (1.0, bad, 2.0):
        mean.add(value)
    assert repr(mean.value()) == repr(bad)


@pytest.mark.parametrize("n", [-1, -0.5, math.nan, math.inf, "8", None, np.array([1, 2]), 1j], ids=repr)
def test_a_weight_is_a_number_of_samples(n: Any) -> None:
    mean = Mean()
    with pytest.raises(ValueError) as caught:
        mean.add(1.0, n)
    assert str(caught.value) == f"n={n!r}: the weight of a value is a number of samples, at least 0"
    assert math.isnan(mean.value())


def test_a_weight_of_another_type_is_read_and_the_mean_stays_a_float() -> None:
    mean = Mean()
    for value, n in ((1.0, np.int64(3)), (5.0, np.float32(1)), (9.0, np.array(0)), (2.0, True)):
        mean.add(value, n)
    assert (type(mean.value()), mean.value(), type(mean.weight)) == (float, 2.0, float)


def test_a_value_of_no_weight_enters_nothing_not_even_as_nan() -> None:
    logs = Logs()
    assert math.isnan(logs.add("loss", math.nan, 0))  # type: ignore[arg-type]
    assert "loss" not in logs  # there is no mean of nothing
    logs.add("loss", 1.0)
    assert logs.add("loss", 7.0, 0) == 7.0
    logs.add("loss", math.inf, 0.0)
    assert dict(logs) == {"loss": 1.0}


# The mapping


def test_logs_are_live_and_a_copy_is_not() -> None:
    logs = Logs()
    logs.add("loss", 1.0)
    kept, live = logs.copy(), logs
    logs.add("loss", 3.0)
    assert (kept, dict(live), repr(live), {**live}) == (
        {"loss": 1.0},
        {"loss": 2.0},
        "Logs({'loss': 2.0})",
        {"loss": 2.0},
    )
    assert (logs == {"loss": 2.0}, len(logs), list(logs), type(copy.deepcopy(logs))) == (True, 1, ["loss"], Logs)


def test_a_key_that_a_callback_writes_is_seen_and_one_it_deletes_is_gone() -> None:
    logs = Logs()
    logs.add("loss", 1.0)
    logs["lr"] = 0.1
    logs["loss"] = 5.0
    assert dict(logs) == {"loss": 5.0, "lr": 0.1}
    logs.add("loss", 2.0)  # a new mean: what was written is no part of it
    del logs["lr"]
    assert dict(logs) == {"loss": 2.0}
    with pytest.raises(KeyError):
        del logs["lr"]


def test_wrapping_a_trainers_dictionary_writes_through() -> None:
    theirs = {"loss": 1.0}
    logs = Logs(theirs)
    logs["learning_rate"] = 0.1
    theirs["accuracy"] = 0.5
    assert theirs == dict(logs) == {"loss": 1.0, "learning_rate": 0.1, "accuracy": 0.5}
    empty: dict[str, Any] = {}
    Logs(empty)["a"] = 1
    assert empty == {"a": 1}


def test_empty_logs_are_false_as_kerass_idiom_needs() -> None:
    logs = Logs()
    assert (logs or {}) == {}
    logs.add("loss", 1.0)
    assert (logs or {}) is logs


def test_get_has_a_default_and_a_missing_key_explains_itself() -> None:
    logs = Logs({"loss": 1.0})
    assert (logs.get("loss"), logs.get("x"), logs.get("x", 7), logs.pop("x", 8)) == (1.0, None, 7, 8)
    with pytest.raises(MissingMetricError) as caught:
        logs["los"]
    assert str(caught.value) == "logs: no metric 'los'. There are 'loss'. Did you mean 'loss'?"


class Unread:
    """A value on a device: async, as JAX's are; tells when it is read."""

    size, dtype = 1, np.dtype("float32")

    def __init__(self, value: float, reads: list[float]) -> None:
        self.value, self.reads = value, reads

    def block_until_ready(self) -> Unread:
        return self

    def item(self) -> float:
        self.reads.append(self.value)
        return self.value


def test_nothing_on_a_device_is_read_by_asking_what_is_there() -> None:
    reads: list[float] = []
    logs, epoch = Logs(), Logs({"loss": 0.5})
    for value in (1.0, 3.0):
        logs.add("loss", Unread(value, reads))
    epoch.take(logs, "val_")
    assert ("loss" in logs, "x" in logs, len(logs), list(epoch), bool(logs)) == (
        True,
        False,
        1,
        ["loss", "val_loss"],
        True,
    )
    assert reads == []
    assert (epoch["val_loss"], epoch["val_loss"], logs["loss"]) == (2.0, 2.0, 2.0)
    assert reads == [1.0, 3.0]  # once each


def test_take_copies_from_any_mapping_under_a_prefix_and_replaces() -> None:
    logs = Logs({"val_loss": 9.0})
    logs.take({"loss": 1.0, "f1/macro": 0.5}, "val_")
    logs.take({"lr": 0.1})
    assert dict(logs) == {"val_loss": 1.0, "val_f1/macro": 0.5, "lr": 0.1}


def test_appended_values_are_read_before_they_become_too_many() -> None:
    reads: list[float] = []
    mean = Mean()
    for value in range(1537):
        mean.add(Unread(value, reads), 2)
    assert reads == list(range(512))  # the others may still be computed
    assert (mean.value(), mean.weight, len(reads)) == (768.0, 3074, 1537)


def test_a_value_alone_can_be_read_apart_from_the_mean() -> None:
    reads: list[float] = []
    mean = Mean()
    alone = [mean.add(Unread(value, reads), 3) for value in (1.0, math.nan, 5.0)]
    assert reads == []
    assert repr([one.value() for one in alone]) == "[1.0, nan, 5.0]"  # type: ignore[union-attr]
    assert math.isnan(mean.value())
    nothing = Mean()
    late = nothing.add(Unread(math.nan, reads), 0)
    nothing.add(Unread(4.0, reads))
    assert (math.isnan(late.value()), nothing.value()) == (True, 4.0)  # type: ignore[union-attr]
