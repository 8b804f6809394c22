"""Rules of an adapter: weights, and snapshots of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import WeightsError
from ..run import Run
from .adapter_rules_tools import HISTORY, PLAIN, Factory, Rules, Weights, ask, changed, firing, four_batches, same, see
from .doubles import Do

_NEXT = (
    ("train_begin", "epoch_begin", 0),
    ("epoch_begin", "train_batch_begin", 0),
    ("train_batch_end", "train_batch_begin", 1),
    ("test_begin", "test_end", 0),
    ("epoch_end", "epoch_begin", 1),
)
"""Where weights are set for the first time, and the event after it, with the number of its firing."""

WEIGHTS = Rules("weights")
SNAPSHOTS = Rules("snapshots")


@WEIGHTS.add("weights-owned", "run.get_weights() gives copies: nothing that is done to them reaches the model.")
def _weights_owned(factory: Factory) -> str | None:
    def spoil(run: Run) -> str | None:
        given = run.get_weights()
        kept = _copied(given)
        for name, array in given.items():
            if not isinstance(array, np.ndarray):
                return f"{name!r} is a {type(array).__name__}, and no numpy array"
            try:
                array[...] = 0
            except ValueError as error:
                return f"{name!r} cannot be written to: {error}"
        return _other(kept, run.get_weights(), "setting the arrays to 0 changed the model's own")

    return _asked(factory, spoil)


@WEIGHTS.add("weights-kept", "Training on changes nothing in what run.get_weights() gave.")
def _weights_kept(factory: Factory) -> str | None:
    given: list[Weights] = []
    copies: list[Weights] = []

    def keep(run: Run) -> None:
        if run.can("weights"):
            given.append(run.get_weights())
            copies.append(_copied(given[-1]))

    see(factory(), PLAIN, Do("epoch_end", keep, nth=None))
    return _other(copies[0], given[0], "the second epoch changed what was read in the first") if given else None


@WEIGHTS.add("weights-round-trip", "What run.set_weights() is given, run.get_weights() gives.")
def _weights_round_trip(factory: Factory) -> str | None:
    def there_and_back(run: Run) -> str | None:
        before = run.get_weights()
        if not before:
            return "run.get_weights() gave nothing"
        half = _halved(before)
        run.set_weights(half)
        found = _other(half, run.get_weights(), "half of each weight was set")
        run.set_weights(before)
        return found or _other(before, run.get_weights(), "the first weights were set again")

    return _asked(factory, there_and_back)


@WEIGHTS.add("weights-last", "Weights that a callback sets are there at the next event.")
def _weights_last(factory: Factory) -> str | None:
    bench = factory()
    for first, then, nth in _NEXT:
        put: list[Weights] = []
        found: list[Weights] = []

        def write(run: Run, put: list[Weights] = put) -> None:
            if run.can("weights"):
                put.append(_halved(run.get_weights()))
                run.set_weights(put[0])

        def read(run: Run, found: list[Weights] = found) -> None:
            found.append(run.get_weights() if run.can("weights") else {})

        see(bench, HISTORY, Do(first, write), Do(then, read, nth))
        if put and (wrong := _other(put[0], found[0], f"half of each weight was set in {first}, and read in {then}")):
            return wrong
    return None


def _still_moved(factory: Factory, verb: str, write: Callable[[Run], object]) -> str | None:
    """Whether the batch after ``write(run)`` moves the weights: it trains those that were written."""
    for event, nth in (("train_batch_begin", 0), ("epoch_end", 0)):
        kept: list[Weights] = []

        def act(run: Run, kept: list[Weights] = kept) -> None:
            if run.can("weights") and run.can("snapshot"):
                write(run)
                kept.append(_copied(run.get_weights()))

        def read(run: Run, kept: list[Weights] = kept) -> None:
            if kept:
                kept.append(_copied(run.get_weights()))

        see(factory(), PLAIN, Do(event, act, nth), Do("train_batch_end", read, None))
        if kept and not changed(kept[0], kept[1]):
            return (
                f"after run.{verb} in {event} the next batch changed no weight: the optimizer still trains other arrays"
            )
    return None


@WEIGHTS.add("weights-used", "The weights that a callback sets as a batch begins are those that the batch trains.")
def _weights_used(factory: Factory) -> str | None:
    kept: list[Weights] = []

    def write(run: Run) -> None:
        if run.can("weights"):
            before = run.get_weights()
            kept.extend([before, {name: _raised(array) for name, array in before.items()}])
            run.set_weights(kept[1])

    def read(run: Run) -> None:
        if run.can("weights"):
            kept.append(run.get_weights())

    see(factory(), PLAIN, Do("train_batch_begin", write), Do("train_batch_end", read))
    if not kept:
        return None
    before, far, after = kept
    if _apart(after, far) < _apart(after, before):
        return _still_moved(factory, "set_weights()", lambda run: run.set_weights(_halved(run.get_weights())))
    return "8 was added to each weight in train_batch_begin; after the batch they are nearer to what they were before"


@WEIGHTS.add("weights-refused", "A name or a shape that does not fit is a WeightsError, and nothing is written.")
def _weights_refused(factory: Factory) -> str | None:
    def refuse(run: Run) -> str | None:
        before = run.get_weights()
        last = list(before)[-1]
        half = _halved(before)
        wrong = {
            "a name that is not there": {**half, "no such weight": np.zeros(1, np.float32)},
            "a name that is left out": {name: array for name, array in half.items() if name != last},
            "a shape that does not fit": {**half, last: np.zeros((*before[last].shape, 2), before[last].dtype)},
        }
        for what, weights in wrong.items():
            found = _refused(lambda given: run.set_weights(given), weights, f"run.set_weights() with {what}")
            if found := found or _other(before, run.get_weights(), f"{what} was refused, and yet something written"):
                return found
        return None

    return _asked(factory, refuse)


@SNAPSHOTS.add("snapshot-kept", "Training on changes nothing in a snapshot: to restore it brings the weights of then.")
def _snapshot_kept(factory: Factory) -> str | None:
    steps = [("train_batch_end", 0, "take"), ("train_batch_end", 1, "take another"), ("train_batch_end", 3, "restore")]
    return _restored(factory, steps)


@SNAPSHOTS.add("restores-again", "A snapshot is good for another time: training on after a restore does not change it.")
def _restores_again(factory: Factory) -> str | None:
    steps = [("train_batch_end", 0, "take"), ("train_batch_end", 1, "restore"), ("train_batch_end", 3, "restore")]
    return _restored(factory, steps)


@SNAPSHOTS.add("restore-lasts", "What was restored in a callback is what is trained on.")
def _restore_lasts(factory: Factory) -> str | None:
    steps = [("train_batch_end", 0, "take"), ("epoch_end", 0, "restore"), ("epoch_begin", 1, "read")]
    return _restored(factory, steps) or _still_moved(factory, "restore()", lambda run: run.restore(run.snapshot()))


def _restored(factory: Factory, steps: list[tuple[str, int, str]]) -> str | None:
    """Take a snapshot at one event, and restore it or read the weights at others."""
    bench = factory()
    kept: dict[str, Any] = {}
    wrong: list[str] = []

    def act(run: Run, what: str, where: str) -> None:
        if not (run.can("snapshot") and run.can("weights")):
            return
        if what == "take":
            kept["snapshot"], kept["weights"] = run.snapshot(), _copied(run.get_weights())
            return
        if what == "take another":
            kept["another"] = run.snapshot()
            return
        if what == "restore":
            run.restore(kept["snapshot"])
        told = f"the weights after the first batch, restored, and read in {where}"
        if found := _other(kept["weights"], run.get_weights(), told):
            wrong.append(found)

    doers = [
        Do(event, lambda run, what=what, where=where: act(run, what, where), nth)  # type: ignore[misc]
        for event, nth, what, where in ((*step, firing(*step[:2])) for step in steps)
    ]
    see(bench, four_batches(bench), *doers)
    return wrong[0] if wrong else None


def _asked(factory: Factory, action: Callable[[Run], str | None]) -> str | None:
    """What ``action`` finds at the end of an epoch, where the trainer has weights."""
    found: str | None = ask(factory(), lambda run: action(run) if run.can("weights") else None)
    return found


def _refused(call: Callable[[Any], object], given: Any, what: str) -> str | None:
    try:
        call(given)
    except WeightsError:
        return None
    except Exception as error:  # whatever came in its place
        return f"{what} raised {type(error).__name__} ({error}), and no WeightsError"
    return f"{what} raised nothing"


def _other(expected: Weights, came: Weights, what: str) -> str | None:
    if list(expected) != list(came):
        return f"{what}: the names were {list(expected)}, and are {list(came)}"
    if same(expected, came):
        return None
    name = next(name for name in expected if name in changed(expected, came))
    return f"{what}. {name!r}:\n  expected {_short(expected[name])}\n  came     {_short(came[name])}"


def _raised(array: Any) -> Any:
    return array + array.dtype.type(8) if array.dtype.kind == "f" else array


def _apart(a: Weights, b: Weights) -> float:
    return sum(float(np.abs(np.asarray(a[name], float) - np.asarray(b[name], float)).sum()) for name in a)


def _short(array: Any) -> str:
    return np.array2string(np.ravel(np.asarray(array))[:4], precision=6)


def _copied(weights: Weights) -> Weights:
    return {name: np.array(array) for name, array in weights.items()}


def _halved(weights: Weights) -> Weights:
    """Other weights of the same kind: exact in each dtype, and whole numbers stay whole."""
    return {
        name: array if array.dtype.kind in "iub" else (array * 0.5).astype(array.dtype)
        for name, array in weights.items()
    }
