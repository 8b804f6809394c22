"""The random generators that a PyTorch run draws from come back as they were."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
from trainhooks_adapters.torch import TorchTrainable  # noqa: E402  # after the skip

data = torch.utils.data
TRAINABLE = TorchTrainable(torch.nn.Identity())
NUMBERS = data.TensorDataset(torch.arange(20))


def seeded() -> Any:
    return torch.Generator().manual_seed(3)


def sampled(generator: Any) -> Any:
    return data.RandomSampler(NUMBERS, generator=generator)


LOADERS: dict[str, Callable[[], Any]] = {
    "the global one": lambda: data.DataLoader(NUMBERS, 4, shuffle=True),
    "its own": lambda: data.DataLoader(NUMBERS, 4, shuffle=True, generator=seeded()),
    "its sampler's": lambda: data.DataLoader(NUMBERS, 4, sampler=sampled(seeded())),
    "its batch sampler's": lambda: data.DataLoader(
        NUMBERS, batch_sampler=data.BatchSampler(sampled(seeded()), 4, False)
    ),
    "two": lambda: data.DataLoader(NUMBERS, 4, sampler=sampled(seeded()), generator=seeded()),
    "no batches": lambda: data.DataLoader(NUMBERS, None, sampler=sampled(seeded())),
}


def drawn(loader: Any) -> tuple[Any, Any]:
    """The order in which a pass gives the samples, and what is drawn after it."""
    return [one[0].tolist() for one in loader], torch.rand(1).item()


@pytest.mark.parametrize("name", LOADERS)
def test_the_next_pass_of_a_fresh_loader_is_the_one_that_was_next(name: str) -> None:
    first, again = LOADERS[name](), LOADERS[name]()
    drawn(first)
    state = TRAINABLE.random_state(first)
    expected = drawn(first), drawn(first)
    torch.manual_seed(99)
    TRAINABLE.load_random_state(state, again)
    assert (drawn(again), drawn(again)) == expected
    assert expected[0][0] != expected[1][0]


def test_a_state_is_bytes_and_each_generator_is_in_it_once() -> None:
    shared = seeded()
    state = TRAINABLE.random_state(data.DataLoader(NUMBERS, sampler=sampled(shared), generator=shared))
    assert [array.dtype for array in (state["cpu"], *state["loader"])] == [np.uint8, np.uint8]
    assert json.loads(json.dumps(state, default=np.ndarray.tolist))["loader"] == [shared.get_state().tolist()]


@pytest.mark.parametrize("loader", [None, [1, 2], range(3), iter([])], ids=["none", "list", "range", "iterator"])
def test_any_other_loader_has_none(loader: Any) -> None:
    state = TRAINABLE.random_state(loader)
    TRAINABLE.load_random_state(state, loader)
    assert state["loader"] == []


def test_what_is_of_a_device_that_is_not_here_is_left() -> None:
    loader = LOADERS["its own"]()
    state = TRAINABLE.random_state(loader)
    gpu = np.zeros(16, np.uint8)
    before = torch.rand(1).item(), loader.generator.get_state().tolist()
    TRAINABLE.load_random_state({**state, "cuda": [gpu] * 9, "mps": gpu, "loader": [gpu]}, loader)
    assert (torch.rand(1).item(), loader.generator.get_state().tolist()) == before
