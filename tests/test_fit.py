"""The reference loop: ``fit(model, data, validation_data, epochs=3, callbacks=[...])``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from trainhooks import evaluate, fit, predict
from trainhooks.numpy_model import MLP
from trainhooks.testing import Constant, RaiseAt, StopAt, Trace, batches

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(10, 3)).astype(np.float32), rng.normal(size=(10, 2)).astype(np.float32)


class Seen:
    """A model that keeps every batch, and whose metric is the mean of its first array."""

    def __init__(self) -> None:
        self.trained: list[Any] = []
        self.tested: list[Any] = []

    def train_step(self, batch: Any) -> dict[str, float]:
        self.trained.append(batch)
        return {"mean": float(np.mean(batch[0] if isinstance(batch, tuple) else batch))}

    def test_step(self, batch: Any) -> dict[str, float]:
        self.tested.append(batch)
        return {"mean": float(np.mean(batch[0] if isinstance(batch, tuple) else batch))}

    def predict_step(self, batch: Any) -> Any:
        return np.asarray(batch) * 2


def test_the_order_of_events_of_a_plain_fit() -> None:
    trace = Trace()
    fit(Constant(), batches(2), batches(1), epochs=2, callbacks=[trace])
    assert trace.outline() == (
        "setup train[ epoch0[ batch0[] batch1[] test[ batch0[] ] ] "
        "epoch1[ batch0[] batch1[] test[ batch0[] ] ] ] teardown"
    )


def test_a_stop_ends_the_batches_and_no_further_epoch_begins() -> None:
    trace = Trace()
    run = fit(Constant(), batches(3), epochs=2, callbacks=[StopAt(step=2), trace])
    assert trace.outline() == "setup train[ epoch0[ batch0[] batch1[] stop ] ] teardown"
    assert (run.outcome, run.stop_reason, run.stop_source) == ("stopped", "asked for", "StopAt")


def test_epochs_none_goes_on_until_a_stop() -> None:
    assert fit(Constant(), batches(2), epochs=None, callbacks=[StopAt(step=5)]).step == 5


# Forms of data


@pytest.mark.parametrize(
    "data, shapes",
    [
        ((X, Y), [((4, 3), (4, 2)), ((4, 3), (4, 2)), ((2, 3), (2, 2))]),
        ([X, Y], [((4, 3), (4, 2)), ((4, 3), (4, 2)), ((2, 3), (2, 2))]),
        (X, [(4, 3), (4, 3), (2, 3)]),
        ((X,), [((4, 3),), ((4, 3),), ((2, 3),)]),
        ([(X[:1], Y[:1]), (X[1:], Y[1:])], [((1, 3), (1, 2)), ((9, 3), (9, 2))]),
    ],
    ids=["tuple", "list", "lone array", "tuple of one", "batches"],
)
def test_each_form_of_data_makes_batches_of_its_form(data: Any, shapes: Any) -> None:
    model = Seen()
    fit(model, data, epochs=1, batch_size=4)
    assert [
        tuple(array.shape for array in batch) if isinstance(batch, tuple) else batch.shape for batch in model.trained
    ] == shapes


def test_an_uneven_last_batch_weighs_by_its_rows() -> None:
    run = fit(Seen(), (X, Y), (X, Y), batch_size=4)
    assert run.history[0].logs == {"mean": pytest.approx(X.mean()), "val_mean": pytest.approx(X.mean())}


def test_batches_that_are_mappings_weigh_by_their_rows_too() -> None:
    class Model(Constant):
        def train_step(self, batch: Any) -> dict[str, float]:
            return {"mean": float(batch["x"].mean())}

    run = fit(Model(), [{"x": X[:9]}, {"x": X[9:]}])
    assert run.history[0].logs == {"mean": pytest.approx(X.mean())}


def test_every_row_is_seen_once_an_epoch_with_its_own_label() -> None:
    model = Seen()
    rows = np.arange(10)
    fit(model, (rows, rows * 10), epochs=2, batch_size=3, seed=1)
    x, y = (np.concatenate([batch[which] for batch in model.trained]) for which in (0, 1))
    assert (sorted(x[:10]), sorted(x[10:])) == (list(range(10)), list(range(10)))
    assert np.array_equal(y, x * 10)


def orders(model: Seen, **options: Any) -> list[list[int]]:
    """The rows that each epoch saw, in their order."""
    fit(model, np.arange(10), batch_size=10, **options)
    return [batch.tolist() for batch in model.trained]


def test_without_shuffle_the_rows_keep_their_order() -> None:
    assert orders(Seen(), epochs=2, shuffle=False) == [list(range(10))] * 2


def test_an_epochs_order_depends_on_the_seed_and_its_number_alone() -> None:
    three, two = orders(Seen(), epochs=3, seed=7), orders(Seen(), epochs=2, seed=7)
    assert three[:2] == two
    assert len({tuple(order) for order in [*three, *orders(Seen(), epochs=3, seed=8)]}) == 6


def test_without_a_seed_two_fits_differ() -> None:
    assert orders(Seen(), epochs=4) != orders(Seen(), epochs=4)


def test_a_seed_makes_a_fit_reproducible_to_the_bit() -> None:
    models = [MLP((3, 4, 2), loss="mse"), MLP((3, 4, 2), loss="mse")]
    histories = [fit(model, (X, Y), epochs=3, batch_size=4, seed=0).history for model in models]
    assert histories[0] == histories[1]
    first, second = (model.get_weights() for model in models)
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_validation_rows_keep_their_order_and_come_every_so_many_epochs() -> None:
    model = Seen()
    run = fit(model, np.arange(4), np.arange(4), epochs=5, batch_size=4, validation_freq=2)
    assert [batch.tolist() for batch in model.tested] == [[0, 1, 2, 3]] * 2
    assert [record.epoch for record in run.history if "val_mean" in record.logs] == [1, 3]


def test_no_rows_make_epochs_without_batches() -> None:
    trace = Trace()
    fit(Constant(), np.zeros((0, 2)), np.zeros((0, 2)), callbacks=[trace])
    assert trace.outline() == "setup train[ epoch0[ test[] ] ] teardown"


@pytest.mark.parametrize(
    "options, message",
    [
        ({"validation_freq": 0}, "validation_freq=0: a whole number, at least 1"),
        ({"validation_freq": True}, "validation_freq=True: a whole number, at least 1"),
        ({"batch_size": 0}, "batch_size=0: a whole number, at least 1"),
        ({"batch_size": 2.0}, "batch_size=2.0: a whole number, at least 1"),
        (
            {"epochs": -1},
            "run.epochs(-1): the total of epochs, a whole number, or None to go on until a stop",
        ),
        ({"data": (X, Y[:9])}, "the arrays have 10 and 9 rows: they must have as many"),
        ({"min_epochs": -1}, "min_epochs=-1: a whole number, at least 0"),
    ],
)
def test_a_bad_argument_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as refused:
        fit(Constant(), **{"data": (X, Y), **options})
    assert str(refused.value) == message


# Evaluation and prediction


def test_evaluate_is_the_mean_over_the_rows() -> None:
    model, trace = MLP((3, 2), loss="mse"), Trace()
    weights = model.get_weights()
    metrics = evaluate(model, (X, Y), batch_size=4, callbacks=[trace])
    direct = np.mean((X @ weights["layer0/kernel"] + weights["layer0/bias"] - Y) ** 2)
    assert metrics == {"loss": pytest.approx(direct, rel=1e-5)}
    assert trace.outline() == "setup test[ batch0[] batch1[] batch2[] ] teardown"


def test_predict_joins_the_outputs_in_the_order_of_the_rows() -> None:
    trace = Trace()
    outputs = predict(Seen(), X, batch_size=4, callbacks=[trace])
    assert np.array_equal(outputs, X * 2)
    assert trace.outline() == "setup predict[ batch0[] batch1[] batch2[] ] teardown"
    assert [len(args["outputs"]) for name, args in trace.events if name == "predict_batch_end"] == [4, 4, 2]


def test_predict_of_a_model_equals_a_direct_computation() -> None:
    model = MLP((3, 2), loss="mse")
    weights = model.get_weights()
    direct = X @ weights["layer0/kernel"] + weights["layer0/bias"]
    assert np.allclose(predict(model, X, batch_size=3), direct)


def call_evaluate(model: Any, callback: RaiseAt) -> Mapping[str, Any]:
    return evaluate(model, batches(1), callbacks=[callback])


def call_predict(model: Any, callback: RaiseAt) -> Any:
    return predict(model, batches(1), callbacks=[callback])


@pytest.mark.parametrize("call, event", [(call_evaluate, "test_end"), (call_predict, "predict_end")])
def test_what_a_hook_raises_leaves_evaluate_and_predict(call: Callable[..., Any], event: str) -> None:
    callback = RaiseAt(event)
    with pytest.raises(RuntimeError) as raised:
        call(Constant(), callback)
    assert raised.value is callback.error
    assert callback.run is None
