"""What a batch of Keras costs with our callbacks bridged, counted: the calls of ours that it makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trainhooks_adapters
from counting import OURS, Calls, calls
from tiny import fit, plain
from trainhooks_adapters.keras import bridge

from trainhooks import Callback

ADAPTERS = str(Path(trainhooks_adapters.__file__).parent)


class Both(Callback):
    def on_train_batch_begin(self, batch: int, logs: Any) -> None: ...

    def on_train_batch_end(self, batch: int, logs: Any) -> None: ...


class Ends(Callback):
    def on_train_batch_end(self, batch: int, logs: Any) -> None: ...


def usual(*callbacks: Callback) -> list[Calls]:
    """The different turns past the first, from one batch's begin to the next one's, that time no batch."""
    files = (*OURS, ADAPTERS, __file__)
    with calls("_batch_begin", files) as turns:
        fit(plain(), batches=66, callbacks=[bridge(callbacks)])
    found = [turn for turn in turns[8:-2] if not any(name.startswith("sampler.") for name in turn)]
    return [list(turn) for turn in dict.fromkeys(map(tuple, found))]


def test_each_event_of_a_batch_takes_two_calls_and_the_hook() -> None:
    begin, end = ["_batch_begin", "batches.batch_begin"], ["_train_batch_end", ".get_ident", "batches.batch_end"]
    assert usual(Ends()) == [[*begin, *end, "on_train_batch_end"]]
    assert usual(Both()) == [[*begin, "on_train_batch_begin", *end, "on_train_batch_end"]]
