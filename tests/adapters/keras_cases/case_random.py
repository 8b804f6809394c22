"""Random fits in which random hooks stop, pause and raise: the grammar holds, and each run is torn down once."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import fit, plain
from trainhooks_adapters.keras import bridge

import trainhooks
from trainhooks.testing import RaiseAt, StopAt, Trace

EVENTS = [
    f"{scope}_{edge}" for scope in ("train", "epoch", "train_batch", "test", "test_batch") for edge in ("begin", "end")
] + ["setup", "stop"]

kinds = st.sampled_from(["decision", "fault", "pause"])
stops = st.builds(StopAt, st.sampled_from(EVENTS), st.integers(0, 4), kind=kinds)
raises = st.builds(RaiseAt, st.sampled_from(EVENTS), st.integers(0, 6))
fits = st.fixed_dictionaries(
    {
        "batches": st.integers(1, 3),
        "epochs": st.integers(0, 3),
        "validate": st.integers(0, 2),
        "validation_freq": st.integers(1, 2),
    }
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(acts=st.lists(stops | raises, max_size=3), each=st.lists(fits, min_size=1, max_size=2), wrapped=st.booleans())
def test_every_fit_keeps_the_grammar_and_is_torn_down_once(acts: Any, each: Any, wrapped: bool) -> None:
    model, trace = plain(), Trace()
    callbacks = [*acts, trace]
    made = trainhooks.wrap(model, callbacks=callbacks) if wrapped else bridge(callbacks)
    outcomes = []
    for options in each:
        raised = None
        try:
            fit(made, **options) if wrapped else fit(model, callbacks=[made], **options)
        except RuntimeError as error:
            raised = error
        assert raised is None or any(raised is getattr(act, "error", None) for act in acts)
        assert (made.run.outcome == "failed") == (raised is not None)
        assert all(callback.run is None for callback in callbacks)
        assert made.run.epochs_done == len(made.run.history)
        outcomes.append(made.run.outcome)
    trace.check_grammar()
    assert trace.names.count("teardown") == len(each)
    assert (trace.names[-1], None in outcomes) == ("teardown", False)
