"""SwapEMAWeights: what a state holds that is saved while the averages are in the model, and whose averages they are."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from test_swap_ema_weights import everything, same

from trainhooks import MLP, Callback, LoopRun, Run
from trainhooks.callbacks.ema import EMA
from trainhooks.callbacks.swap_ema_weights import SwapEMAWeights
from trainhooks.errors import CapabilityError
from trainhooks.testing import Do, StopAt

# Its state


def kept_states(*callbacks: Callback, **options: Any) -> list[Any]:
    states: list[Any] = []
    keep = Do("epoch_end", lambda run: states.append(pickle.loads(pickle.dumps(run.state_dict()))), None)
    keep.phase = "save"
    everything(*callbacks, keep, **options)
    return states


@pytest.mark.parametrize("swap_on_epoch", [False, True])
def test_a_state_saved_while_the_averages_are_in_the_model_resumes_with_the_training_weights(
    swap_on_epoch: bool,
) -> None:
    whole, again, plain = EMA(0.5), EMA(0.5), everything(EMA(0.5), epochs=1)
    wanted = everything(whole, SwapEMAWeights(swap_on_epoch), epochs=3)
    state = kept_states(EMA(0.5), SwapEMAWeights(swap_on_epoch), epochs=1)[0]
    saved = state["callbacks"]["SwapEMAWeights"]["training"]
    if swap_on_epoch:
        assert same(saved["weights"], plain.get_weights()) and saved["framework"] == "numpy"
    else:
        assert saved == {"weights": None, "framework": None}
    begun: list[Any] = []
    look = Do("train_begin", lambda run: begun.append(run.get_weights()))
    model = everything(again, SwapEMAWeights(swap_on_epoch), look, epochs=3, resume=state)
    assert same(begun[0], plain.get_weights())
    assert same(model.get_weights(), wanted.get_weights())
    assert same(again.get_weights(), whole.get_weights())


def test_a_pause_at_the_end_of_an_epoch_saves_what_it_takes_to_go_on() -> None:
    class Saver(Callback):
        state: Any = None

        def save(self, run: Run) -> None:
            Saver.state = pickle.loads(pickle.dumps(run.state_dict()))

    wanted = everything(EMA(0.5), SwapEMAWeights(True), epochs=3)
    everything(EMA(0.5), SwapEMAWeights(True), Saver(), StopAt("epoch_end", kind="pause"), epochs=3)
    model = everything(EMA(0.5), SwapEMAWeights(True), epochs=3, resume=Saver.state)
    assert same(model.get_weights(), wanted.get_weights())


def test_a_state_of_another_framework_puts_nothing_back() -> None:
    state = kept_states(EMA(0.5), SwapEMAWeights(True), epochs=1)[0]
    state["framework"] = state["callbacks"]["SwapEMAWeights"]["training"]["framework"] = "other"
    swap = SwapEMAWeights()
    swap.load_state_dict(state["callbacks"]["SwapEMAWeights"])
    model = MLP((5, 4, 3))
    before = model.get_weights()
    with LoopRun(model, [EMA(0.5), swap]):
        assert same(model.get_weights(), before)
    assert not swap.is_swapped


# Whose averages


class Averaging(MLP):
    """A model whose optimizer keeps an average itself: of nothing but sevens."""

    def missing(self, need: str) -> str | None:
        return None if need == "optimizer_average" else super().missing(need)

    def optimizer_average(self) -> Any:
        return {name: np.full_like(array, 7) for name, array in self.weights.items()}


@pytest.mark.parametrize("kind, given, source", [(Averaging, None, "optimizer"), (Averaging, 1, 1), (MLP, None, 0)])
def test_the_averages_are_the_optimizers_else_those_of_the_first_ema_unless_one_is_given(
    kind: Any, given: int | None, source: Any
) -> None:
    emas = [EMA(0.5), EMA(0.25)]
    model = kind((5, 4, 3), lr=0.5)
    everything(*emas, SwapEMAWeights(average=None if given is None else emas[given]), model=model)
    wanted = model.optimizer_average() if source == "optimizer" else emas[source].get_weights()
    assert same(model.get_weights(), wanted)
    assert not same(emas[0].get_weights(), emas[1].get_weights())


def test_without_any_there_is_an_error_before_training() -> None:
    trained = Do("train_begin", id)
    with pytest.raises(CapabilityError) as error:
        everything(SwapEMAWeights(), trained)
    assert trained.fired == 0
    assert str(error.value) == (
        "SwapEMAWeights: nothing keeps an average of the weights. Add trainhooks.callbacks.EMA(decay) to the "
        "callbacks; an optimizer of Keras can also keep one itself, as Adam(use_ema=True)."
    )


def test_an_average_that_is_not_attached_is_refused_before_training() -> None:
    with pytest.raises(CapabilityError) as error:
        everything(EMA(0.5), SwapEMAWeights(average=EMA(0.5)))
    assert str(error.value) == (
        "SwapEMAWeights(average=...): that EMA is not attached to this run. Add it to the callbacks."
    )
    with pytest.raises(TypeError) as wrong:
        SwapEMAWeights(average=0.9)  # type: ignore[arg-type]
    assert str(wrong.value) == "SwapEMAWeights(average=0.9): an EMA that is among the callbacks, or None"
