"""fastai: what its Learner tells, how a run ends, and what is left on the Learner."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import pytest

import trainhooks
from trainhooks.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint
from trainhooks.testing import Do, RaiseAt, StopAt, Trace

fastai = pytest.importorskip("fastai", reason="fastai is not installed")
import torch  # noqa: E402  # after the skip
from bench_fastai import FastaiBench  # noqa: E402
from fastai.callback import schedule  # noqa: E402, F401  # it gives Learners their fit_one_cycle and lr_find
from fastai.learner import load_learner  # noqa: E402
from small_learner import EPOCH, Cancels, learner, loaders  # noqa: E402
from trainhooks_adapters.fastai import bridge, wrap  # noqa: E402


def story(act: Callable[[Any], object], *callbacks: Any, learn: Any = None) -> str:
    """What is told while ``act`` has the wrapped Learner."""
    trace = Trace()
    act(wrap(learner() if learn is None else learn, callbacks=[*callbacks, trace]))
    trace.check_grammar(drops_batches=True)
    return trace.outline()


# Runs


def test_a_fit_is_a_run_and_each_epoch_has_its_batches_and_its_validation() -> None:
    assert story(lambda learn: learn.fit(2)) == f"setup train[ {EPOCH.format(0)} {EPOCH.format(1)} ] teardown"


def test_fine_tune_is_two_runs() -> None:
    one = f"setup train[ {EPOCH.format(0)} ] teardown"
    assert story(lambda learn: learn.fine_tune(1)) == f"{one} {one}"


def test_of_lr_find_nothing_is_told_and_the_state_to_go_on_from_waits_for_a_fit(tmp_path: Any) -> None:
    learn, states = learner(path=tmp_path), list[Any]()
    wrap(learn, callbacks=[Do("epoch_end", lambda run: states.append(run.state_dict()))]).fit(1)
    trace = Trace()
    made = bridge([trace], resume=states[0])
    with learn.added_cbs([made]):
        learn.lr_find(num_it=6, show_plot=False, suggest_funcs=None)
        assert trace.names == []
        learn.fit(2)
    assert trace.outline() == f"setup train[ {EPOCH.format(1)} ] teardown"


def test_a_validation_alone_and_a_prediction_alone_are_runs_of_their_own() -> None:
    assert story(lambda learn: learn.validate()) == "setup test[ batch0[] batch1[] ] teardown"
    assert story(lambda learn: learn.get_preds()) == "setup predict[ batch0[] batch1[] ] teardown"


def test_a_prediction_gives_what_the_plain_learner_gives_and_its_batches_the_outputs() -> None:
    class Outputs(trainhooks.Callback):
        def on_predict_batch_end(self, outputs: Any) -> None:
            kept.append(outputs)

    kept: list[Any] = []
    learn = learner()
    expected = learn.get_preds()[0]
    given = wrap(learn, callbacks=[Outputs()]).get_preds()[0]
    assert torch.equal(given, expected) and torch.equal(torch.cat(kept), expected)


def test_a_validation_on_no_data_is_not_told() -> None:
    told = story(lambda learn: learn.fit(1), learn=learner(loaders(validation=0)))
    assert told == "setup train[ epoch0[ batch0[] batch1[] ] ] teardown"


def test_loss_is_the_mean_of_the_batches_losses_and_metrics_are_the_recorders() -> None:
    def metric(outputs: Any, y: Any) -> Any:
        return (outputs - y).abs().mean()

    batches: list[float] = []
    learn = learner(metrics=metric)
    wrapped = wrap(learn, callbacks=[Do("train_batch_end", lambda run: batches.append(run.batch_logs["loss"]), None)])
    wrapped.fit(1)
    (record,) = wrapped.run.history
    smoothed, val_loss, val_metric = learn.recorder.values[-1]
    assert record.logs["loss"] == pytest.approx(sum(batches) / 2) and record.logs["loss"] != pytest.approx(smoothed)
    assert record.logs == {
        "loss": record.logs["loss"],
        "val_metric": pytest.approx(val_metric),
        "val_loss": pytest.approx(val_loss),
    }


def test_the_recorders_metrics_of_the_training_have_their_plain_names() -> None:
    def metric(outputs: Any, y: Any) -> Any:
        return (outputs - y).abs().mean()

    learn = learner(metrics=metric)
    learn.recorder.train_metrics = True
    wrapped = wrap(learn)
    wrapped.fit(1)
    assert list(wrapped.run.history[0].logs) == ["loss", "metric", "val_loss", "val_metric"]


# Stops


def test_a_stop_in_an_epoch_leaves_fastais_own_record_of_it_whole() -> None:
    from fastai.callback.tracker import EarlyStoppingCallback

    learn = learner(cbs=EarlyStoppingCallback("valid_loss", patience=5))
    told = story(lambda wrapped: wrapped.fit(3), StopAt("train_batch_end", 2), learn=learn)
    assert told.endswith("epoch1[ batch0[] stop test[ batch0[] batch1[] ] ] ] teardown")
    assert [len(values) for values in learn.recorder.values] == [2, 2]  # train_loss and valid_loss


@pytest.mark.parametrize(
    "event, batch, steps", [("before_batch", "", 0), ("after_loss", "batch0[ ", 0), ("after_batch", "batch0[] ", 1)]
)
def test_a_stop_of_fastais_own_is_told_and_the_missing_ends_follow(event: str, batch: str, steps: int) -> None:
    trace = Trace()
    wrapped = wrap(learner(cbs=Cancels("CancelFitException", event)), callbacks=[trace, EarlyStopping("val_loss")])
    wrapped.fit(3)
    run = wrapped.run
    assert trace.outline() == f"setup train[ epoch0[ {batch}stop ] ] teardown"
    assert (run.outcome, run.stop_source, run.step) == ("stopped", "fastai", steps)


def test_fastais_own_early_stopping_is_a_stop_once_its_epoch_has_ended() -> None:
    from fastai.callback.tracker import EarlyStoppingCallback

    learn = learner(cbs=EarlyStoppingCallback("valid_loss", min_delta=1e9, patience=1))
    wrapped = wrap(learn)
    wrapped.fit(5)
    run = wrapped.run
    assert (run.outcome, run.stop_source, run.epochs_done) == ("stopped", "fastai", len(learn.recorder.values))
    assert "val_loss" in run.history[-1].logs


def test_fastais_own_stop_at_the_end_of_the_last_epoch_leaves_the_run_complete() -> None:
    learn = learner(cbs=Cancels("CancelFitException", "after_epoch", nth=1))
    wrapped = wrap(learn)
    wrapped.fit(2)
    assert (wrapped.run.outcome, wrapped.run.should_stop, wrapped.run.epochs_done) == ("completed", False, 2)


# Exceptions


@pytest.mark.parametrize("error", [ValueError("asked for"), KeyboardInterrupt()])
@pytest.mark.parametrize("call", ["fit", "validate", "get_preds"])
def test_what_the_model_raises_comes_out_and_is_told(call: str, error: BaseException, tmp_path: Any) -> None:
    def broken(module: Any, inputs: Any) -> None:
        raise error

    learn, trace = learner(), Trace()
    learn.model.register_forward_pre_hook(broken)
    log = CSVLogger(tmp_path / "log.csv")
    wrapped = wrap(learn, callbacks=[trace, log])
    with pytest.raises(type(error)) as raised:
        getattr(wrapped, call)(*[1] * (call == "fit"))
    assert raised.value is error and trace.names[-2:] == ["exception", "teardown"]
    assert wrapped.run.outcome == ("failed" if isinstance(error, Exception) else "interrupted")
    assert log.run is None and [one.name for one in learn.cbs] == [one.name for one in learner().cbs]


@pytest.mark.parametrize("event", ["setup", "train_begin", "train_batch_end", "test_end", "epoch_end", "teardown"])
def test_what_a_callback_raises_comes_out_in_its_own_words(event: str) -> None:
    error = ValueError("asked for", 2)  # fastai puts words of its own into what its callbacks raise
    wrapped = wrap(learner(), callbacks=[RaiseAt(event, error=error)])
    with pytest.raises(ValueError) as raised:
        wrapped.fit(1)
    assert raised.value is error and error.args == ("asked for", 2)


def test_a_bridge_given_to_a_fit_sees_what_the_model_raises() -> None:
    def broken(module: Any, inputs: Any) -> None:
        raise error

    error, learn, trace = ValueError("asked for"), learner(), Trace()
    learn.model.register_forward_pre_hook(broken)
    made = bridge([trace])
    for call in (lambda: learn.fit(1, cbs=[made]), lambda: learn.validate(cbs=[made])):
        with pytest.raises(ValueError):
            call()
        assert trace.names[-2:] == ["exception", "teardown"] and made.run.outcome == "failed"
        assert trace.events[-2][1]["exception"] is error


def test_a_bridge_given_to_a_learner_ends_a_run_that_was_left_when_it_is_used_next() -> None:
    def broken(module: Any, inputs: Any) -> None:
        raise ValueError("asked for")

    trace = Trace()
    made = bridge([trace])
    learn = learner(cbs=[made])
    handle = learn.model.register_forward_pre_hook(broken)
    with pytest.raises(ValueError):
        learn.fit(1)
    handle.remove()
    assert made.run.outcome is None
    learn.fit(1)
    trace.check_grammar(drops_batches=True)
    assert "exception(LoopError) teardown setup" in trace.outline() and made.run.outcome == "completed"


# What is refused, and how a Learner is found


def test_a_callback_whose_need_is_lacking_is_refused_before_anything_is_trained() -> None:
    asks = Do("setup", id)
    asks.requires = {"mid_epoch"}
    with pytest.raises(trainhooks.errors.CapabilityError, match="fastai's fit begins at an epoch, never inside one"):
        wrap(learner(), callbacks=[asks])


def test_a_callback_of_ours_among_fastais_is_refused_with_a_hint() -> None:
    wrapped = wrap(learner())
    with pytest.raises(TypeError, match=r"give it to wrap\(learn, callbacks=\[...\]\)"):
        wrapped.fit(1, cbs=[EarlyStopping()])


def test_a_state_that_is_none_is_refused_by_wrap() -> None:
    with pytest.raises(ValueError, match="is not what run"):
        wrap(learner(), resume={"weights": 1})


def test_wrap_takes_no_optimizer_and_no_strange_argument() -> None:
    with pytest.raises(TypeError, match="opt_func"):
        trainhooks.wrap(learner(), optimizer=object())
    with pytest.raises(TypeError, match="there is no argument 'epochs'"):
        trainhooks.wrap(learner(), epochs=1)


def test_to_say_no_the_plugin_loads_nothing() -> None:
    code = (
        "import sys, trainhooks\n"
        "try: trainhooks.wrap(object())\n"
        "except trainhooks.errors.NoAdapterError: print('fastai' in sys.modules, 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


def test_without_an_optimizer_yet_a_validation_runs_and_its_rate_is_told_to_be_missing() -> None:
    said: list[str] = []

    def read(run: Any) -> None:
        with pytest.raises(trainhooks.errors.CapabilityError) as error:
            _ = run.lr
        said.append(str(error.value))

    learn = learner()
    wrap(learn, callbacks=[Do("test_end", read)]).validate()
    assert learn.opt is None and "learn.create_opt()" in said[0]


# What is left


def test_the_learner_is_as_it_was_and_all_else_of_it_is_reached_through_the_wrapper() -> None:
    learn = learner()
    before = [*learn.cbs], set(vars(learn))
    wrapped = trainhooks.wrap(learn, callbacks=[EarlyStopping("val_loss")])
    wrapped.fit(1)
    wrapped.lr = 0.5
    assert (learn.lr, wrapped.model, wrapped.recorder) == (0.5, learn.model, learn.recorder)
    assert [*learn.cbs] == before[0] and "trainhooks" not in vars(learn) and before[1] <= set(vars(learn))
    assert "fit_one_cycle" in dir(wrapped) and "Learner" in repr(wrapped)
    assert wrapped.to_fp32() is wrapped and wrapped.freeze() is None  # a method that gives its Learner is chained


@pytest.mark.parametrize("given", [False, True])
def test_a_learner_is_exported_with_a_bridge_or_after_a_run_and_predicts_again(given: bool, tmp_path: Any) -> None:
    made = bridge([EarlyStopping("val_loss")], min_epochs=1)
    learn = learner(path=tmp_path, cbs=[made] if given else [])
    (learn if given else wrap(learn, callbacks=[EarlyStopping("val_loss")])).fit(1)
    expected = learn.get_preds()[0]
    dls = learn.dls
    learn.dls.new_empty = lambda: dls  # rows in a list have no empty copy, as fastai would export
    learn.export("learn.pkl")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that pickle is not safe
        again = load_learner(tmp_path / "learn.pkl")
    assert torch.equal(again.get_preds(dl=dls.valid)[0], expected)
    if given:
        again.fit(1)
        assert again.trainhooks.run.epochs_done == 1 and again.trainhooks is not made


def test_what_a_callback_does_with_the_same_learner_is_no_part_of_its_run() -> None:
    learn = learner()
    inside = Do("epoch_end", lambda run: (learn.validate(), wrapped.validate(), learn.get_preds()), None)
    trace = Trace()
    wrapped = wrap(learn, callbacks=[inside, trace])
    wrapped.fit(2)
    assert trace.outline() == f"setup train[ {EPOCH.format(0)} {EPOCH.format(1)} ] teardown"


def test_what_a_native_callback_does_with_the_learner_is_no_part_of_the_run() -> None:
    from fastai.callback.core import Callback, FetchPredsCallback

    class Validates(Callback):  # type: ignore[misc]
        def after_train(self) -> None:
            self.learn.validate()

    for native in (Validates(), FetchPredsCallback()):
        told = story(lambda wrapped: wrapped.fit(2), learn=learner(cbs=[native]))
        assert told == f"setup train[ {EPOCH.format(0)} {EPOCH.format(1)} ] teardown"


def test_the_same_callbacks_serve_a_second_fit_and_a_checkpoint_is_of_the_module(tmp_path: Any) -> None:
    keeper = ModelCheckpoint(tmp_path / "best.pt", save_best_only=True)
    wrapped = wrap(learner(), callbacks=[keeper])
    wrapped.fit(1)
    first = wrapped.run
    wrapped.fit_one_cycle(2)
    assert (first.epochs_done, wrapped.run.epochs_done) == (1, 2)
    wrapped.model.load_state_dict(torch.load(tmp_path / "best.pt", weights_only=True))


def test_a_bench_without_a_validation_in_some_epochs_has_no_metric_of_another() -> None:
    run = FastaiBench().train([{"loss": 1.0, "val_loss": 2.0, "val_accuracy": 0.5}, {"loss": 2.0}], [])
    assert [record.logs for record in run.history] == [
        {"loss": 1.0, "val_loss": 2.0, "val_accuracy": 0.5},
        {"loss": 2.0},
    ]
