"""check_callback: each rule is broken by what ought to break it, and the message says what was seen."""

from __future__ import annotations

import dataclasses
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
RULES = {rule.name: rule for rule in CALLBACK_RULES}
LACKS_EMBEDDINGS = "Embeds needs 'embeddings', which this trainer lacks: the numpy adapter does not offer it."

test_one_that_keeps_them_all = check_callback(Halve)
test_one_that_does_nothing = check_callback(Callback)
test_one_that_the_trainer_cannot_serve = check_callback(Embeds, refused=LACKS_EMBEDDINGS)


class Sparing(ReferenceBench):
    """Tries fewer places, which are enough here."""

    sparing = True


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is left in it goes away, and what is left open is closed."""
    monkeypatch.chdir(tmp_path)
    yield
    while OPENED:
        OPENED.pop().close()


def trial(name: str, **more: Any) -> Trial:
    made = BROKEN[name].factory
    return Trial(type(made()).__name__, made, Sparing, **more)


def seen(name: str) -> str:
    """The whole message of the rule for its example."""
    rule, subject = RULES[name], trial(name)
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
    first, broken = trial(name), set()
    for rule in CALLBACK_RULES:
        subject = dataclasses.replace(first, root=None)
        try:
            rule.hold(subject.who, subject)
        except BrokenRuleError:
            broken.add(rule.name)
    assert broken == {name, *BROKEN[name].also}


def test_one_that_reads_what_it_is_said_to_read_may() -> None:
    assert RULES["reads"].check(trial("reads", reads=("loss",))) is None


def test_what_a_new_run_does_not_forget_is_told_by_its_key() -> None:
    rule = RULES["evaluation"]
    kept = [rule.check(trial("evaluation", keeps=keeps)) is None for keeps in ((), ("count",))]
    assert kept == [False, False]  # only a run forgets, or does not
    rule = RULES["reset"]
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
            "KeepsANumpyNumber breaks 'plain-state': when it is new: state_dict()['count'] is np.int64(0), of type "
            "int64\n"
            "  state_dict() holds JSON-able values and numpy arrays, in dictionaries whose keys are strings.\n"
            "  docs/write-a-callback.md#state",
        ),
        (
            "pause",
            "ClosesAtTrainEnd breaks 'pause': a run with a pause at train_begin: the file 'log.txt' is open\n"
            "  After a pause at any event it is free, has closed what it opened, and serves again.\n"
            "  docs/write-a-callback.md#how-it-ends",
        ),
        (
            "resume-batch",
            "ForgetsTheSum breaks 'resume-batch': gone on from train_batch_end of batch 1 of epoch 0: "
            "history[0][1]['sum'] is 0, not 3 (was something forgotten in state_dict(), or reset in a begin that fires "
            "again?)\n"
            "  Gone on with from any training batch's end, by another object, a run is as if it had never stopped.\n"
            "  docs/write-a-callback.md#resume",
        ),
        (
            "reads",
            "Reads breaks 'reads': in train_batch_end it read 'loss' from the device; it may read nothing. Where it "
            "must: check_callback(..., reads=['loss']), and read seldom: @trainhooks.every(steps=50)\n"
            "  In the events of batches it reads no value of the logs but those that it is said to read.\n"
            "  docs/write-a-callback.md#logs",
        ),
        (
            "needs",
            "SaysNoNeeds breaks 'needs': with no model to ask, it was attached, and then: run needs 'lr', which this "
            "trainer lacks: it was given no model. Use trainhooks.wrap(model, ...).\n"
            "  What it uses of the trainer stands in its requires, or it asks run.can first.\n"
            "  docs/write-a-callback.md#needs",
        ),
        (
            "fires",
            "NeverDue breaks 'fires': NeverDue.on_train_batch_end, with every(steps=10), never ran in 4 epochs of 2 "
            'batches. Give it a setting under which it does, as every=3; or say why not: without={"fires": "..."}\n'
            "  Each of its hooks runs at least once while it is tried.\n"
            "  docs/write-a-callback.md#test-it",
        ),
        (
            "stops",
            "StopsAsInKeras breaks 'stops': it set model.stop_training, which is Keras's and stops no other trainer: "
            'run.stop("why")\n'
            "  It stops training by run.stop alone.\n"
            "  docs/write-a-callback.md#run",
        ),
        (
            "no-validation",
            "WantsValidation breaks 'no-validation': without a validation: it raised KeyError: 'val_loss' (use "
            "logs.get('val_loss'): None where it did not validate)\n"
            "  It goes along without a validation, or says in an error of its name what is missing.\n"
            "  docs/write-a-callback.md#how-it-ends",
        ),
        (
            "state-is-copied",
            "TakesTheList breaks 'state-is-copied': changing what was loaded changed the callback's 'seen': copy it in "
            "load_state_dict()\n"
            "  load_state_dict() keeps no reference into what it is given.\n"
            "  docs/write-a-callback.md#state",
        ),
        (
            "no-settings",
            "KeepsASetting breaks 'no-settings': state_dict() holds 'patience', which is the constructor's patience=3: "
            "leave it out. Where it is there on purpose: check_callback(..., keeps=['patience'])\n"
            "  What the constructor is given is no state.\n"
            "  docs/write-a-callback.md#state",
        ),
        (
            "constructor",
            "WritesAtOnce breaks 'constructor': as soon as it was made, 'begun.txt' was written\n"
            "  To make one opens, starts and writes nothing.\n"
            "  docs/write-a-callback.md#hooks",
        ),
        (
            "resume-files",
            "Appends breaks 'resume-files': gone on from epoch_end of epoch 1, in the folder of the run before: "
            "'log.txt' has 6 lines: line 5 is '2'; it should be not there, of 4 lines (flush what is kept open, keep "
            "its length in the state, and cut back to it in train_begin)\n"
            "  After a resume its files are, byte by byte, as if the run had never stopped.\n"
            "  docs/write-a-callback.md#resume",
        ),
        (
            "evaluation-files",
            "EmptiesAtSetup breaks 'evaluation-files': an evaluation, in the folder of a training: 'summary.txt' has 0 "
            "lines: line 1 is not there; it should be 'done', of 1 line\n"
            "  An evaluation or a prediction alone leaves the files of a training as they were.\n"
            "  docs/write-a-callback.md#resume",
        ),
        (
            "passes-on",
            "Rewords breaks 'passes-on': a ValueError('of another', 3) of another callback came out as "
            "ValueError('training failed')\n"
            "  An exception of another's comes out of the run as it was raised, and its hooks raise none beside it.\n"
            "  docs/write-a-callback.md#how-it-ends",
        ),
        (
            "attaches",
            f"Embeds breaks 'attaches': it was refused: {LACKS_EMBEDDINGS}\n"
            f"Where that is right, say so: check_callback(..., refused={LACKS_EMBEDDINGS!r})\n"
            "  The trainer can serve it, or it is said to be refused.\n"
            "  docs/write-a-callback.md#needs",
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
