"""``check_adapter``: right adapters pass it, and each mistake breaks its rule."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import broken_benches  # noqa: F401  (these five add to BROKEN)
import broken_decisions  # noqa: F401
import broken_endings  # noqa: F401
import broken_verbs  # noqa: F401
import broken_weights  # noqa: F401
import pytest
from broken_adapters import BROKEN
from driven_bench import (
    AbleBench,
    BareBench,
    BoostedBench,
    DrivenBench,
    DroppingBench,
    LateBench,
    MeansBench,
    RoundBench,
)

from trainhooks.testing.adapter_rules import ADAPTER_RULES
from trainhooks.testing.bench import Bench
from trainhooks.testing.check_adapter import check_adapter
from trainhooks.testing.reference import ReferenceBench
from trainhooks.testing.rules import BrokenRuleError

RULES = {rule.name: rule for rule in ADAPTER_RULES}

test_with_every_verb = check_adapter(AbleBench)
test_a_trainer_with_its_own_loop = check_adapter(DrivenBench)
test_a_trainer_that_looks_for_a_stop_late = check_adapter(LateBench)
test_a_trainer_whose_epoch_is_one_round = check_adapter(RoundBench)
test_a_trainer_of_rounds_that_shows_no_weights = check_adapter(BoostedBench)
test_a_trainer_that_tells_running_means = check_adapter(MeansBench)
test_an_adapter_that_claims_nothing = check_adapter(BareBench)


def said(rule: str, who: str, factory: Callable[[], Bench]) -> str:
    """What is said of an adapter that breaks ``rule``."""
    with pytest.raises(BrokenRuleError) as caught:
        RULES[rule].hold(who, factory)
    return str(caught.value)


def broken(factory: Callable[[], Bench]) -> set[str]:
    """The names of all rules that an adapter breaks."""
    names = set()
    for name, rule in RULES.items():
        try:
            rule.hold("it", factory)
        except BrokenRuleError:
            names.add(name)
    return names


@pytest.mark.parametrize("mistake", BROKEN)
def test_each_mistake_breaks_its_rule(mistake: str) -> None:
    rule, factory = BROKEN[mistake]
    seen = said(rule, mistake, factory)
    assert seen.startswith(f"{mistake} breaks '{rule}': ")
    assert seen.endswith(f"\n  {RULES[rule].text}\n  {RULES[rule].page}")


def test_there_is_a_mistake_for_each_rule() -> None:
    assert set(RULES) == {rule for rule, _ in BROKEN.values()}


def test_each_rule_has_a_name_of_its_own_and_is_a_sentence() -> None:
    assert len(RULES) == len(ADAPTER_RULES) >= 25
    assert [name for name, rule in RULES.items() if len(name.split("-")) > 3 or not rule.text.endswith(".")] == []


def test_the_rules_are_explained_on_one_page() -> None:
    anchors = dict.fromkeys(rule.page.removeprefix("docs/write-an-adapter.md#") for rule in ADAPTER_RULES)
    assert list(anchors) == [
        "bench",
        "events",
        "stops",
        "exceptions",
        "learning-rate",
        "optimizer-steps",
        "weights",
        "snapshots",
        "state",
        "capabilities",
        "decisions",
        "files",
        "other-verbs",
    ]


@pytest.mark.parametrize(
    ("mistake", "others"),
    [
        ("AlwaysValidates", ""),
        ("CountsWhatIsHeard", ""),
        ("NeverResets", ""),
        ("RemembersRates", "resume-at-epochs pause-goes-on"),
        ("StepsBeforeTheUpdate", ""),
        ("LoadsBeforeItLooks", ""),
        ("TrainsOneBatchMore", "fault-stops"),
        ("WrapsExceptions", "hook-raises"),
        ("ForgetsTeardown", "callbacks-freed nothing-left interrupts hook-raises trains-again"),
        ("ForgetsItsMomentum", "resume-inside pause-goes-on"),
        ("HidesNaN", "bench-reports same-weights same-rates same-files same-faults"),
    ],
)
def test_a_mistake_breaks_the_rules_that_it_concerns_and_no_others(mistake: str, others: str) -> None:
    rule, factory = BROKEN[mistake]
    assert broken(factory) == {rule, *others.split()}


def test_a_batch_that_is_begun_and_never_ended_is_not_held_against_it() -> None:
    for rule in ("events-in-order", "no-validation", "resume-at-epochs", "same-stops"):
        RULES[rule].hold("DroppingBench", DroppingBench)


# What an author reads


def test_where_events_differ_both_outlines_are_shown() -> None:
    assert said("events-in-order", *_mistake("ValidatesFirst")) == (
        "ValidatesFirst breaks 'events-in-order': a run of two epochs with validation:\n"
        "  expected setup train[ epoch0[ batch0[] batch1[] test[ batch0[] batch1[] ] ] "
        "epoch1[ batch0[] batch1[] test[ batch0[] batch1[] ] ] ] teardown\n"
        "  came     setup train[ epoch0[ test[ batch0[] batch1[] ] batch0[] batch1[] ] "
        "epoch1[ test[ batch0[] batch1[] ] batch0[] batch1[] ] ] teardown\n"
        "                                ^\n"
        "  A run fires every event in the order of the reference loop.\n"
        "  docs/write-an-adapter.md#events"
    )


def test_what_is_said_of_a_late_stop() -> None:
    assert said("decision-stops", *_mistake("TrainsOneBatchMore")) == (
        "TrainsOneBatchMore breaks 'decision-stops': a stop of kind 'decision' asked for in epoch_begin:\n"
        "  expected setup train[ epoch0[ stop test[ batch0[] batch1[] ] ] ] teardown\n"
        "  came     setup train[ epoch0[ stop batch0[] test[ batch0[] batch1[] ] ] ] teardown\n"
        "                                     ^\n"
        "  After a decision to stop no batch begins; the epoch's validation runs, and all ends fire.\n"
        "  docs/write-an-adapter.md#stops"
    )


def test_what_is_said_of_an_exception_that_is_wrapped() -> None:
    assert said("training-raises", *_mistake("WrapsExceptions")) == (
        "WrapsExceptions breaks 'training-raises': a ValueError raised in a batch of the second epoch: another "
        "object came out, RuntimeError('training failed')\n"
        "  What training raises comes out, the same object, after exception and teardown.\n"
        "  docs/write-an-adapter.md#exceptions"
    )


def test_what_is_said_of_a_verb_that_is_claimed() -> None:
    assert said("claims-work", *_mistake("ClaimsAVerb")) == (
        "ClaimsAVerb breaks 'claims-work': it claims 'optimizer_average', and a callback that uses it raised "
        "NotImplementedError: soon\n"
        "  A capability that is not missing works: none of its verbs raises.\n"
        "  docs/write-an-adapter.md#capabilities"
    )


def test_what_is_said_of_a_momentum_that_is_lost() -> None:
    assert said("resume-at-epochs", *_mistake("ForgetsItsMomentum")) == (
        "ForgetsItsMomentum breaks 'resume-at-epochs': a run of three epochs that goes on after 1: its last "
        "weights are other ones, "
        "['layer0/kernel', 'layer0/bias', 'layer1/kernel', 'layer1/bias']. They were equal when it went on: look for "
        "optimizer arrays, step counts and learning rates that are not in state_dict(), and for your own generators in "
        "random_state().\n"
        "  To go on from the end of any epoch is as if there had been no stop.\n"
        "  docs/write-an-adapter.md#state"
    )


def test_what_is_said_of_a_run_that_goes_on_with_other_weights() -> None:
    said_of_it = said("resume-at-epochs", *_mistake("LoadsNoBiases"))
    assert ". They were other ones already when it went on: look at what load_state_dict() writes" in said_of_it


def test_what_is_said_of_a_run_that_does_not_know_its_total() -> None:
    assert said("bench-returns", *_mistake("KnowsNoTotal")) == (
        "KnowsNoTotal breaks 'bench-returns': run.outcome after train:\n"
        "  expected completed\n"
        "  came     stopped\n"
        "           ^\n"
        "  (run.max_epochs is None, run.epochs_done 1: was driver.open('train', epochs=total) given the total, resumed "
        "or not?)\n"
        "  Bench.train returns the run that its callbacks met, over; evaluate and predict as well.\n"
        "  docs/write-an-adapter.md#bench"
    )


def test_what_is_said_of_weights_that_the_optimizer_does_not_have() -> None:
    assert said("weights-used", *_mistake("RebindsWhatIsSet")) == (
        "RebindsWhatIsSet breaks 'weights-used': after run.set_weights() in train_batch_begin the next batch changed "
        "no weight: the optimizer still trains other arrays\n"
        "  The weights that a callback sets as a batch begins are those that the batch trains.\n"
        "  docs/write-an-adapter.md#weights"
    )


def test_what_is_said_of_weights_that_are_written_too_early() -> None:
    assert said("weights-refused", *_mistake("TakesWhatFits")) == (
        "TakesWhatFits breaks 'weights-refused': run.set_weights() with a name that is not there raised nothing\n"
        "  A name or a shape that does not fit is a WeightsError, and nothing is written.\n"
        "  docs/write-an-adapter.md#weights"
    )


def test_what_is_said_of_another_decision() -> None:
    assert said("same-rates", *_mistake("RoundsSmallRates")) == (
        "RoundsSmallRates breaks 'same-rates': run.lr at the end of each epoch, where val_loss was [1.375, "
        "0.625, None, nan, 0.375, 0.375, inf]:\n"
        "  expected [0.5, 0.5, 0.5, 0.25, 0.25, 0.125, 0.0625]\n"
        "  came     [0.5, 0.5, 0.5, 0.25, 0.25, 0.125, 0.1]\n"
        "                                                ^\n"
        "  ReduceLROnPlateau and LearningRateScheduler set the learning rates of the reference loop.\n"
        "  docs/write-an-adapter.md#decisions"
    )


def test_what_is_said_of_a_bench_that_gives_no_run() -> None:
    assert said("bench-returns", *_mistake("ReturnsNothing")) == (
        "ReturnsNothing breaks 'bench-returns': train returned None: return the trainhooks.Run, as a LoopRun's "
        ".run or a Driver's .run\n"
        "  Bench.train returns the run that its callbacks met, over; evaluate and predict as well.\n"
        "  docs/write-an-adapter.md#bench"
    )


def test_what_a_bench_that_is_not_written_yet_is_told() -> None:
    assert said("events-in-order", "Bench", Bench) == (
        "Bench breaks 'events-in-order': it raised NotImplementedError: \n"
        "  A run fires every event in the order of the reference loop.\n"
        "  docs/write-an-adapter.md#events"
    )


# The test function


def cases(test: Callable[..., None]) -> list[str]:
    """The ids of its cases."""
    (mark,) = test.pytestmark  # type: ignore[attr-defined]
    return [parameter.id for parameter in mark.args[1]]


def test_there_is_a_case_for_each_rule() -> None:
    assert cases(check_adapter(ReferenceBench)) == list(RULES)


def test_a_rule_can_be_left_out_with_a_reason() -> None:
    without = {"history": "The trainer keeps its own."}
    assert cases(check_adapter(ReferenceBench, without=without)) == [name for name in RULES if name != "history"]


def test_the_test_keeps_what_it_was_made_of() -> None:
    without = {"history": "The trainer keeps its own."}
    test = check_adapter(ReferenceBench, without=without)
    assert (test.factory, test.without) == (ReferenceBench, without)
    assert check_adapter(ReferenceBench).without == {}


def test_a_rule_that_is_left_out_must_exist() -> None:
    with pytest.raises(ValueError, match=r"^ReferenceBench: without='histroy' is no rule\. Did you mean 'history'\?"):
        check_adapter(ReferenceBench, without={"histroy": "The trainer keeps its own."})


def test_a_factory_without_a_name_is_the_adapter() -> None:
    test = check_adapter(lambda: Bench())
    with pytest.raises(BrokenRuleError, match=r"^the adapter breaks 'bench-returns'"):
        test(RULES["bench-returns"])


def test_where_a_bench_is_not_written_yet_the_other_rules_are_skipped_and_say_so() -> None:
    test = check_adapter(Bench)
    for name in ("events-in-order", "same-stops"):
        with pytest.raises(pytest.skip.Exception) as caught:
            test(RULES[name])
        assert str(caught.value) == "not tried: Bench breaks 'bench-returns'; mend that first"


def test_the_kit_says_nothing_beside_its_result() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("same-stops", "hook-raises", "pause-goes-on", "claims-work", "average-moves"):
            RULES[name].hold("DrivenBench", DrivenBench)


def _mistake(name: str) -> tuple[str, Callable[[], Bench]]:
    return name, BROKEN[name][1]
