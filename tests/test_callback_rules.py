"""The rules of a callback, broken in more ways than one; and what is tried where nothing can be."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from broken_callbacks import BROKEN, Appends

from trainhooks import Callback, Run
from trainhooks.events import EVENTS
from trainhooks.testing import BrokenRuleError, ReferenceBench, check_callback
from trainhooks.testing.callback_rules import CALLBACK_RULES
from trainhooks.testing.callback_rules_trial import Trial

RULES = {rule.name: rule for rule in CALLBACK_RULES}


class Sparing(ReferenceBench):
    """Tries fewer places, which are enough here."""

    sparing = True


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def verdict(rule: str, factory: Callable[[], Callback]) -> str | None:
    """What a rule says of it."""
    return RULES[rule].check(Trial(factory.__name__, factory, Sparing))


class HearsEverything(Callback):
    """A hook for each event, which does nothing."""


for _name in EVENTS:
    setattr(HearsEverything, f"on_{_name}", lambda self: None)


def test_every_event_fires_while_a_callback_is_tried() -> None:
    assert verdict("fires", HearsEverything) is None
    with_predictions = Trial("HearsEverything", HearsEverything, WithoutPredictions)
    assert RULES["fires"].check(with_predictions) is None  # what the trainer has not is not asked for


class WithoutPredictions(ReferenceBench):
    def predict(self, callbacks: Sequence[Callback]) -> None:
        return None


class GuardsInSecret(Appends):
    """Halves the learning rate after the second batch of a loss that is far off, and does not say that it counts."""

    requires = {"lr"}
    far = 0

    def reset(self) -> None:
        self.far = 0

    def on_epoch_end(self, epoch: int) -> None: ...

    def on_train_batch_end(self, run: Run) -> None:
        self.far += run.logs["loss"] > 10
        if self.far == 2:
            run.lr /= 2
            self.far = 0


def test_a_guard_against_losses_that_are_far_off_acts_in_the_runs_that_are_resumed() -> None:
    broken = Trial("GuardsInSecret", GuardsInSecret, ReferenceBench)
    found = RULES["resume-batch"].check(broken)
    assert found is not None
    assert found.startswith("gone on from train_batch_end of batch 0 of epoch 2: lrs[0] is 0.125, not 0.0625 (was")


class BeginsAnew(Appends):
    """Empties its file when a run goes on."""

    def on_train_begin(self) -> None:
        open("log.txt", "w").close()


class WritesAPartEach(Callback):
    """A file of its own for each process."""

    ranks = "main"

    def on_train_begin(self) -> None:
        Path(f"part{len(list(Path().glob('part*')))}.txt").write_text("begun")


class KeepsItOpen(Appends):
    """Notes a length that is not on the disk yet."""

    def on_train_begin(self) -> None:
        self.file = open("log.txt", "ab")  # noqa: SIM115  # closed in teardown
        self.file.truncate(min(self.size, self.file.tell()))

    def on_train_batch_end(self, run: Run) -> None:
        self.file.write(b"%d\n" % run.step)
        self.size = self.file.tell()

    def on_epoch_end(self) -> None: ...

    def on_teardown(self) -> None:
        self.file.close()

    def reset(self) -> None:
        self.size = 0

    def state_dict(self) -> dict[str, Any]:
        return {"size": self.size}

    def load_state_dict(self, state: Any) -> None:
        self.size = state["size"]


def test_what_was_not_on_the_disk_when_its_length_was_noted_is_missed_after_a_kill() -> None:
    assert RULES["resume-files"].check(Trial("KeepsItOpen", KeepsItOpen, ReferenceBench)) == (
        "killed after batch 1 of epoch 1, and gone on with from there, in the folder of the run before: 'log.txt' has "
        "4 lines: line 1 is '5'; it should be '1', of 8 lines (flush what is kept open, keep its length in the state, "
        "and cut back to it in train_begin)"
    )


@pytest.mark.parametrize(
    "factory, seen",
    [
        (BeginsAnew, "'log.txt' has 2 lines: line 1 is '2'; it should be '0', of 4 lines"),
        (WritesAPartEach, "there is 'part1.txt', which a run that never stopped does not leave"),
    ],
)
def test_how_files_come_out_otherwise_after_a_resume_is_told(factory: Callable[[], Callback], seen: str) -> None:
    hint = "(flush what is kept open, keep its length in the state, and cut back to it in train_begin)"
    place = "gone on from epoch_end of epoch 1, in the folder of the run before"
    assert verdict("resume-files", factory) == f"{place}: {seen} {hint}"


class TakesWeights(Callback):
    """Needs no model, and weights where there is one."""

    def on_train_begin(self, run: Run) -> None:
        if run.framework != "none":
            run.get_weights()


def test_each_thing_that_a_trainer_may_lack_is_taken_away_in_turn() -> None:
    assert verdict("needs", TakesWeights) == (
        "without 'weights', it was attached, and then: run needs 'weights', which this trainer lacks: this trainer "
        "does not offer it. Name it in requires, or ask run.can('weights') first."
    )


class StopsAtNaNAsInKeras(Callback):
    def on_train_batch_end(self, logs: dict[str, Any]) -> None:
        if math.isnan(logs["loss"]):
            self.model.stop_training = True


def test_a_guard_against_nan_that_stops_as_in_keras_is_told_so() -> None:
    assert verdict("stops", StopsAtNaNAsInKeras) is not None


class RaisesInATraining(Callback):
    def on_epoch_end(self, epoch: int) -> None:
        raise TypeError(f"epoch {epoch}")


def test_what_a_hook_raises_is_no_refusal() -> None:
    assert verdict("attaches", RaisesInATraining) is None
    with pytest.raises(BrokenRuleError) as caught:
        RULES["runs"].hold("Mine", Trial("Mine", RaisesInATraining, Sparing))
    cause = caught.value.__cause__
    assert cause is not None and cause.__traceback__ is not None
    assert cause.__traceback__.tb_frame.f_code.co_name == "on_epoch_end"  # the stranger's own line comes first
    assert str(caught.value).splitlines()[0] == "Mine breaks 'runs': it raised TypeError: epoch 0"


def test_where_nothing_could_be_tried_the_other_rules_are_skipped_and_say_so() -> None:
    test = check_callback(RaisesInATraining)
    with pytest.raises(BrokenRuleError):
        test(RULES["runs"])
    for name in ("state-returns", "resume-epoch"):
        with pytest.raises(pytest.skip.Exception) as caught:
            test(RULES[name])
        assert str(caught.value) == "not tried: RaisesInATraining breaks 'runs'; mend that first"
    check_callback(RaisesInATraining)(RULES["made-anew"])
    lenient = check_callback(RaisesInATraining, without={"runs": "It raises, and is to."})
    with pytest.raises(BrokenRuleError, match=r"^RaisesInATraining breaks 'state-returns': it raised TypeError"):
        lenient(RULES["state-returns"])


def test_the_callback_that_is_made_for_its_name_is_made_elsewhere(tmp_path: Path) -> None:
    check_callback(lambda: BROKEN["constructor"].factory())
    assert list(tmp_path.iterdir()) == []
