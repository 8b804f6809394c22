"""PyTorch's weights by name, and snapshots: what comes out, what goes in, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from trainhooks.errors import WeightsError

torch = pytest.importorskip("torch", reason="torch is not installed")
ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
from torch import nn  # noqa: E402  # after the skip
from trainhooks_adapters.torch import TorchTrainable  # noqa: E402


def linear(**options: Any) -> Any:
    torch.manual_seed(0)
    return nn.Linear(2, 1, **options)


def odd() -> Any:
    """A module with a layer of each kind that needs care."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 2).to(torch.bfloat16), nn.Linear(2, 3))
    model.register_buffer("eighths", torch.tensor([0.5, -2, 1]).to(torch.float8_e4m3fn))
    model.register_buffer("flag", torch.tensor(True))
    model.register_buffer("phase", torch.tensor([1j]).conj())
    model.register_parameter("tied", model[0].weight)
    return model


def double() -> Any:
    return linear().double()


@pytest.mark.parametrize("make", [linear, double, odd, nn.Module], ids=["linear", "double", "odd", "empty"])
def test_weights_come_back_to_the_bit_and_the_parameters_stay_the_same_objects(make: Any) -> None:
    model, other = make(), make()
    parameters = list(model.parameters())
    trainable = TorchTrainable(model)
    kept = trainable.get_weights()
    with torch.no_grad():
        for one in model.state_dict().values():
            one.fill_(0)
    trainable.set_weights(kept)
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    theirs = other.state_dict()
    assert list(kept) == list(theirs)
    for name, one in model.state_dict().items():
        assert one.dtype == theirs[name].dtype, name
        assert one.tolist() == theirs[name].tolist(), name


def test_weights_are_owned_copies_in_the_dtypes_of_the_model() -> None:
    model = odd()
    weights = TorchTrainable(model).get_weights()
    before = {name: array.copy() for name, array in weights.items()}
    with torch.no_grad():
        model[0].weight.add_(1)
        model[2].weight.add_(1)
    assert all(np.array_equal(array, before[name]) for name, array in weights.items())
    assert all(array.flags.owndata or array.base.flags.owndata for array in weights.values())
    kinds = {name: array.dtype for name, array in weights.items() if array.dtype != np.float32}
    assert kinds == {
        "2.weight": ml_dtypes.bfloat16,
        "2.bias": ml_dtypes.bfloat16,
        "1.num_batches_tracked": np.int64,
        "eighths": ml_dtypes.float8_e4m3fn,
        "flag": np.bool_,
        "phase": np.complex64,
    }


WRAPPED = {
    "compiled": lambda model: torch.compile(model, backend="eager"),
    "compiled in place": lambda model: model.compile(backend="eager") or model,
    "parallel": nn.DataParallel,
    "compiled parallel": lambda model: torch.compile(nn.DataParallel(model), backend="eager"),
    "parallel compiled": lambda model: nn.DataParallel(torch.compile(model, backend="eager")),
}


@pytest.mark.parametrize("wrapper", WRAPPED.values(), ids=WRAPPED)
def test_a_wrapped_model_has_the_names_of_the_plain_one_and_takes_its_weights(wrapper: Any) -> None:
    plain = TorchTrainable(nn.Sequential(linear()))
    wrapped = wrapper(nn.Sequential(nn.Linear(2, 1)))
    TorchTrainable(wrapped).set_weights(plain.get_weights())
    assert TorchTrainable(wrapped).get_weights().keys() == {"0.weight", "0.bias"}
    x = torch.ones(1, 2)
    assert torch.equal(wrapped(x), plain.model(x))


def test_a_distributed_model_has_the_names_of_the_plain_one() -> None:
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        model = torch.compile(nn.parallel.DistributedDataParallel(nn.Sequential(linear())), backend="eager")
        assert list(TorchTrainable(model).get_weights()) == ["0.weight", "0.bias"]
    finally:
        torch.distributed.destroy_process_group()


def test_an_averaged_model_has_its_own_count_beside_the_names_of_the_plain_one() -> None:
    averaged = torch.optim.swa_utils.AveragedModel(linear())
    averaged.update_parameters(linear())
    weights = TorchTrainable(averaged).get_weights()
    assert list(weights) == ["n_averaged", "weight", "bias"] and weights["n_averaged"] == 1
    averaged.update_parameters(linear())
    TorchTrainable(averaged).set_weights(weights)
    assert averaged.n_averaged == 1


def test_a_part_that_is_compiled_alone_has_the_name_of_the_part() -> None:
    model = nn.Sequential(linear(), torch.compile(linear(), backend="eager"))
    assert list(TorchTrainable(model).get_weights()) == ["0.weight", "0.bias", "1.weight", "1.bias"]


def test_names_that_would_be_the_same_without_their_prefix_keep_it() -> None:
    model = nn.ModuleDict({"module": linear()})
    model.register_parameter("bias", nn.Parameter(torch.ones(1)))
    trainable = TorchTrainable(model)
    assert list(trainable.get_weights()) == ["bias", "weight", "module.bias"]
    trainable.set_weights(trainable.get_weights() | {"module.bias": np.array([7.0])})
    assert (model["module"].bias.item(), model.bias.item()) == (7, 1)


REFUSED = {
    "names": (
        {"weigth": np.zeros((1, 2)), "bias": np.zeros(1)},
        "run.set_weights(): the weights do not fit (not given: 'weight'; unknown: 'weigth'). Nothing was written. "
        "Did you mean 'weight'?",
    ),
    "shapes": (
        {"weight": np.zeros((2, 1)), "bias": np.zeros(())},
        "run.set_weights(): the weights do not fit (another shape: 'weight' is (1, 2), given (2, 1); "
        "'bias' is (1,), given ()). Nothing was written.",
    ),
    "complex": (
        {"weight": np.zeros((1, 2)), "bias": np.zeros(1, complex)},
        "run.set_weights(): values that would change ('bias' is torch.float32, given torch.complex128). "
        "Nothing was written.",
    ),
    "small integers": (
        {"weight": np.zeros((1, 2)), "bias": np.zeros(1, ml_dtypes.int4)},
        "run.set_weights(): 'bias' is given as int4. Nothing was written.",
    ),
    "text": (
        {"weight": np.zeros((1, 2)), "bias": np.array(["1"])},
        "run.set_weights(): 'bias' is given as <U1. Nothing was written.",
    ),
}


@pytest.mark.parametrize("weights, message", REFUSED.values(), ids=REFUSED)
def test_weights_that_do_not_fit_are_refused_in_a_sentence_and_none_is_written(weights: Any, message: str) -> None:
    trainable = TorchTrainable(linear())
    before = trainable.get_weights()
    with pytest.raises(WeightsError) as error:
        trainable.set_weights(weights)
    assert str(error.value) == message
    assert all(np.array_equal(array, before[name]) for name, array in trainable.get_weights().items())


def test_an_integer_takes_a_whole_float_and_refuses_a_broken_one() -> None:
    norm = nn.BatchNorm1d(1)
    trainable = TorchTrainable(norm)
    whole = trainable.get_weights() | {"num_batches_tracked": np.array(3.0)}
    trainable.set_weights(whole)
    assert norm.num_batches_tracked.item() == 3 and norm.num_batches_tracked.dtype == torch.int64
    with pytest.raises(WeightsError) as error:
        trainable.set_weights(whole | {"num_batches_tracked": np.array(2.5)})
    assert str(error.value) == (
        "run.set_weights(): values that would change ('num_batches_tracked' is torch.int64, given torch.float64). "
        "Nothing was written."
    )


def test_weights_may_be_read_only_strided_and_of_another_precision_and_byte_order() -> None:
    model = linear(dtype=torch.bfloat16)
    weight = np.array([[2.0, 1.0]], ">f4")[:, ::-1]
    weight.flags.writeable = False
    TorchTrainable(model).set_weights({"weight": weight, "bias": np.array([3], ml_dtypes.float8_e5m2)})
    assert (model.weight.tolist(), model.bias.tolist()) == ([[1, 2]], [3])


EMPTY = {"meta": lambda: nn.Linear(2, 1, device="meta"), "lazy": lambda: nn.LazyLinear(1)}


@pytest.mark.parametrize("make", EMPTY.values(), ids=EMPTY)
@pytest.mark.parametrize("verb", ["get_weights", "snapshot", "set_weights"])
def test_parameters_without_values_are_named(make: Any, verb: str) -> None:
    trainable = TorchTrainable(make())
    with pytest.raises(WeightsError) as error:
        getattr(trainable, verb)(*[{}] * (verb == "set_weights"))
    assert str(error.value) == (
        f"run.{verb}(): 'weight', 'bias' have no values yet (lazy, or on the meta device). "
        "Send one batch through the model, or load its weights, first."
    )


def test_extra_state_is_no_weight_though_it_be_a_tensor() -> None:
    class Scaled(nn.Linear):
        scale = torch.tensor(2.0)

        def get_extra_state(self) -> Any:
            return self.scale

        def set_extra_state(self, state: Any) -> None:
            self.scale = state

    trainable = TorchTrainable(Scaled(2, 1))
    snapshot = trainable.snapshot()
    trainable.model.scale = torch.tensor(3.0)
    trainable.set_weights(trainable.get_weights())
    assert (list(trainable.get_weights()), trainable.model.scale.item()) == (["weight", "bias"], 3)
    trainable.restore(snapshot)
    assert trainable.model.scale.item() == 2


def test_without_ml_dtypes_bfloat16_comes_as_float32_and_goes_back_the_same() -> None:
    code = """
import sys, numpy, torch
sys.modules["ml_dtypes"] = None  # as where it is not installed
from trainhooks_adapters.torch import TorchTrainable
model = torch.nn.Linear(3, 1, dtype=torch.bfloat16)
kept = model.weight.detach().clone()
weights = TorchTrainable(model).get_weights()
assert weights["weight"].dtype == numpy.float32
model.weight.data.zero_()
TorchTrainable(model).set_weights(weights)
assert model.weight.dtype == torch.bfloat16 and torch.equal(model.weight, kept)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# Snapshots


class Counting(nn.Module):
    """A module with state beside its tensors, which it keeps as it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.seen = nn.Linear(2, 1), ["a"]

    def get_extra_state(self) -> list[str]:
        return self.seen

    def set_extra_state(self, state: list[str]) -> None:
        self.seen = state


@pytest.mark.parametrize("wrapper", [lambda model: model, *WRAPPED.values()], ids=["plain", *WRAPPED])
def test_a_snapshot_is_restored_as_often_as_wanted_into_the_same_parameters(wrapper: Any) -> None:
    inner = Counting()
    model = wrapper(inner)
    trainable, weight = TorchTrainable(model), inner.layer.weight
    snapshot, first = trainable.snapshot(), weight.detach().clone()
    for _ in range(2):
        with torch.no_grad():
            weight.add_(1)
        inner.seen.append("b")
        trainable.restore(snapshot)
        assert inner.layer.weight is weight and torch.equal(weight, first)
        assert inner.seen == ["a"]
    assert list(trainable.get_weights()) == ["layer.weight", "layer.bias"]


def test_a_snapshot_of_another_model_is_refused_and_nothing_is_written() -> None:
    trainable = TorchTrainable(linear())
    before = trainable.get_weights()
    with pytest.raises(WeightsError) as error:
        trainable.restore(TorchTrainable(nn.Linear(3, 1)).snapshot())
    assert str(error.value) == (
        "run.restore(): the weights do not fit (another shape: 'weight' is (1, 2), given (1, 3)). Nothing was written."
    )
    assert np.array_equal(trainable.get_weights()["weight"], before["weight"])


def test_a_snapshot_made_under_inference_mode_is_restored_outside_it_and_training_goes_on() -> None:
    model = linear()
    trainable = TorchTrainable(model)
    with torch.inference_mode():
        snapshot = trainable.snapshot()
    trainable.restore(snapshot)
    model(torch.ones(1, 2)).sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert not torch.equal(model.weight, snapshot["weight"])
