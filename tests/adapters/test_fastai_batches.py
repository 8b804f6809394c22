"""fastai's batches and its optimizers: what is cancelled, which steps are real, who sets the learning rate."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np
import pytest

from trainhooks.callbacks import GradientClipping, LearningRateScheduler
from trainhooks.testing import Do, Trace

pytest.importorskip("fastai", reason="fastai is not installed")
import torch  # after the skip
from fastai.callback import schedule  # noqa: F401  # it gives Learners their fit_one_cycle
from fastai.callback.fp16 import MixedPrecision
from fastai.callback.training import GradientAccumulation, ShortEpochCallback
from fastai.optimizer import SGD, Adam, OptimWrapper, RAdam, ranger
from small_learner import Cancels, learner, loaders
from trainhooks_adapters.fastai import wrap


def traced(*natives: Any, epochs: int = 1, **options: Any) -> tuple[str, Any]:
    """The outline of a fit beside callbacks of fastai's, and its run."""
    trace = Trace(optimizer_steps=True)
    wrapped = wrap(learner(cbs=[*natives], **options), callbacks=[trace])
    wrapped.fit(epochs)
    trace.check_grammar(drops_batches=True)
    return trace.outline(), wrapped.run


TEST = "test[ batch0[] batch1[] ]"
CANCELS = [
    ("CancelBatchException", "before_batch", f"batch1[ optimizer_step1 ] {TEST}", 1),
    ("CancelBatchException", "after_loss", f"batch0[ batch1[ optimizer_step1 ] {TEST}", 1),
    ("CancelBatchException", "before_step", f"batch0[] batch1[ optimizer_step1 ] {TEST}", 2),
    ("CancelBatchException", "after_step", f"batch0[ optimizer_step1 ] batch1[ optimizer_step2 ] {TEST}", 2),
    ("CancelBackwardException", "before_backward", f"batch0[ optimizer_step1 ] batch1[ optimizer_step2 ] {TEST}", 2),
    ("CancelStepException", "before_step", f"batch0[] batch1[ optimizer_step1 ] {TEST}", 2),
    ("CancelTrainException", "before_train", TEST, 0),
    ("CancelTrainException", "after_batch", f"batch0[ optimizer_step1 ] {TEST}", 1),
    ("CancelValidException", "before_validate", "batch0[ optimizer_step1 ] batch1[ optimizer_step2 ]", 2),
    ("CancelEpochException", "after_pred", "batch0[", 0),
    ("CancelEpochException", "after_train", "batch0[ optimizer_step1 ] batch1[ optimizer_step2 ]", 2),
]


@pytest.mark.parametrize("exception, event, told, steps", CANCELS)
def test_what_fastai_cancels_is_told_as_far_as_it_happened(exception: str, event: str, told: str, steps: int) -> None:
    outline, run = traced(Cancels(exception, event))
    assert outline == f"setup train[ epoch0[ {told} ] ] teardown"
    assert (run.step, run.outcome) == (steps, "completed")


def test_an_epoch_that_is_skipped_is_not_told() -> None:
    trace = Trace()
    wrapped = wrap(learner(), callbacks=[trace])
    wrapped.fit(2, start_epoch=1)
    assert trace.outline() == f"setup train[ epoch1[ batch0[] batch1[] {TEST} ] ] teardown"
    assert (wrapped.run.epochs_done, wrapped.run.outcome) == (2, "completed")


def test_a_short_epoch_and_a_short_validation_have_their_ends_and_their_means() -> None:
    outline, run = traced(ShortEpochCallback(pct=0.0))
    assert outline == "setup train[ epoch0[ batch0[ optimizer_step1 ] test[ batch0[] ] ] ] teardown"
    assert list(run.history[0].logs) == ["loss", "val_loss"]


def test_gradients_that_are_added_up_are_batches_without_a_step() -> None:
    outline, run = traced(GradientAccumulation(n_acc=8))
    assert outline == f"setup train[ epoch0[ batch0[] batch1[ optimizer_step1 ] {TEST} ] ] teardown"
    assert (run.step, run.optimizer_step) == (2, 1)


def test_a_step_that_the_scaler_skips_is_none() -> None:
    class Overflows(MixedPrecision):  # type: ignore[misc]
        """On the CPU there is no scaler that would find an overflow by itself."""

        def before_step(self) -> None:
            if self.iter == 0:
                from fastai.callback.core import CancelStepException

                raise CancelStepException
            super().before_step()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # there is no GPU
        outline, _ = traced(Overflows())
    assert outline == f"setup train[ epoch0[ batch0[] batch1[ optimizer_step1 ] {TEST} ] ] teardown"


# Optimizers

OPTIMIZERS = {
    "SGD": partial(SGD, mom=0.9),
    "Adam": Adam,
    "RAdam": partial(RAdam, wd=0.01),
    "Lookahead": partial(ranger, k=2),
    "torch": partial(OptimWrapper, opt=torch.optim.AdamW),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_run_goes_on_from_its_state_as_if_there_had_been_no_stop(name: str) -> None:
    def trained(epochs: int, resume: Any = None) -> tuple[Any, Any]:
        states: list[Any] = []
        keep = Do("epoch_end", lambda run: states.append(run.state_dict()), nth=None)
        keep.phase = "save"
        learn = learner(loaders(12, shuffle=True), opt_func=OPTIMIZERS[name])
        wrapped = wrap(learn, callbacks=[keep, LearningRateScheduler(lambda epoch, lr: lr / 2)], resume=resume)
        wrapped.fit(epochs)
        return {key: one.clone() for key, one in learn.model.state_dict().items()}, states

    whole, states = trained(4)
    rest, again = trained(4, states[1])
    assert all(torch.equal(whole[key], rest[key]) for key in whole) and len(again) == 2
    assert not any(isinstance(one, np.ndarray) for one in states[1]["trainable"]["gradients"][0])


def test_the_state_of_another_optimizer_is_refused_and_nothing_is_written() -> None:
    states: list[Any] = []
    wrap(learner(), callbacks=[Do("epoch_end", lambda run: states.append(run.state_dict()))]).fit(1)
    other = learner(opt_func=SGD)
    before = other.model.weight.clone()
    with pytest.raises(ValueError, match=r"the state is of .*adam_step.*, and there is .*sgd_step"):
        wrap(other, resume=states[0]).fit(2)
    assert torch.equal(other.model.weight, before)


@pytest.mark.parametrize("name", ["SGD", "torch"])
def test_the_rates_are_those_of_the_groups_and_fit_begins_with_its_own(name: str) -> None:
    seen: list[Any] = []

    def put(run: Any) -> None:
        seen.append(run.lrs)
        run.lr = 0.5
        seen.append(run.lrs)

    options = {"splitter": lambda model: [[model.weight], [model.bias]], "opt_func": OPTIMIZERS[name]}
    learn = learner(**options)
    wrapped = wrap(learn, callbacks=[Do("train_begin", put)])
    wrapped.fit(1, lr=slice(0.25, 1.0))
    assert seen == [pytest.approx([0.25, 1.0]), pytest.approx([0.5, 2.0])]
    assert [hyper["lr"] for hyper in learn.opt.hypers] == seen[1]


@pytest.mark.parametrize("name", ["SGD", "torch"])
def test_gradients_are_clipped_before_the_step_and_their_norm_is_told(name: str) -> None:
    seen: list[Any] = []
    clip = GradientClipping(norm=1e-9)
    learn = learner(opt_func=OPTIMIZERS[name], wd=0.0)
    before = learn.model.weight.clone()
    norm = Do("optimizer_step", lambda run: seen.append(float(learn.model.weight.grad.norm())), None)
    wrap(learn, callbacks=[clip, norm]).fit(1)
    assert 0 < max(seen) < 1e-8
    if name == "SGD":
        assert torch.allclose(learn.model.weight, before)


def test_one_cycle_wins_over_the_callbacks_and_a_warning_says_so_once() -> None:
    learn, plain = learner(), learner()
    plain.fit_one_cycle(3)
    wrapped = wrap(learn, callbacks=[LearningRateScheduler(lambda epoch, lr: 0.0)])
    with pytest.warns(UserWarning, match="ParamScheduler") as seen:
        wrapped.fit_one_cycle(3)
    assert len([one for one in seen if "ParamScheduler" in str(one.message)]) == 1
    assert torch.equal(learn.model.weight, plain.model.weight) and learn.recorder.lrs == plain.recorder.lrs


def test_what_a_batchs_begin_sets_counts_for_that_batch_under_one_cycle_too() -> None:
    learn = learner(opt_func=SGD, wd=0.0)
    before = learn.model.weight.clone()
    with pytest.warns(UserWarning, match="train_batch_begin"):
        wrap(learn, callbacks=[Do("train_batch_begin", lambda run: setattr(run, "lr", 0.0), None)]).fit_one_cycle(1)
    assert torch.equal(learn.model.weight, before)


def test_frozen_layers_stay_frozen_and_their_rates_are_set_with_the_others() -> None:
    learn = learner(splitter=lambda model: [[model.weight], [model.bias]])
    learn.freeze()
    before = learn.model.weight.clone()
    wrapped = wrap(learn, callbacks=[Do("epoch_end", lambda run: setattr(run, "lr", 0.05))])
    wrapped.fit(2)
    assert torch.equal(learn.model.weight, before) and [hyper["lr"] for hyper in learn.opt.hypers] == [0.05, 0.05]
