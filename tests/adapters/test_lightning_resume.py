"""A killed fit goes on as if there had been no stop, from our checkpoints and from Lightning's; what is in those."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lightning", reason="lightning is not installed")

import torch
from bench_lightning import Line, rows, wrapped
from lightning.pytorch.callbacks import EarlyStopping as NativeEarlyStopping
from lightning.pytorch.callbacks import ModelCheckpoint as NativeCheckpoint
from torch.utils.data import DataLoader

from trainhooks import Callback, Run
from trainhooks.callbacks import BackupAndRestore, EarlyStopping, ReduceLROnPlateau
from trainhooks.testing import Do, StopAt, Trace

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")

SCRIPTED = (1.0, 0.5, 0.75, 0.875, 1.0, 1.0, 1.0)
"""With a patience of 3 training stops after five epochs."""


class Scripted(Line):
    """Its validations report ``SCRIPTED``; under a momentum, so that the optimizer has something to lose."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", torch.tensor(SCRIPTED[self.current_epoch]))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.0625, momentum=0.5)


class Rates(Callback):
    """The learning rate at the end of each epoch; a new run's goes on with those of its state."""

    phase = "save"

    def __init__(self) -> None:
        self.kept: list[float] = []

    def on_epoch_end(self, run: Run) -> None:
        self.kept.append(run.lr)

    def state_dict(self) -> dict[str, Any]:
        return {"kept": self.kept}

    def load_state_dict(self, state: Any) -> None:
        self.kept = list(state["kept"])


def train(*callbacks: Any, ckpt_path: Any = None, module: Any = None, **trainer: Any) -> dict[str, Any]:
    """A fit whose end, and all that it decided, is told."""
    rates, stopper = Rates(), EarlyStopping("val_loss", patience=3, restore_best_weights=True)
    module = module or Scripted()
    plateau = ReduceLROnPlateau("val_loss", factor=0.5, patience=1)
    it = wrapped(stopper, plateau, rates, *callbacks, **{"max_epochs": 7, **trainer})
    it.fit(module, rows(), rows(), ckpt_path=ckpt_path)
    return {
        "ended": (it.run.outcome, it.run.epochs_done, it.run.stop_reason, stopper.best),
        "counts": (it.run.step, it.run.optimizer_step, it.global_step, it.current_epoch),
        "rates": rates.kept,
        "history": [(one.epoch, one.logs["loss"], one.logs["val_loss"]) for one in it.run.history],
        "weights": [weight.tolist() for weight in module.state_dict().values()],
    }


def train_until_killed() -> None:
    """Run in a process of its own, which ends in the second batch of the fourth epoch without a word."""
    killer = Do("train_batch_end", lambda run: os._exit(9), nth=10)
    native = [NativeCheckpoint("native", filename="{epoch}", save_top_k=-1)]
    train(BackupAndRestore("ours", save_freq="epoch"), killer, native=native, enable_checkpointing=True)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that was killed: checkpoints of Lightning's in ``native``, ours in ``ours``."""
    folder, here = tmp_path_factory.mktemp("killed"), Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent)])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "import test_lightning_resume as it; it.train_until_killed()"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 9, done.stderr
    return folder


def test_a_killed_training_goes_on_from_lightnings_checkpoint(killed: Path) -> None:
    assert train(ckpt_path=killed / "native" / "epoch=2.ckpt") == train()


def test_a_killed_training_goes_on_from_our_backup(killed: Path) -> None:
    assert train(BackupAndRestore(killed / "ours", delete_checkpoint=False)) == train()


def test_a_killed_training_goes_on_from_the_folder_of_our_backups(killed: Path) -> None:
    assert train(resume=killed / "ours") == train()


def test_lightnings_checkpoint_holds_our_state_as_tensors_and_plain_values(killed: Path) -> None:
    held = torch.load(killed / "native" / "epoch=2.ckpt", weights_only=True)["callbacks"]["trainhooks"]
    assert held["progress"]["epochs_done"] == 3
    assert held["trainable"] is None  # weights and optimizer are in it already
    kinds: set[type] = set()

    def look(value: Any) -> None:
        kinds.add(type(value))
        for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            look(one)

    look(held)
    assert kinds <= {dict, list, str, int, float, bool, type(None), torch.Tensor}


inside_epochs = pytest.mark.skipif(
    not hasattr(wrapped().fit_loop, "restarted_mid_epoch"),
    reason="Lightning 2.3 trains the batch of a checkpoint inside an epoch again",
)


def checkpoints(folder: Path, **how: Any) -> NativeCheckpoint:
    return NativeCheckpoint(folder, filename="{epoch}-{step}", save_top_k=-1, **how)


@inside_epochs
def test_lightnings_checkpoint_inside_an_epoch_goes_on_with_the_means_so_far(tmp_path: Path) -> None:
    """Lightning begins the data anew, so each batch is the same here."""
    whole, rest = Trace(), Trace()
    loader = [torch.ones(2, 2)] * 3

    def fit(trace: Trace, ckpt_path: Any = None, **trainer: Any) -> Any:
        it = wrapped(trace, max_epochs=2, **trainer)
        it.fit(Line(), DataLoader(loader, batch_size=None), DataLoader(loader, batch_size=None), ckpt_path=ckpt_path)
        return it.run

    expected = fit(whole, native=[checkpoints(tmp_path, every_n_train_steps=2)], enable_checkpointing=True)
    came = fit(rest, tmp_path / "epoch=0-step=2.ckpt")
    assert rest.outline().startswith("setup train[ epoch0[ batch2[] test[ ")
    assert [record.logs for record in came.history] == [record.logs for record in expected.history]
    assert (came.step, came.optimizer_step, came.outcome) == (6, 6, "completed")


@inside_epochs
def test_lightnings_checkpoint_of_a_validation_between_batches_keeps_what_it_found(tmp_path: Path) -> None:
    how = {"val_check_interval": 2, "max_epochs": 1}
    it = wrapped(native=[checkpoints(tmp_path)], enable_checkpointing=True, **how)
    it.fit(Line(), rows(), rows())
    rest = wrapped(**how)
    rest.fit(Line(), rows(), rows(), ckpt_path=next(tmp_path.glob("*step=2.ckpt")))
    assert rest.run.history[0].logs["val_loss"] == it.run.history[0].logs["val_loss"]


@inside_epochs
@pytest.mark.parametrize("when", [{"every_n_train_steps": 3}, {"save_on_train_epoch_end": True}], ids=str)
def test_a_checkpoint_of_the_last_batch_leaves_nothing_to_train(when: Any, tmp_path: Path) -> None:
    wrapped(native=[checkpoints(tmp_path, **when)], enable_checkpointing=True, max_epochs=1).fit(Line(), rows())
    rest = wrapped(max_epochs=1)
    rest.fit(Line(), rows(), ckpt_path=next(tmp_path.glob("*.ckpt")))
    assert (rest.run.outcome, rest.run.step, rest.run.epochs_done) == ("completed", 3, 1)


@inside_epochs
def test_an_epoch_whose_checkpoint_is_of_its_last_batch_ends_before_the_next_one(tmp_path: Path) -> None:
    whole = wrapped(native=[checkpoints(tmp_path, every_n_train_steps=3)], enable_checkpointing=True, max_epochs=2)
    whole.fit(Line(), rows())
    trace = Trace(batches=False)
    rest = wrapped(trace, max_epochs=2)
    rest.fit(Line(), rows(), ckpt_path=next(tmp_path.glob("*step=3.ckpt")))
    assert trace.names[2:6] == ["epoch_begin", "epoch_end"] * 2
    assert rest.run.history == whole.run.history


def test_a_stop_of_ours_stays_one_in_lightnings_checkpoint_and_one_of_lightnings_does_not(tmp_path: Path) -> None:
    def stopped(*callbacks: Any, native: Any = ()) -> Path:
        it = wrapped(*callbacks, native=native, max_epochs=3)
        it.fit(Line(), rows(), rows())
        assert (it.run.outcome, it.run.epochs_done) == ("stopped", 1)
        it.save_checkpoint(tmp_path / "last.ckpt")
        return tmp_path / "last.ckpt"

    path, rest = stopped(StopAt("epoch_end", reason="enough")), wrapped(max_epochs=3)
    with pytest.warns(UserWarning, match="resume_stopped=True has it go on"):
        rest.fit(Line(), rows(), rows(), ckpt_path=path)
    assert (rest.run.outcome, rest.run.epochs_done) == ("stopped", 1)
    path = stopped(native=[NativeEarlyStopping("val_loss", patience=1, stopping_threshold=100.0)])
    rest.fit(Line(), rows(), rows(), ckpt_path=path)
    assert (rest.run.outcome, rest.run.epochs_done) == ("completed", 3)


def test_a_checkpoint_without_our_state_is_lightnings_business(tmp_path: Path) -> None:
    import lightning.pytorch as pl
    from bench_lightning import QUIET

    plain = pl.Trainer(max_epochs=1, **QUIET)
    plain.fit(Line(), rows())
    plain.save_checkpoint(tmp_path / "plain.ckpt")
    trace = Trace()
    it = wrapped(trace, BackupAndRestore(tmp_path / "ours"), max_epochs=2)
    it.fit(Line(), rows(), ckpt_path=tmp_path / "plain.ckpt")
    assert trace.outline() == "setup train[ epoch1[ batch0[] batch1[] batch2[] ] ] teardown"
    assert (it.run.resumed, it.run.epochs_done, it.run.outcome) == (False, 2, "completed")


def test_both_kinds_of_checkpoints_at_once_are_refused(killed: Path) -> None:
    with pytest.raises(ValueError, match="give one of them"):
        train(ckpt_path=killed / "native" / "epoch=2.ckpt", resume=killed / "ours")


def test_what_is_saved_after_an_exception_is_without_our_state_and_says_so(tmp_path: Path) -> None:
    class Saves(Callback):
        def on_train_batch_begin(self, run: Run) -> None:
            it.save_checkpoint(tmp_path / "inside.ckpt")

    it = wrapped(Saves(), max_epochs=1)
    with pytest.warns(UserWarning, match="is without the callbacks' states"):
        it.fit(Line(), rows())
    assert "trainhooks" not in torch.load(tmp_path / "inside.ckpt", weights_only=True)["callbacks"]
