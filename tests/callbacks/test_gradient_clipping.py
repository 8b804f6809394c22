"""GradientClipping: the gradients of each update are bounded, their norm is logged, and nothing is left behind."""

from __future__ import annotations

import copy
import json
import math
import pickle
from typing import Any

import numpy as np
import pytest

from trainhooks import MLP, Callback, LoopRun, Run, fit
from trainhooks.callbacks.gradient_clipping import GradientClipping
from trainhooks.errors import CapabilityError
from trainhooks.testing import Do, RaiseAt, StopAt
from trainhooks.testing.play import Dial

RNG = np.random.default_rng(0)
DATA = [(RNG.normal(size=(8, 5)).astype(np.float32), RNG.integers(3, size=8)) for _ in range(6)]


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return list(a) == list(b) and all(np.array_equal(a[name], b[name]) for name in a)


def model(**options: Any) -> MLP:
    return MLP((5, 4, 3), lr=0.5, **options)


def trained(*callbacks: Callback, epochs: int = 2, resume: Any = None, **options: Any) -> tuple[MLP, Any]:
    made = model(**options)
    return made, fit(made, DATA, epochs=epochs, callbacks=callbacks, resume=resume)


def by_hand(norm: float | None, value: float | None, epochs: int = 2) -> tuple[MLP, list[float]]:
    """The same training with the clipping written into its loop; the norm before it, for each update."""
    made, norms = model(), []
    for batch in DATA * epochs:
        _, gradients = made.gradients(batch)
        norms.append(float(np.sqrt(sum((one.astype(np.float64) ** 2).sum() for one in gradients.values()))))
        if value is not None:
            gradients = {name: np.minimum(np.maximum(one, -value), value) for name, one in gradients.items()}
        if norm is not None:
            total = float(np.sqrt(sum((one.astype(np.float64) ** 2).sum() for one in gradients.values())))
            gradients = {name: one * np.float32(min(1.0, norm / (total + 1e-6))) for name, one in gradients.items()}
        made.optimizer.step(gradients)
    return made, norms


# What it does


@pytest.mark.parametrize("norm, value", [(0.3, None), (None, 0.05), (0.3, 0.1), (1e9, 1e9), (math.inf, None)])
def test_it_is_the_clipping_that_one_would_write_before_the_update(norm: float | None, value: float | None) -> None:
    (ours, run), (wanted, norms) = trained(GradientClipping(norm, value)), by_hand(norm, value)
    assert same(ours.get_weights(), wanted.get_weights())
    assert [record.logs["grad_norm"] for record in run.history] == pytest.approx(
        [np.mean(norms[:6]), np.mean(norms[6:])], rel=1e-12
    )
    bound = norm not in (1e9, math.inf)
    assert same(ours.get_weights(), trained()[0].get_weights()) == (not bound)  # what this guards against


def test_the_last_norm_is_that_of_the_last_update() -> None:
    clipping = GradientClipping(0.3)
    assert clipping.last_norm is None
    trained(clipping)
    assert clipping.last_norm == pytest.approx(by_hand(0.3, None)[1][-1], rel=1e-12)


def test_those_who_decide_see_the_mean_norm_of_the_epoch() -> None:
    seen: list[bool] = []
    decides = Do("epoch_end", lambda run: seen.append("grad_norm" in run.logs))
    decides.phase = "decide"
    trained(decides, GradientClipping(0.3))
    assert seen == [True]


def test_an_epoch_without_an_update_logs_no_norm() -> None:
    with LoopRun(model(), [GradientClipping(0.3)]) as run:
        for _ in run.epochs(1):
            run.log(loss=1.0)
    assert run.history == [(0, {"loss": 1.0})]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_gradients_whose_norm_is_not_finite_are_left_as_they_are(bad: float) -> None:
    made = MLP((1, 1), loss="mse", lr=1.0)
    made.set_weights({"layer0/kernel": np.zeros((1, 1)), "layer0/bias": np.zeros(1)})
    clipping = GradientClipping(norm=0.5)
    with LoopRun(made, [clipping]):
        made.optimizer.step({"layer0/kernel": np.full((1, 1), bad, "f4"), "layer0/bias": np.full(1, 3, "f4")})
    assert (made.weights["layer0/bias"].item(), np.isfinite(made.weights["layer0/kernel"]).item()) == (-3.0, False)
    assert str(clipping.last_norm) == str(bad)


# From when to when


def test_taken_off_in_the_midst_of_a_run_it_clips_no_more_and_put_on_it_begins() -> None:
    """It sees the updates of the first epoch and, added anew, those from the middle of the third."""
    clipping, norms, handles = GradientClipping(0.01), [], []
    made = model()

    def put_on(run: Run) -> None:
        handles.append(run.add(clipping))

    def look(run: Run) -> None:
        norms.append((run.epoch, run.batch, clipping.last_norm))

    fit(
        made,
        DATA,
        epochs=4,
        callbacks=[
            Do("epoch_begin", put_on, nth=0),
            Do("epoch_begin", lambda run: handles.pop().remove(), nth=1),
            Do("train_batch_begin", put_on, nth=15),
            Do("train_batch_end", look, nth=None),
        ],
    )
    changed = [
        (epoch, batch)
        for (_, _, before), (epoch, batch, after) in zip([(0, 0, None), *norms], norms, strict=False)
        if before != after
    ]
    assert changed == [(0, n) for n in range(6)] + [(2, n) for n in range(3, 6)] + [(3, n) for n in range(6)]
    assert (clipping.run, made.optimizer._changes) == (None, {})


def test_put_on_in_the_midst_of_an_epoch_it_logs_the_mean_of_what_it_sees_there() -> None:
    clipping, handles, norms = GradientClipping(1e9), [], []
    _, run = trained(
        Do("epoch_begin", lambda run: handles.append(run.add(clipping))),
        Do("train_batch_end", lambda run: handles.pop().remove(), 2),
        Do("train_batch_begin", lambda run: run.add(clipping), 6 + 4),
        Do("train_batch_end", lambda run: norms.append(clipping.last_norm), None),
    )
    assert [record.logs.get("grad_norm") for record in run.history] == [None, pytest.approx(sum(norms[10:]) / 2)]


@pytest.mark.parametrize("event", ["setup", "train_begin", "train_batch_begin", "optimizer_step", "epoch_end"])
@pytest.mark.parametrize("last", [True, False], ids=["last", "first"])
def test_nothing_is_left_on_the_optimizer_after_an_exception(event: str, last: bool) -> None:
    made, order = model(), [GradientClipping(0.3), RaiseAt(event)]
    with pytest.raises(RuntimeError, match="asked for"):
        fit(made, DATA, callbacks=order if last else order[::-1])
    assert made.optimizer._changes == {}


@pytest.mark.parametrize("kind", ["decision", "fault", "pause"])
def test_nor_after_a_stop(kind: Any) -> None:
    made = model()
    fit(made, DATA, callbacks=[GradientClipping(0.3), StopAt(step=2, kind=kind)])
    assert made.optimizer._changes == {}


def test_one_object_serves_run_after_run() -> None:
    clipping = GradientClipping(0.3)
    first, second = trained(clipping), trained(clipping)
    assert same(first[0].get_weights(), second[0].get_weights())
    assert first[1].history == second[1].history


def test_a_copy_made_during_a_run_is_attached_to_none_and_the_first_goes_on() -> None:
    clipping, copies = GradientClipping(0.3), []

    def duplicate(run: Run) -> None:
        copies.extend([copy.deepcopy(clipping), pickle.loads(pickle.dumps(clipping))])

    ours, _ = trained(clipping, Do("train_batch_end", duplicate, nth=2))
    assert same(ours.get_weights(), by_hand(0.3, None)[0].get_weights())
    assert [(one.run, one.norm, one.last_norm is None) for one in copies] == [(None, 0.3, False)] * 2
    assert same(trained(copies[1])[0].get_weights(), ours.get_weights())


# Its state


def test_a_resumed_run_logs_and_clips_as_if_it_had_never_stopped() -> None:
    states: list[Any] = []
    keep = Do("epoch_end", lambda run: states.append(run.state_dict()))
    keep.phase = "save"
    _, whole = trained(GradientClipping(0.3), epochs=3)
    trained(GradientClipping(0.3), keep, epochs=1)
    made, run = trained(GradientClipping(0.3), epochs=3, resume=states[0])
    assert run.history == whole.history
    assert same(made.get_weights(), by_hand(0.3, None, epochs=3)[0].get_weights())


def test_the_mean_of_an_epoch_in_its_midst_is_in_the_state() -> None:
    first, states = GradientClipping(0.3), []
    trained(first, Do("train_batch_end", lambda run: states.append(first.state_dict()), nth=3), epochs=1)
    second = GradientClipping(0.3)
    second.load_state_dict(json.loads(json.dumps(states[0])))
    assert second.state_dict() == states[0]
    assert (second.state_dict()["mean"]["weight"], second.last_norm) == (4, states[0]["last_norm"])


# What is refused


@pytest.mark.parametrize(
    "arguments, told",
    [
        ({}, "GradientClipping(): give norm=, the largest norm of all gradients together, or value="),
        ({"norm": 0}, "GradientClipping(norm=0): a number above 0"),
        ({"norm": math.nan}, "GradientClipping(norm=nan): a number above 0"),
        ({"norm": True}, "GradientClipping(norm=True): a number above 0"),
        ({"value": "1"}, "GradientClipping(value='1'): a number above 0"),
        ({"norm": 1, "value": -1}, "GradientClipping(value=-1): a number above 0"),
    ],
)
def test_a_bound_that_cannot_be_is_refused(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError) as error:
        GradientClipping(**arguments)
    assert str(error.value) == told


def test_a_bound_may_be_any_number() -> None:
    made = GradientClipping(np.float32(0.5), np.int64(2))
    assert (made.norm, made.value, type(made.value)) == (0.5, 2.0, float)


def test_a_trainer_that_exposes_no_gradients_is_refused_when_it_is_attached() -> None:
    with pytest.raises(CapabilityError) as error:
        LoopRun(Dial(), [GradientClipping(1)])
    assert str(error.value) == (
        "GradientClipping needs 'gradients', which this trainer lacks: the dial adapter does not offer it."
    )
