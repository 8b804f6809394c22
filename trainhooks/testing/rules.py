"""Rules: one sentence of a page, and the check that holds somebody's work against it."""

from __future__ import annotations

import contextlib
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..errors import did_you_mean, listing

T = TypeVar("T")


class BrokenRuleError(AssertionError):
    """A callback or an adapter breaks a rule; the message says which one, of which page, and what was seen."""


@dataclass(frozen=True)
class Rule(Generic[T]):
    """One rule.

    Attributes:
        name: in a few words, as ``"state-round-trip"``; the id of its test.
        page: where it is explained, as ``"docs/write-a-callback.md#state"``.
        text: the rule, as a sentence.
        check: what holds a subject against it; returns what was seen where it is broken, and None where it is kept.
    """

    name: str
    page: str
    text: str
    check: Callable[[T], str | None]

    def hold(self, who: str, subject: T) -> None:
        """Hold ``subject`` against this rule, in a working directory of its own.

        Raises:
            BrokenRuleError: it is broken, or something else was raised on the way.
        """
        cause: Exception | None = None
        with _own_folder(), warnings.catch_warnings():
            try:
                seen = self.check(subject)
            except Exception as error:  # whatever a stranger's code raises: it is shown as the cause
                seen, cause = f"it raised {type(error).__name__}: {error}", error
        if seen is not None:
            raise BrokenRuleError(
                f"{who} breaks the rule {self.name!r}, of {self.page}:\n  {self.text}\n{seen}"
            ) from cause


def as_test(who: str, rules: Sequence[Rule[T]], subject: Callable[[], T], without: Mapping[str, str]) -> Any:
    """A test function with a case for each rule, for a test module to keep under a name that begins with ``test_``.

    Args:
        who: what is tried, in messages.
        rules: those that are tried.
        subject: makes what a rule is held against, anew for each.
        without: the rules that are left out, each with the reason why.

    Raises:
        ValueError: ``without`` names no rule, or gives no reason.
    """
    import pytest

    tried = left_in(who, rules, without)

    @pytest.mark.parametrize("rule", [pytest.param(rule, id=rule.name) for rule in tried])
    def test(rule: Rule[T]) -> None:
        rule.hold(who, subject())

    return test


def left_in(who: str, rules: Sequence[Rule[T]], without: Mapping[str, str]) -> list[Rule[T]]:
    """The rules but for those that are left out."""
    names = [rule.name for rule in rules]
    for name, reason in without.items():
        if name not in names:
            raise ValueError(
                f"{who}: without={name!r} is no rule.{did_you_mean(name, names)} There are {listing(names)}."
            )
        if not isinstance(reason, str) or not reason.strip():
            raise ValueError(f"{who}: without={{{name!r}: {reason!r}}}: say why, as a sentence")
    return [rule for rule in rules if rule.name not in without]


@contextlib.contextmanager
def _own_folder() -> Iterator[None]:
    """What is written by a relative path goes away again."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)
