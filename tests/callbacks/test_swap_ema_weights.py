"""SwapEMAWeights: the averages are in the model while it is looked at, and never while it is trained."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

import numpy as np
import pytest

from trainhooks import MLP, Callback, LoopRun, Run, fit
from trainhooks.callbacks.early_stopping import EarlyStopping
from trainhooks.callbacks.ema import EMA
from trainhooks.callbacks.swap_ema_weights import SwapEMAWeights
from trainhooks.events import EVENTS
from trainhooks.testing import Do, RaiseAt, StopAt

RNG = np.random.default_rng(0)
DATA = [(RNG.normal(size=(8, 5)).astype(np.float32), RNG.integers(3, size=8)) for _ in range(3)]

LOOKED_AT = ("test_begin", "test_batch_begin", "test_batch_end", "predict_begin", "predict_batch_begin")
LOOKED_AT += ("predict_batch_end",)


def same(a: Any, b: Any) -> bool:
    return list(a) == list(b) and all(np.array_equal(a[name], b[name]) for name in a)


def everything(*callbacks: Callback, epochs: int = 2, resume: Any = None, model: MLP | None = None) -> MLP:
    """Training with a validation and a prediction in each epoch, and a validation inside of a batch."""
    model = MLP((5, 4, 3), lr=0.5) if model is None else model
    with LoopRun(model, callbacks, resume=resume) as run:
        for _ in run.epochs(epochs):
            for number, batch in enumerate(run.train(DATA)):
                run.log(model.train_step(batch))
                if number == 1:
                    for other in run.test(DATA[:1], name="inner"):
                        run.log(model.test_step(other))
            for batch in run.test(DATA[:2]):
                run.log(model.test_step(batch))
            for batch in run.predict(DATA[:1]):
                run.log(outputs=model.predict_step(batch))
    return model


def where_the_averages_are(*, swap_on_epoch: bool, phase: Any = "save") -> list[str]:
    """The events, repeats left out, at which a callback of that phase saw the averages in the model."""
    ema, told = EMA(0.5), []

    def looking(event: str) -> Callback:
        def look(run: Run) -> None:
            average = ema.average
            # the first update's average is the weights themselves
            told.append(event if ema.updates > 1 and same(run.get_weights(), average) else "-")

        made = Do(event, look, None)
        made.phase = phase
        return made

    watched = [name for name in EVENTS if name not in ("setup", "exception", "checkpoint", "stop")]
    everything(ema, SwapEMAWeights(swap_on_epoch), *map(looking, watched))
    return [event for event, _ in itertools.groupby(told)]


INSIDE = [*LOOKED_AT[:3], "-", *LOOKED_AT[:3], "test_batch_begin", "test_batch_end", "-", *LOOKED_AT[3:], "-"]


def test_the_averages_are_there_in_validation_and_prediction_and_after_the_end() -> None:
    assert where_the_averages_are(swap_on_epoch=False) == ["-", *INSIDE, *INSIDE, "train_end", "teardown"]


def test_with_swap_on_epoch_those_who_decide_and_save_see_them_at_an_epochs_end() -> None:
    story = ["-", *INSIDE[:-1], "-", "epoch_end", "-", *INSIDE[:-1], "-", "epoch_end", "train_end", "teardown"]
    assert where_the_averages_are(swap_on_epoch=True) == story
    assert where_the_averages_are(swap_on_epoch=True, phase="decide") == story
    assert where_the_averages_are(swap_on_epoch=True, phase="observe") == story  # those that were given later


@pytest.mark.parametrize("swap_on_epoch", [False, True])
def test_training_goes_the_same_way_as_without_it(swap_on_epoch: bool) -> None:
    def steps(*callbacks: Callback) -> list[Any]:
        seen: list[Any] = []
        everything(*callbacks, Do("train_batch_end", lambda run: seen.append(run.get_weights()), None))
        return seen

    ours, plain = steps(EMA(0.5), SwapEMAWeights(swap_on_epoch)), steps()
    assert len(ours) == 6 and all(itertools.starmap(same, zip(ours, plain, strict=True)))


def test_before_anything_was_averaged_the_models_own_weights_stand() -> None:
    ema, model = EMA(0.5), MLP((5, 4, 3))
    before, seen = model.get_weights(), []
    with LoopRun(
        model, [ema, SwapEMAWeights(True), Do("test_begin", lambda run: seen.append(run.get_weights()))]
    ) as run:
        for batch in run.test(DATA[:1]):
            run.log(model.test_step(batch))
    assert same(seen[0], before) and same(model.get_weights(), before)


def test_an_evaluation_alone_sees_the_averages_of_the_training_before_it() -> None:
    ema, seen = EMA(0.5), []
    swap = SwapEMAWeights()
    model = everything(ema, swap)
    model.set_weights({name: array + 1 for name, array in model.get_weights().items()})
    before = model.get_weights()
    with LoopRun(model, [ema, swap, Do("test_begin", lambda run: seen.append(run.get_weights()))]) as run:
        for batch in run.test(DATA[:1]):
            run.log(model.test_step(batch))
    assert same(seen[0], ema.get_weights()) and same(model.get_weights(), before)


def test_what_is_looked_at_after_training_is_the_model_as_it_ended() -> None:
    """The best weights that came back at the end are not swapped for the last averages."""
    model, seen = MLP((5, 4, 3), lr=0.5), []
    stopping = EarlyStopping("loss", mode="max", patience=9, restore_best_weights=True)
    with LoopRun(model, [EMA(0.5), SwapEMAWeights(), stopping]) as run:
        for _ in run.epochs(3):
            for batch in run.train(DATA):
                run.log(model.train_step(batch))
        ended = model.get_weights()
        for _ in run.test(DATA[:1]):
            seen.append(model.get_weights())
        assert same(seen[0], ended)
        for _ in run.predict(DATA[:1]):
            seen.append(model.get_weights())
    assert same(seen[1], ended) and same(model.get_weights(), ended)


def test_a_run_that_trains_on_goes_on_from_the_averages_and_swaps_again() -> None:
    model, ema, seen = MLP((5, 4, 3), lr=0.5), EMA(0.5), []
    look = Do("test_begin", lambda run: seen.append((run.epoch, same(run.get_weights(), ema.average))), None)
    begun = Do("epoch_begin", lambda run: seen.append((run.epoch, same(run.get_weights(), ema.average or {}))), None)
    with LoopRun(model, [ema, SwapEMAWeights(), look, begun]) as run:
        for total in (1, 3):
            for _ in run.epochs(total):
                for batch in run.train(DATA):
                    run.log(model.train_step(batch))
                for _ in run.test(DATA[:1]):
                    pass
    assert seen == [(0, False), (0, True), (1, True), (1, True), (2, False), (2, True)]


# Never the wrong weights

FIRED = [name for name in EVENTS if name not in ("checkpoint", "stop", "exception")]


@pytest.mark.parametrize("swap_on_epoch", [False, True])
@pytest.mark.parametrize("nth", [0, 1])
@pytest.mark.parametrize("event", FIRED)
def test_after_an_exception_at_any_event_the_model_has_its_training_weights(
    event: str, nth: int, swap_on_epoch: bool
) -> None:
    """What they are is told by the same run without it; from ``train_end`` on it is the averages."""
    for phase in ("observe", "save"):
        for first in (True, False):
            ended = []
            for swaps in (True, False):
                ema, trouble = EMA(0.5), RaiseAt(event, nth)
                trouble.phase = phase  # type: ignore[assignment]
                model = MLP((5, 4, 3), lr=0.5)
                callbacks = [ema, *([SwapEMAWeights(swap_on_epoch)] if swaps else [])]
                with contextlib.suppress(RuntimeError):
                    everything(*([trouble, *callbacks] if first else [*callbacks, trouble]), model=model)
                ended.append(model.get_weights())
            finished = trouble.fired <= nth or event == "teardown"
            if event == "train_end" and not (first and phase == "observe"):  # its own turn came before
                finished = True
            assert same(ended[0], ema.get_weights() if finished else ended[1]), (phase, first)


@pytest.mark.parametrize("swap_on_epoch", [False, True])
@pytest.mark.parametrize("kind", ["decision", "fault", "pause"])
@pytest.mark.parametrize("event", [name for name in FIRED if name not in ("teardown", "train_end")])
def test_after_a_pause_it_has_its_training_weights_and_after_another_stop_the_averages(
    event: str, kind: Any, swap_on_epoch: bool
) -> None:
    for nth in (0, 1):
        plain, ema = everything(EMA(0.5), StopAt(event, nth, kind=kind)), EMA(0.5)
        stop, ends = StopAt(event, nth, kind=kind), Do("train_end", id)
        model = everything(ema, SwapEMAWeights(swap_on_epoch), stop, ends)
        wanted = ema.get_weights() if ends.fired and ema.updates else plain.get_weights()
        assert same(model.get_weights(), wanted)
        assert ends.fired or kind == "pause"


def test_an_interrupt_in_the_midst_of_a_swap_leaves_the_training_weights() -> None:
    class Fragile(MLP):
        """Its ``nth`` restore is interrupted half way."""

        calls = 0
        nth = -1

        def restore(self, snapshot: Any) -> None:
            self.calls += 1
            if self.calls == self.nth:
                self.weights["layer0/kernel"][...] = 7
                raise KeyboardInterrupt
            super().restore(snapshot)

    told = []
    for nth in range(1, 20):
        model, ends = Fragile((5, 4, 3), lr=0.5), Do("train_end", id)
        model.nth = nth
        seen: list[Any] = []
        keep = Do("train_batch_end", lambda run, seen=seen: seen.append(run.get_weights()), None)
        with contextlib.suppress(KeyboardInterrupt):
            fit(model, DATA, DATA[:1], epochs=2, callbacks=[keep, EMA(0.5), SwapEMAWeights(True), ends])
        if ends.fired:
            break
        told.append(same(model.get_weights(), seen[-1]))
    assert told == [True] * 7  # in and out of two validations and between the epochs, and in after the last


# EarlyStopping


def test_early_stopping_has_the_last_word() -> None:
    kept: list[Any] = []
    keep = Do("epoch_end", lambda run: kept.append(run.get_weights()), None)
    for order in itertools.permutations(range(3)):
        kept.clear()
        ema = EMA(0.5)
        stopping = EarlyStopping("val_loss", mode="max", patience=1, restore_best_weights=True)
        callbacks = [ema, SwapEMAWeights(True), stopping]
        keep.phase = "save"
        model = everything(*(callbacks[at] for at in order), keep, epochs=9)
        assert stopping.stopped_epoch and not same(kept[stopping.best_epoch], ema.get_weights())
        assert same(model.get_weights(), kept[stopping.best_epoch]), order


@pytest.mark.parametrize("event", ["train_batch_begin", "test_batch_end", "epoch_end"])
def test_its_best_weights_come_back_after_an_exception_too(event: str) -> None:
    kept: list[Any] = []
    keep = Do("epoch_end", lambda run: kept.append(run.get_weights()))
    keep.phase = "decide"
    stopping = EarlyStopping("val_loss", mode="max", patience=9, restore_best_weights=True)
    trouble = RaiseAt(event, {"train_batch_begin": 4, "test_batch_end": 5, "epoch_end": 1}[event])
    trouble.phase = "save"
    model = MLP((5, 4, 3), lr=0.5)
    with pytest.raises(RuntimeError, match="asked for"):
        everything(keep, stopping, EMA(0.5), SwapEMAWeights(True), trouble, model=model)
    assert stopping.best_epoch == 0 and same(model.get_weights(), kept[0])
