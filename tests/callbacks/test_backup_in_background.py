"""BackupAndRestore(background=True): training goes on while a thread writes.

fit(model, data, callbacks=[BackupAndRestore("backup", background=True)])
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainhooks import MLP, Callback, Run, fit, store
from trainhooks.callbacks._background import Background
from trainhooks.callbacks.backup_and_restore import BackupAndRestore
from trainhooks.store.disk import Disk, exchanged
from trainhooks.testing import Do, RaiseAt
from trainhooks.trainable import OnDevice

X, Y = np.arange(12.0, dtype=np.float32).reshape(6, 2) / 12, np.array([0, 1, 0, 1, 0, 1])


def written() -> None:
    """Wait for what is being written."""
    for thread in threading.enumerate():
        if thread.name == "trainhooks-write":
            thread.join()


class Gate(Disk):
    """A disk on which nothing is written while the gate is shut."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.at_once = self.most_at_once = 0

    def make_folder(self, path: Path) -> None:
        if path.name.startswith("."):  # a checkpoint in the making
            self.at_once += 1
            self.most_at_once = max(self.at_once, self.most_at_once)
            assert self.open.wait(60)
        super().make_folder(path)

    def rename(self, path: Path, target: Path) -> None:
        super().rename(path, target)
        if not target.name.startswith("."):
            self.at_once -= 1


class Tells(Callback):
    """Works with what its state holds."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.array = np.zeros(3)

    def on_train_batch_end(self, run: Run) -> None:
        self.seen.append(run.step)
        self.array += 1

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen, "nested": [{"array": self.array}]}

    def load_state_dict(self, state: Any) -> None:
        self.seen, self.array = state["seen"], state["nested"][0]["array"]


def test_training_goes_on_while_it_writes_and_what_is_written_is_as_it_was_then(tmp_path: Path) -> None:
    model, tells, gate = MLP((2, 2), optimizer="adam"), Tells(), Gate()
    weights: list[Any] = []
    look = Do("train_batch_end", lambda run: weights.append(run.get_weights()), None)
    free = Do("train_batch_begin", lambda run: gate.open.set(), 3)  # the fourth would wait for ever otherwise
    backup = BackupAndRestore(tmp_path, 4, background=True, delete_checkpoint=False)
    with exchanged(gate):
        run = fit(model, (X, Y), batch_size=1, callbacks=[backup, tells, look, free])
    assert (run.step, gate.most_at_once, tells.seen) == (6, 1, [1, 2, 3, 4, 5, 6])
    [(path, state)] = [(found.path, store.load_checkpoint(found.path)) for found in store.checkpoints(tmp_path)]
    assert (path.name, state["progress"]["step"]) == ("backup-000002", 4)
    assert state["callbacks"]["Tells"]["seen"] == [1, 2, 3, 4]
    assert state["callbacks"]["Tells"]["nested"][0]["array"].tolist() == [4, 4, 4]
    for name, array in weights[3].items():
        assert state["trainable"][f"weights/{name}"].tolist() == array.tolist()
        assert weights[5][name].tolist() != array.tolist()


def test_at_the_end_of_the_first_write_the_folder_holds_the_state_of_its_beginning(tmp_path: Path) -> None:
    gate, tells = Gate(), Tells()
    found: list[Any] = []

    def see(run: Run) -> None:
        found.append(store.checkpoints(tmp_path))  # three steps on, nothing is there
        gate.open.set()
        written()
        found.append(store.load_latest(tmp_path)[1]["callbacks"]["Tells"])  # type: ignore[index]

    with exchanged(gate):
        callbacks = [BackupAndRestore(tmp_path, background=True), tells, Do("train_batch_end", see, 2)]
        fit(MLP((2, 2)), (X, Y), batch_size=1, callbacks=callbacks)
    assert found[0] == []
    assert (found[1]["seen"], found[1]["nested"][0]["array"].tolist()) == ([], [0, 0, 0])


@pytest.mark.parametrize("background", [False, True])
def test_where_training_begins_at_an_epoch_its_start_too_is_as_it_was_then(tmp_path: Path, background: bool) -> None:
    class Whole(MLP):
        def missing(self, need: str) -> str | None:
            return "it begins at an epoch." if need == "mid_epoch" else super().missing(need)

    backup = BackupAndRestore(tmp_path, 4, background=background, delete_checkpoint=False)
    fit(Whole((2, 2)), (X, Y), epochs=2, batch_size=2, callbacks=[backup, Tells()])
    _, state = store.load_latest(tmp_path)  # type: ignore[misc]
    start = state["epoch_start"]
    # a copy of what callbacks gave, which go on working with theirs
    assert (start["progress"]["step"], start["callbacks"]["Tells"]["seen"]) == (3, [1, 2, 3])


def test_what_is_on_a_device_is_read_in_the_thread(tmp_path: Path) -> None:
    read: list[str] = []

    class Device(MLP):
        def state_snapshot(self) -> dict[str, Any]:
            def later(array: Any) -> OnDevice:
                def values() -> Any:
                    read.append(threading.current_thread().name)
                    return array

                return OnDevice(values, array.shape, array.dtype)

            return {name: later(one) if hasattr(one, "shape") else one for name, one in super().state_dict().items()}

    fit(Device((2, 2)), (X, Y), callbacks=[BackupAndRestore(tmp_path, background=True, delete_checkpoint=False)])
    assert set(read) == {"trainhooks-write"}
    resumed = fit(Device((2, 2)), (X, Y), callbacks=[BackupAndRestore(tmp_path)])
    assert (resumed.step, resumed.resumed) == (1, True)


def test_on_torch_what_is_written_is_as_it_was_then(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    import trainhooks

    module = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5, momentum=0.9)
    gate, kept = Gate(), []
    backup = BackupAndRestore(tmp_path, 2, background=True, delete_checkpoint=False)

    def step() -> None:
        optimizer.zero_grad()
        module(torch.ones(1, 2)).sum().backward()
        optimizer.step()

    with exchanged(gate), trainhooks.wrap(module, optimizer=optimizer, callbacks=[backup]) as run:
        for _ in run.epochs(1):
            for batch in run.train(range(3)):
                if batch == 1:
                    gate.open.set()
                    written()
                    gate.open.clear()  # the next one is written when this epoch is over
                step()
                kept.append(module.weight.detach().numpy().copy())
                optimizer.param_groups[0]["dampening"] = float(batch)
        gate.open.set()
    state = store.load_latest(tmp_path)[1]  # type: ignore[index]
    told = state["trainable"]
    assert (state["progress"]["step"], told["optimizers"][0]["param_groups"][0]["dampening"]) == (2, 1.0)
    assert told["model"]["weight"].tolist() == kept[1].tolist() != kept[2].tolist()


# Errors


class Broken(Disk):
    """Refuses whatever it is to sync, while ``broken``."""

    broken = False

    def sync(self, descriptor: int) -> None:
        if self.broken:
            raise OSError(28, "No space left on device")
        super().sync(descriptor)


@pytest.mark.parametrize("breaks, raised_at", [(1, 2), (2, "teardown")])
def test_what_the_thread_raises_is_raised_at_the_next_save_or_in_the_end(
    tmp_path: Path, breaks: int, raised_at: Any
) -> None:
    disk, at = Broken(), []

    class Break(Callback):
        def on_epoch_begin(self, epoch: int) -> None:
            written()
            disk.broken = epoch == breaks

        def on_exception(self, run: Run) -> None:
            at.append(run.epoch)

    backup = BackupAndRestore(tmp_path, background=True)
    with exchanged(disk), pytest.raises(OSError, match="No space left"):
        fit(MLP((2, 2)), (X, Y), epochs=3, callbacks=[backup, Break()])
    assert at == ([raised_at] if raised_at != "teardown" else [])
    newest = store.checkpoints(tmp_path, verify=True)[-1]
    assert (newest.about["epoch"], newest.problem) == ((3, None) if breaks == 1 else (2, None))


def test_an_exception_of_training_waits_for_the_write_and_is_what_is_raised(tmp_path: Path) -> None:
    crash = RaiseAt("train_batch_begin", 0, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        fit(MLP((2, 2)), (X, Y), callbacks=[BackupAndRestore(tmp_path, background=True), crash])
    assert [found.problem for found in store.checkpoints(tmp_path, verify=True)] == [None]
    assert [thread for thread in threading.enumerate() if thread.name == "trainhooks-write"] == []


# The thread


def test_jobs_run_one_after_the_other_and_an_error_is_told_once() -> None:
    background, told, go = Background(), [], threading.Event()

    def first() -> None:
        assert go.wait(60)
        told.append("first")
        raise KeyError("first")

    background.start(first)
    told.append("training")
    go.set()
    with pytest.raises(KeyError, match="first"):
        background.start(lambda: told.append("never"))
    background.wait()
    background.start(lambda: told.append("second"))
    background.wait()
    assert told == ["training", "first", "second"]


def python(text: str) -> str:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(text)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_program_that_ends_waits_for_the_write() -> None:
    said = python("""
        import threading
        from trainhooks.callbacks._background import Background
        def job():
            threading.main_thread().join()
            print("written")
        Background().start(job)
        print("end")
    """)
    assert said.splitlines() == ["end", "written"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills of POSIX")
def test_killed_at_any_operation_of_a_write_it_leaves_the_backup_before_or_the_new_one() -> None:
    said = python("""
        import os, signal, tempfile, threading
        from pathlib import Path
        import numpy as np
        from trainhooks import MLP, fit, store
        from trainhooks.callbacks.backup_and_restore import BackupAndRestore
        from trainhooks.store.disk import exchanged
        from trainhooks.testing import Do, FaultyDisk

        DATA = np.ones((2, 2), np.float32), np.zeros(2, int)

        class Deadly(FaultyDisk):
            def _count(self, operation):
                if self.nth == len(self.done) and threading.current_thread() is not threading.main_thread():
                    os.kill(os.getpid(), signal.SIGKILL)
                super()._count(operation)

        def life(folder, nth):
            backup = BackupAndRestore(folder, background=True, delete_checkpoint=False)
            with exchanged(Deadly(nth)):
                return fit(MLP((2, 2)), DATA, epochs=2, callbacks=[backup])

        for nth in range(60):
            with tempfile.TemporaryDirectory() as folder:
                child = os.fork()
                if not child:
                    life(folder, nth)
                    os._exit(0)
                status = os.waitpid(child, 0)[1]
                found = store.checkpoints(folder, verify=True)
                assert [one.problem for one in found] == [None] * len(found)
                assert life(folder, None).epochs_done == 2
                left = [path.name for path in Path(folder).iterdir()]
                assert left and all(name.startswith("backup-") for name in left), left
                print(os.WIFSIGNALED(status), found[-1].about["epoch"] if found else -1)
    """)
    lives = [line.split() for line in said.splitlines()]
    killed = [int(epoch) for was_killed, epoch in lives if was_killed == "True"]
    assert (killed, sorted(set(killed)), len(killed) > 40) == (sorted(killed), [-1, 0, 1, 2], True)
    assert lives[-1] == ["False", "2"]
