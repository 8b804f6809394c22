"""Each class of keras.callbacks has its twin, with at least the same arguments. Run by test_keras_signatures.py."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import pytest

from trainhooks import callbacks

NO_TWIN = {
    "Callback": "the abstract base, which is trainhooks.Callback",
    "CallbackList": "no callback: it dispatches, as our bus does",
    "OrbaxCheckpoint": "left out by design: it writes JAX's own format with JAX's own library",
}


def theirs() -> dict[str, type[Any]]:
    return {name: one for name, one in vars(keras.callbacks).items() if inspect.isclass(one) and name not in NO_TWIN}


def arguments(cls: type[Any]) -> list[tuple[str, Any, str]]:
    """The arguments of a constructor: each with its default and its kind, ``self`` left out."""
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    return [(one.name, one.default, one.kind.name) for one in parameters]


def test_what_has_no_twin_is_still_there() -> None:
    assert [name for name in NO_TWIN if not inspect.isclass(getattr(keras.callbacks, name, None))] == []
    assert len(theirs()) >= 13


@pytest.mark.parametrize("name", theirs())
def test_it_has_a_twin_whose_constructor_begins_with_the_same_arguments_and_defaults(name: str) -> None:
    twin = getattr(callbacks, name, None)
    assert twin is not None, f"trainhooks.callbacks has no {name}"
    wanted = [one for one in arguments(theirs()[name]) if one[2] == "POSITIONAL_OR_KEYWORD"]
    ours = arguments(twin)
    assert ours[: len(wanted)] == wanted, f"{name} lacks {[one for one in wanted if one not in ours]}"
    more = {kind for *_, kind in ours[len(wanted) :]}
    assert more <= {"KEYWORD_ONLY", "VAR_KEYWORD"} or name == "ProgbarLogger"  # Keras may take another by place one day
