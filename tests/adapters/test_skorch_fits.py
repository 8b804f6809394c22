"""Several fits of a skorch net: in turn, inside each other, with two bridges, and of copies made meanwhile."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("skorch", reason="skorch is not installed")

import numpy as np
import torch
from bench_skorch import ROWS, TARGETS, SkorchBench, bridge, net_of
from skorch import NeuralNetRegressor
from skorch.callbacks import Callback as NativeCallback
from skorch.callbacks import Checkpoint

import trainhooks
from trainhooks.callbacks import EarlyStopping
from trainhooks.testing import Do, StopAt, Trace


def test_partial_fit_goes_on_counting_and_fit_begins_anew() -> None:
    carried = bridge(trace := Trace(batches=False))
    net = net_of(carried, max_epochs=2)
    net.fit(ROWS, TARGETS)
    net.partial_fit(ROWS, TARGETS, epochs=1)
    run = carried.run
    assert ([record.epoch for record in run.history], run.max_epochs, run.outcome) == ([2], 3, "completed")
    net.fit(ROWS, TARGETS)
    assert [record.epoch for record in carried.run.history] == [0, 1]
    assert trace.names.count("setup") == 3


def test_a_fit_inside_a_callback_is_no_part_of_the_run_around_it() -> None:
    inner = net_of(max_epochs=1)
    trace = Trace()
    fit = Do("epoch_end", lambda run: inner.fit(ROWS, TARGETS))
    run = SkorchBench().train([{"loss": 1.0}], [trace, fit])
    assert run.outcome == "completed" and trace.names.count("epoch_begin") == 1
    carried = bridge(trace := Trace(), Do("epoch_end", lambda run: net.predict(ROWS)))
    net = net_of(carried, max_epochs=1)
    net.fit(ROWS, TARGETS)
    assert trace.names.count("test_begin") == 1 and carried.run.outcome == "completed"


def test_the_same_net_fitted_inside_a_callback_leaves_the_run_around_it_as_it_was() -> None:
    net, trace = net_of(max_epochs=2), Trace(batches=False)
    more = Do("epoch_begin", lambda run: wrapped.partial_fit(ROWS, TARGETS, epochs=1))
    wrapped = trainhooks.wrap(net, callbacks=[StopAt("epoch_begin"), more, trace], plugins="none")
    wrapped.fit(ROWS, TARGETS)
    assert (wrapped.run.outcome, trace.names.count("epoch_end"), len(net.history)) == ("stopped", 1, 2)


def test_two_bridges_on_one_net_each_have_a_run() -> None:
    first, second = bridge(), bridge(StopAt("epoch_end"))
    net = net_of(("first", first), ("second", second)).fit(ROWS, TARGETS)
    assert (first.run.epochs_done, second.run.epochs_done, second.run.outcome) == (1, 1, "stopped")
    assert type(net) is NeuralNetRegressor


class TwoParts(NeuralNetRegressor):  # type: ignore[misc]
    """A net with modules and optimizers under names of its own, as skorch's documentation has one."""

    def initialize_module(self) -> Any:
        self.first_, self.second_ = torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)
        return self

    def initialize_optimizer(self, triggered_directly: Any = None) -> Any:
        self.opt_a_ = torch.optim.SGD(self.first_.parameters(), lr=0.125)
        self.opt_b_ = torch.optim.SGD(self.second_.parameters(), lr=0.25)
        return self

    def infer(self, x: Any, **given: Any) -> Any:
        return self.second_(self.first_(x))


def test_a_net_with_parts_of_its_own_names_has_all_of_them() -> None:
    seen: list[Any] = []
    carried = bridge(Do("train_end", lambda run: seen.append((run.lrs, len(run.get_weights()), run.optimizer_step))))
    net = TwoParts(None, max_epochs=1, batch_size=3, train_split=None, verbose=0, callbacks=[carried])
    net.fit(ROWS, TARGETS)
    assert seen == [([0.125, 0.25], 4, 4)]


class Copies(NativeCallback):  # type: ignore[misc]
    """Copies the net at the end of each epoch."""

    made: list[Any]

    def on_epoch_end(self, net: Any, **given: Any) -> None:
        self.made.append(copy.deepcopy(net))


def test_a_copy_or_a_pickle_made_in_a_fit_is_of_the_nets_own_class(tmp_path: Path) -> None:
    Copies.made = []
    checkpoint = Checkpoint(f_pickle="net.pkl", dirname=tmp_path, monitor=None)
    net = net_of(bridge(EarlyStopping("val_loss")), checkpoint, Copies(), max_epochs=1).fit(ROWS, TARGETS)
    with (tmp_path / "net.pkl").open("rb") as file:
        made = [*Copies.made, pickle.load(file)]
    assert len(made) == 2
    for one in made:
        assert type(one) is NeuralNetRegressor and np.allclose(one.predict(ROWS), net.predict(ROWS))
        assert one.fit(ROWS, TARGETS) is one
