"""check_callback: each rule is broken by what ought to break it, and the message says what was seen."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from broken_callbacks import BROKEN, OPENED, Embeds, Halve
from hypothesis import given, settings
from hypothesis import strategies as st

from trainhooks import MLP, Callback
from trainhooks.testing import BrokenRuleError, ReferenceBench, check_callback, play
from trainhooks.testing.callback_rules import CALLBACK_RULES, REFUSED
from trainhooks.testing.callback_rules_trial import Trial, as_read, at_the_end_of, difference, plain
from trainhooks.testing.strategies import histories

PAGE = Path(__file__).parent.parent / "docs" / "write-a-callback.md"
LACKS_EMBEDDINGS = "Embeds needs 'embeddings', which this trainer lacks: the numpy adapter does not offer it."

test_one_that_keeps_them_all = check_callback(Halve)
test_one_that_does_nothing = check_callback(Callback)
test_one_that_the_trainer_cannot_serve = check_callback(Embeds, refused=LACKS_EMBEDDINGS)


class Sparing(ReferenceBench):
    """Tries fewer places, which are enough here."""

    sparing = True


@pytest.fixture(autouse=True)
def close_what_was_left() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


def trial(name: str, **more: Any) -> Trial:
    made = BROKEN[name].factory
    return Trial(type(made()).__name__, made, Sparing, **more)


def seen(name: str) -> str:
    """The whole message of the rule for its example."""
    rule, subject = next(rule for rule in CALLBACK_RULES if rule.name == name), trial(name)
    with pytest.raises(BrokenRuleError) as caught:
        rule.hold(subject.who, subject)
    return str(caught.value)


def test_there_is_an_example_for_each_rule() -> None:
    assert list(BROKEN) == [rule.name for rule in CALLBACK_RULES]


def test_each_rule_is_explained_where_it_says() -> None:
    page = PAGE.read_text(encoding="utf-8")
    headings = [line[3:].lower().replace(" ", "-") for line in page.splitlines() if line.startswith("## ")]
    places = {rule.page.removeprefix("docs/write-a-callback.md#") for rule in (*CALLBACK_RULES, *REFUSED)}
    assert places <= set(headings)


@pytest.mark.parametrize("name", BROKEN)
def test_each_example_breaks_its_rule_and_no_other_than_is_said(name: str) -> None:
    broken = set()
    for rule in CALLBACK_RULES:
        subject = trial(name)
        try:
            rule.hold(subject.who, subject)
        except BrokenRuleError:
            broken.add(rule.name)
    assert broken == {name, *BROKEN[name].also}


def test_one_that_reads_what_it_is_said_to_read_may() -> None:
    rule = next(rule for rule in CALLBACK_RULES if rule.name == "reads")
    assert rule.check(trial("reads", reads=("loss",))) is None


def test_what_a_new_run_does_not_forget_is_told_by_its_key() -> None:
    rule = next(rule for rule in CALLBACK_RULES if rule.name == "evaluation")
    kept = [rule.check(trial("evaluation", keeps=keeps)) is None for keeps in ((), ("count",))]
    assert kept == [False, False]  # only a run forgets, or does not
    rule = next(rule for rule in CALLBACK_RULES if rule.name == "reset")
    forgetful = Trial("NeverForgets", NeverForgets, Sparing, keeps=("count",))
    assert rule.check(forgetful) is None
    assert rule.check(Trial("NeverForgets", NeverForgets, Sparing)) == (
        "after a run and reset(): state_dict()['count'] is 4, not 0"
    )


class NeverForgets(Callback):
    count = 0

    def on_epoch_end(self) -> None:
        self.count += 1

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}


# Messages


@pytest.mark.parametrize(
    "name, text",
    [
        (
            "plain-state",
            "KeepsANumpyNumber breaks the rule 'plain-state', of docs/write-a-callback.md#state:\n"
            "  state_dict() holds JSON-able values and numpy arrays, in dictionaries whose keys are strings.\n"
            "when it is new: state_dict()['count'] is np.int64(0), of type int64",
        ),
        (
            "pause",
            "ClosesAtTrainEnd breaks the rule 'pause', of docs/write-a-callback.md#how-it-ends:\n"
            "  After a pause at any event it is free, has closed what it opened, and serves again.\n"
            "a run with a pause at train_begin: the file 'log.txt' is open",
        ),
        (
            "resume-batch",
            "ForgetsTheSum breaks the rule 'resume-batch', of docs/write-a-callback.md#resume:\n"
            "  Gone on with from any training batch's end, by another object, a run is as if it had never stopped.\n"
            "gone on from train_batch_end of batch 1 of epoch 0: history[0][1]['sum'] is 0, not 3",
        ),
        (
            "reads",
            "Reads breaks the rule 'reads', of docs/write-a-callback.md#logs:\n"
            "  In the events of batches it reads no value of the logs but those that it is said to read.\n"
            "in train_batch_end it read 'loss' from the device; it may read nothing",
        ),
        (
            "needs",
            "SaysNoNeeds breaks the rule 'needs', of docs/write-a-callback.md#needs:\n"
            "  What it uses of the trainer stands in its requires.\n"
            "with no model to ask, it was attached, and then: run needs 'lr', which this trainer lacks: it was given "
            "no model. Use trainhooks.wrap(model, ...).",
        ),
        (
            "passes-on",
            "Rewords breaks the rule 'passes-on', of docs/write-a-callback.md#errors:\n"
            "  An exception of another's comes out of the run as it was raised, and its hooks raise none beside it.\n"
            "a ValueError('of another', 3) of another callback came out as ValueError('training failed')",
        ),
        (
            "attaches",
            "Embeds breaks the rule 'attaches', of docs/write-a-callback.md#needs:\n"
            "  The trainer can serve it, or it is said to be refused.\n"
            f"it was refused: {LACKS_EMBEDDINGS}\n"
            f"Where that is right, say so: check_callback(..., refused={LACKS_EMBEDDINGS!r})",
        ),
    ],
)
def test_a_message_says_which_rule_of_which_page_was_broken_and_what_was_seen(name: str, text: str) -> None:
    assert seen(name) == text


def test_what_is_refused_by_another_sentence_or_not_at_all_is_told() -> None:
    said = [
        REFUSED[0].check(Trial("Embeds", Embeds, Sparing, refused="no embeddings")),
        REFUSED[0].check(Trial("Callback", Callback, Sparing, refused="no embeddings")),
    ]
    assert said == [
        f"it was refused otherwise: {LACKS_EMBEDDINGS}\nand not: no embeddings",
        "it was not refused, and should have been: no embeddings",
    ]


def test_one_callback_in_place_of_a_factory_is_refused() -> None:
    one = Halve()
    with pytest.raises(TypeError) as caught:
        check_callback(one)  # type: ignore[arg-type]
    assert str(caught.value) == (
        f"check_callback({one!r}): it takes what makes a new callback at each call. Write check_callback(lambda: ...)."
    )


def test_a_rule_is_left_out_with_a_reason_alone() -> None:
    with pytest.raises(ValueError) as caught:
        check_callback(Halve, without={"reset": ""})
    assert str(caught.value) == "Halve: without={'reset': ''}: say why, as a sentence"


# Random histories


@settings(deadline=None, max_examples=40)
@given(histories(), st.data())
def test_from_any_epoch_of_any_history_a_good_one_goes_on_as_if_it_had_not_stopped(
    history: list[dict[str, float]], data: st.DataObject
) -> None:
    whole, second, states = Halve(diary=None), Halve(diary=None), []
    take = at_the_end_of("epoch_end", lambda run: states.append(as_read(run.state_dict())))
    expected = play(history, [whole, take], trainable=MLP((2, 2)))
    resume = data.draw(st.sampled_from(states))
    run = play(history, [second], trainable=MLP((2, 2)), resume=resume)
    came_to = [[plain(made.state_dict()), one.lr] for made, one in ((whole, expected), (second, run))]
    assert difference(came_to[0], came_to[1]) is None


def test_the_kit_loads_neither_pytest_nor_hypothesis_until_they_are_used() -> None:
    code = "import sys, trainhooks.testing; print([name for name in ('pytest', 'hypothesis') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
