"""The vocabulary agrees with itself, and the grammar takes whole runs and refuses broken ones."""

from __future__ import annotations

import pytest

from trainhooks import fit
from trainhooks.errors import GrammarError, UnknownEventError
from trainhooks.events import ALIASES, EVENTS, SCOPES, Event, Grammar, resolve
from trainhooks.testing import Constant, Trace, batches


def test_a_run_of_the_reference_loop_is_in_the_grammar() -> None:
    trace = Trace()
    fit(Constant(), batches(2), batches(1), callbacks=[trace])
    assert trace.outline() == "setup train[ epoch0[ batch0[] batch1[] test[ batch0[] ] ] ] teardown"
    trace.check_grammar()


def test_each_begin_and_end_belongs_to_one_scope_and_each_scope_to_events() -> None:
    edges = [edge for scope in SCOPES.values() for edge in (scope.begin, scope.end)]
    named = [name for name in EVENTS if name.endswith(("_begin", "_end"))]
    assert sorted(edges) == sorted([*named, "setup", "teardown"])
    assert len(set(edges)) == len(edges)
    assert set(edges) <= set(EVENTS)


def test_scopes_stand_in_scopes_and_one_is_the_outermost() -> None:
    assert {parent for scope in SCOPES.values() for parent in scope.parents} <= set(SCOPES)
    assert [scope.name for scope in SCOPES.values() if not scope.parents] == ["run"]
    assert all(name == scope.name for name, scope in SCOPES.items())


def test_a_begin_and_its_end_carry_the_same_arguments() -> None:
    more = {
        scope.name: set(EVENTS[scope.end].args) - set(EVENTS[scope.begin].args)
        for scope in SCOPES.values()
        if EVENTS[scope.begin].args != EVENTS[scope.end].args
    }
    assert more == {"predict_batch": {"outputs"}}


def test_an_event_knows_its_hook_and_offers_the_run_beside_its_arguments() -> None:
    assert {name: event.hook for name, event in EVENTS.items()} == {name: f"on_{name}" for name in EVENTS}
    assert EVENTS["epoch_end"].offers == ("epoch", "logs", "run")
    assert all(event.name == name and event.doc.endswith(".") for name, event in EVENTS.items())


def test_kerass_older_names_are_aliases_and_no_events() -> None:
    assert {old: resolve(old, "test").name for old in ALIASES} == {
        "batch_begin": "train_batch_begin",
        "batch_end": "train_batch_end",
    }
    assert not set(ALIASES) & set(EVENTS)


def test_resolve_looks_among_the_events_it_is_given() -> None:
    tick = Event("tick", (), "")
    assert resolve("tick", "test", {"tick": tick}) is tick
    with pytest.raises(UnknownEventError) as caught:
        resolve("tik", "Mine", {"tick": tick})
    assert str(caught.value) == "Mine: there is no event 'tik'. Did you mean 'tick'?"


T, E, B = ("train_begin", "train_end"), ("epoch_begin", "epoch_end"), ("train_batch_begin", "train_batch_end")

GOOD = {
    "nothing but teardown": ["teardown"],
    "teardown twice": ["setup", "teardown", "teardown"],
    "no training": ["setup", "teardown"],
    "an epoch without batches": ["setup", T[0], *E, T[1], "teardown"],
    "a batch": ["setup", T[0], E[0], *B, E[1], T[1], "teardown"],
    "a validation in a batch": ["setup", T[0], E[0], B[0], "test_begin", "test_end", B[1], E[1], T[1], "teardown"],
    "an evaluation alone": ["setup", "test_begin", "test_batch_begin", "test_batch_end", "test_end", "teardown"],
    "a prediction in an epoch": ["setup", T[0], E[0], "predict_begin", "predict_end", E[1], T[1], "teardown"],
    "an exception in a batch": ["setup", T[0], E[0], B[0], "exception", "teardown"],
    "an exception in setup": ["exception", "teardown"],
    "what is no scope anywhere": ["setup", "stop", T[0], "checkpoint", T[1], "my_own_event", "teardown"],
}

BAD = {
    "nothing at all": ([], "the run never reached 'teardown'; open are []"),
    "no teardown": (["setup", T[0]], "the run never reached 'teardown'; open are ['run', 'train']"),
    "two setups": (["setup", "setup"], "'setup' inside 'run': it has its place in nothing"),
    "no setup": (T, "'train_begin' inside None: it has its place in ('run',)"),
    "an epoch outside training": (["setup", E[0]], "'epoch_begin' inside 'run': it has its place in ('train',)"),
    "an end with no begin": (["setup", T[1]], "'train_end' while 'run' is open"),
    "ends crossed": (["setup", T[0], E[0], T[1]], "'train_end' while 'epoch' is open"),
    "a validation inside one": (
        ["setup", "test_begin", "test_begin"],
        "'test_begin' inside 'test': it has its place in ('run', 'epoch', 'train_batch')",
    ),
    "teardown in an epoch": (
        ["setup", T[0], E[0], "teardown"],
        "'teardown' while 'epoch' is open, and nothing failed or paused",
    ),
    "teardown in training": (
        ["setup", T[0], "teardown"],
        "'teardown' while 'train' is open, and nothing failed or paused",
    ),
    "an end after an exception": (["setup", T[0], "exception", T[1]], "'train_end' after 'exception'"),
    "two exceptions": (["setup", "exception", "exception"], "'exception' after 'exception'"),
    "a run after its end": (["setup", "teardown", "setup"], "'setup' after 'teardown'"),
    "an event outside a run": (["checkpoint"], "'checkpoint' outside a run"),
}


@pytest.mark.parametrize("names", GOOD.values(), ids=GOOD)
def test_the_grammar_takes(names: list[str]) -> None:
    Grammar().check(names)


@pytest.mark.parametrize("names, text", BAD.values(), ids=BAD)
def test_the_grammar_refuses(names: list[str], text: str) -> None:
    with pytest.raises(GrammarError) as caught:
        Grammar().check(names)
    assert str(caught.value) == text


def test_a_pause_leaves_open_what_was_open() -> None:
    names = ["setup", T[0], E[0], *B, "teardown"]
    Grammar(paused=True).check(names)
    with pytest.raises(GrammarError):
        Grammar().check(names)
