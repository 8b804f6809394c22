"""What callbacks.make knows beside the built-ins: what register was given, and what plugins offer."""

from __future__ import annotations

import functools
import reprlib
from collections.abc import Iterator
from typing import Any

import pytest
from named import BUILT_IN, OWN, Mine, Offers, Other, let_go, refused

from trainhooks import plugins
from trainhooks.callbacks import History, make, names, register, unregister
from trainhooks.errors import UnknownCallbackError


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    told = len(plugins.failures)
    yield
    let_go(told)


class TestRegistered:
    def test_one_of_ones_own_goes_by_its_own_name_or_by_a_given_one(self) -> None:
        assert register(Mine) is Mine
        assert register("Loud", functools.partial(Mine, word="loud"))(level=1).word == "loud"

        @register("Third")
        def third(level: int = 3) -> Mine:
            return Mine(level)

        made: Any = make([{"name": "Mine", "level": 1}, {"name": "Loud", "level": 2}, "Third"])
        assert [(one.level, one.word) for one in made] == [(1, ""), (2, "loud"), (3, "")]
        assert [name for name, by in names().items() if by == "registered"] == ["Loud", "Mine", "Third"]

    def test_its_arguments_are_checked_as_a_built_ins_are(self) -> None:
        register(Mine)
        assert refused(lambda: make("Mine", levle=3), TypeError) == (
            "Mine(levle=...): no such argument. Did you mean 'level'? There are 'level', 'word'."
        )
        assert refused(lambda: make("Mine"), TypeError) == (
            "Mine(...): it needs 'level' too. Its arguments are 'level', 'word'."
        )

    def test_what_is_taken_by_position_alone_or_not_at_all_is_told_of(self) -> None:
        register("ByPosition", lambda level, /, word="": Mine(level, word=word))
        register("Plain", lambda: Other())
        assert refused(lambda: make(["ByPosition"]), TypeError) == (
            "callbacks[0]: ByPosition(...): it takes 'level' by position alone, and arguments go by name"
        )
        assert (
            refused(lambda: make("Plain", level=1), TypeError) == "Plain(level=...): no such argument. It takes none."
        )

    def test_an_argument_called_name_is_out_of_the_reach_of_a_mapping(self) -> None:
        register("Named", lambda name, level=1: Mine(level, word=name))
        assert refused(lambda: make({"name": "Named", "level": 3}), TypeError) == (
            "Named(...): it needs 'name' too. Its arguments are 'name', 'level'. "
            "In a mapping 'name' is not this one: make('Named', name=...) gives it."
        )
        made: Any = make("Named", name="loud")
        assert made.word == "loud"

    def test_a_name_is_given_once_but_to_the_same_object(self) -> None:
        assert register(Mine) is register("Mine", Mine)
        assert refused(lambda: register("Mine", Other), ValueError) == (
            f"register('Mine', {reprlib.repr(Other)}): the name is taken by {reprlib.repr(Mine)}. Give yours another, "
            "or let that one go: callbacks.unregister('Mine')."
        )
        unregister("Mine")
        register("Mine", Other)
        assert type(make("Mine")) is Other

    @pytest.mark.parametrize(
        "name, factory, kind, text",
        [
            ("History", Other, ValueError, "{}: the name is taken by a built-in. Give yours another."),
            ("", Other, ValueError, "{}: a name has at least one letter"),
            ("X", 3, TypeError, "{}: a class, or a function that makes a callback."),
            ("X", dict, TypeError, "{}: a class of callbacks derives from trainhooks.Callback"),
        ],
    )
    def test_what_cannot_be_registered_is_refused(
        self, name: str, factory: Any, kind: type[Exception], text: str
    ) -> None:
        who = f"register({name!r}, {reprlib.repr(factory)})"
        assert refused(lambda: register(name, factory), kind) == text.format(who)
        assert names().get(name) != "registered"

    def test_a_callback_is_told_to_give_its_class(self) -> None:
        told = refused(lambda: register("X", Other()), TypeError)  # type: ignore[call-overload]
        assert told.endswith("a class, or a function that makes a callback. It is a callback: give its class, Other.")

    @pytest.mark.parametrize("nameless", [3, lambda: Other(), functools.partial(Mine, 3)])
    def test_what_has_no_name_of_its_own_needs_one(self, nameless: Any) -> None:
        told = refused(lambda: register(nameless), TypeError)
        assert told.endswith("): it has no name of its own. Write register('name', factory).")

    def test_what_makes_no_callback_is_an_error(self) -> None:
        register("Three", lambda: 3)  # type: ignore[type-var]
        assert refused(lambda: make(["Three"]), TypeError) == (
            "callbacks[0]: Three(...): it made 3, which is no trainhooks.Callback"
        )


class TestPlugins:
    def test_what_one_offers_can_be_made_and_is_listed_with_who_offers_it(self) -> None:
        plugins.register(Offers({"Theirs": Mine}), "first")
        made: Any = make([{"name": "Theirs", "level": 2}])
        assert (made[0].level, names()["Theirs"]) == (2, "plugin 'first' of this process")
        told = refused(lambda: make("Thiers"), UnknownCallbackError)
        assert told == (
            f"make(): there is no callback 'Thiers'. Did you mean 'Theirs'? There are {BUILT_IN}, 'Theirs'. {OWN}"
        )

    def test_where_plugins_are_left_out_it_is_said_which(self, monkeypatch: pytest.MonkeyPatch) -> None:
        plugins.register(Offers({"Theirs": Mine}), "first")
        plugins.register(Offers({"Quiet": Mine}), "second")
        monkeypatch.setenv("TRAINHOOKS_PLUGINS", "second")
        assert refused(lambda: make("Theirs"), UnknownCallbackError) == (
            f"make(): there is no callback 'Theirs'. There are {BUILT_IN}, 'Quiet'. {OWN} "
            "Left out by TRAINHOOKS_PLUGINS: 'first'."
        )

    def test_none_is_asked_for_a_built_in_or_one_that_is_registered(self) -> None:
        offers = Offers({"Mine": Other})
        plugins.register(offers, "first")
        register(Mine)
        made = make(["History", {"name": "Mine", "level": 3}])
        assert ([type(one) for one in made], offers.asked) == ([History, Mine], 0)
        assert names()["Mine"] == "registered"

    def test_of_two_with_one_name_the_first_has_it_and_the_other_is_told_of_once(self) -> None:
        plugins.register(Offers({"Theirs": lambda: Mine(1)}), "first")
        plugins.register(Offers({"Theirs": lambda: Mine(2), "History": Other, "Good": lambda: Mine(3)}), "second")
        with pytest.warns(RuntimeWarning) as warned:
            made: Any = make(["Theirs", "Good", "History"])
        assert [type(one) for one in made] == [Mine, Mine, History]
        assert [one.level for one in made[:2]] == [1, 3]
        text = "it offers names that are taken: 'Theirs', which the plugin 'first' of this process has; "
        text += "'History', which trainhooks has"
        assert [one.error for one in plugins.failures[-1:]] == [text]
        assert [str(one.message) for one in warned] == [
            f"trainhooks plugin 'second' of this process is skipped: trainhooks_callbacks: {text}"
        ]

    @pytest.mark.parametrize("answer", [3, {"Theirs": 3}, {3: Mine}])
    def test_an_answer_of_another_shape_is_told_of_and_the_error_says_that_the_plugin_failed(self, answer: Any) -> None:
        plugins.register(Offers(answer), "first")
        with pytest.warns(RuntimeWarning, match="plugin 'first' of this process is skipped: trainhooks_callbacks"):
            told = refused(lambda: make("Theirs"), UnknownCallbackError)
        assert told == (
            f"make(): there is no callback 'Theirs'. There are {BUILT_IN}. "
            f"Of the plugins these failed: 'first' of this process. {OWN}"
        )
