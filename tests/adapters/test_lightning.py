"""``wrap`` and ``bridge`` on a Lightning Trainer: exceptions, evaluations, refusals, and what is left behind."""

from __future__ import annotations

import contextlib
import copy
import os
import signal
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lightning", reason="lightning is not installed")

import lightning.pytorch as pl
import torch
from bench_lightning import QUIET, Line, rows, wrapped
from trainhooks_adapters.lightning import bridge, wrap

import trainhooks
from trainhooks import Callback, errors
from trainhooks.callbacks import CSVLogger, EarlyStopping, ReduceLROnPlateau
from trainhooks.testing import Do, RaiseAt, Trace

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")

BATCHES = "batch0[] batch1[] batch2[]"


class Raises(Line):
    """Raises ``error`` in the second batch."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if batch_idx == 1:
            raise self.error
        return super().training_step(batch, batch_idx)


class Ends(Callback):
    """How runs end."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def on_exception(self, exception: BaseException) -> None:
        self.heard.append(exception)

    def on_teardown(self, run: Any) -> None:
        self.heard.append(run.outcome)


@pytest.mark.parametrize(("kind", "outcome"), [(ValueError, "failed"), (KeyboardInterrupt, "interrupted")])
def test_what_training_raises_comes_out_of_wrap_and_every_callback_hears_of_it(
    kind: Any, outcome: str, tmp_path: Path
) -> None:
    error, ends, handler = kind("asked for"), Ends(), signal.getsignal(signal.SIGINT)
    log = CSVLogger(tmp_path / "log.csv")
    it = wrapped(ends, log, max_epochs=2)
    with pytest.raises(kind) as raised:
        it.fit(Raises(error), rows())
    assert raised.value is error
    assert ends.heard == [error, outcome]
    assert (it.run.outcome, log.run) == (outcome, None)
    assert (it.callbacks, signal.getsignal(signal.SIGINT)) == ([], handler)
    it.fit(Line(), rows())  # and it trains again
    assert it.run.outcome == "completed"


def test_a_bridge_alone_hears_of_an_interrupt_that_lightning_turns_into_an_exit() -> None:
    error, ends, handler = KeyboardInterrupt("asked for"), Ends(), signal.getsignal(signal.SIGINT)
    try:
        with contextlib.suppress(SystemExit):  # before 2.5 nothing comes out
            pl.Trainer(max_epochs=1, callbacks=[bridge([ends])], **QUIET).fit(Raises(error), rows())
    finally:
        signal.signal(signal.SIGINT, handler)
    assert ends.heard == [error, "interrupted"]


@pytest.mark.parametrize("event", ["setup", "test_begin", "epoch_end", "train_end", "teardown"])
def test_what_a_callback_raises_under_a_bridge_comes_out_of_lightnings_own_fit(event: str) -> None:
    error, ends = ValueError("asked for"), Ends()
    trainer = pl.Trainer(max_epochs=1, callbacks=[bridge([ends, RaiseAt(event, error=error)])], **QUIET)
    with pytest.raises(ValueError, match="asked for") as raised:
        trainer.fit(Line(), rows(), rows())
    assert raised.value is error
    assert ends.heard[-1] == ("completed" if event == "teardown" else "failed")


@pytest.mark.parametrize("package", ["lightning.pytorch", "pytorch_lightning"])
def test_a_trainer_of_either_package_is_wrapped_and_takes_a_bridge(package: str) -> None:
    module = pytest.importorskip(package)
    if package == "pytorch_lightning":

        class Own(module.LightningModule):  # type: ignore[misc, name-defined]
            __init__, loss = Line.__init__, Line.loss
            training_step, configure_optimizers = Line.training_step, Line.configure_optimizers

        def made() -> Any:
            own = Own.__new__(Own)
            module.LightningModule.__init__(own)
            own.layer, own.how = torch.nn.Linear(2, 1), {}
            return own
    else:
        made = Line
    for give in ("wrap", "bridge"):
        trace = Trace()
        native = [bridge([trace])] if give == "bridge" else []
        trainer = module.Trainer(max_epochs=1, callbacks=native, **QUIET)
        it = trainhooks.wrap(trainer, callbacks=[trace], plugins="none") if give == "wrap" else trainer
        it.fit(made(), rows())
        assert trace.outline() == f"setup train[ epoch0[ {BATCHES} ] ] teardown"


def test_a_bridge_serves_many_fits() -> None:
    stopper = EarlyStopping("loss", patience=1, min_delta=100.0)
    carried = bridge([stopper])
    for _ in range(2):
        pl.Trainer(max_epochs=5, callbacks=[carried], **QUIET).fit(Line(), rows())
        assert (carried.run.epochs_done, carried.run.outcome) == (2, "stopped")
    assert isinstance(copy.copy(carried), type(carried))  # a strategy that spawns processes sends it there


def test_evaluations_are_runs_of_their_own() -> None:
    trace = Trace()
    it, module = wrapped(trace, max_epochs=1), Line()
    it.fit(module, rows())
    fitted = it.run
    for name, event in (("validate", "test"), ("test", "test"), ("predict", "predict")):
        trace.events = []
        getattr(it, name)(module, rows(), **({} if name == "predict" else {"verbose": False}))
        assert trace.outline() == f"setup {event}[ {BATCHES} ] teardown"
        assert it.run is not fitted
    it.test(module, rows(), verbose=False)
    assert list(it.run.logs) == ["loss"]


def test_a_prediction_has_its_outputs() -> None:
    class Predicts(Line):
        def predict_step(self, batch: Any, batch_idx: int) -> Any:
            return self.layer(batch)

    seen: list[Any] = []

    class Keep(Callback):
        def on_predict_batch_end(self, batch: int, outputs: Any) -> None:
            seen.append((batch, tuple(outputs.shape)))

    wrapped(Keep()).predict(Predicts(), rows())
    assert seen == [(0, (2, 1)), (1, (2, 1)), (2, (2, 1))]


def test_a_callback_that_needs_an_optimizer_sits_out_an_evaluation_that_has_none() -> None:
    trace = Trace()
    it = wrapped(ReduceLROnPlateau("val_loss"), trace)
    it.validate(Line(), rows(), verbose=False)
    assert trace.outline() == f"setup test[ {BATCHES} ] teardown"


def test_what_is_lacking_is_refused_with_words_before_a_batch_is_trained() -> None:
    class Needs(Callback):
        requires = frozenset({"optimizer_average"})

    module = Line()
    with pytest.raises(errors.CapabilityError, match=r"Needs .*EMA\(decay\)"):
        wrapped(Needs(), max_epochs=1).fit(module, rows())
    assert module.global_step == 0


def test_without_an_optimizer_a_learning_rate_is_refused_with_words() -> None:
    class Without(Line):
        def configure_optimizers(self) -> None:
            return None

    with pytest.raises(errors.CapabilityError, match=r"configure_optimizers\(\) gave none"):
        wrapped(ReduceLROnPlateau("loss"), max_epochs=1).fit(Without(), rows())


def test_arguments_of_other_trainers_are_refused() -> None:
    trainer = pl.Trainer(**QUIET)
    with pytest.raises(TypeError, match="configure_optimizers"):
        trainhooks.wrap(trainer, callbacks=[], optimizer=object())
    with pytest.raises(TypeError, match="there is no argument 'evaluator'"):
        trainhooks.wrap(trainer, callbacks=[], evaluator=None)
    with pytest.raises(errors.RegistrationError):
        wrap(trainer, callbacks=[print])  # type: ignore[list-item]


def test_callbacks_of_ours_among_lightnings_are_refused_with_a_hint() -> None:
    trainer = pl.Trainer(**QUIET)
    trainer.callbacks.append(EarlyStopping("val_loss"))
    with pytest.raises(TypeError, match=r"give it to wrap\(trainer, callbacks=\[...\]\)"):
        wrap(trainer).fit(Line(), rows())


def test_a_trainer_with_a_bridge_is_not_wrapped_as_well() -> None:
    with pytest.raises(TypeError, match="has a bridge among its callbacks already"):
        wrap(pl.Trainer(callbacks=[bridge([])], **QUIET)).fit(Line(), rows())


def test_all_else_of_a_wrapped_trainer_is_the_trainers_own() -> None:
    trainer = pl.Trainer(max_epochs=3, **QUIET)
    it = wrap(trainer)
    assert (it.run, it.max_epochs, it.fit_loop) == (None, 3, trainer.fit_loop)
    it.should_stop = True
    assert trainer.should_stop
    assert {"fit", "run", "should_stop"} <= set(dir(it))
    assert repr(it).startswith("<trainhooks around <lightning.")


def test_ours_come_before_lightnings_checkpoints_and_after_its_other_callbacks(tmp_path: Path) -> None:
    order: list[str] = []

    class Native(pl.callbacks.Callback):
        def on_train_batch_end(self, *rest: Any) -> None:
            order.append(f"{len(order)}: native")

    class Checkpoint(pl.callbacks.ModelCheckpoint):
        def on_train_batch_end(self, *rest: Any) -> None:
            order.append(f"{len(order)}: checkpoint")

    native = [Checkpoint(tmp_path), Native()]
    ours = Do("train_batch_end", lambda run: order.append(f"{len(order)}: ours"), nth=None)
    it = wrapped(ours, native=native, enable_checkpointing=True, max_epochs=1, limit_train_batches=1)
    it.fit(Line(), rows())
    assert order == ["0: native", "1: ours", "2: checkpoint"]


def test_nothing_is_left_where_the_module_brings_callbacks_of_its_own() -> None:
    class Brings(Line):
        def configure_callbacks(self) -> Any:
            return [pl.callbacks.Timer()]

    trace = Trace()
    it = wrapped(trace, max_epochs=1)
    it.fit(Brings(), rows())
    assert trace.outline() == f"setup train[ epoch0[ {BATCHES} ] ] teardown"
    assert [type(one).__name__ for one in it.callbacks] == ["Timer"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
def test_several_processes_decide_alike_and_one_of_them_writes(tmp_path: Path) -> None:
    class Apart(Line):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            told = (1.0, 0.5, 0.75, 0.875, 1.0)[self.current_epoch]
            self.log("val_loss", torch.tensor(told + self.global_rank))

    class Ended(Callback):
        ranks = "all"

        def on_teardown(self, run: Any) -> None:
            (tmp_path / f"{run.world.rank}").write_text(f"{run.outcome} {run.epochs_done}")

    callbacks = EarlyStopping("val_loss", patience=2), CSVLogger(tmp_path / "log.csv"), Ended()
    it = wrapped(*callbacks, max_epochs=5, devices=2, strategy="ddp_fork")
    it.fit(Apart(), rows(), rows())
    assert [(tmp_path / rank).read_text() for rank in "01"] == ["stopped 4", "stopped 4"]
    table = [line.split(",")[-1] for line in (tmp_path / "log.csv").read_text().split()]
    assert table == ["val_loss", "1.5", "1.0", "1.25", "1.375"]
