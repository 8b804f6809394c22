"""EpochScoring: a function's value over a whole set, in the logs before anything decides."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

import trainhooks
from trainhooks import MLP, Callback, LoopRun, Run, fit
from trainhooks.callbacks.early_stopping import EarlyStopping
from trainhooks.callbacks.epoch_scoring import EpochScoring
from trainhooks.testing import Do, RaiseAt, StopAt, play
from trainhooks.testing.play import Dial


def trained(*callbacks: Callback, epochs: int = 4, **options: Any) -> LoopRun:
    """Epochs over a model whose weight is the number of the epoch."""
    return play(
        [{"loss": 1.0, "val_loss": 1.0}] * epochs, callbacks, trainable=options.pop("model", Weighed()), **options
    )


class Weighed(Dial):
    """A model that is its own framework's."""

    @property
    def model(self) -> Weighed:  # type: ignore[override]
        return self


def weight(model: Weighed) -> int:
    return model.weight


def both(model: Weighed) -> dict[str, float]:
    return {"up": model.weight, "down": -model.weight}


def scores(run: LoopRun) -> list[dict[str, float]]:
    """What each epoch holds beside its losses."""
    return [{name: value for name, value in one.logs.items() if "loss" not in name} for one in run.history]


# What is called, and where the value goes


def test_the_value_of_a_function_of_the_model_is_logged_under_its_name() -> None:
    assert scores(trained(EpochScoring(weight), epochs=3)) == [{"weight": 0.0}, {"weight": 1.0}, {"weight": 2.0}]


@pytest.mark.parametrize(
    "data, given", [(None, ()), ((1, 2), (1, 2)), ([1, 2], ([1, 2],)), ((), ()), ({"x": 1}, ({"x": 1},))]
)
def test_a_tuple_of_data_is_unpacked_and_anything_else_is_one_argument(data: Any, given: tuple[Any, ...]) -> None:
    seen: list[Any] = []

    def score(model: Any, *more: Any) -> float:
        seen.append(more)
        return 0.0

    trained(EpochScoring(score, data), epochs=1)
    assert seen == [given]


def test_a_real_model_is_scored_on_a_whole_set_and_the_best_is_found_in_the_same_event() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2)).astype(np.float32)
    y = (x[:, 0] > 0).astype(int)

    def f1(model: MLP, x: Any, y: Any) -> Any:
        found = model.predict_step(x).argmax(axis=1)
        return 2 * (found * y).sum() / (found.sum() + y.sum())

    stop = EarlyStopping("f1", mode="max", patience=2)
    run = fit(MLP((2, 2), lr=0.5), (x, y), epochs=30, seed=0, callbacks=[stop, EpochScoring(f1, (x, y))])
    told = [one.logs["f1"] for one in run.history]
    assert run.outcome == "stopped" and told[stop.best_epoch] == max(told) == stop.best > told[0]
    assert all(type(value) is float for value in told)


def test_f1_of_a_torch_module() -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor([[1.0], [2.0], [-1.0], [-2.0]])
    y = torch.tensor([1, 0, 0, 0])
    model = torch.nn.Sequential(torch.nn.Linear(1, 1, bias=False), torch.nn.Dropout(0.99))
    torch.nn.init.ones_(model[0].weight)

    def f1(model: Any, x: Any, y: Any) -> Any:
        model.eval()
        with torch.no_grad():
            found = (model(x)[:, 0] > 0).long()
        model.train()
        return 2 * (found * y).sum() / (found.sum() + y.sum())

    with trainhooks.wrap(model, callbacks=[EpochScoring(f1, (x, y))]) as run:
        for _ in run.epochs(1):
            for _ in run.train([0]):
                run.log(loss=1.0)
    assert run.history[0].logs == {"loss": 1.0, "f1": pytest.approx(2 / 3)}
    assert model.training and type(run.history[0].logs["f1"]) is float


@pytest.mark.parametrize(
    "name, expected",
    [
        (None, {"up": 1.0, "down": -1.0}),
        ("test", {"test_up": 1.0, "test_down": -1.0}),
        (["down", "up"], {"up": 1.0, "down": -1.0}),
    ],
)
def test_a_mapping_is_logged_under_its_keys(name: Any, expected: dict[str, float]) -> None:
    assert scores(trained(EpochScoring(both, name=name), epochs=2))[1] == expected


def test_a_lambda_or_a_partial_is_called_as_it_is_told() -> None:
    made = [
        EpochScoring(lambda model: model.weight + 1, name="one"),
        EpochScoring(functools.partial(lambda more, model, y: model.weight + more * y, 2), (3,), name="two"),
    ]
    assert scores(trained(*made, epochs=2)) == [{"one": 1.0, "two": 6.0}, {"one": 2.0, "two": 7.0}]


def numpy_scalar() -> Any:
    return np.float32(0.5)


def torch_scalar() -> Any:
    return pytest.importorskip("torch").tensor([0.5], requires_grad=True)


def jax_scalar() -> Any:
    return pytest.importorskip("jax").numpy.asarray(0.5)


@pytest.mark.parametrize("make", [numpy_scalar, torch_scalar, jax_scalar])
def test_the_scalars_of_frameworks_become_floats(make: Callable[[], Any]) -> None:
    value = make()
    run = trained(EpochScoring(lambda model: {"a": value}, name="s"), epochs=1)
    assert scores(run) == [{"s_a": 0.5}] and type(run.history[0].logs["s_a"]) is float


# When


@pytest.mark.parametrize("epochs, at", [(6, [1, 3, 5]), (5, [1, 3, 4])])
def test_every_so_many_epochs_and_at_the_last(epochs: int, at: list[int]) -> None:
    run = trained(EpochScoring(weight, every=2), epochs=epochs)
    assert [one.epoch for one in run.history if "weight" in one.logs] == at


def test_a_monitor_waits_for_it_and_counts_its_checks() -> None:
    stop = EarlyStopping("weight", mode="min", patience=2)
    run = trained(stop, EpochScoring(weight, every=3), epochs=20)
    assert (run.epochs_done, stop.best, stop.best_epoch) == (9, 2.0, 2)


def test_a_monitor_of_one_number_of_a_mapping_waits_where_the_names_are_listed() -> None:
    stop = EarlyStopping("up", mode="min", patience=1)
    assert trained(stop, EpochScoring(both, name=["up", "down"], every=3), epochs=20).epochs_done == 6


def test_where_they_are_not_listed_the_monitor_misses_it_in_the_first_epoch() -> None:
    with pytest.raises(trainhooks.errors.MissingMetricError, match="epoch 0 ended without that metric"):
        trained(EarlyStopping("up", mode="min"), EpochScoring(both, every=3), epochs=20)


def test_after_a_first_score_they_are_known_without_a_list() -> None:
    scoring = EpochScoring(both, every=2)
    state = through_json(kept(trained, scoring, epochs=2))
    stop = EarlyStopping("up", mode="min", patience=1)
    run = trained(
        stop,
        EpochScoring(both, every=2),
        epochs=9,
        resume={**state, "callbacks": {"EpochScoring": state["callbacks"]["EpochScoring"]}},
    )
    assert run.epochs_done == 6


def test_from_the_first_score_on_no_monitor_misses_what_it_holds() -> None:
    stop = EarlyStopping("up", mode="max", strict=False)
    with pytest.warns(UserWarning, match="ended without") as caught:
        trained(stop, EpochScoring(both, every=2), epochs=6)
    assert len(caught) == 1 and "epoch 0" in str(caught[0].message)


def test_the_name_of_a_function_that_returns_a_mapping_is_no_metric() -> None:
    with pytest.raises(trainhooks.errors.MissingMetricError, match="epoch 0 ended without that metric"):
        trained(EpochScoring(both), EarlyStopping("both", mode="min"))


def test_where_the_metric_is_there_at_each_epoch_a_misspelt_monitor_is_an_error_at_once() -> None:
    with pytest.raises(trainhooks.errors.MissingMetricError, match="Did you mean 'weight'"):
        trained(EpochScoring(weight), EarlyStopping("weigth", mode="min"))


def test_a_run_that_a_stop_ended_is_scored_where_it_is_due_only() -> None:
    run = trained(EpochScoring(weight, every=2), StopAt("epoch_begin", 2))
    assert scores(run) == [{}, {"weight": 1.0}, {}]


def test_an_open_ended_run_is_scored_too() -> None:
    seen = []
    with LoopRun(Weighed(), [EpochScoring(weight, every=2), StopAt("epoch_end", 4)]) as run:
        for epoch in run.epochs(None):
            for _ in run.train([0]):
                run.log(loss=epoch)
            seen.append(epoch)
    assert [one.epoch for one in run.history if "weight" in one.logs] == [1, 3] and len(seen) == 5


def test_an_evaluation_alone_is_not_scored() -> None:
    with LoopRun(Weighed(), [EpochScoring(weight)]) as run:
        for _ in run.test([0]):
            run.log(loss=1.0)
    assert list(run.logs) == ["loss"]


# Over runs


def kept(loop: Callable[..., LoopRun], *callbacks: Callback, **options: Any) -> Any:
    """The state of a run at the end of its last epoch."""
    states: list[Any] = []
    last = Do("epoch_end", lambda run: states.append(run.state_dict()), nth=None)
    last.phase = "save"
    loop(*callbacks, last, **options)
    return states[-1]


def through_json(state: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps({**state, "trainable": None}))


@pytest.mark.parametrize("first", [1, 2, 3])
def test_a_resumed_run_is_scored_at_the_same_epochs(first: int) -> None:
    def cut(run: Run) -> None:
        run.stop("enough", kind="pause")

    states: list[Any] = []
    save = Do("epoch_end", lambda run: states.append(run.state_dict()), nth=first - 1)
    save.phase = "save"
    begun = trained(EpochScoring(weight, every=2), save, Do("epoch_end", cut, nth=first - 1), epochs=5)
    assert begun.outcome == "paused"
    run = trained(EpochScoring(weight, every=2), epochs=5, resume=through_json(states[0]))
    assert [one.epoch for one in run.history if "weight" in one.logs] == [1, 3, 4]


def test_one_object_serves_many_runs() -> None:
    scoring = EpochScoring(weight, every=2)
    told = [scores(trained(scoring, epochs=3)) for _ in range(2)]
    assert told[0] == told[1] == [{}, {"weight": 1.0}, {"weight": 2.0}]
    assert json.loads(json.dumps(scoring.state_dict())) == {"names": ["weight"]}
    scoring.reset()
    assert scoring.state_dict() == EpochScoring(weight).state_dict()


@pytest.mark.parametrize("event", ["setup", "epoch_begin", "train_batch_end", "test_end", "epoch_end", "train_end"])
@pytest.mark.parametrize("meddle", [StopAt, RaiseAt])
def test_a_run_that_was_cut_anywhere_leaves_nothing_to_the_next(event: str, meddle: Any) -> None:
    scoring = EpochScoring(weight, every=2)
    try:
        trained(scoring, StopAt(event, kind="pause") if meddle is StopAt else RaiseAt(event))
    except RuntimeError:
        assert meddle is RaiseAt
    assert (scoring.run, scoring.model) == (None, None)
    assert scores(trained(scoring, epochs=2)) == [{}, {"weight": 1.0}]


# What is refused


def returns(value: Any) -> Callable[[Any], Any]:
    def score(model: Any) -> Any:
        return value

    score.__qualname__ = "score"
    return score


@pytest.mark.parametrize(
    "value, name, kind, message",
    [
        (
            None,
            None,
            trainhooks.errors.MetricValueError,
            "EpochScoring(score): 'score': None of type builtins.NoneType is not a real number",
        ),
        (
            np.zeros(3),
            None,
            trainhooks.errors.MetricValueError,
            "EpochScoring(score): 'score': a numpy.ndarray of shape (3,) is not one number: log its mean",
        ),
        (
            {"a": "high"},
            "f",
            trainhooks.errors.MetricValueError,
            "EpochScoring(score): 'f_a': 'high' of type builtins.str is not a real number",
        ),
        (
            {3: 1.0},
            None,
            trainhooks.errors.MetricValueError,
            "EpochScoring(score): the name of a metric is a string, not 3",
        ),
        (
            {"a": 1.0},
            ["b"],
            ValueError,
            "EpochScoring(score): it returned 'a', and name=['b'] says what it is to hold.",
        ),
        (
            1.0,
            ["b"],
            trainhooks.errors.MetricValueError,
            "EpochScoring(score): it returned 1.0, and name=['b'] is of a mapping.",
        ),
        (
            1.0,
            "loss",
            ValueError,
            "EpochScoring(score): the logs hold 'loss' already. Give it another name='...'.",
        ),
    ],
)
def test_a_result_that_cannot_be_logged_is_an_error_that_names_the_function(
    value: Any, name: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as caught:
        trained(EpochScoring(returns(value), name=name))
    assert str(caught.value) == message


def test_two_that_write_the_same_name_are_an_error() -> None:
    with pytest.raises(ValueError, match="the logs hold 'weight' already"):
        trained(EpochScoring(weight), EpochScoring(weight))


def test_what_the_function_raises_ends_the_run() -> None:
    def broken(model: Any) -> float:
        raise ZeroDivisionError("no positives")

    with pytest.raises(ZeroDivisionError, match="no positives"):
        trained(EpochScoring(broken))


NOT_CALLED = lambda model: 0.0  # noqa: E731


@pytest.mark.parametrize(
    "arguments, settings, kind, message",
    [
        (("f1",), {}, TypeError, "EpochScoring('f1'): a function of the model, and of data where it is given"),
        (
            (NOT_CALLED,),
            {},
            TypeError,
            f"EpochScoring({NOT_CALLED!r}): a lambda has no name to log its value under. Give it name='...'.",
        ),
        ((functools.partial(weight),), {}, TypeError, None),
        ((weight,), {"every": 0}, ValueError, "EpochScoring(every=0): a whole number, at least 1"),
        ((weight,), {"name": ""}, ValueError, "EpochScoring(name=''): the name of a metric, or a list of them"),
        ((weight,), {"name": []}, ValueError, "EpochScoring(name=[]): the name of a metric, or a list of them"),
        ((weight,), {"name": [1]}, ValueError, "EpochScoring(name=[1]): the name of a metric, or a list of them"),
        ((weight,), {"names": "a"}, TypeError, None),
    ],
)
def test_what_has_no_meaning_is_refused(
    arguments: Any, settings: Any, kind: type[Exception], message: str | None
) -> None:
    with pytest.raises(kind) as caught:
        EpochScoring(*arguments, **settings)
    assert message is None or str(caught.value) == message
