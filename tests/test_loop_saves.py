"""Where a checkpoint that a callback asks for is taken."""

from __future__ import annotations

import pytest
from loops import EPOCH0, EPOCH1, TEST, Saver, tell_everything

from trainhooks import Callback, LoopRun, Run
from trainhooks.errors import CapabilityError
from trainhooks.testing import Do, StopAt, Trace, batches


@pytest.mark.parametrize(
    "event, place",
    {
        "setup": "setup checkpoint(step0) train[",
        "epoch_begin": "epoch0[ checkpoint(step0) batch0[]",
        "train_batch_begin": "epoch0[ batch0[] checkpoint(step1) batch1[]",
        "train_batch_end": "epoch0[ batch0[] checkpoint(step1) batch1[]",
        "test_begin": f"{TEST} checkpoint(step2) ] epoch1",
        "test_batch_begin": f"{TEST} checkpoint(step2) ] epoch1",
        "test_batch_end": f"{TEST} checkpoint(step2) ] epoch1",
        "test_end": f"{TEST} checkpoint(step2) ] epoch1",
        "epoch_end": f"{EPOCH0} checkpoint(step2) epoch1",
        "train_end": f"{EPOCH1} ] checkpoint(step4) predict[",
        "predict_begin": "predict[ batch0[] ] checkpoint(step4) teardown",
    }.items(),
)
def test_a_save_follows_its_event_and_one_asked_in_a_batch_or_a_validation_waits_for_its_end(
    event: str, place: str
) -> None:
    outline, outcome = tell_everything(Do(event, lambda run: run.save()), Saver())
    assert (place in outline, outline.count("checkpoint"), outcome) == (True, 1, "completed"), outline


def test_a_save_asked_in_a_validation_inside_a_batch_waits_for_the_batch() -> None:
    trace = Trace()
    with LoopRun(callbacks=[Do("test_begin", lambda run: run.save()), Saver(), trace]) as run:
        for _epoch in run.epochs(1):
            for batch in run.train(batches(2)):
                if batch == 0:
                    list(run.test(batches(1)))
                run.log(loss=batch)
    assert trace.outline() == (
        "setup train[ epoch0[ batch0[ test[ batch0[] ] ] checkpoint(step1) batch1[] ] ] teardown"
    )


def test_a_stop_asked_where_a_stop_or_a_checkpoint_is_told_is_told_once() -> None:
    asks = [
        StopAt("checkpoint"),
        Do("stop", lambda run: run.stop("worse", kind="fault"), None),
        Do("train_batch_end", lambda run: run.save()),
    ]
    outline, outcome = tell_everything(*asks, Saver())
    assert (outline, outcome) == (
        f"setup train[ epoch0[ batch0[] checkpoint(step1) stop {TEST} ] ] predict[ batch0[] ] teardown",
        "stopped",
    )


def test_after_a_pause_nothing_more_is_saved() -> None:
    class Counts(Callback):
        saves = 0

        def save(self, run: Run) -> None:
            self.saves += 1

    saver, trace = Counts(), Trace()
    with LoopRun(callbacks=[StopAt(step=1, kind="pause"), saver, trace]) as run:
        for _epoch in run.epochs(2):
            list(run.train(batches(2)))
            run.save()
    assert (trace.outline(), saver.saves) == ("setup train[ epoch0[ batch0[] stop teardown", 1)


def test_a_save_without_savers_is_an_error() -> None:
    with LoopRun(callbacks=[Trace()]) as run, pytest.raises(CapabilityError) as refused:
        run.save()
    assert str(refused.value) == (
        "run.save(): no attached callback writes checkpoints (one that defines save(run)). Attach one."
    )
