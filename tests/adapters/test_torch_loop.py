"""A PyTorch loop of one's own, run by the events of trainhooks."""

from __future__ import annotations

import functools
import gc
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trainhooks
from trainhooks import Callback, LoopRun, every
from trainhooks.errors import CapabilityError, MetricValueError
from trainhooks.testing import Do, RaiseAt, StopAt, Trace
from trainhooks.testing.strategies import Program, execute, meddlers, programs

torch = pytest.importorskip("torch", reason="torch is not installed")
from torch import nn  # noqa: E402  # after the skip


def parts(**options: Any) -> tuple[Any, Any]:
    torch.manual_seed(0)
    model = nn.Linear(2, 1)
    return model, torch.optim.SGD(model.parameters(), **{"lr": 0.1, **options})


def loader(batches: int, *, rows: int = 2, **options: Any) -> Any:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batches * rows, 2, generator=generator)
    data = torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True))
    return torch.utils.data.DataLoader(data, batch_size=rows, **options)


def step(model: Any, optimizer: Any, x: Any, y: Any) -> Any:
    loss = nn.functional.mse_loss(model(x), y)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss


def train(run: LoopRun, epochs: int = 1, batches: int = 2) -> None:
    for _ in run.epochs(epochs):
        for x, y in run.train(loader(batches)):
            run.log(loss=step(run.model, run.optimizer, x, y), n=len(x))


def test_the_loop_of_the_readme_trains_validates_and_tells_all() -> None:
    model, optimizer = parts()
    trace = Trace(optimizer_steps=True)
    with trainhooks.wrap(model, optimizer=optimizer, callbacks=[StopAt("epoch_end", 1), trace]) as run:
        for _ in run.epochs(100):
            for x, y in run.train(loader(2)):
                run.log(loss=step(model, optimizer, x, y), n=len(x))
            with torch.no_grad():
                for x, y in run.test(loader(1)):
                    run.log(loss=nn.functional.mse_loss(model(x), y), n=len(x))
    assert trace.outline() == (
        "setup train[ epoch0[ batch0[ optimizer_step1 ] batch1[ optimizer_step2 ] test[ batch0[] ] ] "
        "epoch1[ batch0[ optimizer_step3 ] batch1[ optimizer_step4 ] test[ batch0[] ] ] stop ] teardown"
    )
    assert (run.outcome, run.step, run.optimizer_step, run.epochs_done) == ("stopped", 4, 4, 2)
    first, second = (record.logs for record in run.history)
    assert set(first) == {"loss", "val_loss"}
    assert second["val_loss"] < first["val_loss"]


# The ways out


def leave_by_break(run: LoopRun) -> None:
    for _ in run.epochs(3):
        for x, y in run.train(loader(3)):
            run.log(loss=step(run.model, run.optimizer, x, y))
            break
        break


def raise_in_a_batch(error: BaseException, run: LoopRun) -> None:
    for _ in run.epochs(3):
        for x, y in run.train(loader(3)):
            run.log(loss=step(run.model, run.optimizer, x, y))
            raise error


WAYS_OUT: dict[str, tuple[Callable[[LoopRun], None], str]] = {
    "end": (functools.partial(train, batches=1), "setup train[ epoch0[ batch0[] ] ] teardown"),
    "break": (leave_by_break, "setup train[ epoch0[ batch0[] ] ] teardown"),
    "error": (
        functools.partial(raise_in_a_batch, RuntimeError()),
        "setup train[ epoch0[ batch0[ exception(RuntimeError) teardown",
    ),
    "interrupt": (
        functools.partial(raise_in_a_batch, KeyboardInterrupt()),
        "setup train[ epoch0[ batch0[ exception(KeyboardInterrupt) teardown",
    ),
}


@pytest.mark.parametrize("leave, outline", WAYS_OUT.values(), ids=WAYS_OUT)
def test_however_a_run_is_left_the_optimizer_calls_nothing_after_it(leave: Any, outline: str) -> None:
    model, optimizer = parts()
    trace, seen = Trace(), []
    run = trainhooks.wrap(model, optimizer=optimizer, callbacks=[trace])
    run.on("optimizer_step")(lambda optimizer_step: seen.append(optimizer_step))
    try:
        with run:
            leave(run)
    except (RuntimeError, KeyboardInterrupt):
        pass
    optimizer.step()
    assert (trace.outline(), seen, run.optimizer_step) == (outline, [1], 1)


def test_a_setup_that_raises_leaves_nothing_on_the_optimizer() -> None:
    model, optimizer = parts()
    with pytest.raises(RuntimeError), trainhooks.wrap(model, optimizer=optimizer, callbacks=[RaiseAt("setup")]) as run:
        pass
    run = trainhooks.wrap(model, optimizer=optimizer)
    optimizer.step()
    assert run.optimizer_step == 0


def test_a_hook_of_the_step_that_raises_ends_the_run_with_the_weights_moved() -> None:
    model, optimizer = parts()
    before = model.weight.detach().clone()
    trace = Trace(optimizer_steps=True)
    callbacks = [trace, RaiseAt("optimizer_step")]
    with pytest.raises(RuntimeError), trainhooks.wrap(model, optimizer=optimizer, callbacks=callbacks) as run:
        train(run)
    assert trace.outline() == "setup train[ epoch0[ batch0[ exception(RuntimeError) teardown"
    assert not torch.equal(before, model.weight)


def test_the_same_module_and_optimizer_serve_one_run_after_another() -> None:
    model, optimizer = parts()
    trace = Trace(optimizer_steps=True)
    for _ in range(2):
        with trainhooks.wrap(model, optimizer=optimizer, callbacks=[trace]) as run:
            train(run, batches=1)
        assert run.optimizer_step == 1
    once = "setup train[ epoch0[ batch0[ optimizer_step1 ] ] ] teardown"
    assert trace.outline() == f"{once} {once}"


def test_a_run_that_is_over_can_be_collected_while_the_optimizer_lives() -> None:
    model, optimizer = parts()
    with trainhooks.wrap(model, optimizer=optimizer) as run:
        train(run)
    gone = weakref.ref(run.run)
    del run
    gc.collect()
    assert gone() is None and optimizer.param_groups


@pytest.mark.parametrize("persistent", [False, True])
def test_workers_left_by_a_break_give_the_next_pass_its_full_count(persistent: bool) -> None:
    model, optimizer = parts()
    data = loader(4, num_workers=2, persistent_workers=persistent)
    trace = Trace()
    with trainhooks.wrap(model, optimizer=optimizer, callbacks=[trace]) as run:
        for epoch in run.epochs(2):
            for x, y in run.train(data):
                run.log(loss=step(model, optimizer, x, y))
                if epoch == 0 and run.batch == 1:
                    break
    assert trace.outline() == (
        "setup train[ epoch0[ batch0[] batch1[] ] epoch1[ batch0[] batch1[] batch2[] batch3[] ] ] teardown"
    )


# What callbacks need, see and keep


def test_a_callback_that_needs_the_learning_rate_is_refused_where_there_is_no_optimizer() -> None:
    class Warmup(Callback):
        requires = {"lr"}

    class Steps(Callback):
        def on_optimizer_step(self) -> None: ...

    model, _ = parts()
    for callback, need in {
        Warmup(): "Warmup needs 'lr'",
        Steps(): "Steps.on_optimizer_step needs 'optimizer_step'",
    }.items():
        with pytest.raises(CapabilityError) as error:
            trainhooks.wrap(model, callbacks=[callback])
        assert str(error.value) == (
            f"{need}, which this trainer lacks: it was given no optimizer. "
            "Use trainhooks.wrap(model, optimizer=optimizer)."
        )


def test_a_hook_sets_the_learning_rate_of_the_next_step_and_restores_a_snapshot() -> None:
    model, optimizer = parts(lr=1.0)

    class Steer(Callback):
        requires = {"lr", "snapshot"}

        @every(steps=1)
        def on_train_batch_end(self, run: Any) -> None:
            run.lr = 0.5 / run.step

        def on_train_begin(self, run: Any) -> None:
            self.first = run.snapshot()

        def on_train_end(self, run: Any) -> None:
            run.restore(self.first)

    before, used = model.weight.detach().clone(), []
    with trainhooks.wrap(model, optimizer=optimizer, callbacks=[Steer()]) as run:
        run.on("optimizer_step")(lambda run: used.append(run.lr))
        train(run, batches=3)
    assert (used, optimizer.param_groups[0]["lr"]) == ([1.0, 0.5, 0.25], 0.5 / 3)
    assert torch.equal(model.weight, before)


def test_a_loss_that_is_logged_keeps_no_graph_and_later_changes_of_it_change_nothing() -> None:
    model, optimizer = parts()
    graphs = []
    with trainhooks.wrap(model, optimizer=optimizer) as run:
        for _ in run.epochs(1):
            for x, _ in run.train(loader(3)):
                kept = model(x).exp()  # exp saves its result for the backward pass
                graphs.append(weakref.ref(kept))
                loss = kept.mean()
                run.log(loss=loss)
                value = loss.item()
                with torch.no_grad():
                    loss.fill_(100)
                assert run.batch_logs["loss"] == value
                del kept, loss
                assert graphs[-1]() is None
    assert run.history[0].logs["loss"] < 100


def test_means_are_weighted_by_samples_as_the_mean_over_all_of_them_is() -> None:
    model, optimizer = parts()
    x = torch.arange(10.0).reshape(5, 2)
    with trainhooks.wrap(model, optimizer=optimizer) as run:
        for _ in run.epochs(1):
            for rows in run.train(x.split(2)):
                run.log({"value/mean": rows.mean()}, n=len(rows))
    assert run.history[0].logs == {"value/mean": x.mean().item()}


def test_a_tensor_that_is_not_one_number_is_refused() -> None:
    run = trainhooks.wrap(parts()[0])
    with run:
        for _ in run.test([0]):
            with pytest.raises(MetricValueError) as error:
                run.log(loss=torch.ones(2, 1))
    assert str(error.value) == "log(loss=...): a torch.Tensor of shape (2, 1) is not one number: log its mean"


class Counter(Callback):
    def __init__(self) -> None:
        self.epochs = 0

    def on_epoch_end(self) -> None:
        self.epochs += 1

    def reset(self) -> None:
        self.epochs = 0

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs}

    def load_state_dict(self, state: Any) -> None:
        self.epochs = state["epochs"]


def test_a_resumed_run_goes_on_from_its_epoch_with_its_callbacks_as_they_were() -> None:
    model, optimizer = parts()
    with trainhooks.wrap(model, optimizer=optimizer, callbacks=[Counter()]) as run:
        train(run, epochs=2)
        state = run.state_dict()
    counter, trace = Counter(), Trace(batches=False)
    with trainhooks.wrap(model, optimizer=optimizer, callbacks=[counter, trace], resume=state) as run:
        train(run, epochs=3)
    assert trace.outline() == "setup train[ epoch2[] ] teardown"
    assert (counter.epochs, run.step, run.optimizer_step, len(run.history)) == (3, 6, 6, 3)


# Any program at all


class Stepping:
    """A run for ``execute`` in which each training batch takes a real step before the program's own lines."""

    def __init__(self, run: LoopRun, model: Any, optimizer: Any) -> None:
        self.run, self.model, self.optimizer = run, model, optimizer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.run, name)

    def __enter__(self) -> LoopRun:
        return self.run.__enter__()

    def __exit__(self, *error: Any) -> bool:
        return self.run.__exit__(*error)

    def train(self, items: Any) -> Iterator[Any]:
        for item in self.run.train(items):
            step(self.model, self.optimizer, torch.ones(1, 2), torch.ones(1, 1))
            yield item


def at_steps(kind: str, nth: int) -> Do:
    return RaiseAt("optimizer_step", nth) if kind == "raise" else StopAt("optimizer_step", nth, kind=kind)  # type: ignore[arg-type]


step_meddlers = st.builds(at_steps, st.sampled_from(["raise", "decision", "fault", "pause"]), st.integers(0, 3))


@given(programs(), st.lists(meddlers() | step_meddlers, max_size=3))
@settings(max_examples=300, deadline=None)
def test_whatever_a_program_and_its_callbacks_do_every_real_step_is_told_once_and_none_after_the_run(
    program: Program, meddling: list[Do]
) -> None:
    model, optimizer = parts()
    trace, native = Trace(optimizer_steps=True), []
    optimizer.register_step_post_hook(lambda *_: native.append("step"))
    run = trainhooks.wrap(model, optimizer=optimizer, callbacks=[*meddling, trace])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of several exceptions one is raised, and the others are told as warnings
        execute(program, Stepping(run, model, optimizer))  # type: ignore[arg-type]
    trace.check_grammar()
    assert trace.names.count("teardown") == 1
    assert run.optimizer_step == len(native)
    told = [arguments["optimizer_step"] for name, arguments in trace.events if name == "optimizer_step"]
    assert told == list(range(1, len(told) + 1))
    assert len(told) >= run.step
    optimizer.step()
    assert run.optimizer_step == len(native) - 1
