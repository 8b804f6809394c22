"""What holds alike where a framework prepares the parts of a user's own loop: of Accelerate and of Fabric.

A test file of one of them has the fixtures ``made``, which makes its bench; ``adapter``; ``name``; and ``keep``, the
checkpoints of the framework itself.
"""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from prepared_killed import HISTORY, callbacks

import trainhooks
from trainhooks import Callback
from trainhooks.callbacks import EMA, EarlyStopping, GradientClipping, ModelCheckpoint, ReduceLROnPlateau
from trainhooks.testing import Do, Trace

Made = Callable[..., Any]


def test_weights_go_by_the_names_of_the_plain_model_and_fit_it_both_ways(made: Made) -> None:
    bench, run = (bench := made()), bench.wrap([])
    assert (list(run.get_weights()), run.model) == (["weight", "bias"], bench.model)
    plain = trainhooks.wrap(torch.nn.Linear(2, 1), plugins="none")
    plain.set_weights(run.get_weights())
    assert torch.equal(plain.model.weight, bench.plain.weight)
    run.set_weights({"weight": np.full((1, 2), 2.0, np.float32), "bias": np.full(1, 3.0, np.float32)})
    assert bench.plain.state_dict()["weight"].tolist() == [[2.0, 2.0]]
    kept = run.snapshot()
    run.set_weights(plain.get_weights())
    run.restore(kept)
    assert bench.plain.bias.tolist() == [3.0]


def test_a_compiled_model_has_plain_names_too(made: Made) -> None:
    bench = made(compiled=True)
    run = bench.wrap([])
    assert list(run.get_weights()) == ["weight", "bias"]
    names = [name for group in run.state_dict()["trainable"]["parameters"][0] for name, _ in group]
    assert names == ["weight", "bias"]


@pytest.mark.parametrize("suffix", ["", ".pt", ".safetensors"])
def test_files_fit_the_plain_model(made: Made, suffix: str, tmp_path: Path) -> None:
    bench = made()
    bench.train(HISTORY[:1], [ModelCheckpoint(tmp_path / f"best{suffix}", save_best_only=True)])
    plain = torch.nn.Linear(2, 1)
    if suffix == ".safetensors":
        from safetensors.torch import load_file

        plain.load_state_dict(load_file(tmp_path / "best.safetensors"))
    else:
        plain.load_state_dict(torch.load(tmp_path / "best.pt", weights_only=True))
    assert torch.equal(plain.weight, bench.plain.weight)


def test_an_update_is_counted_only_where_the_weights_move(made: Made) -> None:
    bench, seen = made(accumulate=2), []
    with bench.wrap([GradientClipping(norm=1.0)]) as run:
        run.on("optimizer_step")(lambda run: seen.append(run.step))
        for _ in run.epochs(4):
            for (x,) in run.train(bench.loader):
                bench.accumulated(x)
    assert (run.step, run.optimizer_step, seen) == (8, 4, [1, 3, 5, 7])


def test_a_step_that_the_scaler_skips_is_none(made: Made) -> None:
    bench = made(scaler=torch.amp.GradScaler("cpu", init_scale=4.0))
    before = bench.plain.weight.detach().clone()
    with bench.wrap([]) as run:
        for _ in run.epochs(1):
            for (x,) in run.train(bench.loader):
                bench.step(x * (float("inf") if run.batch == 0 else 1.0))
                if run.batch == 0:
                    assert torch.equal(before, bench.plain.weight)
    state = run.state_dict()["trainable"]["scalers"]
    assert (run.step, run.optimizer_step, state[0]["scale"]) == (2, 1, 2.0)


def test_a_learning_rate_that_is_set_reaches_the_optimizer_inside(made: Made) -> None:
    bench = made()
    bench.train(HISTORY, [ReduceLROnPlateau("val_loss", patience=1, factor=0.5)])
    assert [group["lr"] for group in bench.inner.param_groups] == [0.125 / 16, 0.0625 / 16]


def test_a_schedulers_state_goes_with_the_runs_and_of_two_owners_the_later_wins(made: Made) -> None:
    bench = made(scheduled=True)
    with bench.wrap([]) as run:
        for _ in run.epochs(2):
            for (x,) in run.train(bench.loader):
                bench.step(x)
                bench.scheduler.step()
        with pytest.warns(UserWarning, match="also sets it"):
            run.lr = 1.0
    state = run.state_dict()
    other = made(scheduled=True)
    again = other.wrap([], resume=state)
    assert again.lrs == run.lrs == [1.0, 0.5]
    assert other.scheduler.state_dict()["last_epoch"] == bench.scheduler.state_dict()["last_epoch"] == 4


def test_without_an_optimizer_what_needs_one_is_refused_in_words(made: Made) -> None:
    bench = made()
    bench.optimizer = None
    with pytest.raises(
        trainhooks.errors.CapabilityError, match=r"given no optimizer\. Use trainhooks\.wrap.*model=model"
    ):
        bench.wrap([ReduceLROnPlateau("val_loss")])
    with bench.wrap([EarlyStopping("loss")]) as run:
        for _ in run.epochs(1):
            for _ in run.train(bench.loader):
                run.log(loss=1)
    assert (run.optimizer_step, run.epochs_done) == (None, 1)


def test_what_is_no_model_or_unknown_is_refused_in_words(made: Made) -> None:
    target = made().target
    with pytest.raises(TypeError, match="the model is needed too"):
        trainhooks.wrap(target, callbacks=[])
    with pytest.raises(TypeError, match=re.escape("wrap(7): a torch.nn.Module is needed.")):
        trainhooks.wrap(target, model=7)
    with pytest.raises(TypeError, match="no argument 'modell'"):
        trainhooks.wrap(target, modell=made().model)
    with pytest.raises(TypeError, match=r"'sgd' is no torch\.optim\.Optimizer"):
        trainhooks.wrap(target, model=made().model, optimizer="sgd")


def test_the_typed_wrap_is_the_same(made: Made, adapter: Any, name: str) -> None:
    bench = made()
    run = adapter.wrap(bench.target, bench.model, bench.optimizer, [trace := Trace()], plugins="none")
    with run:
        assert (run.framework, run.model, run.optimizer) == (name, bench.model, bench.optimizer)
    assert trace.outline() == "setup teardown"


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_an_exception_comes_out_as_itself_and_nothing_stays_on(made: Made, kind: type[BaseException]) -> None:
    bench, error, trace = made(), kind("of the user"), Trace()
    with pytest.raises(kind) as caught:
        bench.train([HISTORY[0], error], [trace, EMA(0.5)])
    assert caught.value is error
    assert trace.outline().endswith(f"batch0[] batch1[ exception({kind.__name__}) teardown")
    assert bench.left_on() == []


def test_a_run_that_was_resumed_ends_as_one_that_was_not(made: Made) -> None:
    weights = made().train(HISTORY, [EarlyStopping("val_loss", patience=3)]).get_weights()
    state = made().train(HISTORY[:2], [EarlyStopping("val_loss", patience=3)]).state_dict()
    run = made().train(HISTORY, [EarlyStopping("val_loss", patience=3)], resume=state)
    assert (run.epochs_done, run.stop_source, run.step) == (5, "EarlyStopping", 10)
    assert {name: one.tolist() for name, one in run.get_weights().items()} == {
        name: one.tolist() for name, one in weights.items()
    }


def test_a_killed_process_is_gone_on_from_as_if_it_had_not_been(made: Made, name: str, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    expected = made().train(HISTORY, callbacks(tmp_path / "whole"))
    program = Path(__file__).with_name("prepared_killed.py")
    done = subprocess.run([sys.executable, program, name, tmp_path], capture_output=True, text=True, timeout=120)
    assert done.returncode == 9, done.stderr
    run = made().train(HISTORY, callbacks(tmp_path))
    assert (run.resumed, run.step, run.stop_reason) == (True, expected.step, expected.stop_reason)
    assert (run.history, run.lrs) == (expected.history, expected.lrs)
    assert (tmp_path / "log.csv").read_text() == (tmp_path / "whole" / "log.csv").read_text()
    for key, one in expected.get_weights().items():
        np.testing.assert_array_equal(run.get_weights()[key], one)


def test_the_frameworks_own_checkpoint_carries_patience_best_and_place(made: Made, keep: Any, tmp_path: Path) -> None:
    def deciders() -> list[Callback]:
        stopping = EarlyStopping("val_loss", patience=3, restore_best_weights=True)
        return [stopping, ReduceLROnPlateau("val_loss", patience=1)]

    expected = made().train(HISTORY, deciders())
    run = (first := made()).wrap(deciders())
    save, _ = keep(first, run)
    save_at = Do("epoch_end", lambda run: save(tmp_path / "kept"), nth=2)
    save_at.phase = "save"
    run.add(save_at)
    first.loop(run, HISTORY[:3])
    kept = deciders()
    again = (second := made()).wrap(kept)
    _, load = keep(second, again)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(tmp_path / "kept")
    assert (kept[0].best, kept[0].wait, again.epochs_done, again.resumed) == (0.5, 1, 3, True)
    second.loop(again, HISTORY)
    assert (again.epochs_done, again.stop_reason) == (expected.epochs_done, expected.stop_reason)
    assert again.history == expected.history
    assert again.lrs == expected.lrs
    for name, one in expected.get_weights().items():
        np.testing.assert_array_equal(again.get_weights()[name], one)


def test_a_checkpoint_is_loaded_before_the_run_begins(made: Made, keep: Any, tmp_path: Path) -> None:
    bench = made()
    run = bench.wrap([])
    save, load = keep(bench, run)
    save(tmp_path / "kept")
    with run, pytest.raises(trainhooks.errors.LoopError, match="Load before it"):
        load(tmp_path / "kept")
