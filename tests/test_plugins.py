"""The plugins of a process: found once, asked one by one in their order, loaded when first needed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pluggy
import pytest
from own_plugins import OWN, SERVED, quoted

import trainhooks
from trainhooks import Event, plugins
from trainhooks.testing import Constant, batches


class Frameworks:
    """A plugin that answers what it was told to, for every target likewise."""

    def __init__(self, **answer: Any) -> None:
        self.answer = answer

    @trainhooks.hookimpl
    def trainhooks_frameworks(self) -> Mapping[str, Any]:
        return self.answer


class First(Frameworks):
    @trainhooks.hookimpl(tryfirst=True)
    def trainhooks_frameworks(self) -> Mapping[str, Any]:
        return self.answer


class Last(Frameworks):
    @trainhooks.hookimpl(trylast=True)
    def trainhooks_frameworks(self) -> Mapping[str, Any]:
        return self.answer


class Raising:
    """A plugin whose hook raises."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    @trainhooks.hookimpl
    def trainhooks_frameworks(self) -> Mapping[str, Any]:
        raise self.error


Register = Callable[..., None]


@pytest.fixture
def register() -> Iterator[Register]:
    """Registers plugins by name for one test, and forgets what they did wrong."""
    names: list[str] = []
    before = list(plugins.failures)

    def register_all(**made: object) -> None:
        for name, plugin in made.items():
            plugins.register(plugin, name)
            names.append(name)

    yield register_all
    for name in names:
        plugins.unregister(name)
    plugins.failures[:] = before


def asked(names: str) -> list[str]:
    """Which of the plugins answer, in order."""
    return [one.name for one, _ in plugins.ask("trainhooks_frameworks", names) if not one.own]


def test_plugins_answer_by_name_and_those_that_try_first_and_last_before_and_after(register: Register) -> None:
    register(e=First(), d=Frameworks(), c=Frameworks(), b=Last(), a=Last(), f=First())
    assert asked("a,b,c,d,e,f") == ["e", "f", "c", "d", "a", "b"]


def test_ours_and_others_stand_in_one_order(register: Register) -> None:
    register(a=Frameworks(), zoo=Frameworks())
    order = [one.name for one, _ in plugins.ask("trainhooks_frameworks", "a,zoo")]
    assert order == ["a", *SERVED, "zoo"]


def test_of_two_that_serve_one_framework_the_first_has_the_word(register: Register) -> None:
    register(a=Frameworks(loopy="a", torch="mine"), zoo=Frameworks(loopy="zoo", torch="zoo"))
    served = plugins.frameworks()
    assert (list(served), served["loopy"], served["torch"]) == (sorted([*SERVED, "loopy"]), "a", "mine")


def test_what_a_hook_raises_is_told_of_once_and_the_others_are_asked(register: Register) -> None:
    register(a=Frameworks(x="1"), b=Raising(OSError("no network")), c=Frameworks(x="1"))
    with pytest.warns(RuntimeWarning) as told:
        assert asked("a,b,c") == asked("a,b,c") == ["a", "c"]
    assert [str(one.message) for one in told] == [
        "trainhooks plugin 'b' of this process is skipped: trainhooks_frameworks: OSError: no network"
    ]
    assert plugins.failures[-1] == plugins.Failure(
        "b", "this process", "", "trainhooks_frameworks", "OSError: no network"
    )


def test_ctrl_c_in_a_hook_is_the_users(register: Register) -> None:
    register(a=Raising(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        asked("a")
    assert [one for one in plugins.failures if one.name == "a"] == []


def test_rows_say_of_each_whether_it_works_failed_or_is_off(register: Register) -> None:
    register(good=Frameworks(), bad=Raising(OSError("no")), off=Frameworks())
    with pytest.warns(RuntimeWarning):
        asked("good,bad")
    rows = {one.name: one for one in plugins.rows("good,bad") if one.distribution == "this process"}
    hooks = ("trainhooks_frameworks",)
    assert rows == {
        "bad": plugins.Row("bad", "this process", "", "failed", hooks, ("trainhooks_frameworks: OSError: no",)),
        "good": plugins.Row("good", "this process", "", "ok", hooks, ()),
        "off": plugins.Row("off", "this process", "", "off", (), ()),
    }


def test_a_plugin_of_ours_is_left_out_by_its_name_with_a_minus() -> None:
    assert {one.name: one.status for one in plugins.rows("-keras") if one.distribution == "trainhooks"} == {
        name: "off" if name == "keras" else "ok" for name in OWN
    }


# register


def test_a_name_is_taken_once(register: Register) -> None:
    register(mine=Frameworks())
    for name in ("mine", "torch"):
        with pytest.raises(ValueError) as caught:
            plugins.register(Frameworks(), name)
        assert str(caught.value) == f"register({name!r}): there is a plugin of that name. Give yours another."


class Misspelt:
    @trainhooks.hookimpl
    def trainhooks_framework(self) -> None: ...


class WrongArgument:
    @trainhooks.hookimpl
    def trainhooks_attach(self, runs: object) -> None: ...


@pytest.mark.parametrize(
    "plugin, error",
    [
        (Misspelt(), plugins.PluginError),
        (Misspelt, plugins.PluginError),
        (object(), plugins.PluginError),
        (WrongArgument(), pluggy.PluginValidationError),
    ],
    ids=["misspelt", "class", "no-hook", "wrong-argument"],
)
def test_one_that_is_refused_is_an_error_here_and_its_name_stays_free(plugin: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        plugins.register(plugin, "mine")
    plugins.register(Frameworks(), "mine")
    plugins.unregister("mine")


def test_one_that_was_let_go_is_asked_no_more() -> None:
    plugins.register(Frameworks(x="1"), "mine")
    assert asked("mine") == ["mine"]
    plugins.unregister("mine")
    plugins.unregister("mine")
    with pytest.raises(ValueError, match="there is no plugin 'mine'"):
        asked("mine")


# Events


class Declaring:
    """A plugin that declares events."""

    def __init__(self, *events: Event) -> None:
        self.events = events

    @trainhooks.hookimpl
    def trainhooks_events(self) -> tuple[Event, ...]:
        return self.events


def test_a_run_knows_the_events_of_plugins(register: Register) -> None:
    register(mine=Declaring(Event("slow", ("step",), "A step was slow.")))
    heard = []

    class Listening(trainhooks.Callback):
        def on_slow(self, step: int) -> None:
            heard.append(step)

        def on_train_batch_end(self, run: trainhooks.Run) -> None:
            run.emit("slow", step=run.step)

    trainhooks.fit(Constant(), batches(2), callbacks=[Listening()])
    assert heard == [1, 2]


def test_where_it_was_left_out_its_event_is_unknown(register: Register) -> None:
    register(mine=Declaring(Event("slow", (), "")))
    with trainhooks.LoopRun(plugins="-mine") as run, pytest.raises(trainhooks.errors.UnknownEventError):
        run.emit("slow")


def test_of_two_that_declare_one_event_otherwise_the_first_has_it(register: Register) -> None:
    register(a=Declaring(Event("slow", ("step",), "")), b=Declaring(Event("slow", ("ratio",), "")))
    with pytest.warns(RuntimeWarning) as told, trainhooks.LoopRun() as run:
        assert run.bus.events["slow"].args == ("step",)
    assert [str(one.message) for one in told] == [
        "trainhooks plugin 'b' of this process is skipped: trainhooks_events: ValueError: declare('slow'): there is an "
        "event of that name, with the arguments 'step' and not 'ratio'. Give yours another name."
    ]
    assert plugins.vocabulary()["slow"].args == ("step",)


def test_our_own_events_are_nobodys_to_change(register: Register) -> None:
    register(a=Declaring(Event("epoch_end", (), "")))
    assert plugins.vocabulary()["epoch_end"] is trainhooks.EventBus().events["epoch_end"]


# What is loaded, and when


def run_python(script: str, *path: Path) -> str:
    """What a new process prints, with these folders on its path."""
    begin = f"import sys\nsys.path[:0] = {[str(one) for one in path]!r}\n"
    done = subprocess.run([sys.executable, "-c", begin + script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def install(folder: Path, name: str, source: str) -> None:
    """A plugin as pip leaves it in a folder, without pip."""
    (folder / f"{name}_module.py").write_text(source, encoding="utf-8")
    about = folder / f"{name}-1.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (about / "entry_points.txt").write_text(f"[trainhooks]\n{name} = {name}_module\n")


def test_nothing_is_loaded_before_it_is_needed(tmp_path: Path) -> None:
    install(tmp_path, "mine", "import trainhooks\n@trainhooks.hookimpl\ndef trainhooks_adapter(target): return None\n")
    script = """
import json
def tell(when):
    names = ("importlib.metadata", "packaging", "trainhooks_adapters", "mine_module", "torch", "keras")
    print(when, *[name for name in names if name in sys.modules])
import trainhooks
from trainhooks.testing.play import Dial
class Model:
    def train_step(self, batch):
        return {"loss": 1.0}
tell("imported:")
trainhooks.fit(Model(), [0], plugins="none")
trainhooks.wrap(Dial(), plugins="none")
tell("without plugins:")
trainhooks.fit(Model(), [0], plugins="-mine")
tell("with ours:")
trainhooks.fit(Model(), [0])
tell("with all:")
try:
    trainhooks.wrap(Model())
except TypeError:
    tell("wrapped:")
"""
    assert run_python(script, tmp_path).splitlines() == [
        "imported:",
        "without plugins:",
        "with ours: importlib.metadata",
        "with all: importlib.metadata mine_module",
        "wrapped: importlib.metadata trainhooks_adapters mine_module",
    ]


def test_many_threads_load_a_plugin_once_and_all_get_its_answer(tmp_path: Path) -> None:
    source = """
import time, trainhooks
time.sleep(0.05)  # the others come while it is imported
@trainhooks.hookimpl
def trainhooks_frameworks(): return {"loopy": "trainhooks-loopy"}
"""
    install(tmp_path, "mine", source)
    script = """
import json, threading, warnings
from trainhooks import plugins
warnings.simplefilter("error")
sys.setswitchinterval(1e-6)
together, answers = threading.Barrier(8), []
def ask():
    together.wait()
    answers.append([(id(plugin), answer) for plugin, answer in plugins.ask("trainhooks_frameworks")])
threads = [threading.Thread(target=ask) for _ in range(8)]
for one in threads: one.start()
for one in threads: one.join()
print(len(answers), all(one == answers[0] for one in answers), [one for _, one in answers[0] if "loopy" in one])
"""
    assert run_python(script, tmp_path) == "8 True [{'loopy': 'trainhooks-loopy'}]\n"


def test_a_process_finds_its_plugins_once() -> None:
    assert [id(one) for one in plugins.found()] == [id(one) for one in plugins.found()]


def test_a_failing_import_is_told_of_where_no_adapter_takes_a_model(tmp_path: Path) -> None:
    install(tmp_path, "broken", "import a_module_that_nobody_has\n")
    script = """
import trainhooks, warnings
warnings.simplefilter("ignore")
try:
    trainhooks.wrap({"a": 1})
except trainhooks.errors.NoAdapterError as error:
    print(error)
"""
    assert run_python(script, tmp_path) == (
        "wrap(): no adapter takes an object of type builtins.dict. "
        f"There are adapters for {quoted(*SERVED)}. "
        "Of the plugins these failed: 'broken' (ModuleNotFoundError: No module named 'a_module_that_nobody_has'). "
        "If you own the loop, trainhooks.LoopRun(callbacks=[...]) needs no model.\n"
    )
