"""check_adapter: hold an adapter against every rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .adapter_rules import ADAPTER_RULES
from .adapter_rules_tools import Factory
from .rules import as_test

GATES: Final = ("bench-is-new", "bench-returns", "events-in-order")
"""Without these every other rule would only say once more what is wrong."""


def check_adapter(factory: Factory, *, without: Mapping[str, str] | None = None) -> Any:
    """A test function with a case for each rule of docs/write-an-adapter.md, for a test module to keep::

        test_tiny = check_adapter(TinyBench)

    Args:
        factory: makes a new ``Bench`` of the adapter at each call; most simply its class.
        without: rules that are left out, each with the reason why.

    The test has both as attributes, ``test_tiny.factory`` and ``test_tiny.without``, for ``survey``.

    Raises:
        ValueError: ``without`` names no rule, or gives no reason.
    """
    left_out = dict(without or {})
    test = as_test(name_of(factory), ADAPTER_RULES, lambda: factory, left_out, GATES)
    test.factory, test.without = factory, left_out
    return test


def name_of(factory: Factory) -> str:
    """What an adapter's bench is called in messages."""
    name = getattr(factory, "__name__", "")
    return name if name.isidentifier() else "the adapter"  # that of a lambda would tell nobody anything
