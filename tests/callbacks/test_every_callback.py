"""Every built-in, under the reference loop."""

from __future__ import annotations

import inspect

import pytest
from every_callback import MADE, every_one

from trainhooks import Callback, callbacks

TestUnderTheReferenceLoop = every_one()


def test_each_of_the_built_ins_is_looked_at_here() -> None:
    assert sorted(MADE) == sorted(callbacks.__all__)


@pytest.mark.parametrize("name", MADE)
def test_the_class_has_the_name_that_it_is_exported_by_and_says_what_it_does(name: str) -> None:
    made = getattr(callbacks, name)
    assert issubclass(made, Callback)
    assert (made.__name__, type(MADE[name]())) == (name, made)
    assert (inspect.getdoc(made) or "").strip()


@pytest.mark.parametrize("name", MADE)
def test_a_misspelt_argument_is_a_type_error(name: str) -> None:
    with pytest.raises(TypeError, match="patiense"):
        getattr(callbacks, name)(patiense=3)
