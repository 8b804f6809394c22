"""What is public is exactly ``__all__``, and all of it is documented and typed."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import ModuleType

import pytest

import trainhooks

PUBLIC = [name for name in trainhooks.__all__ if not isinstance(getattr(trainhooks, name), ModuleType)]


def test_what_is_public_is_exactly_all_in_order() -> None:
    names = {
        name for name, value in vars(trainhooks).items() if not (name.startswith("_") or isinstance(value, ModuleType))
    }
    # constants, then classes, then functions, each from a to z, as ruff sorts them
    in_order = sorted(set(trainhooks.__all__), key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    assert trainhooks.__all__ == in_order
    assert sorted(PUBLIC) == sorted(names)


def test_a_module_among_the_public_names_is_one_of_ours() -> None:
    modules = [getattr(trainhooks, name) for name in trainhooks.__all__ if name not in PUBLIC]
    assert [one.__name__ for one in modules if one.__name__.partition(".")[0] != "trainhooks"] == []
    assert trainhooks.callbacks in modules


@pytest.mark.parametrize("name", [name for name in PUBLIC if callable(getattr(trainhooks, name))])
def test_each_public_class_function_and_method_says_what_it_is_for(name: str) -> None:
    value = getattr(trainhooks, name)
    silent = [] if inspect.getdoc(value) else [name]
    if isinstance(value, type) and value.__module__.startswith("trainhooks"):
        for member, made in vars(value).items():
            documented = inspect.isfunction(made) or isinstance(made, (property, classmethod, staticmethod))
            if documented and not member.startswith("_") and not inspect.getdoc(getattr(value, member)):
                silent.append(f"{name}.{member}")
    assert silent == []


def test_the_marker_of_typed_packages_is_there() -> None:
    root = Path(trainhooks.__file__).parent
    assert (root / "py.typed").is_file()
    assert (root.parent / "adapters" / "trainhooks_adapters" / "py.typed").is_file()


def test_the_version_is_a_version() -> None:
    assert [part.isdigit() for part in trainhooks.__version__.split(".")[:2]] == [True, True]


def test_a_misspelt_callback_is_told_the_nearest_name() -> None:
    with pytest.raises(AttributeError) as caught:
        _ = trainhooks.callbacks.EarlyStoping
    assert str(caught.value) == (
        "module 'trainhooks.callbacks' has no attribute 'EarlyStoping'. Did you mean 'EarlyStopping'?"
    )
    assert set(trainhooks.callbacks.__all__) <= set(dir(trainhooks.callbacks))
