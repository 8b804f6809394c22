"""callbacks.make, register and names: what a config asks for, and what is told where it asks for something else."""

from __future__ import annotations

import functools
import subprocess
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from named import BUILT_IN, OWN, Mine, Offers, Other, let_go, refused

from trainhooks import MLP, Callback, callbacks, errors, fit, plugins
from trainhooks.callbacks import CSVLogger, EarlyStopping, History, make, names, register
from trainhooks.errors import UnknownCallbackError

NEEDS = (
    "A config names callbacks by 'name', as {'name': 'EarlyStopping', 'patience': 3}; a class of your own is "
    "registered with trainhooks.callbacks.register."
)
OF_EARLY_STOPPING = (
    "'monitor', 'min_delta', 'patience', 'verbose', 'mode', 'baseline', 'restore_best_weights', 'start_from_epoch', "
    "'strict', 'check_finite', 'stopping_threshold', 'divergence_threshold'"
)


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    told = len(plugins.failures)
    yield
    let_go(told)


def test_a_training_is_given_its_callbacks_by_a_config() -> None:
    config: list[str | dict[str, Any]] = [
        "History",
        {"name": "LearningRateScheduler", "schedule": {"name": "multi_step", "lr": 1, "milestones": [2]}},
        {"name": "EarlyStopping", "monitor": "loss", "stopping_threshold": 1e9},
    ]
    made = make(config)
    fit(MLP((2, 2)), (np.ones((4, 2)), np.zeros(4, dtype=int)), epochs=9, batch_size=2, callbacks=made)
    assert isinstance(made[0], History)
    assert (made[0].epoch, made[0].history["learning_rate"]) == ([0], [1.0])


def test_a_name_a_mapping_and_a_list_of_them_are_all_taken() -> None:
    by_name = make("EarlyStopping", monitor="loss", patience=3)
    by_mapping = make({"name": "EarlyStopping", "monitor": "loss", "patience": 3})
    config: list[str | dict[str, Any]] = [{"name": "CSVLogger", "filename": "log.csv"}, "History"]
    several = make(iter(config))
    assert type(by_name) is type(by_mapping) is EarlyStopping
    assert by_name.settings_dict() == by_mapping.settings_dict() == EarlyStopping("loss", patience=3).settings_dict()
    assert [type(one) for one in several] == [CSVLogger, History]
    assert make([]) == []


def test_a_mapping_that_is_no_dict_will_do_and_no_config_is_changed_or_held_on_to() -> None:
    headers = {"a": "b"}
    config = {"name": "RemoteMonitor", "headers": types.MappingProxyType(headers)}
    made: Any = make(types.MappingProxyType(config))
    assert (made.headers, config) == ({"a": "b"}, {"name": "RemoteMonitor", "headers": headers})
    held: Any = Offers({"Holds": lambda **all: _holding(all)})
    plugins.register(held, "first")
    parts = {"name": "Holds", "list": [1, {"deep": [2]}]}
    holding: Any = make(parts)
    holding.given["list"][1]["deep"].append(3)
    assert parts == {"name": "Holds", "list": [1, {"deep": [2]}]}


def _holding(given: Any) -> Callback:
    made: Any = Other()
    made.given = given
    return made  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "config, kind, text",
    [
        (
            "EarlyStoping",
            UnknownCallbackError,
            f"make(): there is no callback 'EarlyStoping'. Did you mean 'EarlyStopping'? There are {BUILT_IN}. {OWN}",
        ),
        (
            ["History", "csv_logger"],
            UnknownCallbackError,
            f"callbacks[1]: there is no callback 'csv_logger'. Did you mean 'CSVLogger'? There are {BUILT_IN}. {OWN}",
        ),
        (
            {"name": "os.system", "command": "true"},
            UnknownCallbackError,
            f"make(): there is no callback 'os.system'. There are {BUILT_IN}. {OWN}",
        ),
        (
            {"name": "EarlyStopping", "patiense": 3},
            TypeError,
            f"EarlyStopping(patiense=...): no such argument. Did you mean 'patience'? There are {OF_EARLY_STOPPING}.",
        ),
        (
            ["History", {"name": "EarlyStopping", "zzz": 3}],
            TypeError,
            f"callbacks[1]: EarlyStopping(zzz=...): no such argument. There are {OF_EARLY_STOPPING}.",
        ),
        (
            ["CSVLogger"],
            TypeError,
            "callbacks[0]: CSVLogger(...): it needs 'filename' too. "
            "Its arguments are 'filename', 'separator', 'append'.",
        ),
        (
            [{"name": "LambdaCallback", "on_epoch_ends": 3}],
            TypeError,
            "callbacks[0]: LambdaCallback(on_epoch_ends=...): there is no such hook. Did you mean 'on_epoch_end'?",
        ),
        (
            [{"_target_": "trainhooks.callbacks.EarlyStopping"}],
            ValueError,
            f"callbacks[0]: it has '_target_' and no 'name'. {NEEDS}",
        ),
        (
            {"class_path": "trainhooks.callbacks.EarlyStopping", "init_args": {}},
            ValueError,
            f"make(): it has 'class_path', 'init_args' and no 'name'. {NEEDS}",
        ),
        ({}, ValueError, f"make(): it has nothing and no 'name'. {NEEDS}"),
        (
            {"stop": {"name": "EarlyStopping"}, "log": {"name": "History"}},
            ValueError,
            f"make(): it has 'stop', 'log' and no 'name'. {NEEDS} Of several that go by keys: make(config.values()).",
        ),
        ({"name": 3}, TypeError, f"make(): name=3: a name is a string. {NEEDS}"),
        ([{"name": None}], TypeError, f"callbacks[0]: name=None: a name is a string. {NEEDS}"),
        ({"name": "History", 3: 4}, TypeError, f"make(): the key 3 is no string. {NEEDS}"),
        (None, TypeError, f"make(None): a name, a mapping, or a list of them. {NEEDS}"),
        (b"History", TypeError, f"make(b'History'): a name, a mapping, or a list of them. {NEEDS}"),
        ([["History"]], TypeError, f"callbacks[0]: ['History'] is neither a name nor a mapping. {NEEDS}"),
        (
            [{"name": "EpochScoring"}],
            TypeError,
            "callbacks[0]: EpochScoring(...): it needs 'fn' too. Its arguments are 'fn', 'data', 'name', 'every'.",
        ),
        (
            [{"name": "EpochScoring", "fn": "f1"}],
            TypeError,
            "callbacks[0]: EpochScoring('f1'): a function of the model, and of data where it is given",
        ),
        (
            {"name": "LambdaCallback", "on_epoch_end": "print"},
            TypeError,
            "LambdaCallback(on_epoch_end='print'): a hook is a function, or None for none",
        ),
    ],
)
def test_what_asks_for_nothing_is_told_where_and_what_there_is(config: Any, kind: type[Exception], text: str) -> None:
    assert refused(lambda: make(config), kind) == text


def test_a_constructors_own_error_says_of_which_entry_and_keeps_its_type_and_cause() -> None:
    with pytest.raises(ValueError) as caught:
        make(["History", {"name": "EarlyStopping", "patience": -1}])
    assert str(caught.value) == "callbacks[1]: EarlyStopping(patience=-1): a number of checks, at least 0"
    assert str(caught.value.__cause__) == "EarlyStopping(patience=-1): a number of checks, at least 0"
    assert refused(lambda: make("EarlyStopping", patience=-1), ValueError) == str(caught.value.__cause__)


def test_an_error_that_is_made_of_more_than_its_text_is_told_of_as_the_builtin_that_it_is() -> None:
    register("Decodes", lambda: Mine(len(b"\xff".decode())))
    assert refused(lambda: make(["Decodes"]), ValueError) == (
        "callbacks[0]: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"
    )


def test_other_errors_come_as_they_are() -> None:
    raised = OSError("the disk is gone")
    register("Raises", functools.partial(_raise, raised))
    with pytest.raises(OSError) as caught:
        make(["Raises"])
    assert caught.value is raised


def _raise(error: Exception) -> Callback:
    raise error


def test_a_config_that_holds_itself_is_refused() -> None:
    headers: dict[str, Any] = {}
    headers["again"] = headers
    assert refused(lambda: make({"name": "RemoteMonitor", "headers": headers}), ValueError) == (
        "make(): headers: it nests deeper than 50, or holds itself"
    )


def test_a_config_that_holds_the_same_again_and_again_is_refused_before_it_is_copied() -> None:
    doubled: list[Any] = [1]
    for _ in range(40):
        doubled = [doubled, doubled]
    assert refused(lambda: make([{"name": "EarlyStopping", "monitor": doubled}]), ValueError) == (
        "callbacks[0]: monitor: it holds more than 100000 values, those that stand in it twice counted twice"
    )


def test_what_is_shared_is_copied_for_each_that_has_it() -> None:
    shared = [1]
    held: Any = Offers({"Holds": lambda **all: _holding(all)})
    plugins.register(held, "first")
    made: Any = make({"name": "Holds", "a": shared, "b": [shared, shared]})
    made.given["a"].append(2)
    assert (made.given, shared) == ({"a": [1, 2], "b": [[1], [1]]}, [1])


def test_a_large_value_is_told_of_in_short() -> None:
    told = refused(lambda: make([{"name": "EarlyStopping", "monitor": list(range(50_000))}]), TypeError)
    assert told == "callbacks[0]: EarlyStopping(monitor=[0, 1, 2, 3, 4, 5, ...]): the name of a metric, as 'val_loss'"


def test_arguments_beside_a_config_are_refused() -> None:
    assert refused(lambda: make({"name": "History"}, patience=3), TypeError) == (  # type: ignore[call-overload]
        "make({'name': 'History'}, patience=...): arguments stand in the config"
    )


def test_the_functions_are_there_by_name_and_the_list_of_classes_is_of_classes_alone() -> None:
    functions = {"make", "names", "register", "unregister"}
    assert functions <= set(dir(callbacks))
    assert not functions & set(callbacks.__all__)
    assert list(names()) == sorted(callbacks.__all__)


def test_making_a_built_in_loads_no_other_and_no_plugin() -> None:
    script = (
        "import sys, trainhooks\n"
        "trainhooks.callbacks.make('History')\n"
        "print([one for one in sys.modules if one in ('trainhooks_adapters', 'trainhooks.callbacks.timer', 'torch')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize(
    "name, known, near",
    [
        ("loss", ["loss", "val_loss"], " Did you mean 'val_loss'?"),
        ("loss", ["loss"], ""),
        ("csvlogger", ["CSVLogger"], " Did you mean 'CSVLogger'?"),
        ("ema", ["EMA"], " Did you mean 'EMA'?"),
        ("w", ["W"], ""),
    ],
)
def test_the_same_name_is_never_what_was_meant_and_another_way_of_writing_it_is(
    name: str, known: list[str], near: str
) -> None:
    assert errors.did_you_mean(name, known) == near
