"""A PyTorch loop that was paused at any batch of a three-epoch run goes on as if nothing had happened, to the bit."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from test_torch_optimizers import filed

import trainhooks
from trainhooks import Callback
from trainhooks.testing import StopAt, Trace

torch = pytest.importorskip("torch", reason="torch is not installed")
nn, data = torch.nn, torch.utils.data

EPOCHS = 3
Loaders = Callable[[], tuple[Any, Any, Any]]
"""For the two passes of training, and for the validation."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Where other processes have the cores, threads that wait for each other make thousands of tiny steps slow."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Noisy(data.Dataset):  # type: ignore[misc]
    """Samples with an augmentation, drawn from three global generators where they are loaded."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Any:
        return torch.full((3,), float(index)) + torch.randn(3) + np.random.rand() + random.random()


class Kept(Callback):
    """Has the state of the run as a file gives it back, as it is when the pause is taken."""

    phase = "save"
    state: Any = None

    def save(self, run: Any) -> None:
        self.state = filed(run.state_dict())


class Training:
    """A loop of a user's own, made anew each time: two passes of training an epoch, and a validation."""

    def __init__(self, loaders: Loaders, *callbacks: Any, resume: Any = None, seed: int = 0) -> None:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.BatchNorm1d(4), nn.Linear(4, 1))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3, gamma=0.9)
        train, more, held_out = loaders()
        for scramble in (random.seed, np.random.seed, torch.manual_seed):
            scramble(seed)
        self.kept, self.trace, self.lrs = Kept(), Trace(), {}
        extra = {"lr_scheduler": scheduler, "resume": resume, "callbacks": [*callbacks, self.kept, self.trace]}
        with trainhooks.wrap(model, optimizer=optimizer, **extra) as run:
            for _ in run.epochs(EPOCHS):
                for x in run.train(train):
                    self.step(run, model, optimizer, scheduler, x)
                for x in run.train(more):
                    self.step(run, model, optimizer, scheduler, x)
                model.eval()
                with torch.no_grad():
                    for x in run.test(held_out):
                        run.log(loss=model(x).square().mean(), n=len(x))
                model.train()
        self.run = run
        states = [one.state_dict() for one in (model, optimizer, scheduler)]
        self.end = f"{[*run.history]} {states} {torch.rand(2)} {np.random.rand()} {random.random()}"

    def step(self, run: Any, model: Any, optimizer: Any, scheduler: Any, x: Any) -> None:
        optimizer.zero_grad()
        loss = (model(x) - 1).square().mean()
        loss.backward()
        optimizer.step()
        scheduler.step()
        run.log(loss=loss, n=len(x))
        self.lrs[run.step] = run.lr


def plain(batch_size: int = 3, shuffle: bool = True, **options: Any) -> Any:
    return data.DataLoader(Noisy(), batch_size, shuffle=shuffle, **options)


def seeded() -> Any:
    return torch.Generator().manual_seed(5)


def with_replacement() -> Any:
    """Draws from its sampler's generator all along the pass."""
    sampler = data.RandomSampler(Noisy(), replacement=True, num_samples=8, generator=seeded())
    return data.DataLoader(Noisy(), 3, sampler=sampler)


def of_one_loader() -> tuple[Any, Any, Any]:
    one = plain(generator=seeded())
    return one, one, plain(generator=seeded(), shuffle=False)


def of_one_generator() -> tuple[Any, Any, Any]:
    one = seeded()
    return plain(generator=one), plain(4, generator=one), plain(generator=one, shuffle=False)


def with_workers() -> tuple[Any, Any, Any]:
    return plain(num_workers=2), plain(4), plain(shuffle=False)


LOADERS: dict[str, Loaders] = {
    "shuffled": lambda: (plain(), plain(4), plain(shuffle=False)),
    "with generators": lambda: (plain(generator=seeded()), plain(4, generator=seeded()), plain(shuffle=False)),
    "with replacement": lambda: (with_replacement(), plain(4), with_replacement()),
    "one loader": of_one_loader,
    "one generator": of_one_generator,
}


def goes_on(make: Callable[..., Training], whole: Training, event: str, nth: int) -> str:
    """What a run that was paused at the ``nth`` ``event``, and one that went on from there, tell of the difference."""
    first = make(StopAt(event, nth, kind="pause"))
    if first.run.outcome == "completed":  # asked for where nothing was left to put off
        return "" if first.end == whole.end else "a pause that came too late"
    second = make(StopAt(event, 10**9, kind="pause"), resume=first.kept.state, seed=77)
    lrs = {**first.lrs, **second.lrs}
    return "" if (second.end, lrs, first.lrs.keys() & second.lrs.keys()) == (whole.end, whole.lrs, set()) else "differs"


EVENTS = (
    "train_begin",
    "epoch_begin",
    "train_batch_begin",
    "train_batch_end",
    "test_begin",
    "test_batch_begin",
    "test_batch_end",
    "test_end",
    "epoch_end",
)


@pytest.mark.parametrize("loaders", LOADERS.values(), ids=LOADERS)
def test_a_run_paused_anywhere_goes_on_as_if_nothing_had_happened(loaders: Loaders) -> None:
    make = functools.partial(Training, loaders)
    whole = make()
    happened = {event: whole.trace.names.count(event) for event in EVENTS}
    assert min(happened.values()) > 0
    points = [(event, nth) for event, n in happened.items() for nth in range(n)]
    differing = {point: told for point in points if (told := goes_on(make, whole, *point))}
    assert differing == {}


@pytest.mark.parametrize("point", [("train_batch_end", 1), ("train_batch_begin", 7), ("test_batch_end", 3)], ids=str)
def test_what_workers_draw_in_their_processes_comes_again(point: tuple[str, int]) -> None:
    make = functools.partial(Training, with_workers)
    assert goes_on(make, make(), *point) == ""


class Adding(Training):
    """Adds up the gradients of two batches for a step, over the end of a pass and of an epoch too."""

    def step(self, run: Any, model: Any, optimizer: Any, scheduler: Any, x: Any) -> None:
        loss = (model(x) - 1).square().mean()
        loss.backward()
        run.log(loss=loss, n=len(x))
        if run.step % 2:
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
        self.lrs[run.step] = run.lr


def test_gradients_that_are_added_up_go_along() -> None:
    make = functools.partial(Adding, LOADERS["shuffled"])
    assert {nth: told for nth in range(6) if (told := goes_on(make, make(), "train_batch_end", nth))} == {}


@pytest.mark.parametrize("own", [False, True], ids=["the global generator", "its own generator"])
def test_a_loader_that_keeps_its_place_is_asked_for_it(own: bool) -> None:
    stateful = pytest.importorskip("torchdata.stateful_dataloader", reason="torchdata is not installed")

    def made(batch_size: int, shuffle: bool = True) -> Any:
        generator = seeded() if own else None
        return stateful.StatefulDataLoader(Noisy(), batch_size, shuffle=shuffle, generator=generator)

    make = functools.partial(Training, lambda: (made(3), made(4), made(3, shuffle=False)))
    whole = make()
    points = [
        ("train_batch_end", 1),
        ("train_batch_end", 8),
        ("test_batch_begin", 4),
        ("epoch_end", 0),
        ("epoch_end", 1),
    ]
    assert {point: told for point in points if (told := goes_on(make, whole, *point))} == {}
