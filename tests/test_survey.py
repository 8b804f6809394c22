"""``survey``: the rules outside pytest, and what an adapter can do, as data."""

from __future__ import annotations

import json

import broken_verbs  # noqa: F401  (it adds to BROKEN)
import pytest
from broken_adapters import BROKEN
from driven_bench import AbleBench, BareBench

from trainhooks.testing import Bench, ReferenceBench, survey
from trainhooks.testing.adapter_rules import ADAPTER_RULES
from trainhooks.testing.survey import abilities
from trainhooks.trainable import CAPABILITIES

NAMES = [rule.name for rule in ADAPTER_RULES]


def test_it_tells_which_rules_are_held_and_which_were_left_out() -> None:
    without = {"history": "The trainer keeps its own."}
    found = survey(ReferenceBench, without=without)
    assert (found.framework, found.owns_loop, found.broken, found.left_out) == ("numpy", True, {}, without)
    assert found.held == [name for name in NAMES if name != "history"]
    assert list(found.capabilities) == list(CAPABILITIES)
    assert {need for need, reason in found.capabilities.items() if reason is not None} == ReferenceBench.lacks
    assert json.loads(json.dumps(found.to_json()))["held"] == found.held


def test_a_broken_rule_is_told_with_its_message_and_the_others_are_tried() -> None:
    rule, factory = BROKEN["ClaimsAVerb"]
    found = survey(factory)
    assert rule in found.broken
    assert found.broken[rule].startswith("ClaimsAVerb breaks 'claims-work': it claims 'optimizer_average', and a")
    assert [name for name in NAMES if name not in found.broken] == found.held
    assert len(found.held) > len(NAMES) - 3


def test_where_a_bench_does_not_train_nothing_else_is_tried_and_nothing_is_asked() -> None:
    found = survey(Bench)
    assert (found.framework, found.capabilities, found.held) == ("", {}, ["bench-is-new"])
    assert found.broken["bench-returns"].startswith("Bench breaks 'bench-returns': it raised NotImplementedError")
    assert found.broken["same-stops"] == "not tried: Bench breaks 'bench-returns'; mend that first"


def test_a_reason_is_asked_for_as_check_adapter_asks() -> None:
    with pytest.raises(ValueError, match=r"^ReferenceBench: without='histroy' is no rule"):
        survey(ReferenceBench, without={"histroy": "The trainer keeps its own."})


def test_what_is_lacking_and_which_files_are_written_is_asked_in_a_run() -> None:
    able, bare = abilities(AbleBench), abilities(BareBench)
    assert (able.capabilities["save"], sorted(able.formats) != []) == (None, True)
    assert all(reason is not None and reason.endswith(".") for reason in bare.capabilities.values() if reason)
    assert bare.formats == {}
