"""Configs: JSON and TOML make what the constructor makes, and whatever they hold is refused in a sentence of ours."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainhooks import Callback, callbacks, schedules
from trainhooks.callbacks import make

CASES: dict[str, tuple[str, Callable[[], Callback]]] = {
    "BackupAndRestore": (
        '{"backup_dir": "backup", "save_freq": "10m", "delete_checkpoint": false, "background": true}',
        lambda: callbacks.BackupAndRestore("backup", "10m", delete_checkpoint=False, background=True),
    ),
    "CSVLogger": (
        '{"filename": "log.csv", "separator": ";", "append": true}',
        lambda: callbacks.CSVLogger("log.csv", ";", append=True),
    ),
    "EMA": (
        '{"decay": 0.9, "every": 2, "warm_up": true, "start_from_step": 5}',
        lambda: callbacks.EMA(0.9, every=2, warm_up=True, start_from_step=5),
    ),
    "EarlyStopping": (
        '{"monitor": "f1", "mode": "max", "patience": 3, "min_delta": 1e-3, "stopping_threshold": 0.99}',
        lambda: callbacks.EarlyStopping("f1", 1e-3, 3, mode="max", stopping_threshold=0.99),
    ),
    "GracefulStop": ('{"signals": ["SIGTERM", "INT"]}', lambda: callbacks.GracefulStop(["SIGTERM", "INT"])),
    "GradientClipping": ('{"norm": 1, "value": 0.5}', lambda: callbacks.GradientClipping(1, 0.5)),
    "History": ("{}", lambda: callbacks.History()),
    "JSONLogger": (
        '{"filename": "log.jsonl", "save_freq": 10, "append": true}',
        lambda: callbacks.JSONLogger("log.jsonl", save_freq=10, append=True),
    ),
    "LambdaCallback": (
        '{"phase": "save", "on_error": "warn", "requires": ["lr"], "ranks": "main"}',
        lambda: callbacks.LambdaCallback(phase="save", on_error="warn", requires=["lr"], ranks="main"),
    ),
    "LearningRateMonitor": ('{"unit": "step"}', lambda: callbacks.LearningRateMonitor("step")),
    "LearningRateScheduler": (
        '{"unit": "step", "verbose": 1, "schedule": {"name": "warmup", "steps": 5, "then": '
        '{"name": "cosine", "lr": 0.1, "decay_steps": 90}}}',
        lambda: callbacks.LearningRateScheduler(schedules.warmup(5, schedules.cosine(0.1, 90)), 1, unit="step"),
    ),
    "ModelCheckpoint": (
        '{"filepath": "w-{epoch:02d}.safetensors", "monitor": "loss", "save_freq": "epoch", "keep_best": 2}',
        lambda: callbacks.ModelCheckpoint("w-{epoch:02d}.safetensors", "loss", keep_best=2),
    ),
    "NaNGuard": (
        '{"max_rollbacks": 2, "lr_factor": 0.1, "spike": 5}',
        lambda: callbacks.NaNGuard("loss", 2, 0.1, spike=5),
    ),
    "ProgbarLogger": ("{}", lambda: callbacks.ProgbarLogger()),
    "ReduceLROnPlateau": (
        '{"monitor": "loss", "factor": 0.5, "patience": 2, "cooldown": 1, "min_lr": 1e-5}',
        lambda: callbacks.ReduceLROnPlateau("loss", 0.5, 2, cooldown=1, min_lr=1e-5),
    ),
    "RemoteMonitor": (
        '{"root": "http://localhost:9", "headers": {"X-Key": "abc"}, "send_as_json": true, "timeout": 2}',
        lambda: callbacks.RemoteMonitor("http://localhost:9", headers={"X-Key": "abc"}, send_as_json=True, timeout=2),
    ),
    "StopFile": (
        '{"path": "stop", "kind": "pause", "seconds": 2.5, "remove": false}',
        lambda: callbacks.StopFile("stop", kind="pause", seconds=2.5, remove=False),
    ),
    "SwapEMAWeights": ('{"swap_on_epoch": true}', lambda: callbacks.SwapEMAWeights(True)),
    "TensorBoard": (
        '{"log_dir": "runs", "update_freq": "batch", "profile_batch": [2, 5], '
        '"embeddings_metadata": {"words": "w.tsv"}}',
        lambda: callbacks.TensorBoard(
            "runs", update_freq="batch", profile_batch=(2, 5), embeddings_metadata={"words": "w.tsv"}
        ),
    ),
    "TerminateOnNaN": ('{"raise_error": true}', lambda: callbacks.TerminateOnNaN(True)),
    "Throughput": ('{"batch_size": 32, "every": 10}', lambda: callbacks.Throughput(32, every=10)),
    "Timer": (
        '{"duration": "8.5h", "margin": 60, "kind": "pause"}',
        lambda: callbacks.Timer("8.5h", margin=60, kind="pause"),
    ),
}


def kept(callback: Callback) -> dict[str, Any]:
    """What the constructor made of its arguments, lists and mappings too."""
    more = {name: repr(value) for name, value in vars(callback).items() if not name.startswith("_") and name != "clock"}
    return {"class": type(callback), **more, **callback.settings_dict()}


def toml(value: Any) -> str:
    """A value as TOML has it; of JSON only objects are written in another way."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(one)}" for key, one in value.items()) + "}"
    return "[" + ", ".join(map(toml, value)) + "]" if isinstance(value, list) else json.dumps(value)


def test_each_built_in_is_tried_but_the_one_that_is_made_of_a_function() -> None:
    assert {*CASES, "EpochScoring"} == set(callbacks.__all__)


@pytest.mark.parametrize("name", CASES)
def test_json_makes_what_the_constructor_makes(name: str) -> None:
    text, constructor = CASES[name]
    (made,) = make(json.loads(f'[{{"name": "{name}", ' + text[1:].lstrip() + "]" if text != "{}" else f'["{name}"]'))
    assert kept(made) == kept(constructor())


@pytest.mark.parametrize("name", CASES)
def test_toml_makes_what_the_constructor_makes(name: str) -> None:
    text, constructor = CASES[name]
    lines = [f"{key} = {toml(value)}" for key, value in json.loads(text).items()]
    tomllib = pytest.importorskip("tomllib")
    config = tomllib.loads("\n".join(["[[callbacks]]", f'name = "{name}"', *lines]))
    (made,) = make(config["callbacks"])
    assert kept(made) == kept(constructor())


def test_a_moment_can_be_had_from_toml_which_json_cannot_say() -> None:
    tomllib = pytest.importorskip("tomllib")
    (made,) = make(tomllib.loads('[[callbacks]]\nname = "Timer"\nuntil = 2030-01-02T03:04:05Z')["callbacks"])
    assert getattr(made, "until") == datetime(2030, 1, 2, 3, 4, 5, tzinfo=timezone.utc)  # noqa: B009
    with pytest.raises(TypeError) as caught:
        make({"name": "Timer", "until": "2030-01-02T03:04:05Z"})
    assert str(caught.value) == (
        "Timer(until='2030-01-02T03:04:05Z'): a datetime; of a time stamp, datetime.fromtimestamp(...)"
    )


MODULES = ("this", "antigravity", "turtledemo.clock", "trainhooks_nowhere.Mine", "xmlrpc.server:main")
"""What there is to import, and nobody has."""

scalars = st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=4)
words = st.sampled_from(["", "epoch", "step", "10m", "auto", "pause", "{x!r}", "{", "http://[a", "a\0b", *MODULES])
data = st.recursive(
    scalars | words,
    lambda part: st.lists(part, max_size=3) | st.dictionaries(words | st.just("name"), part, max_size=3),
    max_leaves=5,
)


@st.composite
def entries(draw: st.DrawFn) -> dict[str, Any]:
    """An entry for a built-in, whose arguments it has, with values of any kind."""
    name = draw(st.sampled_from(callbacks.__all__))
    parameters = inspect.signature(getattr(callbacks, name)).parameters.values()
    needed = {one.name: "w.pt" for one in parameters if one.default is one.empty and one.kind is not one.VAR_KEYWORD}
    names = [one.name for one in parameters if one.name != "name"]
    some = draw(st.dictionaries(st.sampled_from(names), data, max_size=2)) if names else {}
    return {"name": name, **needed, **some}


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, Mapping)):
        for one in [*value, *(value.values() if isinstance(value, Mapping) else ())]:
            yield from texts(one)


def refusal(config: Any) -> str | None:
    """Why it is refused; None where it is made."""
    try:
        make(config)
    except (TypeError, ValueError) as error:
        return str(error)
    return None


@given(data)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_data_is_made_or_refused_in_a_sentence_of_ours(config: Any) -> None:
    told = refusal(config)
    assert told is None or told.startswith(("make(", "callbacks["))


@given(entries())
@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_argument_is_taken_or_refused_with_the_name_of_the_callback(config: dict[str, Any]) -> None:
    told = refusal([config])
    assert told is None or told.startswith(f"callbacks[0]: {config['name']}(")


@given(data | entries())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_nothing_that_a_config_names_is_imported(config: Any) -> None:
    before = set(sys.modules)
    refusal(config)
    named = {part for text in texts(config) for part in (text, text.split(".")[0], text.split(":")[0])}
    assert (set(sys.modules) - before) & named == set()
