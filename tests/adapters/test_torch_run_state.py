"""RunState: what a run adds to a checkpoint that a user, or a framework, writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trainhooks_adapters.torch import RunState, world_of_processes, wrap

import trainhooks
from trainhooks import Callback, World
from trainhooks.callbacks import EarlyStopping
from trainhooks.testing import Do

torch = pytest.importorskip("torch", reason="torch is not installed")


class Keeps(Callback):
    """Has one value as its state."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value}

    def load_state_dict(self, state: Any) -> None:
        self.value = state["value"]


class Loop:
    """A loop that draws its rows at random, and has a checkpoint of its user's."""

    def __init__(self, *callbacks: Any, **settings: Any) -> None:
        torch.manual_seed(0)
        self.model = torch.nn.Linear(1, 1)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9)
        self.loader = torch.utils.data.DataLoader(torch.arange(4.0).reshape(4, 1), shuffle=True)
        self.run = wrap(self.model, self.optimizer, callbacks, plugins="none", **settings)
        self.rows: list[float] = []

    def train(self, epochs: int = 4) -> Loop:
        with self.run as run:
            for _ in run.epochs(epochs):
                for x in run.train(self.loader):
                    self.rows.append(x.item())
                    self.model(x).square().sum().backward()
                    self.optimizer.step()
                    self.optimizer.zero_grad()
                    run.log(loss=1.0)
        return self

    def save(self, path: Path) -> None:
        parts = {"model": self.model, "optimizer": self.optimizer, "run": RunState(self.run)}
        kept = {name: part.state_dict() for name, part in parts.items()}
        torch.save({**kept, "random": torch.get_rng_state()}, path)

    def load(self, path: Path) -> Loop:
        kept = torch.load(path, weights_only=True)
        torch.set_rng_state(kept["random"])
        self.model.load_state_dict(kept["model"])
        self.optimizer.load_state_dict(kept["optimizer"])
        RunState(self.run).load_state_dict(kept["run"])
        return self


@pytest.mark.parametrize("event, nth", [("epoch_end", 1), ("train_batch_end", 5)])
def test_a_loop_goes_on_from_its_users_checkpoint(event: str, nth: int, tmp_path: Path) -> None:
    whole = Loop(EarlyStopping("loss", patience=2)).train()
    keep = Do(event, lambda run: kept.save(tmp_path / "kept.pt"), nth=nth)
    keep.phase = "save"
    kept = Loop(EarlyStopping("loss", patience=2), keep)
    kept.train()
    again = Loop(stopping := EarlyStopping("loss", patience=2)).load(tmp_path / "kept.pt").train()
    assert (again.run.history, again.run.stop_reason) == (whole.run.history, whole.run.stop_reason)
    assert (again.run.step, stopping.wait) == (whole.run.step, 2)
    assert torch.equal(again.model.weight, whole.model.weight)
    assert again.rows == whole.rows[-len(again.rows) :]


@pytest.mark.parametrize(
    "value", [np.arange(3.0), np.array(True), np.float32(0.5), [1, [None, "x"]], {"a": np.ones((1, 2), np.int8)}]
)
def test_what_a_callback_knows_comes_back_as_it_was(value: Any, tmp_path: Path) -> None:
    torch.save(RunState(Loop(Keeps(value)).run).state_dict(), tmp_path / "kept.pt")
    RunState(Loop(keeps := Keeps(None)).run).load_state_dict(torch.load(tmp_path / "kept.pt", weights_only=True))
    np.testing.assert_equal(keeps.value, value)


def test_weights_and_optimizer_are_not_in_it() -> None:
    assert RunState(Loop().run).state_dict()["trainable"] is None


def test_a_run_that_was_stopped_goes_on_where_wrap_was_told_so() -> None:
    state = RunState(Loop(EarlyStopping("loss", patience=1)).train().run).state_dict()
    stays = Loop(EarlyStopping("loss", patience=1))
    with pytest.warns(UserWarning, match="stays stopped"):
        RunState(stays.run).load_state_dict(state)
    assert stays.train().run.epochs_done == 2
    goes = Loop(resume_stopped=True)
    with pytest.warns(UserWarning, match="stays behind"):
        RunState(goes.run).load_state_dict(state)
    assert goes.train().run.epochs_done == 4


def test_one_process_is_a_world_of_its_own() -> None:
    assert type(world_of_processes()) is World
    assert trainhooks.wrap(torch.nn.Linear(1, 1), plugins="none").world.size == 1
