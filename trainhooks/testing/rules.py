"""Rules: one sentence of a page, and the check that holds somebody's work against it."""

from __future__ import annotations

import contextlib
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Generic, TypeVar

from ..errors import did_you_mean, listing

T = TypeVar("T")

_OURS: Final = (str(Path(__file__).parent.parent), "<trainhooks ")
"""Beginnings of the names of our own files, and of what is compiled."""


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
        __tracebackhide__ = True  # in pytest the message stands beside the stranger's own lines
        cause: Exception | None = None
        with own_folder(), warnings.catch_warnings():
            try:
                seen = self.check(subject)
            except Exception as error:  # whatever a stranger's code raises: it is shown as the cause
                seen, cause = f"it raised {type(error).__name__}: {error}", _from_outside(error)
        if seen is not None:
            raise BrokenRuleError(f"{who} breaks {self.name!r}: {seen}\n  {self.text}\n  {self.page}") from cause


def as_test(
    who: str,
    rules: Sequence[Rule[T]],
    subject: Callable[[], T],
    without: Mapping[str, str],
    gates: Sequence[str] = (),
) -> Any:
    """A test function with a case for each rule, for a test module to keep under a name that begins with ``test_``.

    Args:
        who: what is tried, in messages.
        rules: those that are tried.
        subject: makes what a rule is held against, anew for each.
        without: the rules that are left out, each with the reason why.
        gates: the names of rules without which no later one is worth trying: where one is broken, those are skipped.

    Raises:
        ValueError: ``without`` names no rule, or gives no reason.
    """
    import pytest

    tried = left_in(who, rules, without)

    first = [rule for rule in tried if rule.name in gates]
    kept: dict[str, bool] = {}

    def broken_before(rule: Rule[T]) -> str | None:
        for gate in first:
            if gate is rule:
                return None
            if gate.name not in kept:  # once, for all cases
                kept[gate.name] = _is_kept(gate, who, subject())
            if not kept[gate.name]:
                return gate.name
        return None

    @pytest.mark.parametrize("rule", [pytest.param(rule, id=rule.name) for rule in tried])
    def test(rule: Rule[T]) -> None:
        __tracebackhide__ = True
        if (broken := broken_before(rule)) is not None:
            pytest.skip(f"not tried: {who} breaks {broken!r}; mend that first")
        if rule in first:
            kept[rule.name] = False  # until it has been held
        rule.hold(who, subject())
        kept[rule.name] = True

    return test


def _is_kept(rule: Rule[T], who: str, subject: T) -> bool:
    try:
        rule.hold(who, subject)
    except BrokenRuleError:
        return False
    return True


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


def _from_outside(error: Exception) -> Exception:
    """The exception, whose traceback begins with a stranger's first line, where there is one."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS):
        trace = trace.tb_next
    return error if trace is None else error.with_traceback(trace)


@contextlib.contextmanager
def own_folder() -> Iterator[None]:
    """What is written by a relative path goes away again."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)
