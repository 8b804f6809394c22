"""Every way out of a scope, as a user would write it."""

from __future__ import annotations

from loops import tell

from trainhooks import LoopRun
from trainhooks.testing import Trace, batches


def test_a_plain_loop_is_balanced() -> None:
    def loop(run: LoopRun) -> None:
        for _epoch in run.epochs(2):
            for batch in run.train(batches(2)):
                run.log(loss=batch)
            for batch in run.test(batches(1)):
                run.log(loss=batch)

    assert tell(loop) == (
        "setup train[ epoch0[ batch0[] batch1[] test[ batch0[] ] ] "
        "epoch1[ batch0[] batch1[] test[ batch0[] ] ] ] teardown"
    )


# break


def test_a_break_at_the_top_of_a_batch_ends_it_uncounted_before_the_validation() -> None:
    def loop(run: LoopRun) -> None:
        for _epoch in run.epochs(1):
            for batch in run.train(batches(3)):
                if batch == 1:
                    break
                run.log(loss=batch)
            for batch in run.test(batches(1)):
                run.log(loss=batch)
        assert run.step == 1

    assert tell(loop) == "setup train[ epoch0[ batch0[] batch1[] test[ batch0[] ] ] ] teardown"


def test_a_break_at_the_bottom_of_a_batch_ends_it_and_counts_it() -> None:
    def loop(run: LoopRun) -> None:
        for _epoch in run.epochs(2):
            for batch in run.train(batches(3)):
                run.log(loss=batch)
                if batch == 1:
                    break
        assert run.step == 4

    assert tell(loop) == "setup train[ epoch0[ batch0[] batch1[] ] epoch1[ batch0[] batch1[] ] ] teardown"


def test_a_break_in_the_validation_ends_it_at_the_next_turn() -> None:
    def loop(run: LoopRun) -> None:
        for _epoch in run.epochs(2):
            for batch in run.train(batches(1)):
                run.log(loss=batch)
            for _batch in run.test(batches(3)):
                break

    assert tell(loop) == (
        "setup train[ epoch0[ batch0[] test[ batch0[] ] ] epoch1[ batch0[] test[ batch0[] ] ] ] teardown"
    )


def test_a_break_at_the_bottom_of_a_validation_keeps_its_metrics() -> None:
    def loop(run: LoopRun) -> None:
        for _epoch in run.epochs(1):
            for batch in run.test(batches(3)):
                run.log(loss=batch)
                if batch == 1:
                    break
        assert run.history == [(0, {"val_loss": 0.5})]

    assert tell(loop) == "setup train[ epoch0[ test[ batch0[] batch1[] ] ] ] teardown"


def test_a_break_at_the_top_of_an_epoch_ends_it_when_the_with_ends() -> None:
    def loop(run: LoopRun) -> None:
        for epoch in run.epochs(5):
            if epoch == 1:
                break
            for batch in run.train(batches(1)):
                run.log(loss=batch)

    assert tell(loop) == "setup train[ epoch0[ batch0[] ] epoch1[] ] teardown"


def test_a_break_at_the_bottom_of_an_epoch_ends_the_training_when_the_with_ends() -> None:
    trace = Trace()
    with LoopRun(callbacks=[trace]) as run:
        for _epoch in run.epochs(5):
            for batch in run.train(batches(1)):
                run.log(loss=batch)
            break
        assert trace.outline() == "setup train[ epoch0[ batch0[]"
    assert trace.outline() == "setup train[ epoch0[ batch0[] ] ] teardown"
    assert (run.outcome, run.stop_reason) == ("stopped", "the loop was left before its last epoch")


def test_a_validation_after_a_broken_epochs_loop_stands_alone() -> None:
    def loop(run: LoopRun) -> None:
        for _epoch in run.epochs(5):
            break
        for batch in run.test(batches(1)):
            run.log(loss=batch)

    assert tell(loop) == "setup train[ epoch0[] ] test[ batch0[] ] teardown"


def test_a_log_after_a_broken_batch_goes_to_the_epoch_and_ends_the_batch_first() -> None:
    def loop(run: LoopRun) -> None:
        for _epoch in run.epochs(1):
            for _batch in run.train(batches(2)):
                break
            run.log(note=7)
            assert run.step == 0
        assert run.history == [(0, {"note": 7.0})]

    assert tell(loop) == "setup train[ epoch0[ batch0[] ] ] teardown"


# return


def test_a_return_from_a_batch_ends_all_that_was_open() -> None:
    trace = Trace()

    def train() -> str:
        with LoopRun(callbacks=[trace]) as run:
            for _epoch in run.epochs(5):
                for batch in run.train(batches(5)):
                    run.log(loss=batch)
                    return "early"
        return "late"

    assert (train(), trace.outline()) == ("early", "setup train[ epoch0[ batch0[] ] ] teardown")


def test_a_return_from_one_epochs_function_leaves_the_epochs_loop_going() -> None:
    def one_epoch(run: LoopRun) -> None:
        for batch in run.train(batches(5)):
            run.log(loss=batch)
            if batch == 1:
                return

    def loop(run: LoopRun) -> None:
        for _epoch in run.epochs(2):
            one_epoch(run)

    assert tell(loop) == "setup train[ epoch0[ batch0[] batch1[] ] epoch1[ batch0[] batch1[] ] ] teardown"
