"""Who may import whom. Imports run downwards, and the core knows no framework; ``if TYPE_CHECKING:`` is free."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import trainhooks_adapters.torch

import trainhooks

CORE = Path(trainhooks.__file__).parent
ADAPTERS = CORE.parent / "adapters" / "trainhooks_adapters"

_HOOKS = {"errors", "checks", "events", "filters", "gates", "dispatch", "callback"}
_RUN = {"errors", "checks", "progress", "trainable", "readings", "means", "logs", "world", "view", "run"}
_DRIVER = (
    _HOOKS
    | _RUN
    | {"bus", "frames", "signals", "randomness", "loaders", "place", "sampler", "timings", "batches", "scopes"}
)
_DRIVER |= {"attach", "endings", "checkpoint", "store", "offers", "guests"}
_LOOP = _DRIVER | {"driver", "passes", "loop", "fit"}
_MODELS = {"numpy_optimizers", "numpy_model", "schedules", "datasets"}
_PLUGINS = {"hookspecs", "answers", "failures", "selection", "plugin", "discovery", "plugins"}
_TOP = _LOOP | _MODELS | _PLUGINS | {"callbacks", "profile", "wrap", "wrapped", "version"}

MAY_IMPORT: dict[str, set[str]] = {
    # a module or a folder of the package -> what of the package it may import when it runs
    "errors": set(),
    "checks": set(),
    "gates": set(),
    "filters": {"checks", "gates"},
    "events": {"errors"},
    "dispatch": {"errors", "events", "filters", "gates"},
    "readings": {"errors"},
    "means": {"readings"},
    "logs": {"errors", "means", "readings"},
    "progress": {"errors", "checks"},
    "trainable": {"errors"},
    "world": set(),
    "store": {"errors"},
    "callback": {"errors", "events", "dispatch", "trainable"},  # of trainable the list of capabilities
    "bus": _HOOKS,
    "view": _RUN - {"view", "run"},
    "run": _RUN - {"run"},  # and never the bus or the driver that it fronts
    "frames": {"events", "logs"},
    "sampler": {"errors"},
    "timings": {"checks", "sampler"},
    "profile": {"errors", "sampler", "timings"},
    "signals": _HOOKS | _RUN | {"bus"},
    "randomness": set(),
    "loaders": set(),
    "place": {"errors", "frames", "loaders", "randomness"},
    "checkpoint": _HOOKS | _RUN | {"place", "store"},
    "batches": _HOOKS | _RUN | {"bus", "frames", "signals", "place", "timings"},
    "scopes": _HOOKS | _RUN | {"bus", "frames", "signals", "place", "batches"},
    "offers": {"events", "callback"},
    "guests": {"events", "dispatch", "callback", "store"},
    "attach": _HOOKS | _RUN | {"bus", "offers", "guests"},
    "endings": _HOOKS | _RUN,
    "driver": _DRIVER,
    "passes": {"errors", "frames", "driver"},
    "loop": _DRIVER | {"driver", "passes"},
    "fit": _DRIVER | {"driver", "passes", "loop"},
    "callbacks": _HOOKS | {"logs", "checkpoint", "store", "schedules", "world", "plugins", "selection", "configs"},
    "numpy_optimizers": set(),
    "numpy_model": {"errors", "trainable", "numpy_optimizers"},
    "configs": {"errors"},
    "schedules": {"errors", "checks", "configs"},
    "datasets": {"errors", "store"},
    "version": set(),
    "hookspecs": set(),
    "answers": {"events", "callback", "bus"},
    "failures": {"errors"},
    "selection": {"errors"},
    "discovery": {"errors", "hookspecs", "plugin"},
    "plugin": {"errors", "failures", "hookspecs", "version"},
    "plugins": {"events", "offers"} | _PLUGINS,
    "wrap": _LOOP | {"plugins", "wrapped"},
    "wrapped": set(),
    "testing": _LOOP | {"callbacks", "numpy_model", "wrap"},  # of store the disk, which can be made to fail
    "trainhooks": _TOP,
    "demo": _TOP | {"trainhooks"},
    "pages": {"callback", "callbacks"},
    "commands": _TOP | {"trainhooks", "demo", "pages"},
    "cli": {"errors", "version", "commands"},
    "__main__": {"cli"},
}

THIRD_PARTY = {"numpy", "packaging", "pluggy", "tqdm"}
FOR = {
    "commands": {"packaging"},
    "store": {"ml_dtypes"},  # numpy's bfloat16, where it is installed
    "testing": {"hypothesis", "pytest"},  # for those who test
    "callbacks": {"tensorboardX", "matplotlib", "pandas"},  # each for one callback, when it is used
}
FRAMEWORKS = {
    *("torch", "keras", "tensorflow", "tf_keras", "jax", "jaxlib", "flax", "optax", "lightning", "pytorch_lightning"),
    *("transformers", "accelerate", "ignite", "skorch", "sklearn", "xgboost", "lightgbm", "fastai", "fastcore"),
    "trainhooks_adapters",
}


TORCH = set(trainhooks_adapters.torch.__all__) - {"plugin"}
"""For the adapters of trainers that train PyTorch's modules: what anybody may import of it."""


def imports(source: str, package: tuple[str, ...], *, everywhere: bool = True) -> Iterator[tuple[str, ...]]:
    """What a module of ``package`` imports when it runs, as absolute names in parts; ``from a import b`` is ``a.b``.

    Args:
        everywhere: inside functions too.
    """

    def walk(nodes: list[ast.stmt]) -> Iterator[ast.AST]:
        for node in nodes:
            if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
                yield from walk(node.orelse)
                continue
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not everywhere:
                continue
            yield node
            for _, field in ast.iter_fields(node):
                for one in field if isinstance(field, list) else []:
                    if isinstance(one, ast.stmt):
                        yield from walk([one])
                    elif isinstance(one, (ast.ExceptHandler, ast.match_case)):
                        yield from walk(one.body)

    for node in walk(ast.parse(source).body):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = tuple(node.module.split(".")) if node.module else ()
            yield from ((*base, *module, alias.name) for alias in node.names)


def parts_of(folder: Path) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Each file: the part of the folder that it belongs to, the package it stands in, and its text."""
    for path in sorted(folder.rglob("*.py")):
        *inside, name = path.relative_to(folder).with_suffix("").parts
        part = inside[0] if inside else folder.name if name == "__init__" else name
        yield part, (folder.name, *inside), path.read_text()


def part_named(name: tuple[str, ...]) -> str:
    """The part of the core that ``trainhooks.<...>`` belongs to; what is no part is a name of the package itself."""
    return name[1] if len(name) > 1 and name[1] in MAY_IMPORT else "trainhooks"


def wrong_in_core(part: str, package: tuple[str, ...], source: str) -> list[str]:
    """The imports that the table does not allow."""
    wrong = []
    for name in imports(source, package):
        if name[0] == "trainhooks":
            allowed = part_named(name) in MAY_IMPORT.get(part, set()) | {part}
        else:
            allowed = name[0] in sys.stdlib_module_names or name[0] in THIRD_PARTY | FOR.get(part, set())
        if not allowed:
            wrong.append(f"{part} imports {'.'.join(name)}")
    return wrong


def wrong_in_adapter(part: str, package: tuple[str, ...], source: str) -> list[str]:
    """Where an adapter sees more than ``trainhooks``'s public names, itself, and what PyTorch's adapter exports."""
    wrong = []
    public = {name[-1] for name in imports((CORE / "__init__.py").read_text(), ("trainhooks",))} | {"__version__"}
    for name in imports(source, package):
        if name[0] == "trainhooks_adapters":
            allowed = name[1:2] == (part,) or (len(name) == 3 and name[1] == "torch" and name[2] in TORCH)
        else:
            allowed = name[0] != "trainhooks" or len(name) == 1 or (len(name) == 2 and name[1] in public)
        if not allowed:
            wrong.append(f"{part} imports {'.'.join(name)}")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "trainhooks" and node.attr not in public:
            wrong.append(f"{part} uses trainhooks.{node.attr}")
    return wrong


def test_each_module_has_its_place_in_the_table() -> None:
    parts = {part for part, _, _ in parts_of(CORE)}
    assert sorted(parts - set(MAY_IMPORT)) == []


def test_the_table_itself_has_no_cycle() -> None:
    order = list(TopologicalSorter({part: may - {part} for part, may in MAY_IMPORT.items()}).static_order())
    assert set(order) == set(MAY_IMPORT)


def test_imports_run_downwards_and_the_core_knows_no_framework() -> None:
    assert [line for part in parts_of(CORE) for line in wrong_in_core(*part)] == []
    assert not FRAMEWORKS & (THIRD_PARTY | {name for names in FOR.values() for name in names})


def test_an_adapter_sees_public_names_alone() -> None:
    assert [line for part in parts_of(ADAPTERS) for line in wrong_in_adapter(*part)] == []


def test_an_adapter_imports_its_framework_only_when_it_is_used() -> None:
    early = [
        f"{part} imports {'.'.join(name)}"
        for part, package, source in parts_of(ADAPTERS)
        for name in imports(source, package, everywhere=False)
        if name[0] not in sys.stdlib_module_names | {"numpy", "trainhooks", "trainhooks_adapters"}
    ]
    assert early == []


@pytest.mark.parametrize(
    "part, source, wrong",
    [
        ("filters", "from .events import EVENTS", ["filters imports trainhooks.events.EVENTS"]),
        ("run", "def f():\n    from . import bus", ["run imports trainhooks.bus"]),
        ("run", "if TYPE_CHECKING:\n    from .bus import EventBus\nelse:\n    import os", []),
        ("run", "if TYPE_CHECKING:\n    pass\nelse:\n    import torch", ["run imports torch"]),
        ("logs", "try:\n    import os\nexcept E:\n    import jax.numpy as jnp", ["logs imports jax.numpy"]),
        ("bus", "with x:\n    for y in z:\n        import keras", ["bus imports keras"]),
        (
            "loop",
            "class A:\n    async def f(self):\n        import tensorflow.keras",
            ["loop imports tensorflow.keras"],
        ),
        ("driver", "import trainhooks_adapters.torch", ["driver imports trainhooks_adapters.torch"]),
        ("driver", "from .wrap import wrap", ["driver imports trainhooks.wrap.wrap"]),
        ("errors", "import trainhooks", ["errors imports trainhooks"]),
        ("errors", "from . import __version__", ["errors imports trainhooks.__version__"]),
        ("unheard_of", "from .errors import listing", ["unheard_of imports trainhooks.errors.listing"]),
    ],
)
def test_the_walk_sees_imports_wherever_they_stand(part: str, source: str, wrong: list[str]) -> None:
    assert wrong_in_core(part, ("trainhooks",), source) == wrong


@pytest.mark.parametrize(
    "source, wrong",
    [
        ("import trainhooks\nfrom trainhooks import Callback, errors\ntrainhooks.LoopRun", []),
        ("from ._trainable import A\nfrom . import _weights", []),
        ("from trainhooks.driver import Driver", ["mine imports trainhooks.driver.Driver"]),
        ("import trainhooks.driver", ["mine imports trainhooks.driver"]),
        ("from trainhooks import _private", ["mine imports trainhooks._private"]),
        ("def f():\n    return trainhooks.nothing", ["mine uses trainhooks.nothing"]),
        ("def f():\n    from ..torch import bridge", ["mine imports trainhooks_adapters.torch.bridge"]),
        ("from trainhooks_adapters.torch import TorchTrainable", []),
        ("from ..torch._state import Parts", ["mine imports trainhooks_adapters.torch._state.Parts"]),
        ("from ..torch import _state", ["mine imports trainhooks_adapters.torch._state"]),
        ("from trainhooks_adapters import keras", ["mine imports trainhooks_adapters.keras"]),
    ],
)
def test_the_walk_sees_what_an_adapter_must_not(source: str, wrong: list[str]) -> None:
    assert wrong_in_adapter("mine", ("trainhooks_adapters", "mine"), source) == wrong


HEAVY = {
    "torch",
    "keras",
    "tensorflow",
    "jax",
    "matplotlib",
    "pandas",
    "tqdm",
    "packaging",
    "importlib.metadata",
    "safetensors",
    "urllib.request",
    "hashlib",
}


def test_importing_trainhooks_loads_no_framework_and_stays_cheap() -> None:
    # numpy itself may load one of them: only what trainhooks adds is its own
    program = (
        "import sys, numpy, pluggy; before = set(sys.modules); import trainhooks; "
        "print('\\n'.join(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "trainhooks.bus" in loaded
    assert sorted(loaded & HEAVY) == []
    assert sorted(name for name in loaded if name.partition(".")[0] in FRAMEWORKS) == []
