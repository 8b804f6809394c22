"""What a batch costs, counted and not timed: a change that adds a call or a bytecode to the hot path fails here.

A turn is what lies between two batches that a loop is given: the end of one, the begin of the next, and the lines of
the loop's owner. Few turns are of a batch that is timed (see sampler.py); all others are alike.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy
import pytest
from counted_loops import BATCHES, Computed, OnHost, driven, loop, plain
from counting import Calls, bytecodes, calls

from trainhooks import MLP, Callback, LoopRun, every
from trainhooks.callbacks import EarlyStopping
from trainhooks.testing import Trace


def is_timed(turn: Iterable[str]) -> bool:
    """Whether it holds a part of a batch that is timed."""
    return any(name.startswith("sampler.") for name in turn)


def untimed(turns: Iterable[Calls]) -> list[Calls]:
    """The different turns that there are, but for those."""
    return [list(turn) for turn in dict.fromkeys(map(tuple, turns)) if not is_timed(turn)]


# Calls

BEGIN, END = "on_train_batch_begin", "on_train_batch_end"
ADD = [".get", "means.add", ".get"]


@pytest.mark.parametrize("metrics", [0, 1, 2])
@pytest.mark.parametrize(
    "callbacks, called",
    [
        ([], []),
        ([Trace(batches=False)], []),
        (plain(1), [END, BEGIN]),
        (plain(4), ["train_batch_end", *[END] * 4, "train_batch_begin", *[BEGIN] * 4]),
    ],
    ids=["nobody", "a listener to epochs", "one", "four"],
)
def test_a_batch_calls_its_hooks_by_at_most_one_dispatcher_and_logging_calls_add(
    callbacks: list[Callback], called: Calls, metrics: int
) -> None:
    turns = loop(calls, callbacks, dict.fromkeys(["loss", "accuracy"][:metrics], 0.5))
    logged = ["loop.log", ".items", *ADD * metrics] if metrics else []
    assert untimed(turns) == [["passes.batches", *called, *logged]]


def test_an_array_that_is_computed_while_the_host_runs_on_is_not_read() -> None:
    turns = loop(calls, metrics={"loss": Computed(), "n": 32})
    kept = ["means._add_async", ".getattr", "means.__init__", ".len", ".append"]
    assert untimed(turns) == [["passes.batches", "loop.log", ".items", *ADD, *kept]]


@pytest.mark.parametrize("verb", ["test", "predict"])
def test_a_batch_of_a_validation_or_prediction_calls_its_hook_alone(verb: str) -> None:
    class Ends(Callback):
        def on_test_batch_end(self, batch: int, logs: Any) -> None: ...

        def on_predict_batch_end(self, batch: int, logs: Any, outputs: Any) -> None: ...

    assert untimed(loop(calls, verb=verb)) == [["passes.batches"]]
    assert untimed(loop(calls, [Ends()], verb=verb)) == [["passes.batches", f"on_{verb}_batch_end"]]


def test_a_tensor_on_the_host_is_read_by_one_call() -> None:
    turns = loop(calls, metrics={"loss": OnHost(), "n": 32})
    assert untimed(turns) == [["passes.batches", "loop.log", ".items", *ADD, "item"]]


def test_a_filter_that_is_not_due_costs_no_call() -> None:
    class Tenth(Callback):
        @every(steps=10)
        def on_train_batch_end(self, run: Any) -> None: ...

    turns = loop(calls, [Tenth()])
    assert untimed(turn for turn in turns if "gates.fired" not in turn) == [["passes.batches", "train_batch_end"]]
    assert sum("gates.fired" in turn for turn in turns) == BATCHES / 10


def test_a_hook_whose_errors_are_warnings_is_called_by_the_dispatcher_itself() -> None:
    class Careful(Callback):
        on_error = "warn"

        def on_train_batch_end(self, batch: int, run: Any) -> None: ...

    assert untimed(loop(calls, [Careful()])) == [["passes.batches", "train_batch_end", END]]


@pytest.mark.parametrize(
    "count, begin, step, end",
    [
        (0, [], [], []),
        (1, [BEGIN], ["on_optimizer_step"], [END]),
        (
            4,
            ["train_batch_begin", *[BEGIN] * 4],
            ["optimizer_step", *["on_optimizer_step"] * 4],
            ["train_batch_end", *[END] * 4],
        ),
    ],
    ids=["nobody", "one", "four"],
)
def test_an_adapters_batch_calls_the_driver_thrice_and_its_hooks(
    count: int, begin: Calls, step: Calls, end: Calls
) -> None:
    called = ["batches.batch_begin", *begin, "batches.optimizer_stepped", *step, "batches.batch_end", *end]
    assert untimed(driven(calls, plain(count))) == [called]


# Batches that are timed


def timed(turns: list[Any]) -> list[Any]:
    """The two turns of each: it is armed for, and begins, before it ends."""
    return [turns[at] + turns[at + 1] for at, turn in enumerate(turns[:-1]) if "sampler.arm" in turn]


@pytest.mark.parametrize("count, every_so_many", [(0, 512), (1, 64), (4, 64)])
def test_one_batch_in_64_is_timed_and_where_nobody_listens_one_in_512(count: int, every_so_many: int) -> None:
    found = timed(loop(calls, plain(count), batches=16 * 512))
    assert 0 <= len(found) - 16 * 512 / every_so_many <= 3  # the first come a little earlier


CALLED: Final = {0: 5, 1: 6, 4: 6}
"""Functions of ours, by how many listen, in addition for a batch that is timed, at most."""


@pytest.mark.parametrize("count", CALLED)
@pytest.mark.parametrize("made", [loop, driven])
def test_a_timed_batch_calls_few_functions_more_and_compiles_nothing(made: Callable[..., Any], count: int) -> None:
    turns = made(calls, plain(count))
    (each,) = untimed(turns)
    for pair in timed(turns):
        # 3.12 calls no comprehensions, and which of these empty listeners takes longer than an empty step is chance
        more = Counter(name for name in pair if "." in name and "<" not in name and name != "sampler._tell")
        more.subtract(name for name in each * 2 if "." in name)
        of_c = {name: times for name, times in more.items() if name[0] == "." and times}
        ours = {name: times for name, times in more.items() if name[0] != "." and times}
        assert {name.partition(".")[0] for name in ours} == {"sampler"}
        assert sum(ours.values()) <= CALLED[count], ours
        events = 2 if made is loop else 3
        assert of_c[".perf_counter"] == 4 + (events * (count + 1) if count else 0)


# Bytecodes


def spent(turns: Iterable[Counter[str]]) -> int:
    """Executed in each turn but those of batches that are timed."""
    (each,) = {sum(turn.values()) for turn in turns if not is_timed(turn)}
    return each


def timing(turns: list[Counter[str]]) -> int:
    """Executed in addition for a batch that is timed; at most, since a gap may take a branch more."""
    return max(sum(pair.values()) for pair in timed(turns)) - 2 * spent(turns)


def measured() -> dict[str, int]:
    """The bytecodes of ours that are executed for each of these."""
    alone = spent(loop(bytecodes))
    four = loop(bytecodes, plain(4))
    host = {"loss": OnHost(), "n": 32}
    return {
        "a batch that nobody listens to": alone,
        "a batch with one listener": spent(loop(bytecodes, plain(1))),
        "a batch with four listeners": spent(four),
        "logging a float": spent(loop(bytecodes, metrics={"loss": 0.5})) - alone,
        "logging two floats": spent(loop(bytecodes, metrics={"loss": 0.5, "accuracy": 0.5})) - alone,
        "logging a tensor on the host": spent(loop(bytecodes, metrics=host)) - alone,
        "logging an array of JAX": spent(loop(bytecodes, metrics={"loss": Computed(), "n": 32})) - alone,
        "an adapter's batch that nobody listens to": spent(driven(bytecodes)),
        "an adapter's batch with one listener": spent(driven(bytecodes, plain(1))),
        "an adapter's batch with four listeners": spent(driven(bytecodes, plain(4))),
        "timing a batch that nobody listens to": timing(loop(bytecodes, batches=2048)),
        "timing a batch with four listeners": timing(four),
    }


PYTHONS: Final = [(3, 10), (3, 11), (3, 12), (3, 13)]
ALLOWED: Final = {  # in each of these; `python tests/test_hot_path.py` prints what there are now
    "a batch that nobody listens to": (56, 52, 54, 57),
    "a batch with one listener": (71, 71, 71, 74),
    "a batch with four listeners": (115, 123, 113, 108),
    "logging a float": (117, 118, 112, 109),
    "logging two floats": (188, 194, 184, 179),
    "logging a tensor on the host": (129, 131, 122, 120),
    "logging an array of JAX": (185, 189, 177, 173),
    "an adapter's batch that nobody listens to": (165, 141, 138, 140),
    "an adapter's batch with one listener": (188, 170, 164, 166),
    "an adapter's batch with four listeners": (250, 244, 223, 217),
    "timing a batch that nobody listens to": (353, 358, 339, 338),
    "timing a batch with four listeners": (1045, 1058, 1037, 999),
}


@pytest.mark.skipif(sys.version_info[:2] not in PYTHONS, reason="what this Python makes of it has not been counted yet")
def test_no_more_bytecodes_are_executed_than_are_allowed() -> None:
    allowed = {what: counts[PYTHONS.index(sys.version_info[:2])] for what, counts in ALLOWED.items()}
    counted = measured()
    assert list(counted) == list(allowed)
    assert {what: f"{count}, not {allowed[what]}" for what, count in counted.items() if count > allowed[what]} == {}


# JAX

READS: Final = {"_value", ".asarray", "_device_get", ".block_until_ready", "try_to_block"}
"""Of these JAX calls one where it gives the host the value of an array, or waits for it."""


def reads(turn: Calls) -> int:
    return sum(name in READS for name in turn)


def test_reads_of_a_jax_array_are_seen() -> None:
    jax = pytest.importorskip("jax", reason="jax is not installed")

    def reading(read: Callable[[Any], object], array: Any) -> None:
        read(array)

    ways = [float, bool, numpy.asarray, jax.device_get, jax.block_until_ready]
    ways += [lambda array: array.item(), lambda array: array.tolist()]
    arrays = [jax.numpy.float32(number) for number in range(7)]
    with calls("reading") as turns:
        for way, array in zip(ways, arrays, strict=True):
            reading(way, array)
    assert all(map(reads, turns)) and len(turns) == 7


def test_a_jax_array_is_not_read_until_the_epochs_end() -> None:
    jax = pytest.importorskip("jax", reason="jax is not installed")
    values = list(map(jax.numpy.float32, range(100)))
    with (
        calls("passes.batches") as turns,
        LoopRun(MLP((2, 1)), [EarlyStopping("loss", patience=9), *plain(1)], plugins="none") as run,
    ):
        for _epoch in run.epochs(3):
            for batch in run.train(range(100)):
                run.log(loss=values[batch], n=32)
    # the turn after an epoch's last batch goes on to the next epoch's first
    assert [(at, reads(turn)) for at, turn in enumerate(turns) if reads(turn)] == [(100, 1), (201, 1), (302, 1)]


if __name__ == "__main__":
    print(sys.version.split()[0], list(measured().values()))
