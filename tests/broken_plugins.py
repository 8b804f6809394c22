"""Plugins that are broken, each in a way of its own, and what is told of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pluggy
from plugin_wheels import GOOD, TOY_ADAPTER, VERSION, write_wheel

import trainhooks
from trainhooks import hookspecs, plugins
from trainhooks.trainable import CAPABILITIES


@dataclass(frozen=True)
class Broken:
    """A plugin.

    Attributes:
        name: of its entry point; its distribution is called ``broken-<number>``.
        source: of its module, after ``import trainhooks``.
        what: what it is reported for, with the error that is kept; nothing where all is well after all.
        told: the warnings, complete but for ``{me}``; those that follow from ``what`` by default.
        entry: what the entry point names in the module.
        requires: a requirement of its distribution.
        distributions: how many come with it, under the one name.
    """

    name: str
    source: str
    what: tuple[tuple[str, str], ...] = ()
    told: tuple[str, ...] = ()
    entry: str = ""
    requires: str = ""
    distributions: int = 1

    @property
    def distribution(self) -> str:
        """The distribution that is at fault."""
        return f"broken-{KINDS.index(self)}" + "b" * (self.distributions - 1)

    def kept(self) -> list[list[str]]:
        """What ``plugins.failures`` holds of it: the distribution, in what it was, and the error."""
        return [[self.distribution, what, _filled(error)] for what, error in self.what]

    def warned(self) -> list[str]:
        """What is warned of, in order."""
        me = f"plugin {self.name!r} of {self.distribution} {VERSION}"
        return [f"RuntimeWarning: {_filled(text).replace('{me}', me)}" for text in self.told]

    def listed(self) -> list[list[object]]:
        """Its rows in the listing."""
        errors = [error if what == "import" else f"{what}: {error}" for _, what, error in self.kept()]
        rows: list[list[object]] = [[self.distribution, VERSION, "failed" if errors else "ok", errors]]
        if self.distributions > 1:
            rows.insert(0, [self.distribution.rstrip("b"), VERSION, "ok", []])
        if self.name == "keras":
            rows.insert(0, ["trainhooks", trainhooks.__version__, "ok", []])
        return rows


def _filled(text: str) -> str:
    return text.replace("{version}", trainhooks.__version__)


def _import(name: str, source: str, error: str, *, entry: str = "", requires: str = "") -> Broken:
    """One that is not even loaded."""
    return Broken(
        name, source, (("import", error),), ("trainhooks {me} is skipped: " + error,), entry=entry, requires=requires
    )


def _hook(name: str, hook: str, source: str, error: str) -> Broken:
    """One whose hook fails."""
    return Broken(name, source, ((hook, error),), (f"trainhooks {{me}} is skipped: {hook}: {error}",))


def _attach(name: str, body: str, error: str) -> Broken:
    """One that attaches a ``Mine``, of which no run wants to know."""
    source = (
        f"class Mine(trainhooks.Callback):\n{body}\n@trainhooks.hookimpl\ndef trainhooks_attach(run): return Mine()"
    )
    return _hook(name, "trainhooks_attach", source, error)


def _raises(name: str, methods: tuple[str, ...], *, policy: str = "raise") -> Broken:
    """One whose callback raises in hooks of events: one class for each, for each is told of once."""
    then = "training goes on" if policy == "warn" else "it is disabled for the rest of the run"
    source = "".join(
        f"class At_{method}(trainhooks.Callback):\n on_error = {policy!r}\n"
        f" def {method}(self): raise ValueError('no')\n"
        for method in methods
    )
    made = ", ".join(f"At_{method}()" for method in methods)
    return Broken(
        name,
        source + f"@trainhooks.hookimpl\ndef trainhooks_attach(run): return [{made}]",
        tuple((f"At_{method}.{method}", "ValueError: no") for method in methods),
        tuple(f"trainhooks {{me}}: At_{method}.{method} raised ValueError: no ({then})" for method in methods),
    )


def _verb(name: str, verb: str, body: str, error: str) -> Broken:
    """One whose callback fails in a method that is no hook."""
    source = f"class Mine(trainhooks.Callback):\n def {verb}: {body}\n"
    what = f"Mine.{verb.partition('(')[0]}"
    return Broken(
        name,
        source + "@trainhooks.hookimpl\ndef trainhooks_attach(run): return Mine()",
        ((what, error),),
        (f"trainhooks {{me}}: {what} raised {error} (training goes on)",),
    )


class _WrongArgument:
    @hookspecs.hookimpl
    def trainhooks_attach(self, runs: object) -> None: ...


def _pluggy_says(plugin: object, name: str) -> str:
    """What the pluggy that is installed has to say of a plugin."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs.Specs)
    try:
        manager.register(plugin, name)
    except pluggy.PluginValidationError as error:
        return f"PluginValidationError: {error}"
    raise AssertionError(f"pluggy takes {plugin!r}")


_HOOKS = ", ".join(map(repr, plugins.HOOKS))
_ATTACH = "@trainhooks.hookimpl\ndef trainhooks_attach(run): "
_ADAPTER = "@trainhooks.hookimpl\ndef trainhooks_adapter(target): "
_EVENTS = "@trainhooks.hookimpl\ndef trainhooks_events(): "
_RULE = (
    "cannot be used. The names of an event and of its arguments are identifiers, without a leading underscore, and not "
    "'run'; nor is an event called 'error', 'batch_begin', 'batch_end'."
)

KINDS: tuple[Broken, ...] = (
    # It cannot be loaded
    _import("needs-a-module", "import nobody_has_it", "ModuleNotFoundError: No module named 'nobody_has_it'"),
    _import("raises", "raise RuntimeError('not today')", "RuntimeError: not today"),
    _import("exits", "import sys; sys.exit('bye')", "SystemExit: bye"),
    _import("is-not-python", "def (:", "SyntaxError: invalid syntax (broken_3.py, line 2)"),
    _import("has-no-such-name", "", "AttributeError: module 'broken_4' has no attribute 'plugin'", entry=":plugin"),
    _import(
        "is-a-class",
        f"class Slack:\n{_ATTACH.replace('run', 'self, run').replace('@', ' @').replace('def', ' def')}return None",
        "Slack is a class: have the entry point name an object of it",
        entry=":Slack",
    ),
    _import(
        "has-no-hook",
        "def attach(run): return None",
        f"nothing in it is marked with @trainhooks.hookimpl and named as a hook. There are {_HOOKS}.",
    ),
    _import(
        "forgets-to-mark",
        "@trainhooks.hookimpl\ndef trainhooks_events(): return ()\ndef trainhooks_attach(run): return None",
        "'trainhooks_attach' is not marked with @trainhooks.hookimpl",
    ),
    _import(
        "misspells",
        "@trainhooks.hookimpl\ndef trainhooks_atach(run): return None",
        "there is no hook 'trainhooks_atach'. Did you mean 'trainhooks_attach'?",
    ),
    _import(
        "asks-for-more",
        "class Plugin:\n @trainhooks.hookimpl\n def trainhooks_attach(self, runs: 'object') -> 'None': ...\n"
        "plugin = Plugin()",
        _pluggy_says(_WrongArgument(), "asks-for-more"),
        entry=":plugin",
    ),
    _import(
        "is-a-wrapper",
        "@trainhooks.hookimpl(wrapper=True)\ndef trainhooks_attach(run): return (yield)",
        "trainhooks_attach is a wrapper, and a plugin is asked alone: make it a plain hook",
    ),
    Broken(
        "twin",
        _ATTACH + "return None",
        (("import", "the name is taken by the plugin 'twin' of broken-11 1.2"),),
        ("trainhooks {me} is skipped: the name is taken by the plugin 'twin' of broken-11 1.2",),
        distributions=2,
    ),
    _import("keras", _ATTACH + "return None", "the name is taken by the plugin 'keras' of trainhooks {version}"),
    _import(
        "is-of-later",
        "raise AssertionError('it is not even imported')",
        "it needs trainhooks>=9, and this is trainhooks {version}",
        requires="trainhooks>=9",
    ),
    # A hook fails
    _hook("attach-raises", "trainhooks_attach", _ATTACH + "return 1 / 0", "ZeroDivisionError: division by zero"),
    _hook("attach-exits", "trainhooks_attach", "import sys\n" + _ATTACH + "sys.exit(3)", "SystemExit: 3"),
    _hook(
        "attaches-a-class",
        "trainhooks_attach",
        "class Mine(trainhooks.Callback): pass\n" + _ATTACH + "return Mine",
        "TypeError: it answered <class 'broken_16.Mine'>: it is to answer a trainhooks.Callback, several, or None. "
        "It is a class: write Mine().",
    ),
    _hook(
        "attaches-a-text",
        "trainhooks_attach",
        _ATTACH + "return 'EarlyStopping'",
        "TypeError: it answered 'EarlyStopping': it is to answer a trainhooks.Callback, several, or None.",
    ),
    _hook(
        "stops-halfway",
        "trainhooks_attach",
        "class Mine(trainhooks.Callback): pass\n" + _ATTACH + "\n yield Mine()\n raise OSError('halfway')",
        "OSError: halfway",
    ),
    _hook("adapter-raises", "trainhooks_adapter", _ADAPTER + "raise KeyError('model')", "KeyError: 'model'"),
    _hook(
        "adapter-is-nonsense",
        "trainhooks_adapter",
        _ADAPTER + "return 5",
        "TypeError: it answered 5: it is to answer a function of WrapOptions, or None",
    ),
    _hook(
        "frameworks-are-a-list",
        "trainhooks_frameworks",
        "@trainhooks.hookimpl\ndef trainhooks_frameworks(): return ['loopy']",
        "TypeError: it answered ['loopy']: it is to answer pip requirements by framework",
    ),
    _hook(
        "event-of-ours",
        "trainhooks_events",
        _EVENTS + "return [trainhooks.Event('epoch_end', ('x',), '')]",
        "ValueError: declare('epoch_end'): there is an event of that name, with the arguments 'epoch', 'logs' and not "
        "'x'. Give yours another name.",
    ),
    _hook(
        "event-badly-named",
        "trainhooks_events",
        _EVENTS + "return [trainhooks.Event('error', (), ''), trainhooks.Event('good_one', (), '')]",
        f"ValueError: declare('error'): 'error' {_RULE}",
    ),
    _hook(
        "event-of-a-list",
        "trainhooks_events",
        _EVENTS + "return [trainhooks.Event('mine', ([],), '')]",
        "TypeError: it answered Event(name='m...([],), doc=''): an event's name, arguments and doc are texts",
    ),
    _hook(
        "name-of-ours",
        "trainhooks_callbacks",
        "@trainhooks.hookimpl\ndef trainhooks_callbacks(): return {'EarlyStopping': dict}",
        "it offers names that are taken: 'EarlyStopping', which trainhooks has",
    ),
    _hook(
        "callbacks-are-objects",
        "trainhooks_callbacks",
        "@trainhooks.hookimpl\ndef trainhooks_callbacks(): return {'Mine': 5}",
        "TypeError: it answered 5 for 'Mine': that is to be a class or a function",
    ),
    # A callback cannot be attached
    _attach(
        "hook-misspelt",
        " def on_epoch_ends(self): pass",
        "RegistrationError: Mine.on_epoch_ends: there is no such event. Did you mean 'on_epoch_end'? (A method named "
        "on_... is a hook; give a method that is none another name.)",
    ),
    _attach(
        "hook-asks-for-more",
        " def on_epoch_end(self, loss): pass",
        "RegistrationError: Mine.on_epoch_end: 'epoch_end' has no argument 'loss'. Did you mean 'logs'? A hook takes "
        "any of 'epoch', 'logs', 'run', by name.",
    ),
    _attach(
        "needs-what-nobody-has",
        " requires = {'no_such_thing'}",
        "RegistrationError: Mine.requires: there is no capability 'no_such_thing'. "
        f"There are {', '.join(map(repr, CAPABILITIES))}.",
    ),
    _attach(
        "needs-a-graph",  # which the network of the first training has
        " requires = 'graph'",
        "CapabilityError: Mine needs 'graph', which this trainer lacks: it was given no model. "
        "Use trainhooks.wrap(model, ...).",
    ),
    # A callback fails
    _raises("hooks-raise", ("on_setup", "on_train_begin", "on_train_batch_end", "on_epoch_end", "on_teardown")),
    _raises("hooks-raise-again", ("on_epoch_end", "on_stop"), policy="warn"),
    _verb("state-raises", "state_dict(self)", "raise OSError('state')", "OSError: state"),
    _verb("state-is-none", "state_dict(self)", "pass", "TypeError: it gave None, which is no mapping"),
    _verb(
        "state-cannot-be-written",
        "state_dict(self)",
        "return {'seen': [{1}]}",
        "TypeError: its seen/0 is {1}; a state holds JSON-able values and arrays",
    ),
    _verb("state-not-taken", "load_state_dict(self, state)", "raise KeyError('best')", "KeyError: 'best'"),
    _verb("settings-raise", "settings_dict(self)", "raise OSError('settings')", "OSError: settings"),
    _verb("reset-raises", "reset(self)", "self.count += 1", "AttributeError: 'Mine' object has no attribute 'count'"),
    _verb("save-raises", "save(self, run)", "raise OSError('disk')", "OSError: disk"),
    # What is said is hard to show
    _hook(
        "cannot-be-shown",
        "trainhooks_attach",
        "class E(Exception):\n def __str__(self): raise ValueError\n" + _ATTACH + "raise E",
        "E: (its text cannot be shown)",
    ),
    Broken(
        "hook-cannot-be-shown",
        "class E(Exception):\n def __str__(self): raise ValueError\n"
        "class Mine(trainhooks.Callback):\n def on_epoch_end(self): raise E\n" + _ATTACH + "return Mine()",
        (("Mine.on_epoch_end", "E: (its text cannot be shown)"),),
        (
            "trainhooks {me}: Mine.on_epoch_end raised E: (its text cannot be shown) "
            "(it is disabled for the rest of the run)",
        ),
    ),
    _import("größe", "raise RuntimeError('kaputt: 雪 ✗')", "RuntimeError: kaputt: 雪 ✗"),
    _import("says-much", "raise RuntimeError('one\\ntwo\\n\\n  three')", "RuntimeError: one\ntwo\n\n  three"),
    # It is all right after all
    Broken("asks-at-once", "from trainhooks import plugins\nplugins.rows()\n" + _ATTACH + "return None"),
    Broken(
        "trains-at-once",
        "from trainhooks.testing import Constant\ntrainhooks.fit(Constant(), [0], plugins='trains-at-once')\n"
        + _ATTACH
        + "return None",
    ),
    Broken(
        "shares-one",
        "class Mine(trainhooks.Callback): pass\nmine = Mine()\n" + _ATTACH + "return mine",
    ),
    Broken(
        "state-of-settings",
        "class Mine(trainhooks.Callback):\n def state_dict(self): return {'settings': 5}\n" + _ATTACH + "return Mine()",
    ),
    Broken(
        "of-a-later-hook",
        "@trainhooks.hookimpl(optionalhook=True)\ndef trainhooks_later(x): pass\n" + _ATTACH + "return None",
    ),
)


def write_wheels(folder: Path) -> list[Path]:
    """The wheels of all, and that of the good one."""
    made = [write_wheel(folder, "toy-adapter", {"toy_adapter.py": TOY_ADAPTER}, {GOOD: "toy_adapter"})]
    for number, kind in enumerate(KINDS):
        for which in range(kind.distributions):
            module = f"broken_{number}" + "b" * which
            source = "import trainhooks\n" + dedent(kind.source) + "\n"
            entry = {kind.name: module + kind.entry}
            made.append(write_wheel(folder, module.replace("_", "-"), {f"{module}.py": source}, entry, kind.requires))
    return made
