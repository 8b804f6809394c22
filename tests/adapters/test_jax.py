"""Callbacks around JAX loops, with optax and with flax.nnx: they decide as under the reference loop."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("optax", reason="optax is not installed")
pytest.importorskip("flax", reason="flax is not installed")

import jax
import jax.numpy as jnp
import optax
from bench_jax import JaxBench
from bench_nnx import NnxBench
from jax_lives import live
from trainhooks_adapters.jax import TrainState, wrap

import trainhooks
from trainhooks.callbacks import CSVLogger, EarlyStopping
from trainhooks.testing import Bench, ReferenceBench, StopAt, Trace

BENCHES = pytest.mark.parametrize("kind", [JaxBench, NnxBench])
LIVES = Path(__file__).with_name("jax_lives.py")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@BENCHES
@pytest.mark.parametrize("error", [KeyboardInterrupt(), ZeroDivisionError("in the user's step")])
def test_an_exception_of_the_loop_comes_out_itself_and_is_told(kind: type[Bench], error: BaseException) -> None:
    trace = Trace()
    with pytest.raises(type(error)) as caught:
        kind().train([{"loss": 1.0}, error], [trace, CSVLogger("log.csv")])
    assert caught.value is error
    assert [name for name, _ in trace.events][-2:] == ["exception", "teardown"]
    assert Path("log.csv").read_text().splitlines() == ["epoch,loss", "0,1.0"]


@BENCHES
@pytest.mark.parametrize("event", ["train_begin", "train_batch_end", "test_end", "epoch_end"])
def test_a_stop_in_any_event_ends_the_epoch_as_in_the_reference_loop(kind: type[Bench], event: str) -> None:
    told = []
    for bench in (ReferenceBench(), kind()):
        trace = Trace()
        run = bench.train([{"loss": 1.0, "val_loss": 1.0}] * 2, [StopAt(event), trace])
        told.append((trace.outline(), run.step, run.stop_reason))
    assert told[0] == told[1]


@BENCHES
def test_one_model_is_trained_twice_and_its_second_run_knows_nothing_of_the_first(kind: type[Bench]) -> None:
    bench, stopper = kind(), EarlyStopping(patience=1)
    runs = [bench.train([{"loss": 1.0, "val_loss": 1.0}] * 3, [stopper]) for _ in range(2)]
    assert [(run.epochs_done, run.outcome) for run in runs] == [(2, "stopped")] * 2


def test_a_process_that_was_killed_is_gone_on_with_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lives = {}
    for kind in ("optax", "nnx"):  # at the same time
        (tmp_path / kind).mkdir()
        lives[kind] = subprocess.Popen([sys.executable, str(LIVES), kind], cwd=tmp_path / kind)
    for kind, life in lives.items():
        assert life.wait() == 9
        monkeypatch.chdir(tmp_path / kind)
        run, weights = live(kind)  # the backup of the dead process is here
        with np.load("whole.npz") as whole:
            assert {name: array.tobytes() for name, array in weights.items()} == {
                name: whole[name].tobytes() for name in whole
            }
        logs = [[record.epoch, record.logs] for record in run.history]
        assert f"{run.resumed}\n{run.stop_reason}\n{logs}" == f"True\n{Path('whole.txt').read_text()}"


def test_wrap_by_its_own_name_is_the_same_and_refuses_what_it_does_not_know() -> None:
    state = TrainState({"w": jnp.ones(2)}, (), lr=0.5)
    with wrap(state, callbacks=[trace := Trace()]) as run:
        assert (run.framework, run.model, run.optimizer, run.lr) == ("jax", state, None, 0.5)
    assert [name for name, _ in trace.events] == ["setup", "teardown"]
    with pytest.raises(TypeError, match=r"no argument 'donate'\. Did you mean 'donates'"):
        trainhooks.wrap(state, donate=True)
    with pytest.raises(TypeError, match=r"given to it: TrainState\(params, opt_state, donates=True\)"):
        trainhooks.wrap(state, optimizer=optax.sgd(0.1))
    with pytest.raises(TypeError, match=r"wrap\(MultiSteps\): hold it in state = TrainState"):
        wrap(optax.MultiSteps(optax.sgd(0.1), 2))


@pytest.mark.parametrize("need", ["optimizer_step", "gradients", "graph", "optimizer_average", "lr"])
def test_a_callback_that_needs_what_jax_lacks_is_refused_in_words(need: str) -> None:
    class Asks(trainhooks.Callback):
        requires = {need}

    params = {"w": jnp.ones(2)}
    words = {"lr": "inject_hyperparams.*TrainState\\(..., lr=1e-3\\)", "gradients": "clip_by_global_norm"}
    with pytest.raises(trainhooks.errors.CapabilityError, match=words.get(need, need)):
        trainhooks.wrap(TrainState(params, optax.adam(1e-3).init(params)), callbacks=[Asks()])


def test_a_loop_that_keeps_its_parameters_elsewhere_is_told_so() -> None:
    params = {"w": jnp.ones(2)}
    warned = pytest.warns(UserWarning, match=r"nothing that callbacks see has changed.*write state\.params")
    with warned as told, trainhooks.wrap(TrainState(params)) as run:
        for _ in run.epochs(3):
            for _ in run.train(range(2)):
                params = jax.tree.map(jnp.cos, params)
    assert len(told) == 1


def test_without_jax_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    state = TrainState({"w": np.ones(2)})
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(trainhooks.errors.FrameworkNotInstalledError, match=r"pip install 'trainhooks\[jax\]'"):
        trainhooks.wrap(state)
