"""EMA and SwapEMAWeights under PyTorch: torch's own numbers, every kind of weight, resumed to the bit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import trainhooks
from trainhooks import Callback
from trainhooks.callbacks.early_stopping import EarlyStopping
from trainhooks.callbacks.ema import EMA
from trainhooks.callbacks.swap_ema_weights import SwapEMAWeights
from trainhooks.errors import CapabilityError
from trainhooks.testing import Do, StopAt

torch = pytest.importorskip("torch", reason="torch is not installed")
from torch import nn  # noqa: E402  # after the skip
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn  # noqa: E402

X = torch.linspace(-2, 3, 48).reshape(6, 4, 2)
Y = X.prod(dim=2, keepdim=True)
DATA = list(zip(X, Y, strict=True))


def parts() -> tuple[Any, Any]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
    return model, torch.optim.Adam(model.parameters(), lr=0.1)


def train(
    *callbacks: Callback, epochs: int = 2, resume: Any = None, parts: Any = parts, after: Any = None
) -> tuple[Any, Any]:
    """Train and validate; ``after(model)`` is called after each update."""
    model, optimizer = parts()
    with trainhooks.wrap(model, optimizer=optimizer, callbacks=callbacks, resume=resume) as run:
        for _ in run.epochs(epochs):
            model.train()
            for x, y in run.train(DATA):
                loss = (model(x) - y).square().mean()
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                if after is not None:
                    after(model)
                run.log(loss=loss)
            model.eval()
            for x, y in run.test(DATA[:2]):
                run.log(loss=(model(x) - y).square().mean())
    return model, run


def equal(a: Any, b: Any) -> bool:
    return list(a) == list(b) and all(torch.equal(a[key], b[key]) for key in a)


class Averaged:
    """torch's own average over the same weights, fed by hand."""

    def __init__(self, decay: float) -> None:
        self.decay, self.module, self.model = decay, parts()[0], None

    def __call__(self, model: Any) -> None:
        if self.model is None:
            self.model = AveragedModel(self.module, multi_avg_fn=get_ema_multi_avg_fn(self.decay), use_buffers=True)
        self.model.update_parameters(model)


# The average


def test_the_average_is_torchs_own_to_the_bit() -> None:
    ema, wanted = EMA(0.9), Averaged(0.9)
    train(ema, after=wanted)
    theirs = wanted.model.module.state_dict()
    del theirs["1.num_batches_tracked"]  # torch averages the count of batches too, and comes to 3
    assert equal({key: ema.average[key] for key in theirs}, theirs)
    assert (ema.steps, ema.updates, ema.average["1.num_batches_tracked"].item()) == (12, 12, 12)


def test_it_follows_each_update_of_an_optimizer_and_not_the_batches() -> None:
    def loop(per_batch: int, every: int) -> Any:
        ema = EMA(0.5)
        weight = nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.SGD([weight], lr=1.0)
        with trainhooks.wrap(nn.ParameterList([weight]), optimizer=optimizer, callbacks=[ema]) as run:
            for _ in run.epochs(1):
                for batch in run.train(range(4)):
                    for _ in range(per_batch if batch % every == every - 1 else 0):
                        weight.grad = torch.ones(1)
                        optimizer.step()
        return ema.updates, ema.average["0"].item()

    assert loop(1, 1) == (4, -3.125)  # of -1, -2, -3, -4
    assert loop(2, 2) == (4, -3.125)  # two updates in every second batch
    assert loop(1, 2) == (2, -1.5)


def test_without_an_optimizer_it_follows_the_batches() -> None:
    ema, model = EMA(0.5), nn.Linear(1, 1, bias=False)
    with trainhooks.wrap(model, callbacks=[ema]) as run:
        for _ in run.epochs(1):
            for number in run.train([1.0, 2.0, 4.0]):
                nn.init.constant_(model.weight, number)
    assert (ema.updates, ema.average["weight"].item()) == (3, 2.75)


def test_half_precision_is_averaged_in_float32_and_comes_back_as_it_was() -> None:
    ema, model = EMA(0.999), nn.Linear(1, 1, bias=False, dtype=torch.bfloat16)
    with trainhooks.wrap(model, callbacks=[ema]) as run:
        for _ in run.epochs(1):
            for number in run.train([1.0, *[2.0] * 100]):
                nn.init.constant_(model.weight, number)
        run.restore(ema.average)
    assert ema.average["weight"].dtype == torch.float32
    assert ema.average["weight"].item() == pytest.approx(2 - 0.999**100, rel=1e-5)
    assert model.weight.dtype == torch.bfloat16
    assert model.weight.item() == pytest.approx(2 - 0.999**100, rel=1e-2)


def test_what_is_no_float_is_taken_over_and_what_is_resized_begins_anew() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.zeros(2))
            self.register_buffer("mask", torch.tensor([True, False]))
            self.register_buffer("phase", torch.zeros(1, dtype=torch.complex64))
            self.note = "first"

        def get_extra_state(self) -> Any:
            return {"note": self.note}

        def set_extra_state(self, state: Any) -> None:
            self.note = state["note"]

    model, ema, shown = Odd(), EMA(0.5), []
    with trainhooks.wrap(model, callbacks=[ema]) as run:
        for _ in run.epochs(1):
            for number in run.train(range(3)):
                if number == 1:
                    model.w.data, model.mask, model.note = torch.ones(2), ~model.mask, "second"
                    model.phase = torch.ones(1, dtype=torch.complex64) * 1j
                if number == 2:
                    shown.append({key: getattr(one, "tolist", lambda: None)() for key, one in ema.average.items()})
                    model.w = nn.Parameter(torch.full((3,), 7.0))
        model.note = "third"
        run.restore(ema.average)
    assert shown == [{"w": [0.5, 0.5], "mask": [False, True], "phase": [0.5j], "_extra_state": None}]
    assert (model.w.tolist(), model.note) == ([7.0, 7.0, 7.0], "second")


def test_the_average_holds_no_graph_and_not_the_live_weights() -> None:
    ema = EMA(0.9)
    model, _ = train(ema)
    average = ema.average
    assert not any(tensor.requires_grad for tensor in average.values())
    assert {tensor.data_ptr() for tensor in average.values()}.isdisjoint(
        tensor.data_ptr() for tensor in model.state_dict().values()
    )


# Swapping


def test_validation_sees_the_averages_and_training_its_own_weights() -> None:
    seen: list[Any] = []
    ema = EMA(0.9)

    def look(run: Any) -> None:
        seen.append(ema.updates > 1 and equal(run.model.state_dict(), ema.average))

    model, run = train(ema, SwapEMAWeights(), Do("test_batch_end", look, None), Do("train_batch_begin", look, None))
    _, plain = train()
    epoch = [False] * 6 + [True] * 2
    assert seen == epoch * 2
    assert [one.logs["loss"] for one in run.history] == [one.logs["loss"] for one in plain.history]
    assert [one.logs["val_loss"] for one in run.history] != [one.logs["val_loss"] for one in plain.history]
    assert equal(model.state_dict(), ema.average)


def test_early_stopping_keeps_the_averages_of_its_best_epoch_and_has_the_last_word() -> None:
    kept: list[Any] = []
    ema = EMA(0.5)
    looks = Do("epoch_end", lambda run: kept.append(run.snapshot()), None)
    looks.phase = "save"
    stopping = EarlyStopping("val_loss", mode="max", patience=9, restore_best_weights=True)
    model, _ = train(stopping, looks, ema, SwapEMAWeights(swap_on_epoch=True), epochs=4)
    best = stopping.best_epoch
    assert 0 <= best < 3 and equal(model.state_dict(), kept[best]) and not equal(kept[best], ema.average)


@pytest.mark.parametrize("swap_on_epoch", [False, True])
def test_a_resumed_run_goes_on_to_the_bit(swap_on_epoch: bool) -> None:
    def callbacks() -> list[Callback]:
        return [EMA(0.9, every=2, warm_up=True), SwapEMAWeights(swap_on_epoch)]

    states: list[Any] = []
    keep = Do("epoch_end", lambda run: states.append(run.state_dict()), 0)
    keep.phase = "save"
    whole = callbacks()
    wanted, first = train(*whole, epochs=3)
    train(*callbacks(), keep, StopAt("epoch_end", kind="pause"), epochs=3)
    again = callbacks()
    model, run = train(*again, epochs=3, resume=states[0])
    assert equal(model.state_dict(), wanted.state_dict())
    assert run.history == first.history
    assert equal(again[0].average, whole[0].average)  # type: ignore[attr-defined]
    assert again[0].state_dict().keys() == whole[0].state_dict().keys()
    json.dumps({key: value for key, value in again[0].state_dict().items() if key != "average"})


def test_a_state_that_another_framework_saved_counts_on_and_averages_anew() -> None:
    states: list[Any] = []
    keep = Do("epoch_end", lambda run: states.append(run.state_dict()))
    keep.phase = "save"
    train(EMA(0.9), SwapEMAWeights(True), keep, epochs=1)
    saved = states[0]
    for one in saved["callbacks"]["EMA"]["average"], saved["callbacks"]["SwapEMAWeights"]["training"]:
        one["framework"], one["weights"] = "other", {"dense/kernel": np.zeros((2, 2))}
    saved["framework"] = "other"
    ema = EMA(0.9)
    with pytest.warns(UserWarning, match="the state is other's, and this run is torch's"):
        model, run = train(ema, SwapEMAWeights(True), resume=saved, epochs=2)
    assert (run.outcome, ema.steps, ema.updates) == ("completed", 12, 6)
    assert equal(model.state_dict(), ema.average)


def test_without_an_average_it_is_refused_before_training() -> None:
    with pytest.raises(CapabilityError) as error:
        train(SwapEMAWeights())
    assert str(error.value) == (
        "SwapEMAWeights: nothing keeps an average of the weights. Add trainhooks.callbacks.EMA(decay) to the "
        "callbacks; an optimizer of Keras can also keep one itself, as Adam(use_ema=True)."
    )
