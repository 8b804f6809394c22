"""What it costs to tell 1, 4 and 10 callbacks of a batch's begin and end, over a loop written by hand.

    python -m benchmarks.dispatch

Ours is what ``run.train`` does at a batch: it reads what the bus calls for the event, and calls it unless that is None.
By hand that is ``for callback in callbacks: callback.on_train_batch_begin(batch, logs)``, and the same for the end,
over the same objects: the loop that is written where hooks are called by name, and the one that the goals are over. Who
binds the methods before the loop, ``hooks = [one.on_train_batch_begin for one in callbacks]``, saves what ours saves,
and is about as fast where several listen; that loop stands beside, without a goal. The callbacks are of different
classes, each hook with code of its own, as in life: many of one class would flatter the loop by hand. With four that do
not listen to batches the list by hand is empty, since who writes it knows who listens.

Peers do the same with their own events and callbacks (``benchmarks/peers.py`` says how), all in turn with ours and the
loop by hand. Seconds are the processor's, of all threads, since nothing here waits and a busy machine does not disturb
them; where nobody listens, Keras has a pool of threads call its list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import trainhooks

from .listening import ones
from .pairs import Row, in_turn, missing, of_processor, show
from .peers import BATCHES, LOGS, PEERS, Pass

GOALS = {1: 0.90, 4: 0.85, 10: 0.75}
ROUNDS = 31
TAKES = dict.fromkeys(("on_train_batch_begin", "on_train_batch_end"), "batch, logs")


def ours_and_by_hand(count: int, listening: bool) -> tuple[Pass, Pass, Pass]:
    """The pass of ours, of the loop by hand, and of one over methods that were bound before."""
    callbacks = ones(count, trainhooks.Callback, TAKES if listening else {"on_epoch_end": "epoch, logs"})
    bus, logs = trainhooks.EventBus(), trainhooks.Logs(LOGS)
    bus.add(*callbacks)
    calls, told = bus.batch_calls["train_batch"], callbacks if listening else []

    def ours() -> None:
        for batch in BATCHES:
            if (call := calls.begin) is not None:
                call(batch, logs)
            if (call := calls.end) is not None:
                call(batch, logs)

    def by_hand() -> None:
        for batch in BATCHES:
            for callback in told:
                callback.on_train_batch_begin(batch, logs)
            for callback in told:
                callback.on_train_batch_end(batch, logs)

    begins = [callback.on_train_batch_begin for callback in told]
    ends = [callback.on_train_batch_end for callback in told]

    def bound() -> None:
        for batch in BATCHES:
            for hook in begins:
                hook(batch, logs)
            for hook in ends:
                hook(batch, logs)

    return ours, by_hand, bound


def rows(rounds: int = ROUNDS) -> Iterator[Row]:
    absent = missing(*PEERS)
    installed = {name: peer for name, peer in PEERS.items() if name not in absent}
    for count, listening in ((1, True), (4, True), (10, True), (4, False)):
        ours, by_hand, bound = ours_and_by_hand(count, listening)
        calls: dict[str, Callable[[], None]] = {"ours": ours, "hand": by_hand}
        if listening:
            calls["bound"] = bound
        calls |= {name: peer(count, listening) for name, peer in installed.items()}
        times = in_turn({name: of_processor(call) for name, call in calls.items()}, rounds)
        per = {name: f"{times.median(name) / len(BATCHES) * 1e9:,.0f} ns a batch" for name in calls}
        what = f"begin and end of a batch, {count} {'listening' if listening else 'that do not listen'}"
        beside = f"{per['ours']} over {per['hand']}"
        goal = GOALS[count] if listening else None
        yield times.ratio(f"{what}: over the loop by hand", "ours", "hand", goal=goal, beside=beside)
        if listening:
            beside = f"{per['ours']} over {per['bound']}"
            yield times.ratio(f"{what}: over a loop over methods bound beforehand", "ours", "bound", beside=beside)
        for name in installed:
            yield times.ratio(f"{what}: {name} over the loop by hand", name, "hand", beside=per[name])


if __name__ == "__main__":
    show(rows())
