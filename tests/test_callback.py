"""What a callback is: its hooks, their signatures, its settings, its key."""

from __future__ import annotations

import copy
import functools
import pickle
from dataclasses import dataclass, field
from typing import Any

import pytest

from trainhooks import Callback, EventBus, Logs, LoopRun, Run, fit
from trainhooks.callback import keyed
from trainhooks.errors import RegistrationError
from trainhooks.testing import Constant, Do, Trace, batches


class PrintLoss(Callback):
    def __init__(self) -> None:
        self.lines: list[Any] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # as a Keras callback has it
        self.lines.append((epoch, logs["loss"]))


def test_a_keras_callbacks_signature_works_as_it_is() -> None:
    shown = PrintLoss()
    fit(Constant(loss=0.5), batches(1), epochs=2, callbacks=[shown])
    assert shown.lines == [(0, 0.5), (1, 0.5)]


def heard(callback: Callback, event: str = "train_batch_end", **arguments: Any) -> Any:
    """What a callback's list ``seen`` holds after one event."""
    bus = EventBus()
    bus.add(callback)
    bus.emit(event, **(arguments or {"batch": 3, "logs": {"loss": 1.0}}))
    return callback.seen  # type: ignore[attr-defined]


def test_a_hook_takes_any_subset_in_any_order_by_name() -> None:
    class Subsets(Callback):
        def __init__(self) -> None:
            self.seen: list[Any] = []

        def on_train_begin(self) -> None:
            self.seen.append("nothing")

        def on_train_batch_begin(self, logs: Logs, run: Run, batch: int) -> None:
            self.seen.append((sorted(logs), run.step, batch))

        def on_train_batch_end(self, *, batch: int) -> None:
            self.seen.append(batch)

        def on_epoch_end(self, epoch: int, /) -> None:
            self.seen.append(("epoch", epoch))

    subsets = Subsets()
    fit(Constant(), batches(2), callbacks=[subsets])
    assert subsets.seen == ["nothing", ([], 0, 0), 0, (["loss"], 1, 1), 1, ("epoch", 0)]


def test_a_callback_without_hooks_costs_and_does_nothing() -> None:
    bus = EventBus()
    bus.add(Callback())
    assert ([name for name in bus.events if bus.listens(name)], len(bus.callbacks)) == ([], 1)


class Recorder(Callback):
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_batch_end(self, batch: int) -> None:
        self.seen.append(("old", batch))


def test_kerass_older_hook_name_is_called() -> None:
    assert heard(Recorder()) == [("old", 3)]


def test_of_the_older_and_the_newer_hook_only_the_newer_runs() -> None:
    class Both(Recorder):
        def on_train_batch_end(self, batch: int) -> None:
            self.seen.append(("new", batch))

    assert heard(Both()) == [("new", 3)]


def test_none_takes_an_inherited_hook_out() -> None:
    class Silent(Recorder):
        on_batch_end = None  # type: ignore[assignment]

    class OldAgain(Recorder):
        on_train_batch_end = None

    assert (heard(Silent()), heard(OldAgain())) == ([], [("old", 3)])


def test_none_under_a_misspelt_name_is_refused_all_the_same() -> None:
    class Misspelt(Recorder):
        on_batch_ends = None

    with pytest.raises(RegistrationError) as caught:
        EventBus().add(Misspelt())
    assert str(caught.value) == (
        "Misspelt.on_batch_ends: there is no such event. Did you mean 'on_batch_end'? "
        "(A method named on_... is a hook; give a method that is none another name.)"
    )


def test_a_hook_set_on_the_object_is_a_hook_as_in_keras() -> None:
    class FromArguments(Callback):
        def __init__(self, **hooks: Any) -> None:
            self.seen: list[int] = []
            for name, hook in hooks.items():
                setattr(self, name, hook)

    seen: list[int] = []
    callback = FromArguments(on_train_batch_end=lambda batch: seen.append(batch), on_epoch_end=None)
    heard(callback)
    assert seen == [3]


def test_static_class_and_partial_methods_are_hooks() -> None:
    class Kinds(Callback):
        seen: list[Any] = []

        @staticmethod
        def on_train_batch_end(batch: int) -> None:
            Kinds.seen.append(("static", batch))

        @classmethod
        def on_epoch_begin(cls, epoch: int) -> None:
            cls.seen.append(("class", epoch))

        def _tell(self, what: str, epoch: int) -> None:
            self.seen.append((what, epoch))

        on_epoch_end = functools.partialmethod(_tell, "partial")

    kinds = Kinds()
    heard(kinds)
    heard(kinds, "epoch_begin", epoch=1, logs={})
    assert heard(kinds, "epoch_end", epoch=2, logs={}) == [("static", 3), ("class", 1), ("partial", 2)]


def test_a_partial_hook_is_asked_for_what_it_has_not_got() -> None:
    seen: list[Any] = []

    def tell(batch: int, *, logs: Any, prefix: str) -> None:
        seen.append((prefix, batch, logs))

    bus = EventBus()
    bus.on("train_batch_end")(functools.partial(tell, prefix=">"))
    bus.on("train_batch_end")(functools.partial(tell, batch=0, prefix="<"))
    bus.emit("train_batch_end", batch=3, logs={})
    assert seen == [(">", 3, {}), ("<", 0, {})]


def test_a_subclass_of_a_subclass_overrides_and_calls_its_parents() -> None:
    class Middle(Recorder):
        def on_epoch_end(self, epoch: int) -> None:
            self.seen.append(epoch)

    class Last(Middle):
        def on_epoch_end(self, epoch: int, run: Any = None) -> None:  # another signature than its parent's
            super().on_epoch_end(epoch)
            self.seen.append(run is not None)

    last = Last()
    fit(Constant(), batches(1), callbacks=[last])
    assert last.seen == [("old", 0), 0, True]


def test_a_mixin_brings_hooks() -> None:
    class Mixin:
        def on_train_batch_end(self, batch: int) -> None:
            self.seen.append(("mixin", batch))  # type: ignore[attr-defined]

    class Mixed(Mixin, Recorder):
        pass

    assert heard(Mixed()) == [("mixin", 3)]


@dataclass
class Patience(Callback):
    patience: int = 3
    seen: list[int] = field(default_factory=list)

    def on_train_batch_end(self, batch: int) -> None:
        self.seen.append(batch)


def test_dataclasses_that_are_equal_and_cannot_be_hashed_are_two_callbacks() -> None:
    one, two = Patience(2), Patience(2)
    assert one == two
    with pytest.raises(TypeError):
        hash(one)
    with LoopRun(callbacks=[one, two]) as run:
        run.bus.remove(one)
        for _ in run.epochs(1):
            for _ in run.train(batches(1)):
                pass
    assert (one.seen, two.seen) == ([], [0])


def test_run_and_model_are_there_while_attached_and_fetched_anew() -> None:
    class Looks(Callback):
        def __init__(self) -> None:
            self.seen: list[Any] = []

        def look(self) -> None:
            self.seen.append((self.run is not None, self.model))

        def on_setup(self) -> None:
            self.look()

        def on_teardown(self) -> None:
            self.look()

    looks, model = Looks(), Constant()
    looks.look()
    fit(model, batches(1), callbacks=[looks])
    looks.look()
    assert looks.seen == [(False, None), (True, model), (True, model), (False, None)]


def test_check_needs_takes_a_set_a_list_and_one_word() -> None:
    for requires in ({"lr", "weights"}, ["lr"], "lr", ()):
        one = Callback()
        one.requires = requires
        one.check_needs()


def test_a_need_that_does_not_exist_is_refused() -> None:
    one = Callback()
    one.requires = {"gradient"}
    with pytest.raises(RegistrationError):
        one.check_needs()


def test_the_base_class_has_no_hooks_state_or_needs_of_its_own() -> None:
    base = Callback()
    assert [name for name in dir(base) if name.startswith("on_") and hasattr(base, name)] == ["on_error"]
    base.reset()
    base.load_state_dict({})
    assert (base.state_dict(), set(base.requires), base.phase, base.on_error, base.ranks) == (
        {},
        set(),
        "observe",
        "raise",
        "all",
    )


def test_keys_are_class_names_numbered_when_repeated() -> None:
    a, b, c, trace = Callback(), Callback(), Callback(), Trace()
    assert keyed([a, trace, b, c]) == {"Callback": a, "Trace": trace, "Callback_2": b, "Callback_3": c}


def test_a_class_whose_name_looks_numbered_takes_no_ones_key() -> None:
    class Callback_2(Callback):  # noqa: N801
        pass

    odd, a, b = Callback_2(), Callback(), Callback()
    assert list(keyed([a, b, odd]).values()) == [a, b, odd]
    assert list(keyed([odd, a, b]).values()) == [odd, a, b]


class Counting(Callback):
    def __init__(self) -> None:
        self.seen = 0

    def on_train_batch_end(self) -> None:
        self.seen += 1


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_of_an_attached_callback_is_attached_to_nothing(duplicate: Any) -> None:
    first = Counting()
    copies: list[Counting] = []
    fit(Constant(), batches(2), callbacks=[first, Do("train_batch_end", lambda run: copies.append(duplicate(first)))])
    second = copies[0]
    assert (second.run, second.seen) == (None, 1)
    fit(Constant(), batches(2), callbacks=[second])
    assert (first.seen, second.seen) == (2, 3)
